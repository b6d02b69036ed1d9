//! Element-wise functions.

use keras_spec::{BinaryOp, CompareOp, DType, UnaryOp};
use tch::{Kind, Tensor};

use crate::buffer::{Buffer, Done, is_half, ordered, unsupported, wrapped};
use crate::movement::cast;

/// A function of one operand, in place where nobody else sees its elements.
macro_rules! map {
    ($x:expr, $new:ident, $in_place:ident) => {
        match $x.unique() {
            Ok(mut own) => {
                let _ = own.$in_place()?;
                own
            }
            Err(shared) => shared.tensor().$new()?,
        }
    };
}

pub(crate) fn unary(op: UnaryOp, x: Buffer) -> Done<Buffer> {
    let dtype = x.dtype();
    if !op.accepts(dtype) {
        return unsupported("unary", dtype);
    }
    if is_half(dtype) && op == UnaryOp::Erf {
        // libtorch's own for half precisions is 0 for small numbers.
        return cast(unary(op, cast(x, DType::F32)?)?, dtype);
    }
    let tensor = if dtype.is_float() { unary_float(op, x)? } else { unary_int(op, x)? };
    Ok(Buffer::new(tensor, dtype))
}

fn unary_float(op: UnaryOp, x: Buffer) -> Done {
    Ok(match op {
        UnaryOp::Neg => map!(x, f_neg, f_neg_),
        UnaryOp::Abs => map!(x, f_abs, f_abs_),
        UnaryOp::Sign => {
            // libtorch's is 0 for what is no number, and loses the sign of zero.
            let sign = x.tensor().f_sign()?;
            x.tensor().f_where_self(&sign.f_eq(0.0)?, &sign)?
        }
        UnaryOp::Ceil => map!(x, f_ceil, f_ceil_),
        UnaryOp::Floor => map!(x, f_floor, f_floor_),
        UnaryOp::Round => map!(x, f_round, f_round_),
        UnaryOp::Exp => map!(x, f_exp, f_exp_),
        UnaryOp::Expm1 => map!(x, f_expm1, f_expm1_),
        UnaryOp::Log => map!(x, f_log, f_log_),
        UnaryOp::Log1p => map!(x, f_log1p, f_log1p_),
        UnaryOp::Sqrt if x.dtype() == DType::F64 => square_root(x.tensor())?,
        UnaryOp::Sqrt => map!(x, f_sqrt, f_sqrt_),
        UnaryOp::Rsqrt => map!(x, f_rsqrt, f_rsqrt_),
        UnaryOp::Sin => map!(x, f_sin, f_sin_),
        UnaryOp::Cos => map!(x, f_cos, f_cos_),
        UnaryOp::Tan => map!(x, f_tan, f_tan_),
        UnaryOp::Asin => map!(x, f_asin, f_asin_),
        UnaryOp::Acos => map!(x, f_acos, f_acos_),
        UnaryOp::Atan => map!(x, f_atan, f_atan_),
        UnaryOp::Sinh => map!(x, f_sinh, f_sinh_),
        UnaryOp::Cosh => map!(x, f_cosh, f_cosh_),
        UnaryOp::Tanh => map!(x, f_tanh, f_tanh_),
        UnaryOp::Asinh => map!(x, f_asinh, f_asinh_),
        UnaryOp::Acosh => map!(x, f_acosh, f_acosh_),
        UnaryOp::Atanh => map!(x, f_atanh, f_atanh_),
        UnaryOp::Erf => map!(x, f_erf, f_erf_),
        UnaryOp::ErfInv => map!(x, f_erfinv, f_erfinv_),
        UnaryOp::Sigmoid => map!(x, f_sigmoid, f_sigmoid_),
        // libtorch's own is the identity from 20 on, which float64 tells apart.
        UnaryOp::Softplus => {
            let zero = Tensor::f_zeros([], (x.tensor().f_kind()?, x.tensor().device()))?;
            x.tensor().f_logaddexp(&zero)?
        }
        UnaryOp::Relu => map!(x, f_relu, f_relu_),
        _ => return unsupported("unary", x.dtype()),
    })
}

/// The square root of `float64`, rounded correctly, which the vector library of libtorch's builds for x86 does not promise:
/// one step of Newton with the square of the root in two exact halves (Dekker).
fn square_root(x: &Tensor) -> Done {
    let root = x.f_sqrt()?;
    let scaled = root.f_mul_scalar(134_217_729.0)?;
    let high = scaled.f_sub(&scaled.f_sub(&root)?)?;
    let low = root.f_sub(&high)?;
    let rest =
        x.f_sub(&high.f_square()?)?.f_sub(&high.f_mul(&low)?.f_mul_scalar(2.0)?)?.f_sub(&low.f_square()?)?;
    let corrected = root.f_add(&rest.f_div(&root.f_mul_scalar(2.0)?)?)?;
    // Below, the halves' products are not exact.
    let safe = x.f_gt(1e-280)?.f_bitwise_and_tensor(&x.f_lt(f64::INFINITY)?)?;
    Ok(corrected.f_where_self(&safe, &root)?)
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}

