use std::sync::{Arc, OnceLock};

use keras_spec::layer::Child;
use keras_spec::random::SeedGenerator;
use keras_spec::{Call, DTypePolicy, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::choices::Part;
use super::factor::{Factor, ValueRange};
use super::images;
use super::{RandomBrightness, RandomContrast, RandomHue, RandomSaturation};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, keras_layer, one};

/// Changes brightness, contrast, saturation and hue of images at random while training, in this order; does nothing otherwise.
/// The shape stays: `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomColorJitter`, Keras
/// 3.15.1).
///
/// Keras takes the last axis for the channels even where `data_format` says otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomColorJitter {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
    brightness_factor: Option<Factor>,
    contrast_factor: Option<Factor>,
    saturation_factor: Option<Factor>,
    hue_factor: Option<Factor>,
    seed: LayerSeed,
    #[serde(skip)]
    parts: Arc<OnceLock<Vec<Part>>>,
}

keras_layer!(RandomColorJitter, check validate);

impl RandomColorJitter {
    /// Changes only what the methods below say.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// As the factor of [`RandomBrightness`].
        some brightness_factor: Factor;
        /// As the factor of [`RandomContrast`].
        some contrast_factor: Factor;
        /// As the factor of [`RandomSaturation`].
        some saturation_factor: Factor;
        /// As the factor of [`RandomHue`].
        some hue_factor: Factor;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are; see above.
        data_format: DataFormat;
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        let in_bounds =
            |factor: Option<Factor>, check: fn(Factor) -> Result<()>| factor.map_or(Ok(()), check);
        in_bounds(self.brightness_factor, |f| f.bounded::<-1, 1>().check("brightness_factor"))?;
        in_bounds(self.contrast_factor, |f| f.bounded::<0, 1>().check("contrast_factor"))?;
        in_bounds(self.saturation_factor, |f| f.bounded::<-1, 1>().check("saturation_factor"))?;
        in_bounds(self.hue_factor, |f| f.bounded::<0, 1>().check("hue_factor"))
    }

    /// They compute as the global policy says, whatever that of the whole is.
    fn made_parts(&self) -> Vec<Part> {
        let (range, policy) = (self.value_range, DTypePolicy::global());
        let mut parts = Vec::new();
        if let Some(f) = self.brightness_factor {
            let layer =
                self.seeded(RandomBrightness::new(f.bounded()).value_range(range), RandomBrightness::seed);
            parts.push(Part::new("random_brightness", layer, policy));
        }
        if let Some(f) = self.contrast_factor {
            let layer =
                self.seeded(RandomContrast::new(f.bounded()).value_range(range), RandomContrast::seed);
            parts.push(Part::new("random_contrast", layer, policy));
        }
        if let Some(f) = self.saturation_factor {
            let layer =
                self.seeded(RandomSaturation::new(f.bounded()).value_range(range), RandomSaturation::seed);
            parts.push(Part::new("random_saturation", layer, policy));
        }
        if let Some(f) = self.hue_factor {
            let layer = self.seeded(RandomHue::new(f.bounded()).value_range(range), RandomHue::seed);
            parts.push(Part::new("random_hue", layer, policy));
        }
        parts
    }

    fn seeded<L>(&self, layer: L, with: fn(L, u32) -> L) -> L {
        match self.seed.given() {
            Some(seed) => with(layer, seed),
            None => layer,
        }
    }
}

impl Layer for RandomColorJitter {
    fn make_parts(&self, _policy: DTypePolicy) {
        self.seed.generator();
        self.parts.get_or_init(|| self.made_parts());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        if !call.training {
            return Ok(vec![x.clone()]);
        }
        let generator = self.seed.generator();
        let changed =
            images::on_batch(&x.cast(call.compute_dtype())?, DataFormat::ChannelsLast, |mut batch| {
                for part in self.parts.get().into_iter().flatten() {
                    let mut drawn = part.draw(&batch, generator)?;
                    if part.is_contrast() {
                        drawn = drawn
                            .into_iter()
                            .map(|t| t.into_dtype(call.compute_dtype()))
                            .collect::<Result<_>>()?;
                    }
                    batch = part.apply(&batch, &drawn)?;
                }
                Ok(batch)
            })?;
        Ok(vec![changed.into_dtype(call.compute_dtype())?])
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        vec![self.seed.generator().clone()]
    }

    fn children(&self) -> Vec<Child> {
        self.parts.get().into_iter().flatten().map(Part::child).collect()
    }
}
