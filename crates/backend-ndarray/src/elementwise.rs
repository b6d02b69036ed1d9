//! Element-wise functions.

use keras_kernels::Num;
use keras_kernels::math::Real;
use keras_spec::{BinaryOp, CompareOp, DType, Result, UnaryOp};
use ndarray::{ArrayViewD, IxDyn, Zip};
use num_traits::{Float, PrimInt};

use crate::buffer::{Buffer, Item, Shared, broken, dispatch, unsupported};
use crate::movement::{cast, is_half};

/// A function of every element, in place where nobody else holds them.
fn map<T: Item>(mut x: Shared<T>, f: impl Fn(T) -> T) -> Buffer {
    if x.is_unique() {
        x.mapv_inplace(f);
        x.into()
    } else {
        x.mapv(f).into()
    }
}

pub(crate) fn unary(op: UnaryOp, x: Buffer) -> Result<Buffer> {
    let dtype = x.dtype();
    if !op.accepts(dtype) {
        return unsupported("unary", dtype);
    }
    if is_half(dtype) {
        return Ok(cast(unary(op, cast(x, DType::F32))?, dtype));
    }
    match x {
        Buffer::Bool(x) => Ok(map(x, |v| !v)),
        Buffer::F32(x) => unary_float(op, x),
        Buffer::F64(x) => unary_float(op, x),
        x => dispatch!(ints x, x => unary_int(op, x), else _x => unsupported("unary", dtype)),
    }
}

fn unary_int<T: Item + Num + PrimInt>(op: UnaryOp, x: Shared<T>) -> Result<Buffer> {
    let zero = <T as Num>::ZERO;
    let neg = move |v| zero.minus(v);
    Ok(match op {
        UnaryOp::Neg => map(x, neg),
        UnaryOp::Abs => map(x, move |v| if v < zero { neg(v) } else { v }),
        UnaryOp::Sign => map(x, move |v| {
            if v > zero {
                T::ONE
            } else if v < zero {
                neg(T::ONE)
            } else {
                zero
            }
        }),
        UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round => x.into(),
        UnaryOp::Relu => map(x, move |v| v.larger(zero)),
        UnaryOp::Not => map(x, |v| !v),
        _ => return unsupported("unary", T::DTYPE),
    })
}

fn unary_float<T: Item + Real + Float>(op: UnaryOp, x: Shared<T>) -> Result<Buffer> {
    let (zero, one) = (<T as Num>::ZERO, T::ONE);
    Ok(match op {
        UnaryOp::Neg => map(x, |v| -v),
        UnaryOp::Abs => map(x, Real::abs),
        UnaryOp::Sign => {
            map(x, move |v| if v == zero || Num::is_nan(v) { v } else { Real::copysign(one, v) })
        }
        UnaryOp::Ceil => map(x, Float::ceil),
        UnaryOp::Floor => map(x, Float::floor),
        UnaryOp::Round => map(x, round),
        UnaryOp::Exp => map(x, Real::exp),
        UnaryOp::Expm1 => map(x, Real::exp_m1),
        UnaryOp::Log => map(x, Real::ln),
        UnaryOp::Log1p => map(x, Real::ln_1p),
        UnaryOp::Sqrt => map(x, Real::sqrt),
        UnaryOp::Rsqrt => map(x, Real::rsqrt),
        UnaryOp::Sin => map(x, Real::sin),
        UnaryOp::Cos => map(x, Real::cos),
        UnaryOp::Tan => map(x, Float::tan),
        UnaryOp::Asin => map(x, Float::asin),
        UnaryOp::Acos => map(x, Float::acos),
        UnaryOp::Atan => map(x, Float::atan),
        UnaryOp::Sinh => map(x, Float::sinh),
        UnaryOp::Cosh => map(x, Float::cosh),
        UnaryOp::Tanh => map(x, Real::tanh),
        UnaryOp::Asinh => map(x, Float::asinh),
        UnaryOp::Acosh => map(x, Float::acosh),
        UnaryOp::Atanh => map(x, Float::atanh),
        UnaryOp::Erf => map(x, Real::erf),
        UnaryOp::ErfInv => map(x, Real::erf_inv),
        UnaryOp::Sigmoid => map(x, Real::sigmoid),
        UnaryOp::Softplus => map(x, Real::softplus),
        UnaryOp::Relu => map(x, move |v| v.larger(zero)),
        _ => return unsupported("unary", T::DTYPE),
    })
}

