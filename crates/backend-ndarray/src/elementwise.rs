//! Element-wise functions.

use keras_kernels::elementwise::{self, Strided};
use keras_kernels::math::Real;
use keras_kernels::{Num, par};
use keras_spec::{BinaryOp, CompareOp, DType, Result, UnaryOp};
use num_traits::{Float, PrimInt};

use crate::buffer::{
    Buffer, Item, Shared, array, broadcast_strides, broken, dense, dispatch, memory, rows, standard,
    unsupported,
};
use crate::movement::{broadcast, cast, is_half};

pub(crate) fn unary(op: UnaryOp, x: Buffer) -> Result<Buffer> {
    let dtype = x.dtype();
    if !op.accepts(dtype) {
        return unsupported("unary", dtype);
    }
    if is_half(dtype) {
        return cast(unary(op, cast(x, DType::F32)?)?, dtype);
    }
    match x {
        Buffer::Bool(x) => map(x, |v| !v),
        Buffer::F32(x) => unary_float(op, x),
        Buffer::F64(x) => unary_float(op, x),
        x => dispatch!(ints x, x => unary_int(op, x), else _x => unsupported("unary", dtype)),
    }
}

fn unary_int<T: Item + Num + PrimInt>(op: UnaryOp, x: Shared<T>) -> Result<Buffer> {
    let (zero, one) = (<T as Num>::ZERO, T::ONE);
    let neg = |v| zero.minus(v);
    match op {
        UnaryOp::Neg => map(x, neg),
        UnaryOp::Abs => map(x, |v| if v < zero { neg(v) } else { v }),
        UnaryOp::Sign => map(x, |v| if v < zero { neg(one) } else { v.smaller(one) }),
        UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round => Ok(x.into()),
        UnaryOp::Relu => map(x, |v| v.larger(zero)),
        UnaryOp::Not => map(x, |v| !v),
        _ => unsupported("unary", T::DTYPE),
    }
}

/// What a function costs in units of a multiplication.
const CHEAP: usize = 1;
/// Likewise.
const DEAR: usize = 16;

/// Runs `f` on pieces of the elements, on threads if that is worth it; in place where nobody else holds them.
pub(crate) fn in_pieces<T: Item>(
    mut x: Shared<T>,
    cost: usize,
    f: &(dyn Fn(&mut [T]) + Sync),
) -> Result<Buffer> {
    let work = x.len().saturating_mul(cost);
    x = if x.is_unique() { dense(x) } else { standard(x) };
    if !x.is_unique() {
        let from = rows(&x)?;
        let out = par::copy_pieces(from, work, |_, out| f(out));
        return array("elementwise", x.shape(), out).map(T::wrap);
    }
    let own = if x.is_standard_layout() { x.as_slice_mut() } else { x.as_slice_memory_order_mut() };
    let own = own.ok_or_else(|| broken("elementwise", "the elements have gaps"))?;
    par::for_each(own.chunks_mut(par::CHUNK), work, f);
    Ok(x.into())
}

/// [`in_pieces`] with the same piece of another array of that shape; both are in row-major order.
pub(crate) fn in_pieces_beside<T: Item>(
    mut x: Shared<T>,
    beside: &Shared<T>,
    cost: usize,
    f: &(dyn Fn(&mut [T], &[T]) + Sync),
) -> Result<Buffer> {
    let work = x.len().saturating_mul(cost);
    let beside = rows(beside)?;
    if !x.is_unique() {
        let from = rows(&x)?;
        let out = par::copy_pieces(from, work, |i, out| f(out, &beside[i * par::CHUNK..][..out.len()]));
        return array("elementwise", x.shape(), out).map(T::wrap);
    }
    let own = x.as_slice_mut().ok_or_else(|| broken("elementwise", "the elements have gaps"))?;
    let pairs = own.chunks_mut(par::CHUNK).zip(beside.chunks(par::CHUNK));
    par::for_each(pairs, work, |(own, beside)| f(own, beside));
    Ok(x.into())
}

