use keras_spec::{Call, CompareOp, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::{keras_layer, one, scalar_like};

/// Masks time steps whose features all are `mask_value`, and sets them to 0: `(batch, steps, …, features)`, the same shape
/// (`keras.layers.Masking`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masking {
    mask_value: f64,
}

keras_layer!(Masking);

impl Masking {
    /// Masks steps of zeros.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of masked steps.
    #[must_use]
    pub fn mask_value(mut self, mask_value: f64) -> Self {
        self.mask_value = mask_value;
        self
    }

    fn mask(&self, x: &Tensor, keepdims: bool) -> Result<Tensor> {
        x.compare_with(CompareOp::Ne, self.mask_value)?.max(&[-1], keepdims)
    }
}

impl Layer for Masking {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        Ok(vec![self.mask(x, true)?.select(x, &scalar_like(x, 0.0)?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, inputs: &[Tensor], _masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(self.mask(one(inputs)?, false)?)])
    }
}