/// To the nearest integer, ties to even.
fn round<T: Real + Float>(v: T) -> T {
    let two = T::ONE + T::ONE;
    let r = Float::round(v);
    if Real::abs(r - v) * two == T::ONE { Float::round(v / two) * two } else { r }
}

/// The shape that all operands are broadcast to.
pub(crate) fn common(shapes: &[&[usize]]) -> Vec<usize> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (o, &n) in out[rank - shape.len()..].iter_mut().zip(*shape) {
            if n != 1 {
                *o = n;
            }
        }
    }
    out
}

fn spread<'a, T>(x: &'a Shared<T>, shape: &[usize]) -> Result<ArrayViewD<'a, T>> {
    x.broadcast(IxDyn(shape)).ok_or_else(|| broken("broadcast", "shapes do not fit"))
}

/// A function of two operands, in place where nobody else holds one that has the result's shape.
fn zip<T: Item>(mut a: Shared<T>, b: Buffer, f: impl Fn(T, T) -> T) -> Result<Buffer> {
    let mut b = T::unwrap(b)?;
    let same = a.shape() == b.shape();
    let shape = if same { None } else { Some(common(&[a.shape(), b.shape()])) };
    let fits = |x: &Shared<T>| shape.as_deref().is_none_or(|s| s == x.shape());
    if a.is_unique() && fits(&a) {
        a.zip_mut_with(&b, |a, &b| *a = f(*a, b));
        return Ok(a.into());
    }
    if b.is_unique() && fits(&b) {
        b.zip_mut_with(&a, |b, &a| *b = f(a, *b));
        return Ok(b.into());
    }
    pairs(&a, &b, shape.as_deref(), f)
}

/// A function of two operands of one shape (`None`) or broadcast to `shape`, as a new array.
fn pairs<T: Item, R: Item>(
    a: &Shared<T>,
    b: &Shared<T>,
    shape: Option<&[usize]>,
    f: impl Fn(T, T) -> R,
) -> Result<Buffer> {
    let f = |&a: &T, &b: &T| f(a, b);
    Ok(match shape {
        None => Zip::from(a).and(b).map_collect(f).into(),
        Some(shape) => Zip::from(spread(a, shape)?).and(spread(b, shape)?).map_collect(f).into(),
    })
}

pub(crate) fn binary(op: BinaryOp, a: Buffer, b: Buffer) -> Result<Buffer> {
    let dtype = a.dtype();
    if !op.accepts(dtype) {
        return unsupported("binary", dtype);
    }
    if is_half(dtype) {
        return Ok(cast(binary(op, cast(a, DType::F32), cast(b, DType::F32))?, dtype));
    }
    let refuse = || unsupported("binary", dtype);
    match op {
        BinaryOp::Add => dispatch!(numbers a, a => zip(a, b, Num::plus), else _a => refuse()),
        BinaryOp::Sub => dispatch!(numbers a, a => zip(a, b, Num::minus), else _a => refuse()),
        BinaryOp::Mul => dispatch!(numbers a, a => zip(a, b, Num::times), else _a => refuse()),
        BinaryOp::Max => dispatch!(all a, a => zip(a, b, Item::larger)),
        BinaryOp::Min => dispatch!(all a, a => zip(a, b, Item::smaller)),
        op => match a {
            Buffer::Bool(a) => match op {
                BinaryOp::And => zip(a, b, |a, b| a & b),
                BinaryOp::Or => zip(a, b, |a, b| a | b),
                BinaryOp::Xor => zip(a, b, |a, b| a ^ b),
                _ => refuse(),
            },
            Buffer::F32(a) => binary_float(op, a, b),
            Buffer::F64(a) => binary_float(op, a, b),
            a => dispatch!(ints a, a => binary_int(op, a, b), else _a => refuse()),
        },
    }
}

fn binary_float<T: Item + Real + Float>(op: BinaryOp, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    match op {
        BinaryOp::Div => zip(a, b, |a, b| a / b),
        BinaryOp::FloorDiv => zip(a, b, floor_div),
        BinaryOp::Mod => zip(a, b, |a, b| {
            let r = a % b;
            if straddles(r, b) { r + b } else { r }
        }),
        BinaryOp::Pow => zip(a, b, Real::powf),
        BinaryOp::Atan2 => zip(a, b, Float::atan2),
        _ => unsupported("binary", T::DTYPE),
    }
}

