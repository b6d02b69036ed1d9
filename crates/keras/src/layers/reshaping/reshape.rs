use keras_spec::{Call, Error, Layer, PartialShape, Result, Shape, Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::layers::common::{input_of_min_rank, keras_layer, one};

/// The same elements under another shape, of which the batch is no part: `(batch, …)` → `(batch, …)`
/// (`keras.layers.Reshape`, Keras 3.15.1).
///
/// ```
/// use keras::layers::Reshape;
///
/// let pairs = Reshape::new([-1, 2]); // as many pairs as there are
/// # let _ = pairs;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    target_shape: Vec<i64>,
}

keras_layer!(Reshape, check validate);

impl Reshape {
    /// To a shape without the batch, in which one length may be -1: it follows from the others.
    pub fn new(target_shape: impl Into<Vec<i64>>) -> Self {
        Reshape { target_shape: target_shape.into() }
    }

    fn validate(&self) -> Result<()> {
        let unknown = self.target_shape.iter().filter(|&&d| d == -1).count();
        if unknown > 1 || self.target_shape.iter().any(|&d| d < -1) {
            return Err(self.wrong("lengths that are not negative, at most one of them -1".to_owned()));
        }
        Ok(())
    }

    fn wrong(&self, expected: String) -> Error {
        Error::argument("target_shape", expected, format!("{:?}", self.target_shape))
    }

    /// The target for inputs of a shape, both without the batch.
    fn target(&self, input: &[Option<usize>]) -> Result<Vec<Option<usize>>> {
        let known = |d: &i64| usize::try_from(*d).ok();
        let target: Vec<Option<usize>> = self.target_shape.iter().map(known).collect();
        let Some(size) = input.iter().copied().product::<Option<usize>>() else {
            return Ok(target);
        };
        let fits = || format!("a size of {size} elements, as each sample has");
        let rest: usize = target.iter().flatten().product();
        if target.iter().all(Option::is_some) {
            return if rest == size { Ok(target) } else { Err(self.wrong(fits())) };
        }
        if rest == 0 || size % rest != 0 {
            return Err(self.wrong(fits()));
        }
        Ok(target.into_iter().map(|d| Some(d.unwrap_or(size / rest))).collect())
    }
}

impl Layer for Reshape {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        self.target(&input_of_min_rank(inputs, 1)?[1..]).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let target = self.target(&PartialShape::from(x.shape())[1..])?;
        let shape: Shape = std::iter::once(x.shape()[0]).chain(target.into_iter().flatten()).collect();
        Ok(vec![x.reshape(shape)?])
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let TensorSpec { shape, dtype } = one(inputs)?;
        let target = self.target(&shape[1..])?;
        let shape: PartialShape = std::iter::once(shape[0]).chain(target).collect();
        Ok(Some(vec![TensorSpec::new(shape, *dtype)]))
    }
}
