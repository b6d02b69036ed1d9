use keras_spec::{Call, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::activations::elu;
use crate::layers::common::{keras_layer, one};

/// `x` where it is positive, else `alpha · (e^x - 1)`; the shape stays (`keras.layers.ELU`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ELU {
    alpha: f64,
}

keras_layer!(ELU);

impl Default for ELU {
    fn default() -> Self {
        ELU { alpha: 1.0 }
    }
}

impl ELU {
    /// With a factor for negative inputs; Keras's default is 1.
    pub fn new(alpha: f64) -> Self {
        ELU { alpha }
    }
}

impl Layer for ELU {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![elu(one(inputs)?, self.alpha)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
