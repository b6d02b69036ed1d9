//! What takes from, and puts at, places that are given by indices.

use keras_kernels::Num;
use keras_spec::{DType, Result, ScatterOp};

use crate::buffer::{Buffer, Item, Shared, array, broken, dispatch, rows, standard, unsupported};
use crate::movement::{cast, is_half};
use crate::reduce::around;

/// The nearest valid index; `n` must not be 0.
fn clamp(index: i32, n: usize) -> usize {
    usize::try_from(index).unwrap_or(0).min(n - 1)
}

/// The index, unless it is out of range.
fn checked(index: i32, n: usize) -> Option<usize> {
    usize::try_from(index).ok().filter(|&i| i < n)
}

pub(crate) fn gather<T: Item>(x: Shared<T>, indices: Shared<i32>, axis: usize) -> Result<Shared<T>> {
    let [outer, along, inner] = around(x.shape(), axis);
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    let mut out = Vec::with_capacity(shape.iter().product());
    let (x, indices) = (standard(x), standard(indices));
    let (data, indices) = (rows(&x)?, rows(&indices)?);
    if along > 0 {
        for block in 0..outer {
            for &i in indices {
                let at = (block * along + clamp(i, along)) * inner;
                out.extend_from_slice(&data[at..at + inner]);
            }
        }
    }
    array("gather", &shape, out)
}

pub(crate) fn gather_elements<T: Item>(x: Shared<T>, indices: Shared<i32>, axis: usize) -> Result<Shared<T>> {
    let [_, along, inner] = around(x.shape(), axis);
    let taken = indices.shape()[axis];
    let (x, indices) = (standard(x), standard(indices));
    let (data, list) = (rows(&x)?, rows(&indices)?);
    let out = list
        .iter()
        .enumerate()
        .map(|(at, &i)| {
            let (block, k) = (at / (taken * inner), at % inner);
            data[(block * along + clamp(i, along)) * inner + k]
        })
        .collect();
    array("gather_elements", indices.shape(), out)
}

pub(crate) fn scatter(
    op: ScatterOp,
    x: Buffer,
    indices: Shared<i32>,
    updates: Buffer,
    axis: usize,
) -> Result<Buffer> {
    let [outer, along, inner] = around(x.shape(), axis);
    let indices = standard(indices);
    let list = rows(&indices)?;
    update(op, x, updates, &|put| {
        for block in 0..outer {
            for (j, &i) in list.iter().enumerate() {
                if let Some(i) = checked(i, along) {
                    put((block * along + i) * inner, (block * list.len() + j) * inner, inner);
                }
            }
        }
    })
}

pub(crate) fn scatter_elements(
    op: ScatterOp,
    x: Buffer,
    indices: Shared<i32>,
    updates: Buffer,
    axis: usize,
) -> Result<Buffer> {
    let [_, along, inner] = around(x.shape(), axis);
    let taken = indices.shape()[axis];
    let indices = standard(indices);
    let list = rows(&indices)?;
    update(op, x, updates, &|put| {
        for (at, &i) in list.iter().enumerate() {
            if let Some(i) = checked(i, along) {
                put((at / (taken * inner) * along + i) * inner + at % inner, at, 1);
            }
        }
    })
}

/// Calls its argument with (position in x, position in updates, length) of every run of updates in order.
type Places<'a> = dyn Fn(&mut dyn FnMut(usize, usize, usize)) + 'a;

fn update(op: ScatterOp, x: Buffer, updates: Buffer, places: &Places<'_>) -> Result<Buffer> {
    let dtype = x.dtype();
    match op {
        ScatterOp::Set => dispatch!(all x, x => put(x, updates, places, |_, new| new)),
        ScatterOp::Add if is_half(dtype) => {
            cast(update(op, cast(x, DType::F32)?, cast(updates, DType::F32)?, places)?, dtype)
        }
        ScatterOp::Add => {
            dispatch!(numbers x, x => put(x, updates, places, Num::plus), else _x => unsupported("scatter", dtype))
        }
        ScatterOp::Max => dispatch!(all x, x => put(x, updates, places, Item::larger)),
        ScatterOp::Min => dispatch!(all x, x => put(x, updates, places, Item::smaller)),
        _ => unsupported("scatter", dtype),
    }
}

fn put<T: Item>(
    x: Shared<T>,
    updates: Buffer,
    places: &Places<'_>,
    combine: impl Fn(T, T) -> T,
) -> Result<Buffer> {
    let updates = standard(T::unwrap(updates)?);
    let news = rows(&updates)?;
    let mut x = standard(x);
    let out = x.as_slice_mut().ok_or_else(|| broken("scatter", "the elements are not in row-major order"))?;
    places(&mut |to, from, n| {
        for (old, &new) in out[to..to + n].iter_mut().zip(&news[from..from + n]) {
            *old = combine(*old, new);
        }
    });
    Ok(x.into())
}