/// Of integers and `bool`. What changes nothing is a copy, because the buffer that comes of it owns its elements.
fn unary_int(op: UnaryOp, x: Buffer) -> Done {
    let dtype = x.dtype();
    match op {
        UnaryOp::Neg => wrapped(x.tensor().f_neg()?, dtype),
        UnaryOp::Abs if is_signed(dtype) => Ok(x.tensor().f_abs()?),
        UnaryOp::Relu if is_signed(dtype) => Ok(x.tensor().f_clamp_min(0i64)?),
        UnaryOp::Sign if is_signed(dtype) => Ok(x.tensor().f_sign()?),
        UnaryOp::Sign => Ok(x.tensor().f_ne(0i64)?.f_to_kind(x.tensor().f_kind()?)?),
        UnaryOp::Abs | UnaryOp::Relu | UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round => x.into_own(),
        UnaryOp::Not => wrapped(x.tensor().f_bitwise_not()?, dtype),
        _ => unsupported("unary", dtype),
    }
}

/// A function of two operands, in place where nobody else sees the elements of the first, or the second if `$commutes`,
/// and these have the shape of the result.
macro_rules! zip {
    ($a:expr, $b:expr, $new:ident, $in_place:ident, commutes: $commutes:expr) => {{
        let (a, b) = ($a, $b);
        let fits = |own: &Buffer, other: &Buffer| other.shape().broadcasts_to(own.shape());
        if fits(&a, &b) {
            match a.unique() {
                Ok(mut own) => {
                    let _ = own.$in_place(b.tensor())?;
                    own
                }
                Err(a) if $commutes && fits(&b, &a) => match b.unique() {
                    Ok(mut own) => {
                        let _ = own.$in_place(a.tensor())?;
                        own
                    }
                    Err(b) => a.tensor().$new(b.tensor())?,
                },
                Err(a) => a.tensor().$new(b.tensor())?,
            }
        } else {
            a.tensor().$new(b.tensor())?
        }
    }};
}

pub(crate) fn binary(op: BinaryOp, a: Buffer, b: Buffer) -> Done<Buffer> {
    let dtype = a.dtype();
    if !op.accepts(dtype) {
        return unsupported("binary", dtype);
    }
    let several_steps = matches!(op, BinaryOp::FloorDiv | BinaryOp::Mod | BinaryOp::Pow | BinaryOp::Atan2);
    if is_half(dtype) && several_steps {
        return cast(binary(op, cast(a, DType::F32)?, cast(b, DType::F32)?)?, dtype);
    }
    let tensor = match op {
        BinaryOp::Add => wrapped(zip!(a, b, f_add, f_add_, commutes: true), dtype)?,
        BinaryOp::Sub => wrapped(zip!(a, b, f_sub, f_sub_, commutes: false), dtype)?,
        BinaryOp::Mul => wrapped(zip!(a, b, f_mul, f_mul_, commutes: true), dtype)?,
        BinaryOp::Div => zip!(a, b, f_div, f_div_, commutes: false),
        BinaryOp::FloorDiv if dtype.is_float() => float_quotient(a.tensor(), b.tensor())?,
        BinaryOp::Mod if dtype.is_float() => a.tensor().f_remainder_tensor(b.tensor())?,
        BinaryOp::Pow if dtype.is_float() => a.tensor().f_pow(b.tensor())?,
        BinaryOp::FloorDiv => floor_divided(a.tensor(), b.tensor(), dtype)?,
        BinaryOp::Mod if dtype == DType::U64 => {
            let quotient = floor_divided(a.tensor(), b.tensor(), dtype)?;
            let rest = a.tensor().f_sub(&quotient.f_mul(b.tensor())?)?;
            rest.f_masked_fill(&b.tensor().f_eq(0i64)?, 0i64)?
        }
        BinaryOp::Mod => a.tensor().f_remainder_tensor(&harmless(b.tensor(), dtype)?)?,
        BinaryOp::Pow => power(a.tensor(), b.tensor(), dtype)?,
        BinaryOp::Max | BinaryOp::Min if dtype == DType::U64 => {
            let (a, b) = (ordered(a.tensor(), dtype)?, ordered(b.tensor(), dtype)?);
            ordered(&if op == BinaryOp::Max { a.f_maximum(&b)? } else { a.f_minimum(&b)? }, dtype)?
        }
        BinaryOp::Max => a.tensor().f_maximum(b.tensor())?,
        BinaryOp::Min => a.tensor().f_minimum(b.tensor())?,
        BinaryOp::Atan2 => a.tensor().f_atan2(b.tensor())?,
        BinaryOp::And => a.tensor().f_bitwise_and_tensor(b.tensor())?,
        BinaryOp::Or => a.tensor().f_bitwise_or_tensor(b.tensor())?,
        BinaryOp::Xor => a.tensor().f_bitwise_xor_tensor(b.tensor())?,
        _ => return unsupported("binary", dtype),
    };
    Ok(Buffer::new(tensor, dtype))
}