/// A function of every element.
fn map<T: Item>(x: Shared<T>, f: impl Fn(T) -> T + Sync) -> Result<Buffer> {
    in_pieces(x, DEAR, &|piece| piece.iter_mut().for_each(|v| *v = f(*v)))
}

/// [`map`] for the vector instructions of this machine.
fn map_fast<T: Item>(x: Shared<T>, cost: usize, f: impl Fn(T) -> T + Sync) -> Result<Buffer> {
    in_pieces(x, cost, &|piece| par::simd!(piece.iter_mut().for_each(|v| *v = f(*v))))
}

fn unary_float<T: Item + Real + Float>(op: UnaryOp, x: Shared<T>) -> Result<Buffer> {
    let (zero, one) = (<T as Num>::ZERO, T::ONE);
    macro_rules! smooth {
        ($function:ident) => {
            in_pieces(x, DEAR, &|piece| {
                par::simd!(|m| piece.iter_mut().for_each(|v| *v = Real::$function(*v, m)));
            })
        };
    }
    match op {
        UnaryOp::Neg => map_fast(x, CHEAP, |v| -v),
        UnaryOp::Abs => map_fast(x, CHEAP, Real::abs),
        UnaryOp::Sign => {
            map_fast(x, CHEAP, |v| if v == zero || Num::is_nan(v) { v } else { Real::copysign(one, v) })
        }
        UnaryOp::Ceil => map_fast(x, CHEAP, Float::ceil),
        UnaryOp::Floor => map_fast(x, CHEAP, Float::floor),
        UnaryOp::Round => map_fast(x, CHEAP, round),
        UnaryOp::Exp => smooth!(exp),
        UnaryOp::Expm1 => smooth!(exp_m1),
        UnaryOp::Log => smooth!(ln),
        UnaryOp::Log1p => smooth!(ln_1p),
        UnaryOp::Sqrt => map_fast(x, CHEAP, Real::sqrt),
        UnaryOp::Rsqrt => map_fast(x, CHEAP, Real::rsqrt),
        UnaryOp::Sin => map_fast(x, DEAR, Real::sin),
        UnaryOp::Cos => map_fast(x, DEAR, Real::cos),
        UnaryOp::Tan => map(x, Float::tan),
        UnaryOp::Asin => map(x, Float::asin),
        UnaryOp::Acos => map(x, Float::acos),
        UnaryOp::Atan => map(x, Float::atan),
        UnaryOp::Sinh => map(x, Float::sinh),
        UnaryOp::Cosh => map(x, Float::cosh),
        UnaryOp::Tanh => smooth!(tanh),
        UnaryOp::Asinh => map(x, Float::asinh),
        UnaryOp::Acosh => map(x, Float::acosh),
        UnaryOp::Atanh => map(x, Float::atanh),
        UnaryOp::Erf => smooth!(erf),
        UnaryOp::ErfInv => map_fast(
            x,
            DEAR,
            #[inline(always)]
            |v| Real::erf_inv(v),
        ),
        UnaryOp::Sigmoid => smooth!(sigmoid),
        UnaryOp::Softplus => smooth!(softplus),
        UnaryOp::Relu => map_fast(x, CHEAP, |v| v.larger(zero)),
        _ => unsupported("unary", T::DTYPE),
    }
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

/// An operand of a function of several, in pieces.
enum Source<T> {
    /// An array of the result's shape, in row-major order.
    Array(Shared<T>),
    /// One element, as a piece.
    Scalar(Vec<T>),
}

impl<T: Item> Source<T> {
    fn new(x: Shared<T>, shape: &[usize]) -> Result<Self> {
        if x.shape() == shape {
            return Ok(Source::Array(standard(x)));
        }
        match x.first() {
            Some(&only) if x.len() == 1 => {
                Ok(Source::Scalar(vec![only; shape.iter().product::<usize>().min(par::CHUNK)]))
            }
            _ => broadcast(x, shape).map(Source::Array),
        }
    }

    /// The elements that belong to piece `i` of the result, which has `n`.
    fn piece(&self, i: usize, n: usize) -> &[T] {
        match self {
            Source::Array(x) => x.as_slice().map_or(&[], |all| &all[i * par::CHUNK..][..n]),
            Source::Scalar(x) => &x[..n],
        }
    }
}

/// Writes a piece of a result from those of two operands.
type OfTwo<'a, T, R> = dyn Fn(&mut [R], &[T], &[T]) + Sync + 'a;

/// What `f` makes of two operands, broadcast together, piece by piece.
fn pieces<T: Item, R: Item>(a: Shared<T>, b: Buffer, f: &OfTwo<'_, T, R>) -> Result<Buffer> {
    let b = T::unwrap(b)?;
    let shape = common(&[a.shape(), b.shape()]);
    let (a, b) = (Source::new(a, &shape)?, Source::new(b, &shape)?);
    let size = shape.iter().product();
    let out = par::collect_pieces(size, size, |i, out| {
        let n = out.len();
        f(out, a.piece(i, n), b.piece(i, n));
    });
    array("binary", &shape, out).map(R::wrap)
}

/// A function of two operands.
fn zip<T: Item, R: Item>(a: Shared<T>, b: Buffer, f: impl Fn(T, T) -> R + Sync) -> Result<Buffer> {
    pieces(a, b, &|out: &mut [R], a, b| {
        out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = f(a, b));
    })
}

