//! What moves elements and converts them.

use keras_spec::{DType, Shape};
use tch::{Kind, Tensor};

use crate::buffer::{Buffer, Done, broken, filled, is_half, kind, sizes, wrapped};

pub(crate) fn cast(x: Buffer, dtype: DType) -> Done<Buffer> {
    let (from, stored) = (x.dtype(), x.tensor());
    if from == dtype {
        return Ok(x);
    }
    let needs_wrapping = match dtype {
        DType::U16 => !matches!(from, DType::Bool | DType::U8),
        DType::U32 => !matches!(from, DType::Bool | DType::U8 | DType::U16),
        _ => false,
    };
    if kind(from) == kind(dtype) && !needs_wrapping {
        return Ok(x.view_as(stored.shallow_clone(), dtype));
    }
    let many_bits = matches!(from, DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64);
    let tensor = if from.is_float() && dtype.is_int() {
        saturated(stored, dtype)?
    } else if is_half(dtype) && many_bits {
        let wide = if from == DType::U64 {
            unsigned(stored, Kind::Double)?
        } else {
            stored.f_to_kind(Kind::Double)?
        };
        rounded_once(&wide)?.f_to_kind(kind(dtype))?
    } else if from == DType::U64 && dtype.is_float() {
        unsigned(stored, kind(dtype))?
    } else {
        let tensor = stored.f_to_kind(kind(dtype))?;
        if needs_wrapping { wrapped(tensor, dtype)? } else { tensor }
    };
    Ok(Buffer::new(tensor, dtype))
}

/// Floats as integers: truncated, at the nearest bound where they are out of range, 0 where they are no numbers.
fn saturated(x: &Tensor, dtype: DType) -> Done {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    /// The greatest numbers below 2^63 and 2^64.
    const BELOW: [f64; 2] = [9_223_372_036_854_774_784.0, 18_446_744_073_709_549_568.0];
    let x = x.f_to_kind(Kind::Double)?.f_nan_to_num(0.0, f64::INFINITY, f64::NEG_INFINITY)?;
    let bounded = |low: f64, high: f64| -> Done { Ok(x.f_clamp(low, high)?.f_to_kind(kind(dtype))?) };
    match dtype {
        DType::I64 => Ok(bounded(-TWO_63, BELOW[0])?.f_masked_fill(&x.f_ge(TWO_63)?, i64::MAX)?),
        DType::U64 => {
            let upper = x.f_ge(TWO_63)?.f_to_kind(Kind::Double)?.f_mul_scalar(TWO_63)?;
            let low = x.f_clamp(0.0, BELOW[1])?.f_sub(&upper)?.f_to_kind(Kind::Int64)?;
            let sign = upper.f_ne(0.0)?.f_to_kind(Kind::Int64)?.f_mul_scalar(i64::MIN)?;
            Ok(low.f_bitwise_or_tensor(&sign)?.f_masked_fill(&x.f_ge(2.0 * TWO_63)?, -1i64)?)
        }
        DType::U8 => bounded(0.0, u8::MAX.into()),
        DType::U16 => bounded(0.0, u16::MAX.into()),
        DType::U32 => bounded(0.0, u32::MAX.into()),
        DType::I8 => bounded(i8::MIN.into(), i8::MAX.into()),
        DType::I16 => bounded(i16::MIN.into(), i16::MAX.into()),
        _ => bounded(i32::MIN.into(), i32::MAX.into()),
    }
}

/// The values of stored `uint64` as floats: above 2^63 half of them, with the lost bit kept for the rounding, twice.
fn unsigned(x: &Tensor, kind: Kind) -> Done {
    let half = x.f_bitwise_right_shift_tensor_scalar(1i64)?.f_bitwise_and(i64::MAX)?;
    let half = half.f_bitwise_or_tensor(&x.f_bitwise_and(1i64)?)?;
    let large = half.f_to_kind(kind)?.f_mul_scalar(2.0)?;
    Ok(large.f_where_self(&x.f_lt(0i64)?, &x.f_to_kind(kind)?)?)
}

