use keras_spec::random::SeedGenerator;
use keras_spec::{Call, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::dropout::generators;
use crate::layers::common::{LayerSeed, fraction, keras_layer, one};
use crate::random;

/// Multiplies by normally distributed numbers around 1 while training; does nothing otherwise. The shape stays
/// (`keras.layers.GaussianDropout`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianDropout {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
}

keras_layer!(GaussianDropout, check validate);

impl GaussianDropout {
    /// Numbers of the standard deviation `sqrt(rate / (1 - rate))`, with `rate` from 0 to 1.
    pub fn new(rate: f64) -> Self {
        GaussianDropout { rate, seed: LayerSeed::default() }
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
}

impl Layer for GaussianDropout {
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
        if !call.training || self.rate <= 0.0 {
            return Ok(vec![x.clone()]);
        }
        if self.rate >= 1.0 {
            return Err(Error::argument("rate", "less than 1 to train with", self.rate));
        }
        let stddev = (self.rate / (1.0 - self.rate)).sqrt();
        let seed = self.seed.generator().clone().into();
        let noise = random::normal(x.shape(), 1.0, stddev, call.compute_dtype(), Some(&seed), x.device())?;
        Ok(vec![(x * noise)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        generators(self.rate, &self.seed)
    }
}
