//! The gradient table: for each operation what it saves, and its vector-Jacobian product in terms of operations.

mod elementwise;
mod fused;
mod indexing;
mod movement;
mod reduction;

pub(crate) use reduction::window_sum_backward;
use smallvec::{SmallVec, smallvec};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::op::{Op, ReduceOp};
use crate::shape::Shape;
use crate::tape::Saved;
use crate::tensor::Tensor;
pub(crate) use fused::saves as fused_saves;

/// Which operands and results a gradient reads, as bit masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saves {
    operands: u32,
    results: u32,
}

impl Saves {
    const NOTHING: Saves = Saves { operands: 0, results: 0 };
    const EVERY_OPERAND: Saves = Saves { operands: u32::MAX, results: 0 };
    const RESULT: Saves = Saves { operands: 0, results: 1 };

    fn operands<const N: usize>(which: [usize; N]) -> Saves {
        Saves { operands: which.iter().fold(0, |mask, i| mask | 1 << i), results: 0 }
    }

    fn results<const N: usize>(which: [usize; N]) -> Saves {
        Saves { operands: 0, results: which.iter().fold(0, |mask, i| mask | 1 << i) }
    }

    fn and(self, other: Saves) -> Saves {
        Saves { operands: self.operands | other.operands, results: self.results | other.results }
    }

    fn only_if(self, condition: bool) -> Saves {
        if condition { self } else { Saves::NOTHING }
    }

    pub(crate) fn operand(self, i: usize) -> bool {
        self.operands.checked_shr(i as u32).unwrap_or(0) & 1 == 1
    }

    pub(crate) fn result(self, i: usize) -> bool {
        self.results.checked_shr(i as u32).unwrap_or(0) & 1 == 1
    }
}

/// One entry per operand: its gradient, where it is wanted and exists.
pub(crate) type Gradients = SmallVec<[Option<Tensor>; 3]>;

/// What the gradient of `op` with respect to the wanted operands reads.
pub(crate) fn saves(op: &Op, wanted: &[bool]) -> Saves {
    let wants = |i: usize| wanted.get(i).copied().unwrap_or(false);
    match op {
        Op::Unary(u) => elementwise::unary_saves(*u),
        Op::Binary(b) => elementwise::binary_saves(*b, wants(0), wants(1)),
        Op::Select => Saves::operands([0]),
        Op::Reduce { op: ReduceOp::Max | ReduceOp::Min, .. } => Saves::operands([0]).and(Saves::RESULT),
        Op::Reduce { op: ReduceOp::Prod, .. } => Saves::operands([0]),
        Op::Cumulative { op: ReduceOp::Prod, .. } => Saves::operands([0]),
        Op::Cumulative { op: ReduceOp::Max | ReduceOp::Min, .. } => Saves::operands([0]).and(Saves::RESULT),
        Op::Sort { .. } => Saves::operands([0]),
        Op::Gather(_) | Op::GatherElements(_) => Saves::operands([1]),
        Op::Scatter { op, .. } | Op::ScatterElements { op, .. } => indexing::scatter_saves(*op),
        Op::MatMul | Op::Convolution(_) => {
            Saves::operands([1]).only_if(wants(0)).and(Saves::operands([0]).only_if(wants(1)))
        }
        Op::ReduceWindow { op: ReduceOp::Max | ReduceOp::Min, .. } => Saves::operands([0]),
        Op::SelectAndScatter(_) => Saves::operands([0]),
        Op::Fused(f) => fused_saves(f, wanted),
        _ => Saves::NOTHING,
    }
}