/// [`zip`] for the vector instructions of this machine, in place where nobody else holds an operand of the result's
/// shape.
fn zip_fast<T: Item>(
    mut a: Shared<T>,
    b: Buffer,
    cost: usize,
    f: impl Fn(T, T) -> T + Send + Sync,
) -> Result<Buffer> {
    let mut b = T::unwrap(b)?;
    let failed = |why| broken("binary", why);
    if a.shape() == b.shape() && a.is_standard_layout() && b.is_standard_layout() {
        if a.is_unique() {
            let own = a.as_slice_mut().unwrap_or_default();
            elementwise::binary_in_place(own, rows(&b)?, cost, f).map_err(failed)?;
            return Ok(a.into());
        }
        if b.is_unique() {
            let own = b.as_slice_mut().unwrap_or_default();
            elementwise::binary_in_place(own, rows(&a)?, cost, |b, a| f(a, b)).map_err(failed)?;
            return Ok(b.into());
        }
        let out = elementwise::binary(rows(&a)?, rows(&b)?, cost, f).map_err(failed)?;
        return array("binary", a.shape(), out).map(T::wrap);
    }
    if b.len() == 1 && b.ndim() <= a.ndim() {
        let b = b.iter().next().copied().unwrap_or_default();
        return in_pieces(a, cost, &|piece| par::simd!(piece.iter_mut().for_each(|a| *a = f(*a, b))));
    }
    if a.len() == 1 && a.ndim() <= b.ndim() {
        let a = a.iter().next().copied().unwrap_or_default();
        return in_pieces(b, cost, &|piece| par::simd!(piece.iter_mut().for_each(|b| *b = f(a, *b))));
    }
    let shape = common(&[a.shape(), b.shape()]);
    let (a, b) = (dense(a), dense(b));
    let strides_a = broadcast_strides(a.shape(), a.strides(), &shape);
    let strides_b = broadcast_strides(b.shape(), b.strides(), &shape);
    let gaps = || broken("binary", "the elements have gaps");
    let ((data_a, first_a), (data_b, first_b)) = (memory(&a).ok_or_else(gaps)?, memory(&b).ok_or_else(gaps)?);
    let from_a = Strided::new(data_a, first_a, &shape, &strides_a).map_err(failed)?;
    let from_b = Strided::new(data_b, first_b, &shape, &strides_b).map_err(failed)?;
    let out = elementwise::broadcast_binary(&shape, from_a, from_b, cost, f).map_err(failed)?;
    array("binary", &shape, out).map(T::wrap)
}

