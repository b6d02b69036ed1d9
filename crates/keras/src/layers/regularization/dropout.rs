use keras_spec::random::SeedGenerator;
use keras_spec::{Call, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{LayerSeed, fraction, keras_layer, one};
use crate::random;

/// Sets a fraction of the inputs to 0 while training and scales the others up; does nothing otherwise. The shape stays
/// (`keras.layers.Dropout`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default)]
    noise_shape: Option<PartialShape>,
}

keras_layer!(Dropout, check validate);

impl Dropout {
    /// Sets the fraction `rate`, from 0 to 1, of the inputs to 0.
    pub fn new(rate: f64) -> Self {
        Dropout { rate, seed: LayerSeed::default(), noise_shape: None }
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
        fraction("rate", self.rate)?;
        match &self.noise_shape {
            Some(shape) if shape.contains(&Some(0)) => {
                Err(Error::argument("noise_shape", "positive integers or None", shape))
            }
            _ => Ok(()),
        }
    }
}

impl Layer for Dropout {
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
        let noise_shape = self.noise_shape.as_ref().map(PartialShape::dims);
        Ok(vec![drop_out(one(inputs)?, self.rate, noise_shape, &self.seed, call)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        generators(self.rate, &self.seed)
    }
}

/// The generators of a layer that draws nothing at rate 0.
pub(super) fn generators(rate: f64, seed: &LayerSeed) -> Vec<SeedGenerator> {
    if rate > 0.0 { vec![seed.generator().clone()] } else { Vec::new() }
}

pub(super) fn drop_out(
    x: &Tensor,
    rate: f64,
    noise_shape: Option<&[Option<usize>]>,
    seed: &LayerSeed,
    call: &Call,
) -> Result<Tensor> {
    if !call.training || rate <= 0.0 {
        return Ok(x.clone());
    }
    random::dropout(x, rate, noise_shape, Some(&seed.generator().clone().into()))
}
