//! What only moves elements.

use keras_spec::{DType, Dims, Op, Shape};

use super::{Family, Instance, any, axes, axis, narrower, with_dim};
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, dim, shape, tensor};

pub(super) fn families() -> Vec<Family> {
    vec![
        Family::new("cast", any, |d, dtype| {
            let s = shape(d, 0, 3);
            let to = d.pick(&DType::ALL);
            Instance::exact(Op::Cast(to), [tensor(d, &s, dtype, Pool::Any)])
        }),
        Family::new("reshape", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let op = Op::Reshape(reshaped(d, &s));
            Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
        }),
        Family::new("permute", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let op = Op::Permute(permutation(d, s.rank()));
            Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
        }),
        Family::new("broadcast", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let from = narrower(d, &s);
            Instance::exact(Op::Broadcast(s), [tensor(d, &from, dtype, Pool::Any)])
        }),
        Family::new("slice", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let start: Dims = s.iter().map(|&n| d.below(n + 1)).collect();
            let limit = s.iter().zip(&start).map(|(&n, &a)| n - d.below(n - a + 1)).collect();
            let stride = s.iter().map(|_| 1 + d.below(3)).collect();
            Instance::exact(Op::Slice { start, limit, stride }, [tensor(d, &s, dtype, Pool::Any)])
        }),
        Family::new("reverse", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let op = Op::Reverse(axes(d, s.rank()));
            Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
        }),
        Family::new("concatenate", any, |d, dtype| {
            let s = shape(d, 1, 4);
            let axis = axis(d, &s);
            let count = 1 + d.below(4);
            let parts: Vec<_> = (0..count)
                .map(|_| {
                    let part = with_dim(&s, axis, dim(d));
                    tensor(d, &part, dtype, Pool::Any)
                })
                .collect();
            Instance::exact(Op::Concatenate(axis), parts)
        }),
        Family::new("pad", any, |d, dtype| {
            let s = shape(d, 0, 4);
            let mut amounts = || -> Dims { s.iter().map(|_| d.below(3)).collect() };
            let (low, high, interior) = (amounts(), amounts(), amounts());
            let value = match dtype.is_float() {
                true => d.pick(&[0.0, 1.5, f64::NEG_INFINITY, f64::NAN]),
                false => d.pick(&[0.0, 1.0]),
            };
            let op = Op::Pad { value, low, high, interior };
            Instance::exact(op, [tensor(d, &s, dtype, Pool::Any)])
        }),
    ]
}

fn permutation(draw: &mut Draw<'_>, rank: usize) -> Dims {
    let mut left: Vec<usize> = (0..rank).collect();
    (0..rank).map(|_| left.remove(draw.below(left.len()))).collect()
}

/// Another shape of as many elements.
fn reshaped(draw: &mut Draw<'_>, shape: &Shape) -> Shape {
    match draw.below(4) {
        0 => Shape::from([shape.size()]),
        1 => shape.iter().rev().copied().collect(),
        2 => {
            let at = draw.below(shape.rank() + 1);
            shape[..at].iter().copied().chain([1]).chain(shape[at..].iter().copied()).collect()
        }
        _ => match *shape.dims() {
            [a, b, ref rest @ ..] => [a * b].into_iter().chain(rest.iter().copied()).collect(),
            _ => shape.clone(),
        },
    }
}
