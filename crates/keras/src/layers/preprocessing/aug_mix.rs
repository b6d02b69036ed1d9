use std::sync::{Arc, OnceLock};

use keras_spec::layer::Child;
use keras_spec::random::{SeedGenerator, global_choice};
use keras_spec::{Call, DType, DTypePolicy, Layer, PartialShape, Result, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::choices::{Part, Parts};
use super::factor::{FactorIn, ValueRange};
use super::{images, sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, all_positive, data_format, keras_layer, one};
use crate::layers::interpolation::Interpolation;
use crate::random;

/// What images are changed by, in the order in which Keras chooses; the first seven alone without `all_ops`.
const CHOICES: [&str; 11] = [
    "random_shear",
    "random_translation",
    "random_rotation",
    "random_posterization",
    "solarization",
    "auto_contrast",
    "equalization",
    "random_brightness",
    "random_color_degeneration",
    "random_contrast",
    "random_sharpness",
];

/// The order in which Keras makes them.
const MADE: [usize; 11] = [0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10];

/// Mixes images with what chains of random changes make of them, while training; floats of the compute dtype otherwise. Images
/// have one or three channels: `(batch, height, width, channels)`, or that without the batch; the shape stays
/// (`keras.layers.AugMix`, Keras 3.15.1). Which changes are chosen is drawn from Python's global generator, as in Keras
/// ([`set_random_seed`](crate::random::set_random_seed)).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugMix {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
    num_chains: usize,
    chain_depth: usize,
    factor: FactorIn<0, 1>,
    alpha: f64,
    all_ops: bool,
    interpolation: Interpolation,
    seed: LayerSeed,
    #[serde(skip)]
    parts: Arc<OnceLock<Vec<Part>>>,
}

keras_layer!(AugMix, check validate);

impl Default for AugMix {
    fn default() -> Self {
        AugMix {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            value_range: ValueRange::default(),
            num_chains: 3,
            chain_depth: 3,
            factor: 0.3.into(),
            alpha: 1.0,
            all_ops: true,
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
            parts: Arc::default(),
        }
    }
}

impl AugMix {
    /// Three chains of three changes.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How many chains. Default: 3.
        num_chains = usize;
        /// How many changes each. Default: 3.
        chain_depth = usize;
        /// Between which numbers the strength is. Default: 0 and 0.3.
        factor: FactorIn<0, 1>;
        /// The parameter of the distributions that parts are drawn from. Default: 1.
        alpha: f64;
        /// Whether there are changes among them that are used to test models with. Default: yes.
        all_ops = bool;
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
        all_positive("num_chains", &[self.num_chains])?;
        sampling::check(self.interpolation)
    }

    fn choices(&self) -> usize {
        if self.all_ops { CHOICES.len() } else { 7 }
    }

    fn mix(&self, images: &Tensor, parts: &[Part]) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let generator = self.seed.generator();
        let (seed, device, dtype) = (generator.clone().into(), images.device(), images.dtype());
        let weights = random::gamma([self.num_chains], self.alpha, DType::F32, Some(&seed), device)?;
        let sum = weights.sum(&[0], true)?;
        let weights = (weights / sum)?.cast(dtype)?;
        let kept = random::beta([], self.alpha, self.alpha, DType::F32, Some(&seed), device)?.cast(dtype)?;
        // All is drawn before anything is changed.
        let mut chains = Vec::new();
        for _ in 0..self.num_chains {
            let mut chain = Vec::new();
            for _ in 0..self.chain_depth {
                // One more than there are is no change.
                let choice = global_choice(self.choices() as u32 + 1) as usize;
                let name = CHOICES[..self.choices()].get(choice);
                let part = name.and_then(|name| parts.iter().find(|part| part.is(name)));
                if let Some(part) = part {
                    chain.push((part, part.draw(images, generator)?));
                }
            }
            chains.push(chain);
        }
        let mut mixed = Tensor::full(images.shape(), dtype, 0.0, device)?;
        for (i, chain) in chains.into_iter().enumerate() {
            let mut changed = images.clone();
            for (part, drawn) in chain {
                changed = part.apply(&changed, &drawn)?;
            }
            mixed = (mixed + (changed * weights.index(0, i)?)?)?;
        }
        let [low, high] = self.value_range.range();
        ((&kept * images)? + ((1.0 - &kept)? * mixed)?)?.clip(low, high)
    }
}

impl Layer for AugMix {
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
        let made = MADE.iter().filter(|&&i| i < self.choices());
        self.parts.get_or_init(|| made.map(|&i| parts.make(CHOICES[i])).collect());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?.cast(call.compute_dtype())?;
        match self.parts.get() {
            Some(parts) if call.training => {
                Ok(vec![images::on_batch(&x, self.data_format, |batch| self.mix(&batch, parts))?])
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
