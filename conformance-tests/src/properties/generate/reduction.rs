//! What makes fewer elements of many, and what puts them in order.

use keras_spec::{ArgReduceOp, DType, Dims, Op, ReduceOp, Shape, WindowSpec};

use super::{Family, Instance, any, axes, name, numeric, with_axis};
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, shape, some_dim, tensor};

const REDUCTIONS: [ReduceOp; 4] = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min];

pub(super) fn families() -> Vec<Family> {
    let mut all = Vec::new();
    for op in REDUCTIONS {
        all.push(Family::new(name("reduce", op), accepts(op), move |d, dtype| {
            let s = shape(d, 0, 4);
            let axes = axes(d, s.rank());
            Instance::exact(Op::Reduce { op, axes }, [tensor(d, &s, dtype, pool(op))])
        }));
        all.push(Family::new(name("cumulative", op), accepts(op), move |d, dtype| {
            let (s, axis) = with_axis(d, 1, 3);
            Instance::exact(Op::Cumulative { op, axis }, [tensor(d, &s, dtype, pool(op))])
        }));
        all.push(Family::new(name("reduce_window", op), accepts(op), move |d, dtype| {
            let (s, window) = windows(d);
            Instance::exact(Op::ReduceWindow { op, window }, [tensor(d, &s, dtype, pool(op))])
        }));
    }
    for op in [ArgReduceOp::Max, ArgReduceOp::Min] {
        all.push(Family::new(name("arg_reduce", op), any, move |d, dtype| {
            let (s, axis) = with_axis(d, 1, 4);
            Instance::exact(Op::ArgReduce { op, axis }, [tensor(d, &s, dtype, Pool::Any)])
        }));
    }
    all.push(Family::new("sort", any, |d, dtype| {
        let (s, axis) = with_axis(d, 1, 3);
        let op = Op::Sort { axis, descending: d.chance() };
        Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
    }));
    all.push(Family::new("argsort", any, |d, dtype| {
        let (s, axis) = with_axis(d, 1, 3);
        let op = Op::ArgSort { axis, descending: d.chance() };
        Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
    }));
    all.push(Family::new("select_and_scatter", numeric, |d, dtype| {
        let (s, window) = windows(d);
        let out = window.output_shape(&s);
        let operands = [tensor(d, &s, dtype, Pool::Finite), tensor(d, &out, dtype, Pool::Whole)];
        Instance::exact(Op::SelectAndScatter(window), operands)
    }));
    all
}

fn accepts(op: ReduceOp) -> fn(DType) -> bool {
    match op {
        ReduceOp::Sum | ReduceOp::Prod => numeric,
        _ => any,
    }
}

/// Elements that are reduced exactly, in whatever order.
fn pool(op: ReduceOp) -> Pool {
    match op {
        ReduceOp::Sum => Pool::Whole,
        ReduceOp::Prod => Pool::Powers,
        _ => Pool::Any,
    }
}

/// An operand `(batch, spatial…, channels)` and windows that slide over it.
pub(crate) fn windows(draw: &mut Draw<'_>) -> (Shape, WindowSpec) {
    let spatial = 1 + draw.below(3);
    let mut list = |n: usize| -> Dims { (0..spatial).map(|_| 1 + draw.below(n)).collect() };
    let (size, strides) = (list(3), list(3));
    // No window lies in the padding alone: its mean would be that of nothing.
    let padding = size.iter().map(|&k| (draw.below(k), draw.below(k))).collect();
    let dims = (0..spatial).map(|i| size[i] + draw.below(4));
    let dims: Vec<usize> = dims.collect();
    let shape = [some_dim(draw)].into_iter().chain(dims).chain([some_dim(draw)]).collect();
    (shape, WindowSpec { size, strides, padding })
}