/// Whether a remainder is on the other side of zero than the divisor.
fn straddles<T: Num>(remainder: T, divisor: T) -> bool {
    remainder != T::ZERO && (remainder < T::ZERO) != (divisor < T::ZERO)
}

/// The quotient that belongs to Python's remainder: 1 // 0.1 is 9, because 0.1 in binary is a little more.
fn floor_div<T: Real + Float>(a: T, b: T) -> T {
    if b == <T as Num>::ZERO {
        return a / b;
    }
    let r = a % b;
    let q = (a - r) / b;
    Float::round(if straddles(r, b) { q - T::ONE } else { q })
}

fn binary_int<T: Item + Num + PrimInt>(op: BinaryOp, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    let zero = <T as Num>::ZERO;
    match op {
        BinaryOp::FloorDiv => zip(a, b, move |a, b| {
            if b == zero {
                return zero;
            }
            // The least integer divided by -1 wraps, as its negation does.
            let Some(q) = a.checked_div(&b) else { return zero.minus(a) };
            if straddles(a % b, b) { q.minus(T::ONE) } else { q }
        }),
        BinaryOp::Mod => zip(a, b, move |a, b| {
            if b == zero || a.checked_div(&b).is_none() {
                return zero;
            }
            let r = a % b;
            if straddles(r, b) { r.plus(b) } else { r }
        }),
        BinaryOp::Pow => zip(a, b, power),
        BinaryOp::And => zip(a, b, |a, b| a & b),
        BinaryOp::Or => zip(a, b, |a, b| a | b),
        BinaryOp::Xor => zip(a, b, |a, b| a ^ b),
        _ => unsupported("binary", T::DTYPE),
    }
}

/// `base` to the power `exponent`, wrapping; the truncated reciprocal for a negative exponent.
fn power<T: Num + PrimInt>(mut base: T, mut exponent: T) -> T {
    let (zero, one) = (<T as Num>::ZERO, <T as Num>::ONE);
    if exponent < zero {
        let odd = exponent & one == one;
        return match base {
            b if b == one => one,
            b if b == zero.minus(one) => {
                if odd {
                    b
                } else {
                    one
                }
            }
            _ => zero,
        };
    }
    let mut out = one;
    while exponent > zero {
        if exponent & one == one {
            out = out.times(base);
        }
        base = base.times(base);
        exponent = exponent >> 1;
    }
    out
}

pub(crate) fn compare(op: CompareOp, a: Buffer, b: Buffer) -> Result<Buffer> {
    if is_half(a.dtype()) {
        return compare(op, cast(a, DType::F32), cast(b, DType::F32));
    }
    dispatch!(all a, a => compare_items(op, a, b))
}

fn compare_items<T: Item>(op: CompareOp, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    let b = T::unwrap(b)?;
    let shape = if a.shape() == b.shape() { None } else { Some(common(&[a.shape(), b.shape()])) };
    let shape = shape.as_deref();
    match op {
        CompareOp::Eq => pairs(&a, &b, shape, |a, b| a == b),
        CompareOp::Ne => pairs(&a, &b, shape, |a, b| a != b),
        CompareOp::Lt => pairs(&a, &b, shape, |a, b| a < b),
        CompareOp::Le => pairs(&a, &b, shape, |a, b| a <= b),
        CompareOp::Gt => pairs(&a, &b, shape, |a, b| a > b),
        CompareOp::Ge => pairs(&a, &b, shape, |a, b| a >= b),
        _ => unsupported("compare", T::DTYPE),
    }
}

pub(crate) fn select<T: Item>(condition: Shared<bool>, mut a: Shared<T>, b: Buffer) -> Result<Buffer> {
    let mut b = T::unwrap(b)?;
    let shape = common(&[condition.shape(), a.shape(), b.shape()]);
    let c = spread(&condition, &shape)?;
    if a.is_unique() && a.shape() == shape {
        let b = spread(&b, &shape)?;
        Zip::from(&mut a).and(c).and(b).for_each(|a, &c, &b| *a = if c { *a } else { b });
        return Ok(a.into());
    }
    if b.is_unique() && b.shape() == shape {
        let a = spread(&a, &shape)?;
        Zip::from(&mut b).and(c).and(a).for_each(|b, &c, &a| *b = if c { a } else { *b });
        return Ok(b.into());
    }
    let (a, b) = (spread(&a, &shape)?, spread(&b, &shape)?);
    Ok(Zip::from(c).and(a).and(b).map_collect(|&c, &a, &b| if c { a } else { b }).into())
}
