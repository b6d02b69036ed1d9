use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::constraints::Axes;
use crate::layers::Dot;

/// What keeps the cosine of a vector of zeros finite (`K.epsilon()`).
const EPSILON: f64 = 1e-7;

/// The cosines of the angles between the vectors of two inputs (`keras.layers.Merge(mode='cos')`, Keras 0.3 to 1.2.2).
///
/// With `d(a, b)` what [`Dot`] gives, it is `d(a, b) / max(sqrt(d(a, a) · d(b, b)), 1e-7)` with an axis of length 1 put in
/// behind the batch: `(batch, features)` twice → `(batch, 1, 1)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    axes: Axes,
}

legacy_layer!(Cosine);

impl Cosine {
    /// Along an axis of both, or one of each.
    pub fn new(axes: impl Into<Axes>) -> Self {
        Cosine { axes: axes.into() }
    }

    fn dot(&self) -> Dot {
        Dot::new(self.axes.clone())
    }
}

impl Layer for Cosine {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.dot().check_inputs(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let product = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
            Ok(self.dot().call(&[a.clone(), b.clone()], call)?.remove(0))
        };
        let (a, b) = (&inputs[0], &inputs[1]);
        let norms = (product(a, a)? * product(b, b)?)?.sqrt()?.at_least(EPSILON)?;
        Ok(vec![(product(a, b)? / norms)?.expand_dims(1)?])
    }
}
