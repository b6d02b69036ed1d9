use keras_spec::random::SeedGenerator;
use keras_spec::{Call, CompareOp, DType, Layer, PartialShape, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::dropout::generators;
use crate::class::builders;
use crate::layers::common::{LayerSeed, fraction, keras_layer, one};
use crate::random;

/// What `selu` tends to for very negative inputs.
const SATURATED: f64 = -1.673_263_242_354_377_2 * 1.050_700_987_355_480_5;

/// Sets a fraction of the inputs to the value that `selu` saturates at while training, and moves and scales everything so that
/// mean and variance stay; does nothing otherwise. The shape stays (`keras.layers.AlphaDropout`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaDropout {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default)]
    noise_shape: Option<PartialShape>,
}

keras_layer!(AlphaDropout, check validate);

impl AlphaDropout {
    /// Drops the fraction `rate`, from 0 to 1, of the inputs.
    pub fn new(rate: f64) -> Self {
        AlphaDropout { rate, seed: LayerSeed::default(), noise_shape: None }
    }

    builders! {
        /// The shape of the mask, `(batch, 1, features)` for the same mask at each step; `None` is the input's length.
        some noise_shape: PartialShape;
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        fraction("rate", self.rate)
    }

    fn mask_shape(&self, x: &Tensor) -> Shape {
        match &self.noise_shape {
            None => x.shape().clone(),
            Some(given) => {
                let length = |(i, d): (usize, &Option<usize>)| d.or(x.shape().get(i).copied()).unwrap_or(1);
                given.iter().enumerate().map(length).collect()
            }
        }
    }
}

impl Layer for AlphaDropout {
    fn draw_seeds(&self) {
        if self.rate > 0.0 {
            self.seed.generator();
        }
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        // A noise shape with the length of the batch does not fit the placeholder's.
        if !call.training || self.rate <= 0.0 || scope::is_abstract() {
            return Ok(vec![x.clone()]);
        }
        let seed = self.seed.generator().clone().into();
        let draws = random::uniform(self.mask_shape(x), 0.0, 1.0, DType::F32, Some(&seed), x.device())?;
        let kept = draws.compare_with(CompareOp::Ge, self.rate)?.cast(x.dtype())?;
        let scale = ((1.0 - self.rate) * (1.0 + self.rate * SATURATED.powi(2))).powf(-0.5);
        let offset = -scale * SATURATED * self.rate;
        let dropped = ((x * &kept)? + ((1.0 - kept)? * SATURATED)?)?;
        Ok(vec![((dropped * scale)? + offset)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        generators(self.rate, &self.seed)
    }
}
