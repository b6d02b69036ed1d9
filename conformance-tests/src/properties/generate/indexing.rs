//! What takes and puts elements by their indices, also by such as do not exist.

use keras_spec::{Op, ScatterOp, Shape};

use super::{Family, Instance, any, name, numeric, with_axis, with_dim};
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, dim, indices, shape, tensor};

pub(super) fn families() -> Vec<Family> {
    let mut all = vec![
        Family::new("gather", any, |d, dtype| {
            let (x, axis) = with_axis(d, 1, 3);
            let i = shape(d, 0, 2);
            let n = x[axis] as i32;
            let operands = [tensor(d, &x, dtype, Pool::Any), indices(d, &i, -2, n + 2)];
            Instance::exact(Op::Gather(axis), operands)
        }),
        Family::new("gather_elements", any, |d, dtype| {
            let (x, axis) = with_axis(d, 1, 3);
            let i = with_dim(&x, axis, dim(d));
            let n = x[axis] as i32;
            let operands = [tensor(d, &x, dtype, Pool::Any), indices(d, &i, -2, n + 2)];
            Instance::exact(Op::GatherElements(axis), operands)
        }),
    ];
    for op in [ScatterOp::Set, ScatterOp::Add, ScatterOp::Max, ScatterOp::Min] {
        let accepts = if op == ScatterOp::Add { numeric } else { any };
        let pool = match op {
            ScatterOp::Set => Pool::Any,
            ScatterOp::Add => Pool::Whole,
            _ => Pool::Finite,
        };
        all.push(Family::new(name("scatter", op), accepts, move |d, dtype| {
            let (x, axis) = with_axis(d, 1, 3);
            let i = shape(d, 0, 2);
            let updates = gathered(&x, &i, axis);
            let n = x[axis] as i32;
            let x = tensor(d, &x, dtype, pool);
            let operands = [x, places(d, &i, n), tensor(d, &updates, dtype, pool)];
            Instance::exact(Op::Scatter { axis, op }, operands)
        }));
        all.push(Family::new(name("scatter_elements", op), accepts, move |d, dtype| {
            let (x, axis) = with_axis(d, 1, 3);
            let i = with_dim(&x, axis, dim(d));
            let n = x[axis] as i32;
            let x = tensor(d, &x, dtype, pool);
            let operands = [x, places(d, &i, n), tensor(d, &i, dtype, pool)];
            Instance::exact(Op::ScatterElements { axis, op }, operands)
        }));
    }
    all
}

fn places(draw: &mut Draw<'_>, shape: &Shape, n: i32) -> keras_spec::HostTensor {
    indices(draw, shape, -2, n + 2)
}

fn gathered(x: &Shape, indices: &Shape, axis: usize) -> Shape {
    x[..axis].iter().chain(indices.iter()).chain(&x[axis + 1..]).copied().collect()
}
