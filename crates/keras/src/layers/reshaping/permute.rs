use keras_spec::{Call, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::{input_of_rank, keras_layer, one};

/// Another order of the axes behind the batch: `Permute::new([2, 1])` takes `(batch, a, b)` to `(batch, b, a)`
/// (`keras.layers.Permute`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permute {
    dims: Vec<usize>,
}

keras_layer!(Permute, check validate);

impl Permute {
    /// Axis `i` of the result, counted from 1, is axis `dims[i]`.
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { dims: dims.into() }
    }

    fn validate(&self) -> Result<()> {
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(1..=self.dims.len()) {
            return Ok(());
        }
        let expected = format!("a permutation of 1..={}", self.dims.len());
        Err(Error::argument("dims", expected, format!("{:?}", self.dims)))
    }
}

impl Layer for Permute {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, self.dims.len() + 1).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let axes: Vec<usize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        Ok(vec![one(inputs)?.permute(&axes)?])
    }
}
