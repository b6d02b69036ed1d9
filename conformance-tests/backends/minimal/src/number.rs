//! The numbers that elements are computed in, and the functions of them.

use std::{cmp::Ordering, num::Wrapping, ops::Neg};

use keras_spec::half::{bf16, f16};
use keras_spec::{ArgReduceOp, BinaryOp, CompareOp, Element, ReduceOp, ScatterOp, UnaryOp};
use num_traits::Num;

/// An element type of tensors, and the wider numbers that it is computed in.
pub(crate) trait Item: Element {
    type Wide: Number;
    fn wide(self) -> Self::Wide;
    fn of(number: Self::Wide) -> Self;
}

macro_rules! items {
    ($wide:ty: $($element:ident)*, $wide_of:expr, $of:expr) => {
        $(impl Item for $element {
            type Wide = $wide;
            fn wide(self) -> $wide { $wide_of(self) }
            fn of(number: $wide) -> Self { $of(number) }
        })*
    };
}

// What is computed is rounded, or wrapped, once: when it becomes an element again. So a sum of half precisions is at
// least as precise as in float32, which the contract asks for, and integers wrap as if every step had.
items!(f64: f16 bf16 f32 f64, Element::to_f64, Element::from_f64);
items!(Wrapping<i128>: u8 u16 u32 u64 i8 i16 i32 i64, |x| Wrapping(Element::to_i128(x)), |n: Wrapping<i128>| Element::from_i128(n.0));
// `bool` is the integer of one bit: so its complement is right.
items!(Wrapping<i128>: bool, |x| Wrapping(Element::to_i128(x)), |n: Wrapping<i128>| n.0 & 1 == 1);

/// Numbers to compute in.
pub(crate) trait Number: Num + Neg<Output = Self> + PartialOrd + Copy {
    fn unary(op: UnaryOp) -> Option<fn(Self) -> Self>;
    fn binary(op: BinaryOp) -> Option<fn(Self, Self) -> Self>;
}

/// What a table of functions has for an operation; nothing for one that was not there when it was written.
macro_rules! table {
    ($op:ident: $family:ident { $($name:ident = $function:expr;)* }) => {
        match $op {
            $($family::$name => Some($function),)*
            _ => None,
        }
    };
}

impl Number for f64 {
    fn unary(op: UnaryOp) -> Option<fn(f64) -> f64> {
        table!(op: UnaryOp {
            Neg = |x| -x; Abs = f64::abs; Sign = |x| if x == 0.0 { x } else { x.signum() }; Sqrt = f64::sqrt;
            Ceil = f64::ceil; Floor = f64::floor; Round = f64::round_ties_even; Rsqrt = |x| 1.0 / x.sqrt();
            Exp = f64::exp; Expm1 = f64::exp_m1; Log = f64::ln; Log1p = f64::ln_1p; Sin = f64::sin; Cos = f64::cos;
            Tan = f64::tan; Asin = f64::asin; Acos = f64::acos; Atan = f64::atan; Sinh = f64::sinh; Cosh = f64::cosh;
            Tanh = f64::tanh; Asinh = f64::asinh; Acosh = f64::acosh; Atanh = f64::atanh; Erf = libm::erf;
            ErfInv = keras_spec::random::erf_inv; Relu = |x| larger(x, 0.0);
            Sigmoid = |x| 1.0 / (1.0 + (-x).exp()); Softplus = |x| larger(x, 0.0) + (-x.abs()).exp().ln_1p();
        })
    }

    fn binary(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
        table!(op: BinaryOp {
            Div = |a, b| a / b; FloorDiv = |a, b| if b == 0.0 { a / b } else { floored(a, b).0.round() };
            Mod = |a, b| floored(a, b).1; Pow = f64::powf; Atan2 = f64::atan2;
        })
    }
}

