//! What moves elements and converts them.

use keras_kernels::elementwise::{Strided, copy_strided};
use keras_spec::host::cast_element;
use keras_spec::{DType, Result, dispatch_dtype};
use ndarray::{ArrayViewMut, Axis, IxDyn, Slice};

use crate::buffer::{
    Buffer, Item, Shared, array, broadcast_strides, broken, dense, dispatch, failed, memory, rows, standard,
};

pub(crate) fn cast(x: Buffer, dtype: DType) -> Result<Buffer> {
    if x.dtype() == dtype {
        return Ok(x);
    }
    dispatch!(all x, x => {
        let x = standard(x);
        let from = rows(&x)?;
        dispatch_dtype!(dtype, T => {
            array("cast", x.shape(), from.iter().map(|&v| cast_element::<_, T>(v)).collect()).map(T::wrap)
        })
    })
}

/// Half precisions are computed in float32, and rounded once.
pub(crate) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// The dtype that sums are taken in: float32 for half precisions, 64 bits for integers, which wrap to the same in the
/// end. There are four, so that the code for contractions and reductions exists four times, not twelve.
pub(crate) fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 => DType::F32,
        DType::F64 | DType::U64 => dtype,
        _ => DType::I64,
    }
}

/// Runs `op` in [`wide`] precision.
pub(crate) fn in_wide(x: Buffer, op: impl FnOnce(Buffer) -> Result<Buffer>) -> Result<Buffer> {
    let dtype = x.dtype();
    cast(op(cast(x, wide(dtype))?)?, dtype)
}

/// [`in_wide`] for two operands of one dtype.
pub(crate) fn both_in_wide(
    x: Buffer,
    y: Buffer,
    op: impl FnOnce(Buffer, Buffer) -> Result<Buffer>,
) -> Result<Buffer> {
    in_wide(x, |x| {
        let dtype = x.dtype();
        op(x, cast(y, dtype)?)
    })
}

pub(crate) fn reshape<T: Item>(x: Shared<T>, shape: &[usize]) -> Result<Shared<T>> {
    x.into_shape_clone(IxDyn(shape)).map_err(failed("reshape"))
}

pub(crate) fn permute<T: Item>(x: Shared<T>, axes: &[usize]) -> Shared<T> {
    x.permuted_axes(IxDyn(axes))
}

pub(crate) fn broadcast<T: Item>(x: Shared<T>, shape: &[usize]) -> Result<Shared<T>> {
    if x.shape() == shape {
        return Ok(x);
    }
    let x = dense(x);
    let strides = broadcast_strides(x.shape(), x.strides(), shape);
    let (data, first) = memory(&x).ok_or_else(|| broken("broadcast", "the elements have gaps"))?;
    let mut out = vec![T::default(); shape.iter().product()];
    let from = Strided::new(data, first, shape, &strides).map_err(|why| broken("broadcast", why))?;
    copy_strided(shape, from, &mut out).map_err(|why| broken("broadcast", why))?;
    array("broadcast", shape, out)
}

pub(crate) fn slice<T: Item>(
    mut x: Shared<T>,
    start: &[usize],
    limit: &[usize],
    stride: &[usize],
) -> Shared<T> {
    for (axis, ((&start, &limit), &stride)) in start.iter().zip(limit).zip(stride).enumerate() {
        if (start, limit, stride) != (0, x.len_of(Axis(axis)), 1) {
            x.slice_axis_inplace(
                Axis(axis),
                Slice::new(start as isize, Some(limit as isize), stride as isize),
            );
        }
    }
    x
}

pub(crate) fn reverse<T: Item>(mut x: Shared<T>, axes: &[usize]) -> Shared<T> {
    for &axis in axes {
        x.invert_axis(Axis(axis));
    }
    x
}

pub(crate) fn concatenate<T: Item>(xs: Vec<Buffer>, axis: usize) -> Result<Shared<T>> {
    let xs = xs.into_iter().map(|x| T::unwrap(x).map(standard)).collect::<Result<Vec<_>>>()?;
    let mut shape = match xs.first() {
        Some(x) => x.shape().to_vec(),
        None => return Err(broken("concatenate", "no operands")),
    };
    shape[axis] = xs.iter().map(|x| x.len_of(Axis(axis))).sum();
    let outer: usize = shape[..axis].iter().product();
    let blocks: Vec<&[T]> = xs.iter().map(|x| x.as_slice().unwrap_or(&[])).collect();
    let mut out = Vec::with_capacity(shape.iter().product());
    for i in 0..outer {
        for block in &blocks {
            let n = block.len() / outer;
            out.extend_from_slice(&block[i * n..(i + 1) * n]);
        }
    }
    array("concatenate", &shape, out)
}

pub(crate) fn pad<T: Item>(
    x: Shared<T>,
    value: f64,
    low: &[usize],
    high: &[usize],
    interior: &[usize],
) -> Result<Shared<T>> {
    let spread = |axis: usize, n: usize| n + n.saturating_sub(1) * interior[axis];
    let shape: Vec<usize> =
        x.shape().iter().enumerate().map(|(i, &n)| low[i] + spread(i, n) + high[i]).collect();
    let mut out = vec![T::from_f64(value); shape.iter().product()];
    let mut inside = ArrayViewMut::from_shape(IxDyn(&shape), &mut out).map_err(failed("pad"))?;
    for (i, &n) in x.shape().iter().enumerate() {
        let end = (low[i] + spread(i, n)) as isize;
        inside.slice_axis_inplace(Axis(i), Slice::new(low[i] as isize, Some(end), interior[i] as isize + 1));
    }
    inside.assign(&x);
    array("pad", &shape, out)
}
