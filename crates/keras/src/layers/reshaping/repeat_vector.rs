use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::{input_of_rank, keras_layer, one, positive};

/// Each sample `n` times: `(batch, features)` → `(batch, n, features)` (`keras.layers.RepeatVector`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatVector {
    n: usize,
}

keras_layer!(RepeatVector, check validate);

impl RepeatVector {
    /// Repeats `n` times.
    pub fn new(n: usize) -> Self {
        RepeatVector { n }
    }

    fn validate(&self) -> Result<()> {
        positive("n", self.n)
    }
}

impl Layer for RepeatVector {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, 2).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let mut shape = x.shape().clone();
        shape.insert(1, self.n);
        Ok(vec![x.expand_dims(1)?.broadcast_to(shape)?])
    }
}
