//! What picks a row or an element by its number: embeddings and cross-entropy.

use super::nothing;
use crate::error::Result;
use crate::fused::Fused;
use crate::op::{CompareOp, Op, ScatterOp};
use crate::tensor::Tensor;

/// Which of `0..n` indices are.
fn inside(indices: &Tensor, n: usize) -> Result<Tensor> {
    indices.compare_with(CompareOp::Ge, 0.0)?.and(&indices.compare_with(CompareOp::Lt, n as f64)?)
}

/// Indices with those below 0 counted from the end.
fn from_the_end(indices: &Tensor, n: usize) -> Result<Tensor> {
    indices.compare_with(CompareOp::Lt, 0.0)?.select(&(indices + n as f64)?, indices)
}

pub(super) fn embedding(table: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let rows = table.shape()[0];
    let indices = from_the_end(indices, rows)?;
    let missing = Tensor::full([], table.dtype(), f64::NAN, table.device())?;
    inside(&indices, rows)?.expand_dims(-1)?.select(&table.take(&indices, 0)?, &missing)
}

pub(super) fn embedding_backward(rows: usize, g: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let table = Tensor::full([rows, g.shape()[g.rank() - 1]], g.dtype(), 0.0, g.device())?;
    table.scatter(ScatterOp::Add, &from_the_end(indices, rows)?, g, 0)
}

/// Logits and targets: of numbers of classes, 1 for the class, and logits of 0 where there is no such class.
fn classified(sparse: bool, logits: &Tensor, labels: &Tensor) -> Result<[Tensor; 2]> {
    if !sparse {
        return Ok([logits.clone(), labels.clone()]);
    }
    let classes = logits.shape()[logits.rank() - 1];
    let known = inside(labels, classes)?.expand_dims(-1)?;
    Ok([known.select(logits, &nothing(logits)?)?, labels.one_hot(classes, logits.dtype())?])
}

pub(super) fn cross_entropy(sparse: bool, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let [logits, targets] = classified(sparse, logits, labels)?;
    let gain = (targets * logits.log_softmax(-1)?)?.sum(&[-1], false)?;
    -gain
}

pub(super) fn cross_entropy_backward(
    sparse: bool,
    logits: &Tensor,
    labels: &Tensor,
    g: &Tensor,
) -> Result<Tensor> {
    let [logits, targets] = classified(sparse, logits, labels)?;
    let to_log = -(targets * g.expand_dims(-1)?)?;
    let op = Op::Fused(Fused::LogSoftmaxBackward { axis: logits.rank() - 1 });
    Tensor::apply1(op, [logits.log_softmax(-1)?, to_log?])
}
