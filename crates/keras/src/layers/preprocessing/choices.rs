//! The layers that others are made of.

use std::sync::Arc;

use keras_spec::layer::Child;
use keras_spec::random::SeedGenerator;
use keras_spec::{DType, DTypePolicy, Layer, LayerExt, LayerRef, Result, Tensor};

use super::augmentation::{Augmentation, Draws};
use super::factor::{FactorIn, ValueRange};
use super::*;
use crate::layers::common::DataFormat;
use crate::layers::interpolation::Interpolation;

/// A layer inside another: as what it does, and as the layer that files and seeds are about.
#[derive(Clone, Debug)]
pub(super) struct Part {
    attribute: &'static str,
    layer: LayerRef,
    change: Arc<dyn Augmentation>,
}

impl Part {
    pub(super) fn new<A: Augmentation + Layer + Clone>(
        attribute: &'static str,
        layer: A,
        policy: DTypePolicy,
    ) -> Self {
        // Both share their seed generator.
        Part { attribute, layer: layer.clone().dtype(policy).into(), change: Arc::new(layer) }
    }

    pub(super) fn child(&self) -> Child {
        Child::one(self.attribute, &self.layer)
    }

    /// Draws for images from the generator of the layer that this is a part of.
    pub(super) fn draw(&self, images: &Tensor, generator: &SeedGenerator) -> Result<Vec<Tensor>> {
        self.change.draw(images.shape(), &Draws::new(generator, self.compute_dtype(), images))
    }

    pub(super) fn apply(&self, images: &Tensor, drawn: &[Tensor]) -> Result<Tensor> {
        self.change.apply(images, drawn, self.compute_dtype())
    }

    pub(super) fn is(&self, attribute: &str) -> bool {
        self.attribute == attribute
    }

    /// Keras casts what this one drew, and no other, to the dtype that the whole computes in.
    pub(super) fn is_contrast(&self) -> bool {
        self.is("random_contrast")
    }

    fn compute_dtype(&self) -> DType {
        self.layer.policy().compute_dtype()
    }
}

/// What the parts of `AugMix` and `RandAugment` have in common.
pub(super) struct Parts {
    pub(super) factor: FactorIn<0, 1>,
    pub(super) value_range: ValueRange,
    pub(super) interpolation: Interpolation,
    pub(super) seed: Option<u32>,
    pub(super) data_format: DataFormat,
    pub(super) policy: DTypePolicy,
}

macro_rules! with_seed {
    ($parts:ident, $layer:expr) => {{
        let layer = $layer.data_format($parts.data_format);
        match $parts.seed {
            Some(seed) => layer.seed(seed),
            None => layer,
        }
    }};
}

impl Parts {
    /// The part of a name.
    pub(super) fn make(&self, attribute: &'static str) -> Part {
        let (pair, range, policy) = (self.factor.range(), self.value_range, self.policy);
        match attribute {
            "random_shear" => {
                let layer =
                    RandomShear::new().x_factor(pair).y_factor(pair).interpolation(self.interpolation);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "random_translation" => {
                let layer = RandomTranslation::new(pair, pair).interpolation(self.interpolation);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "random_rotation" => {
                let layer = RandomRotation::new(pair).interpolation(self.interpolation);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "random_posterization" => {
                let bits = (8.0 * pair[1]).floor().max(1.0);
                let layer = RandomPosterization::new(bits).value_range(range);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "solarization" => {
                let layer =
                    Solarization::new().addition_factor(pair).threshold_factor(pair).value_range(range);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "auto_contrast" => {
                let layer = AutoContrast::new().value_range(range).data_format(self.data_format);
                Part::new(attribute, layer, policy)
            }
            "equalization" => {
                let layer = Equalization::new().value_range(range).data_format(self.data_format);
                Part::new(attribute, layer, policy)
            }
            "random_brightness" => {
                let layer = RandomBrightness::new(pair).value_range(range);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "random_color_degeneration" => {
                let layer = RandomColorDegeneration::new(pair).value_range(range);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            "random_contrast" => {
                let layer = RandomContrast::new(pair).value_range(range);
                Part::new(attribute, with_seed!(self, layer), policy)
            }
            _ => {
                let layer = RandomSharpness::new(pair).value_range(range);
                Part::new("random_sharpness", with_seed!(self, layer), policy)
            }
        }
    }
}