/// `float64` as `float32` such that rounding that to a half precision is like rounding once: rounded towards zero, with the
/// last bit set where something was lost.
fn rounded_once(x: &Tensor) -> Done {
    let near = x.f_to_kind(Kind::Float)?;
    let back = near.f_to_kind(Kind::Double)?;
    let away = back.f_abs()?.f_gt_tensor(&x.f_abs()?)?.f_to_kind(Kind::Int)?;
    let inexact = back.f_ne_tensor(x)?.f_to_kind(Kind::Int)?;
    let bits = near.f_view_dtype(Kind::Int)?.f_sub(&away)?.f_bitwise_or_tensor(&inexact)?;
    Ok(bits.f_view_dtype(Kind::Float)?)
}

pub(crate) fn reshape(x: Buffer, shape: &Shape) -> Done<Buffer> {
    let tensor = x.tensor().f_reshape(sizes(shape))?;
    // Elements that lie in another order were copied.
    let shared = tensor.data_ptr() == x.tensor().data_ptr();
    Ok(if shared { x.view(tensor) } else { Buffer::new(tensor, x.dtype()) })
}

pub(crate) fn permute(x: Buffer, axes: &[usize]) -> Done<Buffer> {
    Ok(x.view(x.tensor().f_permute(sizes(axes))?))
}

pub(crate) fn broadcast(x: Buffer, shape: &Shape) -> Done<Buffer> {
    Ok(x.view(x.tensor().f_expand(sizes(shape), false)?))
}

pub(crate) fn slice(x: Buffer, start: &[usize], limit: &[usize], stride: &[usize]) -> Done<Buffer> {
    let mut part: Option<Tensor> = None;
    for (axis, &n) in x.shape().iter().enumerate() {
        let (start, limit, stride) = (start[axis], limit[axis], stride[axis]);
        if (start, limit, stride) != (0, n, 1) {
            let of = part.as_ref().unwrap_or(x.tensor());
            part = Some(of.f_slice(axis as i64, start as i64, limit as i64, stride as i64)?);
        }
    }
    Ok(match part {
        Some(part) => x.view(part),
        None => x,
    })
}

pub(crate) fn reverse(x: Buffer, axes: &[usize]) -> Done<Buffer> {
    Ok(Buffer::new(x.tensor().f_flip(sizes(axes))?, x.dtype()))
}

pub(crate) fn concatenate(mut xs: Vec<Buffer>, axis: usize) -> Done<Buffer> {
    match xs.first() {
        Some(x) if xs.len() > 1 => {
            let dtype = x.dtype();
            // libtorch leaves out vectors without elements, whatever their dtype; here all have one.
            let parts: Vec<&Tensor> = xs.iter().map(Buffer::tensor).collect();
            Ok(Buffer::new(Tensor::f_cat(&parts, axis as i64)?, dtype))
        }
        _ => Ok(xs.pop().ok_or_else(|| broken("concatenate", "no operands"))?),
    }
}

pub(crate) fn pad(x: Buffer, value: f64, low: &[usize], high: &[usize], interior: &[usize]) -> Done<Buffer> {
    let spread = |axis: usize, n: usize| n + n.saturating_sub(1) * interior[axis];
    let shape: Vec<i64> =
        x.shape().iter().enumerate().map(|(i, &n)| (low[i] + spread(i, n) + high[i]) as i64).collect();
    let out = filled(&shape, value, x.dtype(), x.tensor().device())?;
    let mut inside = out.shallow_clone();
    for (axis, &n) in x.shape().iter().enumerate() {
        let (start, end) = (low[axis] as i64, (low[axis] + spread(axis, n)) as i64);
        inside = inside.f_slice(axis as i64, start, end, interior[axis] as i64 + 1)?;
    }
    inside.f_copy_(x.tensor())?;
    Ok(Buffer::new(out, x.dtype()))
}
