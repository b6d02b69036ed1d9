use keras_spec::{Call, DType, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::common::keras_layer;

/// The inputs one after the other along an axis; on the others their shapes agree (`keras.layers.Concatenate`,
/// Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Concatenate {
    axis: isize,
}

keras_layer!(Concatenate);

impl Default for Concatenate {
    fn default() -> Self {
        Concatenate { axis: -1 }
    }
}

impl Concatenate {
    /// Along the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis; the batch is axis 0.
    #[must_use]
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }
}

impl Layer for Concatenate {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let Some((first, others)) = inputs.split_first() else {
            return Err(Error::argument("inputs", "a list of at least 1 input", "none"));
        };
        let axis = first.axis(self.axis)?;
        for shape in others {
            let agrees = |(i, (a, b)): (usize, (&Option<usize>, &Option<usize>))| {
                i == axis || a.is_none() || b.is_none() || a == b
            };
            if shape.rank() != first.rank() || !first.iter().zip(shape.iter()).enumerate().all(agrees) {
                let expected = format!("shapes that agree except along axis {axis}");
                return Err(Error::argument("inputs", expected, format!("{first} and {shape}")));
            }
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![Tensor::concatenate(inputs, self.axis)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        if masks.iter().all(Option::is_none) {
            return Ok(vec![None]);
        }
        let full = |(x, mask): (&Tensor, &Option<Tensor>)| match mask {
            None => Tensor::full(x.shape(), DType::Bool, 1.0, x.device()),
            Some(mask) if mask.rank() < x.rank() => mask.expand_dims(-1)?.broadcast_to(x.shape()),
            Some(mask) => Ok(mask.clone()),
        };
        let masks = inputs.iter().zip(masks).map(full).collect::<Result<Vec<_>>>()?;
        Ok(vec![Some(Tensor::concatenate(&masks, self.axis)?.max(&[-1], false)?)])
    }
}
