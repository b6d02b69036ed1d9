use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::{keras_layer, one};

/// Vectors along one or several axes divided by their length; the shape stays (`keras.layers.UnitNormalization`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitNormalization {
    axis: Axes,
}

keras_layer!(UnitNormalization);

impl Default for UnitNormalization {
    fn default() -> Self {
        UnitNormalization { axis: Axes::One(-1) }
    }
}

impl UnitNormalization {
    /// Along the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axis, or axes, of the vectors.
        axis: Axes;
    }
}

impl Layer for UnitNormalization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        self.axis.as_slice().iter().try_for_each(|&axis| input.axis(axis).map(drop))
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        Ok(vec![normalized(x, self.axis.as_slice(), 1e-12)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// `x / max(|x|, epsilon)` with the Euclidean norm over `axes`, as Keras computes it.
pub(super) fn normalized(x: &Tensor, axes: &[isize], epsilon: f64) -> Result<Tensor> {
    let inverse = x.square()?.sum(axes, true)?.rsqrt()?.at_most(1.0 / epsilon)?;
    x * inverse
}
