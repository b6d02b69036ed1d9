use keras_spec::{Call, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::keras_layer;

/// Passes its inputs on (`keras.layers.Identity`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {}

keras_layer!(Identity);

impl Identity {
    /// The layer, which has no arguments.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer for Identity {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(inputs.to_vec())
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