pub(crate) fn binary(op: BinaryOp, a: Buffer, b: Buffer) -> Result<Buffer> {
    let dtype = a.dtype();
    if !op.accepts(dtype) {
        return unsupported("binary", dtype);
    }
    if is_half(dtype) {
        return cast(binary(op, cast(a, DType::F32)?, cast(b, DType::F32)?)?, dtype);
    }
    match a {
        Buffer::Bool(a) => match op {
            BinaryOp::And | BinaryOp::Min => zip(a, b, |a, b| a & b),
            BinaryOp::Or | BinaryOp::Max => zip(a, b, |a, b| a | b),
            BinaryOp::Xor => zip(a, b, |a, b| a ^ b),
            _ => unsupported("binary", dtype),
        },
        Buffer::F32(a) => binary_float(op, a, b),
        Buffer::F64(a) => binary_float(op, a, b),
        a => dispatch!(ints a, a => binary_int(op, a, b), else _a => unsupported("binary", dtype)),
    }
}

fn binary_float<T: Item + Real + Float>(op: BinaryOp, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    match op {
        BinaryOp::Add => zip_fast(a, b, CHEAP, Num::plus),
        BinaryOp::Sub => zip_fast(a, b, CHEAP, Num::minus),
        BinaryOp::Mul => zip_fast(a, b, CHEAP, Num::times),
        BinaryOp::Max => zip_fast(a, b, CHEAP, Num::maximum),
        BinaryOp::Min => zip_fast(a, b, CHEAP, Num::minimum),
        BinaryOp::Div => zip_fast(a, b, CHEAP, |a, b| a / b),
        BinaryOp::FloorDiv => zip(a, b, floor_div),
        BinaryOp::Mod => zip(a, b, |a, b| {
            let r = a % b;
            if straddles(r, b) { r + b } else { r }
        }),
        BinaryOp::Pow => zip_fast(a, b, DEAR, Real::powf),
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
        BinaryOp::Add => zip(a, b, Num::plus),
        BinaryOp::Sub => zip(a, b, Num::minus),
        BinaryOp::Mul => zip(a, b, Num::times),
        BinaryOp::Max => zip(a, b, Num::maximum),
        BinaryOp::Min => zip(a, b, Num::minimum),
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
        return compare(op, cast(a, DType::F32)?, cast(b, DType::F32)?);
    }
    dispatch!(all a, a => compare_items(op, a, b))
}

fn compare_items<T: Item>(op: CompareOp, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    match op {
        CompareOp::Eq => zip(a, b, |a, b| a == b),
        CompareOp::Ne => zip(a, b, |a, b| a != b),
        CompareOp::Lt => zip(a, b, |a, b| a < b),
        CompareOp::Le => zip(a, b, |a, b| a <= b),
        CompareOp::Gt => zip(a, b, |a, b| a > b),
        CompareOp::Ge => zip(a, b, |a, b| a >= b),
        _ => unsupported("compare", T::DTYPE),
    }
}

pub(crate) fn select<T: Item>(condition: Shared<bool>, a: Shared<T>, b: Buffer) -> Result<Buffer> {
    let b = T::unwrap(b)?;
    let shape = common(&[condition.shape(), a.shape(), b.shape()]);
    let condition = Source::new(condition, &shape)?;
    let (a, b) = (Source::new(a, &shape)?, Source::new(b, &shape)?);
    let size = shape.iter().product();
    let out = par::collect_pieces(size, size, |i, out: &mut [T]| {
        let n = out.len();
        let operands = condition.piece(i, n).iter().zip(a.piece(i, n).iter().zip(b.piece(i, n)));
        out.iter_mut().zip(operands).for_each(|(out, (&c, (&a, &b)))| *out = if c { a } else { b });
    });
    array("select", &shape, out).map(T::wrap)
}
