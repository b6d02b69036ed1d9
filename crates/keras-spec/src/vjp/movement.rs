//! Gradients of operations that only move elements.

use crate::error::Result;
use crate::op::{Dims, Op};
use crate::shape::Shape;
use crate::tape::Saved;
use crate::tensor::Tensor;

use super::Gradients;

pub(super) fn permute(c: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut back = Dims::from_elem(0, axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        back[axis] = i;
    }
    c.permute(&back)
}

/// Puts each element back to where the slice took it from, among zeros.
pub(super) fn slice(c: Tensor, shape: &Shape, start: &[usize], stride: &[usize]) -> Result<Tensor> {
    let mut low = Dims::new();
    let mut high = Dims::new();
    for (i, &n) in shape.iter().enumerate() {
        let before = if c.shape()[i] == 0 { 0 } else { start[i] };
        low.push(before);
        high.push(n - before - spread(c.shape()[i], stride[i]));
    }
    let interior = stride.iter().map(|s| s - 1).collect();
    Tensor::apply1(Op::Pad { value: 0.0, low, high, interior }, [c])
}

pub(super) fn pad(c: Tensor, shape: &Shape, low: &[usize], interior: &[usize]) -> Result<Tensor> {
    let stride: Dims = interior.iter().map(|i| i + 1).collect();
    let limit = (0..shape.rank()).map(|i| low[i] + spread(shape[i], stride[i])).collect();
    Tensor::apply1(Op::Slice { start: low.into(), limit, stride }, [c])
}

/// The length of `n` elements that lie `stride` apart.
pub(super) fn spread(n: usize, stride: usize) -> usize {
    if n == 0 { 0 } else { (n - 1) * stride + 1 }
}

pub(super) fn concatenate(c: &Tensor, saved: &Saved, axis: usize, wanted: &[bool]) -> Result<Gradients> {
    let mut end = 0;
    let mut gradients = Gradients::new();
    for (i, &wanted) in wanted.iter().enumerate() {
        let start = end;
        end += saved.spec(i)?.0[axis];
        gradients.push(wanted.then(|| c.narrow(axis as isize, start, end)).transpose()?);
    }
    Ok(gradients)
}
