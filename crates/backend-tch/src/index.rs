//! What takes from, and puts at, places that are given by indices.
//!
//! libtorch refuses indices out of range and promises no order among updates of one place. So indices are clamped or masked
//! beforehand, and of several updates to one place the last one is looked for.

use keras_spec::{DType, ScatterOp};
use tch::{Kind, Tensor};

use crate::buffer::{Buffer, Done, filled, is_half, limits, ordered, sizes, unsupported, wrapped};
use crate::movement::cast;

/// Indices as libtorch wants them, the nearest valid ones; `n` must not be 0.
fn clamped(indices: &Buffer, n: usize) -> Done {
    Ok(indices.tensor().f_to_kind(Kind::Int64)?.f_clamp(0i64, n as i64 - 1)?)
}

pub(crate) fn gather(x: Buffer, indices: Buffer, axis: usize) -> Done<Buffer> {
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    let options = (x.tensor().f_kind()?, x.tensor().device());
    let tensor = match x.shape()[axis] {
        // Then nothing is asked for.
        0 => Tensor::f_zeros(sizes(&shape), options)?,
        n => {
            let places = clamped(&indices, n)?.f_reshape([-1i64].as_slice())?;
            x.tensor().f_index_select(axis as i64, &places)?.f_reshape(sizes(&shape))?
        }
    };
    Ok(Buffer::new(tensor, x.dtype()))
}

pub(crate) fn gather_elements(x: Buffer, indices: Buffer, axis: usize) -> Done<Buffer> {
    let tensor = match x.shape()[axis] {
        0 => Tensor::f_zeros(sizes(indices.shape()), (x.tensor().f_kind()?, x.tensor().device()))?,
        n => x.tensor().f_gather(axis as i64, &clamped(&indices, n)?, false)?,
    };
    Ok(Buffer::new(tensor, x.dtype()))
}

pub(crate) fn scatter(
    op: ScatterOp,
    x: Buffer,
    indices: Buffer,
    updates: Buffer,
    axis: usize,
) -> Done<Buffer> {
    // With one axis of indices, each of them stands for a whole slice of updates.
    let count = indices.shape().size();
    let flat = [&x.shape()[..axis], &[count], &x.shape()[axis + 1..]].concat();
    let mut aligned = vec![1; flat.len()];
    aligned[axis] = count;
    let updates = updates.view(updates.tensor().f_reshape(sizes(&flat))?);
    if op == ScatterOp::Add && x.dtype().is_float() {
        return add(x, &indices, updates, axis, &sizes(&aligned));
    }
    let indices = indices.tensor().f_reshape(sizes(&aligned))?.f_expand(sizes(&flat), false)?;
    put(op, x, &indices, updates, axis)
}

/// Adds slices, without spreading their indices out as [`put`] does: the gradient of embeddings.
fn add(x: Buffer, indices: &Buffer, updates: Buffer, axis: usize, aligned: &[i64]) -> Done<Buffer> {
    let dtype = x.dtype();
    if x.shape().size() == 0 || updates.shape().size() == 0 {
        return Ok(x);
    }
    if is_half(dtype) {
        let sums = add(cast(x, DType::F32)?, indices, cast(updates, DType::F32)?, axis, aligned)?;
        return cast(sums, dtype);
    }
    let n = x.shape()[axis];
    let places = clamped(indices, n)?.f_reshape([-1i64].as_slice())?;
    let valid = indices.tensor().f_ge(0i64)?.f_bitwise_and_tensor(&indices.tensor().f_lt(n as i64)?)?;
    let nothing = filled(&[], 0.0, dtype, x.tensor().device())?;
    let updates = updates.tensor().f_where_self(&valid.f_reshape(aligned)?, &nothing)?;
    Ok(Buffer::new(x.tensor().f_index_add(axis as i64, &places, &updates)?, dtype))
}

pub(crate) fn scatter_elements(
    op: ScatterOp,
    x: Buffer,
    indices: Buffer,
    updates: Buffer,
    axis: usize,
) -> Done<Buffer> {
    put(op, x, indices.tensor(), updates, axis)
}

/// Puts `updates` at the places along `axis` that `indices`, of the same shape, say.
fn put(op: ScatterOp, x: Buffer, indices: &Tensor, updates: Buffer, axis: usize) -> Done<Buffer> {
    let dtype = x.dtype();
    if x.shape().size() == 0 || updates.shape().size() == 0 {
        return Ok(x);
    }
    if op == ScatterOp::Add && is_half(dtype) {
        let sums = put(op, cast(x, DType::F32)?, indices, cast(updates, DType::F32)?, axis)?;
        return cast(sums, dtype);
    }
    let n = x.shape()[axis] as i64;
    let indices = indices.f_to_kind(Kind::Int64)?;
    let valid = indices.f_ge(0i64)?.f_bitwise_and_tensor(&indices.f_lt(n)?)?;
    let places = indices.f_clamp(0i64, n - 1)?;
    let device = x.tensor().device();
    // What is out of range changes nothing: it adds zero, or is an extreme that no other loses against.
    let or = |tensor: &Tensor, neutral: f64| -> Done {
        Ok(tensor.f_where_self(&valid, &filled(&[], neutral, dtype, device)?)?)
    };
    let dim = axis as i64;
    let [least, most] = limits(dtype);
    let tensor = match op {
        ScatterOp::Set => return set(x, &places, &valid, updates, axis),
        ScatterOp::Add if dtype != DType::Bool => {
            wrapped(x.tensor().f_scatter_add(dim, &places, &or(updates.tensor(), 0.0)?)?, dtype)?
        }
        ScatterOp::Max | ScatterOp::Min => {
            let (how, neutral) = if op == ScatterOp::Max { ("amax", least) } else { ("amin", most) };
            let updates = comparable(&or(updates.tensor(), neutral)?, dtype)?;
            let extremes = comparable(x.tensor(), dtype)?
                .f_internal_scatter_reduce(dim, &places, &updates, how, true)?;
            if dtype == DType::Bool { extremes.f_to_kind(Kind::Bool)? } else { ordered(&extremes, dtype)? }
        }
        _ => return unsupported("scatter", dtype),
    };
    Ok(Buffer::new(tensor, dtype))
}

/// Elements that libtorch orders as the dtype does.
fn comparable(tensor: &Tensor, dtype: DType) -> Done {
    match dtype {
        DType::Bool => Ok(tensor.f_to_kind(Kind::Uint8)?),
        _ => ordered(tensor, dtype),
    }
}

/// The last of the updates of each place, where there is one.
fn set(x: Buffer, places: &Tensor, valid: &Tensor, updates: Buffer, axis: usize) -> Done<Buffer> {
    let device = x.tensor().device();
    let mut aligned = vec![1; x.shape().len()];
    aligned[axis] = -1;
    let order = Tensor::f_arange(updates.shape()[axis] as i64, (Kind::Int64, device))?
        .f_reshape(aligned)?
        .f_expand(sizes(updates.shape()), false)?;
    let nobody = Tensor::f_full([], -1i64, (Kind::Int64, device))?;
    let order = order.f_where_self(valid, &nobody)?;
    let last = nobody.f_expand(sizes(x.shape()), false)?.f_contiguous()?;
    let last = last.f_internal_scatter_reduce(axis as i64, places, &order, "amax", true)?;
    let new = updates.tensor().f_gather(axis as i64, &last.f_clamp_min(0i64)?, false)?;
    Ok(Buffer::new(new.f_where_self(&last.f_ge(0i64)?, x.tensor())?, x.dtype()))
}
