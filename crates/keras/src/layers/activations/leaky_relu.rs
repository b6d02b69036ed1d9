use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::activations::leaky_relu;
use crate::layers::common::{keras_layer, not_negative, one};

/// `x` where it is not negative, else `negative_slope · x`; the shape stays (`keras.layers.LeakyReLU`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakyReLU {
    #[serde(alias = "alpha")]
    negative_slope: f64,
}

keras_layer!(LeakyReLU, check validate);

impl Default for LeakyReLU {
    fn default() -> Self {
        LeakyReLU { negative_slope: 0.3 }
    }
}

impl LeakyReLU {
    /// With a slope for negative inputs; Keras's default is 0.3.
    pub fn new(negative_slope: f64) -> Self {
        LeakyReLU { negative_slope }
    }

    fn validate(&self) -> Result<()> {
        not_negative("negative_slope", self.negative_slope)
    }
}

impl Layer for LeakyReLU {
    fn check_inputs(&self, _inputs: &[PartialShape]) -> Result<()> {
        self.validate()
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![leaky_relu(one(inputs)?, self.negative_slope)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
