use keras_spec::random::SeedGenerator;
use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::dropout::generators;
use crate::layers::common::{LayerSeed, fraction, keras_layer, one};
use crate::random;

/// Adds normally distributed noise while training; does nothing otherwise. The shape stays (`keras.layers.GaussianNoise`,
/// Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    stddev: f64,
    #[serde(default)]
    seed: LayerSeed,
}

keras_layer!(GaussianNoise, check validate);

impl GaussianNoise {
    /// Noise of the standard deviation `stddev`, from 0 to 1.
    pub fn new(stddev: f64) -> Self {
        GaussianNoise { stddev, seed: LayerSeed::default() }
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        fraction("stddev", self.stddev)
    }
}

impl Layer for GaussianNoise {
    fn draw_seeds(&self) {
        if self.stddev > 0.0 {
            self.seed.generator();
        }
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        if !call.training || self.stddev <= 0.0 {
            return Ok(vec![x.clone()]);
        }
        let seed = self.seed.generator().clone().into();
        let noise =
            random::normal(x.shape(), 0.0, self.stddev, call.compute_dtype(), Some(&seed), x.device())?;
        Ok(vec![(x + noise)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        generators(self.stddev, &self.seed)
    }
}
