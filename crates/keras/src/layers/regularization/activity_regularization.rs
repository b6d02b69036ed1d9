use keras_spec::{Call, Layer, PartialShape, Regularizer, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{keras_layer, one};
use crate::regularizers::L1L2;

/// Passes its inputs on and adds a penalty on them to the loss, per sample (`keras.layers.ActivityRegularization`, Keras
/// 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActivityRegularization {
    l1: f64,
    l2: f64,
}

keras_layer!(ActivityRegularization);

impl ActivityRegularization {
    /// Without a penalty.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The factor of the absolute values.
        l1: f64;
        /// The factor of the squares.
        l2: f64;
    }
}

impl Layer for ActivityRegularization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let samples = x.shape().first().copied().unwrap_or(1).max(1);
        call.add_loss((L1L2::new(self.l1, self.l2).call(x)? / samples as f64)?);
        Ok(vec![x.clone()])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
