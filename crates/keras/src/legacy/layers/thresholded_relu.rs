use keras_spec::{Call, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::activations::threshold;
use crate::layers::common::{not_negative, one};

/// `x` where it is greater than `theta`, else 0; the shape stays (`keras.layers.ThresholdedReLU`, Keras 0.3 to tf-keras
/// 2.21).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdedReLU {
    theta: f64,
}

legacy_layer!(ThresholdedReLU, check validate);

impl Default for ThresholdedReLU {
    fn default() -> Self {
        ThresholdedReLU { theta: 1.0 }
    }
}

impl ThresholdedReLU {
    /// With a threshold that is not negative; Keras's default is 1.
    pub fn new(theta: f64) -> Self {
        ThresholdedReLU { theta }
    }

    fn validate(&self) -> Result<()> {
        not_negative("theta", self.theta)
    }
}

impl Layer for ThresholdedReLU {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        self.validate()?;
        Ok(vec![threshold(one(inputs)?, self.theta, 0.0)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
