//! Tensors of which a part is replaced.

use super::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Result};

impl Tensor {
    /// This tensor with `updates`, of as many axes, in place of the elements from `start` on. Where they would reach beyond
    /// an end, they are moved so that they do not (`keras.ops.slice_update`, Keras 3.15.1 on JAX).
    ///
    /// # Errors
    /// [`Error::Shape`] if `updates` or `start` has another number of axes, or `updates` is larger.
    pub fn slice_update(&self, start: &[usize], updates: &Tensor) -> Result<Tensor> {
        let (shape, part) = (self.shape(), updates.shape());
        let fits = part.iter().zip(shape.iter()).all(|(p, n)| p <= n);
        if part.rank() != shape.rank() || start.len() != shape.rank() || !fits {
            let why = format!("updates from {start:?} on do not fit");
            return Err(Error::shape("slice_update", why, [shape, part]));
        }
        let around = |((&n, &p), &start): ((&usize, &usize), &usize)| {
            let low = start.min(n - p);
            (low, n - p - low)
        };
        let around: Vec<_> = shape.iter().zip(part.iter()).zip(start).map(around).collect();
        let there = Tensor::full(part.clone(), DType::Bool, 1.0, self.device())?.pad(&around, 0.0)?;
        there.select(&updates.cast(self.dtype())?.pad(&around, 0.0)?, self)
    }
}
