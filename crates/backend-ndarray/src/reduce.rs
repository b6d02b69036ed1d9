//! Reductions, scans and orders along axes.

use std::cmp::Ordering;

use keras_kernels::Num;
use keras_spec::{ArgReduceOp, DType, ReduceOp, Result};
use ndarray::{Array, Axis, IxDyn};

use crate::buffer::{Buffer, Item, Shared, array, dispatch, rows, standard, unsupported};
use crate::movement::in_wide;

pub(crate) fn reduce(op: ReduceOp, x: Buffer, axes: &[usize]) -> Result<Buffer> {
    let dtype = x.dtype();
    if axes.is_empty() {
        return Ok(x);
    }
    let refuse = || unsupported("reduce", dtype);
    match op {
        ReduceOp::Sum | ReduceOp::Prod if dtype == DType::Bool => refuse(),
        ReduceOp::Sum => in_wide(x, |x| dispatch!(wide x, x => fold(x, axes, sum), else _x => refuse())),
        ReduceOp::Prod => in_wide(x, |x| dispatch!(wide x, x => fold(x, axes, product), else _x => refuse())),
        ReduceOp::Max => dispatch!(all x, x => fold(x, axes, largest)),
        ReduceOp::Min => dispatch!(all x, x => fold(x, axes, smallest)),
        _ => refuse(),
    }
}

/// Brings the reduced axes to the end and makes one element of each row.
fn fold<T: Item>(x: Shared<T>, axes: &[usize], f: impl Fn(&[T]) -> T) -> Result<Buffer> {
    let kept = (0..x.ndim()).filter(|i| !axes.contains(i));
    let shape: Vec<usize> = kept.clone().map(|i| x.shape()[i]).collect();
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let (count, len): (usize, usize) = (shape.iter().product(), axes.iter().map(|&a| x.shape()[a]).product());
    let x = standard(x.permuted_axes(IxDyn(&order)));
    let data = rows(&x)?;
    let out = (0..count).map(|i| f(&data[i * len..(i + 1) * len])).collect();
    array("reduce", &shape, out).map(T::wrap)
}

/// Elements that are added one after the other; longer rows are halved, so that rounding errors stay small.
const RUN: usize = 64;

fn sum<T: Num>(row: &[T]) -> T {
    if row.len() <= RUN {
        return row.iter().fold(T::ZERO, |acc, &v| acc.plus(v));
    }
    let (a, b) = row.split_at(row.len() / 2);
    sum(a).plus(sum(b))
}

fn product<T: Num>(row: &[T]) -> T {
    row.iter().fold(T::ONE, |acc, &v| acc.times(v))
}

fn largest<T: Item>(row: &[T]) -> T {
    row.iter().fold(T::LEAST, |acc, &v| acc.larger(v))
}

fn smallest<T: Item>(row: &[T]) -> T {
    row.iter().fold(T::GREATEST, |acc, &v| acc.smaller(v))
}

/// Whether this is not a number.
#[allow(clippy::eq_op)]
fn is_nan<T: Item>(v: T) -> bool {
    v != v
}

pub(crate) fn arg_reduce<T: Item>(op: ArgReduceOp, x: Shared<T>, axis: usize) -> Result<Buffer> {
    let better: fn(T, T) -> bool = match op {
        ArgReduceOp::Max => |new, best| new > best,
        ArgReduceOp::Min => |new, best| new < best,
        _ => return unsupported("arg_reduce", T::DTYPE),
    };
    let index = |lane: ndarray::ArrayView1<'_, T>| {
        let mut best = (0, lane[0]);
        for (i, &v) in lane.iter().enumerate().skip(1) {
            if !is_nan(best.1) && (is_nan(v) || better(v, best.1)) {
                best = (i, v);
            }
        }
        best.0 as i32
    };
    Ok(x.map_axis(Axis(axis), index).into())
}

pub(crate) fn cumulative(op: ReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
    let dtype = x.dtype();
    let refuse = || unsupported("cumulative", dtype);
    match op {
        ReduceOp::Sum | ReduceOp::Prod if dtype == DType::Bool => refuse(),
        ReduceOp::Sum => {
            in_wide(x, |x| dispatch!(wide x, x => scan(x, axis, Num::ZERO, Num::plus), else _x => refuse()))
        }
        ReduceOp::Prod => {
            in_wide(x, |x| dispatch!(wide x, x => scan(x, axis, Num::ONE, Num::times), else _x => refuse()))
        }
        ReduceOp::Max => dispatch!(all x, x => scan(x, axis, Item::LEAST, Item::larger)),
        ReduceOp::Min => dispatch!(all x, x => scan(x, axis, Item::GREATEST, Item::smaller)),
        _ => refuse(),
    }
}

fn scan<T: Item>(mut x: Shared<T>, axis: usize, first: T, combine: impl Fn(T, T) -> T) -> Result<Buffer> {
    for mut lane in x.lanes_mut(Axis(axis)) {
        let mut acc = first;
        for v in &mut lane {
            acc = combine(acc, *v);
            *v = acc;
        }
    }
    Ok(x.into())
}

/// NaN is greater than everything else.
fn order<T: Item>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}

/// Calls `visit` with the elements of each lane along `axis` and their places, in order.
fn ordered<T: Item>(x: &Shared<T>, axis: usize, descending: bool, visit: &mut dyn FnMut(&[(T, i32)])) {
    let mut row = Vec::with_capacity(x.len_of(Axis(axis)));
    for lane in x.lanes(Axis(axis)) {
        row.clear();
        row.extend(lane.iter().copied().zip(0i32..));
        row.sort_by(|a, b| if descending { order(b.0, a.0) } else { order(a.0, b.0) });
        visit(&row);
    }
}

pub(crate) fn sort<T: Item>(x: Shared<T>, axis: usize, descending: bool) -> Buffer {
    let mut out = Array::default(x.raw_dim());
    let mut lanes = out.lanes_mut(Axis(axis)).into_iter();
    ordered(&x, axis, descending, &mut |row| {
        lanes.next().into_iter().flatten().zip(row).for_each(|(to, v)| *to = v.0);
    });
    out.into()
}

pub(crate) fn argsort<T: Item>(x: Shared<T>, axis: usize, descending: bool) -> Buffer {
    let mut out = Array::default(x.raw_dim());
    let mut lanes = out.lanes_mut(Axis(axis)).into_iter();
    ordered(&x, axis, descending, &mut |row| {
        lanes.next().into_iter().flatten().zip(row).for_each(|(to, v)| *to = v.1);
    });
    out.into()
}
