//! Reductions, scans and orders along axes.

use std::cmp::Ordering;

use keras_kernels::reduce::{self, ArgOp};
use keras_spec::{ArgReduceOp, BinaryOp, DType, Element, HostTensor, ReduceOp, Result, dispatch_dtype};

use crate::buffer::{Buffer, Item, Shared, array, broken, dispatch, from_host, rows, standard, unsupported};
use crate::elementwise::binary;
use crate::movement::{cast, in_wide, wide};

/// The kernels' name of a reduction, unless it is not defined for the dtype.
fn kernel(name: &str, op: ReduceOp, dtype: DType) -> Result<reduce::ReduceOp> {
    match op {
        ReduceOp::Sum if dtype != DType::Bool => Ok(reduce::ReduceOp::Sum),
        ReduceOp::Prod if dtype != DType::Bool => Ok(reduce::ReduceOp::Product),
        ReduceOp::Max => Ok(reduce::ReduceOp::Max),
        ReduceOp::Min => Ok(reduce::ReduceOp::Min),
        _ => unsupported(name, dtype),
    }
}

/// Runs a reduction in [`wide`] precision.
pub(crate) fn reduce_in_wide(
    op: ReduceOp,
    x: Buffer,
    run: impl FnOnce(Buffer) -> Result<Buffer>,
) -> Result<Buffer> {
    let dtype = x.dtype();
    let own = wide(dtype);
    let mut y = run(cast(x, own)?)?;
    // The extremum of nothing is the dtype's own, not the wider one's.
    if own != dtype && !dtype.is_float() {
        let limit = |of: HostTensor| from_host(of.cast(own));
        match op {
            ReduceOp::Max => {
                y = binary(BinaryOp::Max, y, limit(dispatch_dtype!(dtype, T => T::LEAST.into()))?)?
            }
            ReduceOp::Min => {
                y = binary(BinaryOp::Min, y, limit(dispatch_dtype!(dtype, T => T::GREATEST.into()))?)?
            }
            _ => {}
        }
    }
    cast(y, dtype)
}

pub(crate) fn reduce(op: ReduceOp, x: Buffer, axes: &[usize]) -> Result<Buffer> {
    let dtype = x.dtype();
    if axes.is_empty() {
        return Ok(x);
    }
    let kernel = kernel("reduce", op, dtype)?;
    let kept = |x: &[usize]| (0..x.len()).filter(|i| !axes.contains(i)).map(|i| x[i]).collect::<Vec<_>>();
    reduce_in_wide(op, x, |x| {
        dispatch!(wide x, x => {
            let x = standard(x);
            let shape = kept(x.shape());
            let mut out = vec![Default::default(); shape.iter().product()];
            reduce::reduce(kernel, rows(&x)?, x.shape(), axes, &mut out, |sum| sum)
                .map_err(|why| broken("reduce", why))?;
            array("reduce", &shape, out).map(Into::into)
        }, else _x => unsupported("reduce", dtype))
    })
}

/// What is before an axis, along it and after it.
pub(crate) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

pub(crate) fn arg_reduce(op: ArgReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
    let dtype = x.dtype();
    let kernel = match op {
        ArgReduceOp::Max => ArgOp::Max,
        ArgReduceOp::Min => ArgOp::Min,
        _ => return unsupported("arg_reduce", dtype),
    };
    dispatch!(wide cast(x, wide(dtype))?, x => {
        let x = standard(x);
        let mut shape = x.shape().to_vec();
        shape.remove(axis);
        let mut out = vec![0i32; shape.iter().product()];
        reduce::arg_reduce(kernel, rows(&x)?, around(x.shape(), axis), &mut out)
            .map_err(|why| broken("arg_reduce", why))?;
        array("arg_reduce", &shape, out).map(Into::into)
    }, else _x => unsupported("arg_reduce", dtype))
}

pub(crate) fn cumulative(op: ReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
    let dtype = x.dtype();
    let kernel = kernel("cumulative", op, dtype)?;
    in_wide(x, |x| {
        dispatch!(wide x, x => {
            let x = standard(x);
            let mut out = vec![Default::default(); x.len()];
            reduce::cumulative(kernel, rows(&x)?, around(x.shape(), axis), false, &mut out)
                .map_err(|why| broken("cumulative", why))?;
            array("cumulative", x.shape(), out).map(Into::into)
        }, else _x => unsupported("cumulative", dtype))
    })
}

/// Whether this is not a number.
#[allow(clippy::eq_op)]
fn is_nan<T: Item>(v: T) -> bool {
    v != v
}

/// NaN is greater than everything else.
fn order<T: Item>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}

/// What `pick` chooses of the elements of each lane along `axis`, in order, with their places.
fn ordered<T: Item, R: Item>(
    x: Shared<T>,
    axis: usize,
    descending: bool,
    pick: impl Fn(&(T, i32)) -> R,
) -> Result<Buffer> {
    let x = standard(x);
    let data = rows(&x)?;
    let [outer, n, inner] = around(x.shape(), axis);
    let mut out = vec![R::default(); data.len()];
    let mut lane = Vec::with_capacity(n);
    for first in (0..outer).flat_map(|o| (0..inner).map(move |k| o * n * inner + k)) {
        lane.clear();
        lane.extend((0..n).map(|i| data[first + i * inner]).zip(0i32..));
        sort_lane(&mut lane, descending);
        lane.iter().enumerate().for_each(|(i, v)| out[first + i * inner] = pick(v));
    }
    array("sort", x.shape(), out).map(R::wrap)
}

fn sort_lane<T: Item>(lane: &mut [(T, i32)], descending: bool) {
    lane.sort_by(|a, b| if descending { order(b.0, a.0) } else { order(a.0, b.0) });
}

pub(crate) fn sort<T: Item>(x: Shared<T>, axis: usize, descending: bool) -> Result<Buffer> {
    ordered(x, axis, descending, |v| v.0)
}

pub(crate) fn argsort<T: Item>(x: Shared<T>, axis: usize, descending: bool) -> Result<Buffer> {
    ordered(x, axis, descending, |v| v.1)
}