/// The quotient that belongs to Python's remainder, rounded down. libtorch's own gives zero another sign.
fn float_quotient(a: &Tensor, b: &Tensor) -> Done {
    let rest = a.f_fmod_tensor(b)?;
    let straddles = rest.f_lt(0.0)?.f_bitwise_xor_tensor(&b.f_lt(0.0)?)?;
    let straddles = straddles.f_bitwise_and_tensor(&rest.f_ne(0.0)?)?;
    let quotient = a.f_sub(&rest)?.f_div(b)?;
    let quotient = quotient.f_sub_scalar(1.0)?.f_where_self(&straddles, &quotient)?.f_round()?;
    Ok(a.f_div(b)?.f_where_self(&b.f_eq(0.0)?, &quotient)?)
}

/// Divisors, with 1 in place of those that processors do not divide integers by: 0, and -1, which overflows the least one.
fn harmless(divisor: &Tensor, dtype: DType) -> Done {
    let zero = divisor.f_eq(0i64)?;
    let harmful = if is_signed(dtype) { divisor.f_eq(-1i64)?.f_bitwise_or_tensor(&zero)? } else { zero };
    Ok(divisor.f_masked_fill(&harmful, 1i64)?)
}

/// The quotient of integers, rounded down; 0 where the divisor is 0.
fn floor_divided(a: &Tensor, b: &Tensor, dtype: DType) -> Done {
    let zero = b.f_eq(0i64)?;
    let divisor = harmless(b, dtype)?;
    let quotient = if dtype == DType::U64 {
        // Hacker's Delight, 9-3: half of the dividend is a signed number. Divisors from 2^63 on go in once or not at all.
        let half = a.f_bitwise_right_shift_tensor_scalar(1i64)?.f_bitwise_and(i64::MAX)?;
        let large = divisor.f_lt(0i64)?;
        let small_divisor = divisor.f_masked_fill(&large, 1i64)?;
        let estimate = half.f_div_tensor_mode(&small_divisor, "trunc")?.f_mul_scalar(2i64)?;
        let estimate = estimate.f_where_self(&large.f_logical_not()?, &estimate.f_zeros_like()?)?;
        let rest = a.f_sub(&estimate.f_mul(&divisor)?)?;
        let once_more = ordered(&rest, dtype)?.f_ge_tensor(&ordered(&divisor, dtype)?)?;
        estimate.f_add(&once_more.f_to_kind(Kind::Int64)?)?
    } else {
        let quotient = a.f_div_tensor_mode(&divisor, "floor")?;
        if is_signed(dtype) { a.f_neg()?.f_where_self(&b.f_eq(-1i64)?, &quotient)? } else { quotient }
    };
    Ok(quotient.f_masked_fill(&zero, 0i64)?)
}

/// The power of integers, wrapping.
fn power(a: &Tensor, b: &Tensor, dtype: DType) -> Done {
    if dtype != DType::U64 {
        return wrapped(a.f_pow(b)?, dtype);
    }
    // Half of the exponent is a signed number.
    let half = b.f_bitwise_right_shift_tensor_scalar(1i64)?.f_bitwise_and(i64::MAX)?;
    let root = a.f_pow(&half)?;
    let even = root.f_mul(&root)?;
    Ok(even.f_mul(a)?.f_where_self(&b.f_bitwise_and(1i64)?.f_ne(0i64)?, &even)?)
}

pub(crate) fn compare(op: CompareOp, a: Buffer, b: Buffer) -> Done<Buffer> {
    let dtype = a.dtype();
    let (a, b) = match op {
        CompareOp::Eq | CompareOp::Ne => (a.tensor().shallow_clone(), b.tensor().shallow_clone()),
        _ => (ordered(a.tensor(), dtype)?, ordered(b.tensor(), dtype)?),
    };
    let tensor = match op {
        CompareOp::Eq => a.f_eq_tensor(&b)?,
        CompareOp::Ne => a.f_ne_tensor(&b)?,
        CompareOp::Lt => a.f_lt_tensor(&b)?,
        CompareOp::Le => a.f_le_tensor(&b)?,
        CompareOp::Gt => a.f_gt_tensor(&b)?,
        CompareOp::Ge => a.f_ge_tensor(&b)?,
        _ => return unsupported("compare", dtype),
    };
    Ok(Buffer::new(tensor, DType::Bool))
}

pub(crate) fn select(condition: Buffer, a: Buffer, b: Buffer) -> Done<Buffer> {
    Ok(Buffer::new(a.tensor().f_where_self(condition.tensor(), b.tensor())?, a.dtype()))
}
