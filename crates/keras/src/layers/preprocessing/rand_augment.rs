use std::sync::{Arc, OnceLock};

use keras_spec::layer::Child;
use keras_spec::random::SeedGenerator;
use keras_spec::{Call, DType, DTypePolicy, Layer, PartialShape, Result, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::choices::{Part, Parts};
use super::factor::{FactorIn, ValueRange};
use super::{images, sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, keras_layer, one};
use crate::layers::interpolation::Interpolation;
use crate::random;

/// What images are changed by, in the order in which Keras numbers it.
const CHOICES: [&str; 11] = [
    "random_shear",
    "random_translation",
    "random_rotation",
    "random_brightness",
    "random_color_degeneration",
    "random_contrast",
    "random_sharpness",
    "random_posterization",
    "solarization",
    "auto_contrast",
    "equalization",
];

/// The order in which Keras makes them.
const MADE: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 8, 7, 9, 10];

/// Changes images by some of eleven layers, drawn for the whole batch, while training; floats of the compute dtype otherwise.
/// Images have one or three channels: `(batch, height, width, channels)`, or that without the batch; the shape stays
/// (`keras.layers.RandAugment`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
    num_ops: usize,
    factor: FactorIn<0, 1>,
    interpolation: Interpolation,
    seed: LayerSeed,
    #[serde(skip)]
    parts: Arc<OnceLock<Vec<Part>>>,
}

keras_layer!(RandAugment, check validate);

impl Default for RandAugment {
    fn default() -> Self {
        RandAugment {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            value_range: ValueRange::default(),
            num_ops: 2,
            factor: 0.5.into(),
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
            parts: Arc::default(),
        }
    }
}

impl RandAugment {
    /// Two changes, up to half as strong as can be.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How many changes. Default: 2.
        num_ops = usize;
        /// Between which numbers the strength is. Default: 0 and 0.5.
        factor: FactorIn<0, 1>;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// How numbers between pixels are found: nearest or bilinear, the default.
        interpolation: Interpolation;
        /// Where the channels are.
        data_format: DataFormat;
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")?;
        sampling::check(self.interpolation)
    }

    /// Some of the parts one after the other. Numbers are drawn for all of them.
    fn change(&self, mut images: Tensor, parts: &[Part]) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images);
        }
        let generator = self.seed.generator();
        let (count, seed) = (CHOICES.len() as i64, generator.clone().into());
        let chosen = random::randint([self.num_ops], 0, count, DType::I32, Some(&seed), images.device())?;
        let by_name = |name: &&str| parts.iter().find(|part| part.is(name));
        let ordered: Vec<&Part> = CHOICES.iter().filter_map(by_name).collect();
        let drawn = ordered.iter().map(|part| part.draw(&images, generator)).collect::<Result<Vec<_>>>()?;
        for choice in chosen.to_vec::<i32>()? {
            images = ordered[choice as usize].apply(&images, &drawn[choice as usize])?;
        }
        Ok(images)
    }
}

impl Layer for RandAugment {
    fn make_parts(&self, policy: DTypePolicy) {
        self.seed.generator();
        let parts = Parts {
            factor: self.factor,
            value_range: self.value_range,
            interpolation: self.interpolation,
            seed: self.seed.given(),
            data_format: self.data_format,
            policy,
        };
        self.parts.get_or_init(|| MADE.iter().map(|&i| parts.make(CHOICES[i])).collect());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?.cast(call.compute_dtype())?;
        match self.parts.get() {
            Some(parts) if call.training => {
                Ok(vec![images::on_batch(&x, self.data_format, |batch| self.change(batch, parts))?])
            }
            _ => Ok(vec![x]),
        }
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        vec![self.seed.generator().clone()]
    }

    fn children(&self) -> Vec<Child> {
        self.parts.get().into_iter().flatten().map(Part::child).collect()
    }
}