impl Number for Wrapping<i128> {
    fn unary(op: UnaryOp) -> Option<fn(Self) -> Self> {
        table!(op: UnaryOp {
            Neg = |x| -x; Abs = |x| Wrapping(x.0.abs()); Sign = |x| Wrapping(x.0.signum());
            Ceil = |x| x; Floor = |x| x; Round = |x| x; Relu = |x| larger(x, Wrapping(0)); Not = |x| !x;
        })
    }

    fn binary(op: BinaryOp) -> Option<fn(Self, Self) -> Self> {
        table!(op: BinaryOp {
            FloorDiv = |a, b| if b.0 == 0 { b } else { floored(a, b).0 };
            Mod = |a, b| if b.0 == 0 { b } else { floored(a, b).1 };
            Pow = power; And = |a, b| a & b; Or = |a, b| a | b; Xor = |a, b| a ^ b;
        })
    }
}

pub(crate) fn binary<N: Number>(op: BinaryOp) -> Option<fn(N, N) -> N> {
    let for_all: Option<fn(N, N) -> N> = table!(op: BinaryOp {
        Add = |a, b| a + b; Sub = |a, b| a - b; Mul = |a, b| a * b; Max = larger; Min = smaller;
    });
    for_all.or_else(|| N::binary(op))
}

pub(crate) fn comparison<N: Number>(op: CompareOp) -> Option<fn(N, N) -> bool> {
    table!(op: CompareOp {
        Eq = |a, b| a == b; Ne = |a, b| a != b;
        Lt = |a, b| a < b; Le = |a, b| a <= b; Gt = |a, b| a > b; Ge = |a, b| a >= b;
    })
}

/// Whether an arg-reduction prefers a later element to the best one so far: NaN to everything else.
pub(crate) fn preference<N: Number>(op: ArgReduceOp) -> Option<fn(N, N) -> bool> {
    table!(op: ArgReduceOp { Max = |new, best| order(new, best).is_gt(); Min = |new, best| order(-new, -best).is_gt(); })
}

/// What becomes of the old value at a place that is updated with the new one.
pub(crate) fn update<N: Number>(op: ScatterOp) -> Option<fn(N, N) -> N> {
    table!(op: ScatterOp { Set = |_, new| new; Add = |old, new| old + new; Max = larger; Min = smaller; })
}

/// What a reduction starts from, and the function that takes in one number more.
#[allow(clippy::type_complexity)]
pub(crate) fn reduction<T: Item>(op: ReduceOp) -> Option<(T::Wide, fn(T::Wide, T::Wide) -> T::Wide)> {
    table!(op: ReduceOp {
        Sum = (num_traits::zero(), |a, b| a + b); Prod = (num_traits::one(), |a, b| a * b);
        Max = (T::LEAST.wide(), larger); Min = (T::GREATEST.wide(), smaller);
    })
}

fn is_nan<N: Number>(x: N) -> bool {
    x.partial_cmp(&x).is_none()
}

/// NaN if either is.
fn larger<N: Number>(a: N, b: N) -> N {
    if a > b || is_nan(a) { a } else { b }
}

fn smaller<N: Number>(a: N, b: N) -> N {
    if a < b || is_nan(a) { a } else { b }
}

/// NaN comes after everything else.
pub(crate) fn order<N: Number>(a: N, b: N) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}

/// Quotient and remainder as Python has them: the remainder has the sign of the divisor.
fn floored<N: Number>(a: N, b: N) -> (N, N) {
    let (r, zero) = (a % b, N::zero());
    let q = (a - r) / b;
    if r != zero && (r < zero) != (b < zero) { (q - N::one(), r + b) } else { (q, r) }
}

fn power(base: Wrapping<i128>, exponent: Wrapping<i128>) -> Wrapping<i128> {
    match (base.0, exponent.0) {
        (_, e @ 0..) => num_traits::pow(base, e as usize),
        (-1, e) => Wrapping(1 - 2 * (e & 1)),
        (b, _) => Wrapping(i128::from(b == 1)),
    }
}
