use keras_spec::{Call, DType, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::layers::{Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract};

/// What is done with the inputs of an [`AllMasksMerge`]: the name of the class of Keras 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Merging {
    /// Their sum.
    Add,
    /// The first less the second.
    Subtract,
    /// Their product.
    Multiply,
    /// Their mean.
    Average,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// One after the other along an axis.
    Concatenate,
}

/// The merging layers of Keras 1 and 2 where inputs have different masks: `(batch, steps, …)` several times → one. No value
/// depends on a mask, and a step of the result counts where it does in all inputs that have a mask (`keras.layers.Merge`,
/// Keras 1.2.2; `keras.layers.Add` and the others, Keras 2.0 to tf-keras 2.21).
///
/// Keras 3's layers leave masked elements out of products and extremes, and let a step count that counts in any input.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllMasksMerge {
    merging: Merging,
    #[serde(default = "last")]
    axis: isize,
}

legacy_layer!(AllMasksMerge);

fn last() -> isize {
    -1
}

impl AllMasksMerge {
    /// The layer; `Concatenate` is along the last axis.
    pub fn new(merging: Merging) -> Self {
        AllMasksMerge { merging, axis: last() }
    }

    crate::class::builders! {
        /// The axis of `Concatenate`; the batch is axis 0. Default: the last.
        axis = isize;
    }

    fn layer(&self) -> Box<dyn Layer> {
        match self.merging {
            Merging::Add => Box::new(Add::new()),
            Merging::Subtract => Box::new(Subtract::new()),
            Merging::Multiply => Box::new(Multiply::new()),
            Merging::Average => Box::new(Average::new()),
            Merging::Maximum => Box::new(Maximum::new()),
            Merging::Minimum => Box::new(Minimum::new()),
            Merging::Concatenate => Box::new(Concatenate::new().axis(self.axis)),
        }
    }
}

impl Layer for AllMasksMerge {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.layer().check_inputs(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        self.layer().call(inputs, &call.inner())
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        if self.merging == Merging::Concatenate && masks.iter().any(Option::is_some) {
            let full = |(x, mask): (&Tensor, &Option<Tensor>)| match mask {
                None => Tensor::full(x.shape(), DType::Bool, 1.0, x.device()),
                Some(mask) if mask.rank() < x.rank() => mask.expand_dims(-1)?.broadcast_to(x.shape()),
                Some(mask) => Ok(mask.clone()),
            };
            let masks = inputs.iter().zip(masks).map(full).collect::<Result<Vec<_>>>()?;
            return Ok(vec![Some(Tensor::concatenate(&masks, self.axis)?.min(&[-1], false)?)]);
        }
        let mut masks = masks.iter().flatten().cloned();
        let Some(first) = masks.next() else { return Ok(vec![None]) };
        Ok(vec![Some(masks.try_fold(first, |a, b| a.and(&b))?)])
    }
}
