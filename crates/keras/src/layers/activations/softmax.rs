use keras_spec::{Call, CompareOp, DType, Error, Layer, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::activations;
use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::{keras_layer, one, scalar_like};

/// `e^x / Σ e^x` along an axis, or several together; the shape stays (`keras.layers.Softmax`, Keras 3.15.1).
///
/// Where a mask that can be broadcast to the inputs is given (by the layer before, or in the call), elements that it
/// excludes count as -1e9 and become 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Softmax {
    axis: Axes,
}

keras_layer!(Softmax);

impl Default for Softmax {
    fn default() -> Self {
        Softmax { axis: Axes::One(-1) }
    }
}

impl Softmax {
    /// Along the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axis, or axes, that sum to 1.
        axis: Axes;
    }

    fn over_axes(&self, x: &Tensor) -> Result<Tensor> {
        activations::softmax(x, self.axis.clone())
    }
}

impl Layer for Softmax {
    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let Some(mask) = call.mask(0) else {
            return Ok(vec![self.over_axes(x)?]);
        };
        if !mask.shape().broadcasts_to(x.shape()) {
            let expected = format!("a shape that can be broadcast to {}", x.shape());
            return Err(Error::argument("mask", expected, mask.shape()));
        }
        let mask = match mask.dtype() {
            DType::Bool => mask.clone(),
            _ => mask.compare_with(CompareOp::Gt, 0.5)?,
        };
        let excluded = if x.dtype() == DType::F16 { -3e4 } else { -1e9 };
        let y = self.over_axes(&mask.select(x, &scalar_like(x, excluded)?)?)?;
        Ok(vec![mask.select(&y, &scalar_like(&y, 0.0)?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
