use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::activations::relu;
use crate::class::builders;
use crate::layers::common::{keras_layer, not_negative, one};

/// `max(x, 0)` with options: `negative_slope · (x - threshold)` below the threshold, `x` from there, at most `max_value`;
/// the shape stays (`keras.layers.ReLU`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReLU {
    max_value: Option<f64>,
    negative_slope: f64,
    threshold: f64,
}

keras_layer!(ReLU, check validate);

impl ReLU {
    /// `max(x, 0)`
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The largest output.
        some max_value: f64;
        /// The slope below the threshold.
        negative_slope: f64;
        /// Where the function begins to be `x`.
        threshold: f64;
    }

    fn validate(&self) -> Result<()> {
        not_negative("max_value", self.max_value.unwrap_or(0.0))?;
        not_negative("negative_slope", self.negative_slope)?;
        not_negative("threshold", self.threshold)
    }
}

impl Layer for ReLU {
    fn check_inputs(&self, _inputs: &[PartialShape]) -> Result<()> {
        self.validate()
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![relu(one(inputs)?, self.negative_slope, self.max_value, self.threshold)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
