//! How operations are done, for reports.

use keras_spec::{BinaryOp, DType, Op, ReduceOp, UnaryOp};

use crate::buffer::is_half;
use crate::contract::Plan;
use crate::fused::fuses;

/// How an operation is done. Nothing goes through host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// By one function of libtorch.
    Fused,
    /// By several.
    Composed,
}

/// How `op` is done for operands of `dtype` (of the first that is not `bool`, where there are several) on the CPU.
pub fn route(op: &Op, dtype: DType) -> Route {
    // libtorch stores these, but does not compute with them.
    let stored_otherwise = matches!(dtype, DType::U16 | DType::U32 | DType::U64);
    let composed = match op {
        Op::Fused(op) => !fuses(op, dtype),
        Op::Cast(to) => {
            stored_otherwise || is_half(*to) && dtype.size() >= 4 || dtype.is_float() && to.is_int()
        }
        Op::Unary(UnaryOp::Sign | UnaryOp::Softplus) => true,
        Op::Unary(_) => stored_otherwise,
        Op::Binary(BinaryOp::And | BinaryOp::Or | BinaryOp::Xor) => false,
        Op::Binary(BinaryOp::FloorDiv | BinaryOp::Mod) => !dtype.is_float() || is_half(dtype),
        Op::Binary(BinaryOp::Pow | BinaryOp::Atan2) => stored_otherwise || is_half(dtype),
        Op::Binary(_) => stored_otherwise,
        Op::Compare(_) | Op::ArgReduce { .. } | Op::Sort { .. } | Op::ArgSort { .. } => dtype == DType::U64,
        Op::Reduce { op: ReduceOp::Max | ReduceOp::Min, .. } => dtype == DType::U64,
        Op::Reduce { .. } | Op::Cumulative { .. } => stored_otherwise,
        Op::Pad { .. } => true,
        Op::Gather(_) | Op::GatherElements(_) | Op::Scatter { .. } | Op::ScatterElements { .. } => true,
        Op::MatMul => is_half(dtype) || dtype.is_int(),
        Op::Convolution(spec) => {
            is_half(dtype) || dtype.is_int() || Plan::new(spec, &vec![1; spec.strides.len()]).is_none()
        }
        Op::ReduceWindow { op, .. } => !dtype.is_float() || is_half(dtype) || *op == ReduceOp::Prod,
        Op::SelectAndScatter(_) => true,
        _ => false,
    };
    if composed { Route::Composed } else { Route::Fused }
}
