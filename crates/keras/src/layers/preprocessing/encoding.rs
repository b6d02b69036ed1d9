//! Numbers of categories, as layers that find them give them out: `output_mode`.

use keras_spec::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

/// What a layer makes of the numbers of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// The numbers themselves.
    Int,
    /// For each number, a vector with 1 at its place; a last axis of length 1 is dropped before.
    OneHot,
    /// For each sample, a vector with 1 at the places of all its numbers.
    #[serde(alias = "binary")]
    MultiHot,
    /// For each sample, how often each number occurs.
    Count,
    /// The same, weighted by how rare a number is among samples.
    #[serde(alias = "tf-idf")]
    TfIdf,
}

impl OutputMode {
    /// Numbers of `depth` categories in this mode, as `dtype`. What is no category is zeros. `weights` of the shape of the
    /// numbers say how much each counts.
    pub(super) fn encode(
        self,
        numbers: &Tensor,
        depth: usize,
        dtype: DType,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        if self == OutputMode::Int {
            return numbers.cast(dtype);
        }
        let mut numbers = if numbers.rank() == 0 { numbers.expand_dims(0)? } else { numbers.clone() };
        let axis = isize::from(numbers.rank() > 1);
        match self {
            OutputMode::OneHot => {
                if numbers.rank() > 1 && numbers.shape().last() == Some(&1) {
                    numbers = numbers.squeeze(-1)?;
                }
                one_hot(&numbers, depth, dtype)
            }
            OutputMode::MultiHot if !numbers.dtype().is_float() => {
                one_hot(&numbers, depth, dtype)?.max(&[axis], false)
            }
            OutputMode::MultiHot => one_hot(&numbers.cast(DType::I32)?, depth, dtype)?.max(&[axis], false),
            _ => {
                let places = one_hot(&numbers, depth, dtype)?;
                let places = match weights {
                    Some(weights) => (places * weights.expand_dims(-1)?)?,
                    None => places,
                };
                places.sum(&[axis], false)
            }
        }
    }
}

/// 1 at the place of each number along a new last axis; zeros for a number that is none of a category.
fn one_hot(numbers: &Tensor, depth: usize, dtype: DType) -> Result<Tensor> {
    let wide = if numbers.dtype().is_float() { numbers.clone() } else { numbers.cast(DType::I64)? };
    let places = Tensor::from_fn([depth], wide.dtype(), wide.device(), |i| i as i64)?;
    wide.expand_dims(-1)?.equal(&places)?.cast(dtype)
}