/// The gradients with respect to the wanted operands.
pub(crate) fn vjp(
    op: &Op,
    saved: &Saved,
    cotangents: SmallVec<[Option<Tensor>; 1]>,
    wanted: &[bool],
) -> Result<Gradients> {
    if let Op::Fused(f) = op {
        return fused::vjp(f, saved, cotangents, wanted);
    }
    let Some(c) = cotangents.into_iter().next().flatten() else {
        return Ok(crate::tape::no_gradients(wanted.len()));
    };
    let (shape, dtype) = saved.spec(0)?;
    let x = match op {
        Op::Cast(_) if !dtype.is_float() => return Ok(crate::tape::no_gradients(1)),
        Op::Cast(_) => c.into_dtype(dtype)?,
        Op::Reshape(_) => c.reshape(shape)?,
        Op::Permute(axes) => movement::permute(&c, axes)?,
        Op::Broadcast(_) => sum_to(c, shape)?,
        Op::Slice { start, stride, .. } => movement::slice(c, shape, start, stride)?,
        Op::Reverse(axes) => Tensor::apply1(Op::Reverse(axes.clone()), [c])?,
        Op::Concatenate(axis) => return movement::concatenate(&c, saved, *axis, wanted),
        Op::Pad { low, interior, .. } => movement::pad(c, shape, low, interior)?,
        Op::Unary(u) => elementwise::unary(*u, saved, c)?,
        Op::Binary(b) => return elementwise::binary(*b, saved, c, wanted),
        Op::Select => return elementwise::select(saved, c, wanted),
        Op::Reduce { op, axes } => reduction::reduce(*op, saved, c, axes)?,
        Op::Cumulative { op, axis } => reduction::cumulative(*op, saved, c, *axis)?,
        Op::Sort { axis, descending } => indexing::sort(saved, c, *axis, *descending)?,
        Op::Gather(axis) => return indexing::gather(saved, c, indexing::Place::slices(*axis)),
        Op::GatherElements(axis) => return indexing::gather(saved, c, indexing::Place::elements(*axis)),
        Op::Scatter { axis, op } => {
            return indexing::scatter(*op, saved, c, indexing::Place::slices(*axis), wanted);
        }
        Op::ScatterElements { axis, op } => {
            return indexing::scatter(*op, saved, c, indexing::Place::elements(*axis), wanted);
        }
        Op::MatMul => return matmul(saved, c, wanted),
        Op::Convolution(spec) => {
            let input = |c: &Tensor| {
                let op = Fused::ConvBackwardInput { spec: spec.clone(), input: shape.clone() };
                Tensor::apply1(Op::Fused(op), [c.clone(), saved.operand(1)?.clone()])
            };
            let filter = |c: Tensor| {
                let op = Fused::ConvBackwardFilter { spec: spec.clone(), filter: saved.spec(1)?.0.clone() };
                Tensor::apply1(Op::Fused(op), [saved.operand(0)?.clone(), c])
            };
            let x = wanted[0].then(|| input(&c)).transpose()?;
            return Ok(smallvec![x, wanted[1].then(|| filter(c)).transpose()?]);
        }
        Op::ReduceWindow { op, window } => reduction::reduce_window(*op, saved, c, window)?,
        Op::SelectAndScatter(window) => {
            // A step function of the first operand, which only says where the elements of the second go.
            let g = wanted[1].then(|| reduction::select_from_windows(saved.operand(0)?, &c, window));
            return Ok(smallvec![None, g.transpose()?]);
        }
        Op::Compare(_) | Op::ArgReduce { .. } | Op::ArgSort { .. } | Op::Fused(_) => {
            return Err(Error::Gradient(format!("`{}` has none", op.name())));
        }
    };
    Ok(smallvec![Some(x)])
}

fn matmul(saved: &Saved, c: Tensor, wanted: &[bool]) -> Result<Gradients> {
    let (a_shape, b_shape) = (saved.spec(0)?.0, saved.spec(1)?.0);
    let a = || sum_to(c.matmul(&saved.operand(1)?.swap_axes(-1, -2)?)?, a_shape);
    let b = || {
        let a = saved.operand(0)?;
        if b_shape.rank() == 2 {
            // One product instead of a sum of products.
            rows(a)?.swap_axes(0, 1)?.matmul(&rows(&c)?)
        } else {
            sum_to(a.swap_axes(-1, -2)?.matmul(&c)?, b_shape)
        }
    };
    Ok(smallvec![wanted[0].then(a).transpose()?, wanted[1].then(b).transpose()?])
}

/// All axes but the last as one.
pub(crate) fn rows(x: &Tensor) -> Result<Tensor> {
    let (columns, lead) = x.shape().split_last().map_or((1, &[][..]), |(last, lead)| (*last, lead));
    x.reshape([lead.iter().product(), columns])
}

/// Sums over the axes along which a tensor of `shape` was repeated.
pub(crate) fn sum_to(c: Tensor, shape: &Shape) -> Result<Tensor> {
    if c.shape() == shape {
        return Ok(c);
    }
    let lead = c.rank() - shape.rank();
    let repeated = |&i: &usize| i < lead || (shape[i - lead] == 1 && c.shape()[i] != 1);
    let axes = (0..c.rank()).filter(repeated).collect();
    Tensor::apply1(Op::Reduce { op: ReduceOp::Sum, axes }, [c])?.reshape(shape)
}

/// Zeros on the device of `like`.
pub(crate) fn zeros(shape: &Shape, dtype: DType, like: &Tensor) -> Result<Tensor> {
    Tensor::full(shape, dtype, 0.0, like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{BinaryOp, Dims, UnaryOp};

    /// Nothing is kept in memory that the gradient does not read.
    #[test]
    fn little_is_saved() {
        for op in [
            Op::Reshape([2].into()),
            Op::Cast(DType::F64),
            Op::Unary(UnaryOp::Neg),
            Op::Binary(BinaryOp::Add),
            Op::Reduce { op: ReduceOp::Sum, axes: Dims::new() },
        ] {
            assert_eq!(saves(&op, &[true, true]), Saves::NOTHING, "{op:?}");
        }
        for op in [UnaryOp::Relu, UnaryOp::Sigmoid, UnaryOp::Tanh, UnaryOp::Exp, UnaryOp::Sqrt] {
            assert_eq!(saves(&Op::Unary(op), &[true]), Saves::RESULT, "{op:?}");
        }
        assert_eq!(saves(&Op::Binary(BinaryOp::Mul), &[true, false]), Saves::operands([1]));
        assert_eq!(saves(&Op::MatMul, &[false, true]), Saves::operands([0]));
    }

    #[test]
    fn masks_end_where_their_bits_end() {
        assert!(Saves::EVERY_OPERAND.operand(31));
        assert!(!Saves::EVERY_OPERAND.operand(32));
    }
}
