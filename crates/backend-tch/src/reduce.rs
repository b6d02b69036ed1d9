//! Reductions, scans and orders along axes.

use keras_spec::{ArgReduceOp, DType, ReduceOp};
use tch::Kind;

use crate::buffer::{Buffer, Done, filled, is_half, kind, limits, ordered, sizes, unsupported, wrapped};

/// The kind that sums and products are taken in.
fn wide(dtype: DType) -> Kind {
    if is_half(dtype) {
        Kind::Float
    } else if dtype.is_float() {
        kind(dtype)
    } else {
        Kind::Int64
    }
}

/// A result of [`wide`] elements as those of its dtype.
fn narrow(tensor: tch::Tensor, dtype: DType) -> Done<Buffer> {
    Ok(Buffer::new(wrapped(tensor.f_to_kind(kind(dtype))?, dtype)?, dtype))
}

pub(crate) fn reduce(op: ReduceOp, x: Buffer, axes: &[usize]) -> Done<Buffer> {
    if axes.is_empty() {
        return Ok(x);
    }
    let dtype = x.dtype();
    let dims = sizes(axes);
    match op {
        ReduceOp::Sum | ReduceOp::Prod if dtype == DType::Bool => unsupported("reduce", dtype),
        ReduceOp::Sum => narrow(x.tensor().f_sum_dim_intlist(&dims[..], false, wide(dtype))?, dtype),
        ReduceOp::Prod => {
            let kept: Vec<usize> = (0..x.shape().len()).filter(|i| !axes.contains(i)).collect();
            let count: usize = axes.iter().map(|&i| x.shape()[i]).product();
            let order = [&kept[..], axes].concat();
            let mut shape: Vec<i64> = kept.iter().map(|&i| x.shape()[i] as i64).collect();
            shape.push(count as i64);
            let rows = x.tensor().f_permute(sizes(&order))?.f_reshape(shape)?;
            narrow(rows.f_prod_dim_int(-1, false, wide(dtype))?, dtype)
        }
        ReduceOp::Max | ReduceOp::Min => {
            let greatest = op == ReduceOp::Max;
            if axes.iter().any(|&i| x.shape()[i] == 0) {
                let kept: Vec<i64> =
                    (0..x.shape().len()).filter(|i| !axes.contains(i)).map(|i| x.shape()[i] as i64).collect();
                let [least, most] = limits(dtype);
                let neutral = if greatest { least } else { most };
                return Ok(Buffer::new(filled(&kept, neutral, dtype, x.tensor().device())?, dtype));
            }
            let values = ordered(x.tensor(), dtype)?;
            let extreme =
                if greatest { values.f_amax(&dims[..], false)? } else { values.f_amin(&dims[..], false)? };
            Ok(Buffer::new(ordered(&extreme, dtype)?, dtype))
        }
        _ => unsupported("reduce", dtype),
    }
}

pub(crate) fn arg_reduce(op: ArgReduceOp, x: Buffer, axis: usize) -> Done<Buffer> {
    let dtype = x.dtype();
    let values = match dtype {
        DType::Bool => x.tensor().f_to_kind(Kind::Uint8)?,
        _ => ordered(x.tensor(), dtype)?,
    };
    let axis = axis as i64;
    let places = match op {
        ArgReduceOp::Max => values.f_argmax(axis, false)?,
        ArgReduceOp::Min => values.f_argmin(axis, false)?,
        _ => return unsupported("arg_reduce", dtype),
    };
    Ok(Buffer::new(places.f_to_kind(Kind::Int)?, DType::I32))
}

pub(crate) fn cumulative(op: ReduceOp, x: Buffer, axis: usize) -> Done<Buffer> {
    let dtype = x.dtype();
    let axis = axis as i64;
    match op {
        ReduceOp::Sum | ReduceOp::Prod if dtype == DType::Bool => unsupported("cumulative", dtype),
        ReduceOp::Sum => narrow(x.tensor().f_cumsum(axis, wide(dtype))?, dtype),
        ReduceOp::Prod => narrow(x.tensor().f_cumprod(axis, wide(dtype))?, dtype),
        ReduceOp::Max => {
            Ok(Buffer::new(ordered(&ordered(x.tensor(), dtype)?.f_cummax(axis)?.0, dtype)?, dtype))
        }
        ReduceOp::Min => {
            Ok(Buffer::new(ordered(&ordered(x.tensor(), dtype)?.f_cummin(axis)?.0, dtype)?, dtype))
        }
        _ => unsupported("cumulative", dtype),
    }
}

pub(crate) fn sort(x: Buffer, axis: usize, descending: bool) -> Done<Buffer> {
    let dtype = x.dtype();
    let (values, _) = ordered(x.tensor(), dtype)?.f_sort_stable(true, axis as i64, descending)?;
    Ok(Buffer::new(ordered(&values, dtype)?, dtype))
}

pub(crate) fn argsort(x: Buffer, axis: usize, descending: bool) -> Done<Buffer> {
    let values = ordered(x.tensor(), x.dtype())?;
    let (_, places) = values.f_sort_stable(true, axis as i64, descending)?;
    Ok(Buffer::new(places.f_to_kind(Kind::Int)?, DType::I32))
}
