//! Scalar mathematics behind one trait, written so that loops over it vectorise.
//!
//! Kernels load any [`Num`] and compute in its [`Acc`](Num::Acc), which for floating-point types is a [`Real`]:
//! `f32` or `f64`. The `f32` functions are polynomials without branches and without table look-ups, so that they vectorise. Where
//! the processor multiplies and adds in one instruction, they are a third shorter with it: [`par::simd!`](crate::par::simd) says
//! which [`MulAdd`] that is. With either, the same input gives the same bits, vectorised or not. Those of `f64` are the standard
//! library's, and `libm`'s for the error function.

mod double;
mod single;

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::Num;

/// How polynomials multiply and add.
pub trait MulAdd: Copy + Debug + Send + Sync {
    /// `a · b + c`
    fn mul_add<T: Real>(self, a: T, b: T, c: T) -> T;
}

/// Rounds once, by one instruction: for processors that have it. For others it is computed in many.
#[derive(Debug, Clone, Copy)]
pub struct Fused;

/// Rounds the product, then the sum.
#[derive(Debug, Clone, Copy)]
pub struct Separate;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add<T: Real>(self, a: T, b: T, c: T) -> T {
        a.fused_mul_add(b, c)
    }
}

impl MulAdd for Separate {
    #[inline(always)]
    fn mul_add<T: Real>(self, a: T, b: T, c: T) -> T {
        a * b + c
    }
}

/// A type that kernels compute in: `f32` or `f64`.
///
/// Where the type is known to be `f32`, write `Real::exp(x, m)`: `x.exp()` would be the standard library's.
/// NaN in gives NaN out everywhere, infinities and signed zeros follow IEEE 754 and C99's annex F.
/// The accuracy stated for a method is that of `f32` in units in the last place of the correctly rounded result,
/// as the tests measure it.
pub trait Real:
    Num<Acc = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
{
    /// Positive infinity.
    const INFINITY: Self;

    /// Rounds to nearest.
    fn from_f64(value: f64) -> Self;
    /// Widens exactly.
    fn to_f64(self) -> f64;
    /// Magnitude.
    fn abs(self) -> Self;
    /// This magnitude with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// Reciprocal square root, as the quotient that XLA computes (1 ULP).
    #[inline(always)]
    fn rsqrt(self) -> Self {
        Self::ONE / self.sqrt()
    }
    /// `self · b + c`, rounded once.
    fn fused_mul_add(self, b: Self, c: Self) -> Self;
    /// e to this power (1 ULP).
    fn exp(self, m: impl MulAdd) -> Self;
    /// e to this power, less one (2 ULP).
    fn exp_m1(self, m: impl MulAdd) -> Self;
    /// Natural logarithm (1 ULP).
    fn ln(self, m: impl MulAdd) -> Self;
    /// Natural logarithm of one more (2 ULP).
    fn ln_1p(self, m: impl MulAdd) -> Self;
    /// Hyperbolic tangent (2 ULP).
    fn tanh(self, m: impl MulAdd) -> Self;
    /// `1 / (1 + exp(-x))` without overflow (2 ULP).
    fn sigmoid(self, m: impl MulAdd) -> Self;
    /// `ln(1 + exp(x))` without overflow (2 ULP).
    #[inline(always)]
    fn softplus(self, m: impl MulAdd) -> Self {
        self.maximum(Self::ZERO) + (-self.abs()).exp(m).ln_1p(m)
    }
    /// Error function (2 ULP).
    fn erf(self, m: impl MulAdd) -> Self;
    /// Inverse error function: Giles's polynomials, as XLA evaluates them, so that normal deviates agree with JAX's.
    fn erf_inv(self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// This to the power of `exponent`.
    fn powf(self, exponent: Self) -> Self;
}

macro_rules! native {
    ($t:ident, $erf_inv:path, $($name:ident => |$x:ident, $m:ident| $value:expr),+) => {
        impl Real for $t {
            const INFINITY: $t = $t::INFINITY;
            #[inline(always)]
            fn from_f64(value: f64) -> $t {
                value as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline(always)]
            fn copysign(self, sign: $t) -> $t {
                $t::copysign(self, sign)
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn sin(self) -> $t {
                $t::sin(self)
            }
            #[inline(always)]
            fn cos(self) -> $t {
                $t::cos(self)
            }
            #[inline(always)]
            fn powf(self, exponent: $t) -> $t {
                $t::powf(self, exponent)
            }
            #[inline(always)]
            fn fused_mul_add(self, b: $t, c: $t) -> $t {
                $t::mul_add(self, b, c)
            }
            #[inline(always)]
            fn erf_inv(self) -> $t {
                $erf_inv(self)
            }
            $(
                #[inline(always)]
                fn $name(self, $m: impl MulAdd) -> $t {
                    let $x = self;
                    $value
                }
            )+
        }
    };
}

native!(
    f32,
    single::erf_inv,
    exp => |x, m| single::exp(x, m),
    exp_m1 => |x, m| single::exp_m1(x, m),
    ln => |x, m| single::ln(x, m),
    ln_1p => |x, m| single::ln_1p(x, m),
    tanh => |x, m| single::tanh(x, m),
    sigmoid => |x, m| single::sigmoid(x, m),
    erf => |x, m| single::erf(x, m)
);
native!(
    f64,
    double::erf_inv,
    exp => |x, _m| f64::exp(x),
    exp_m1 => |x, _m| f64::exp_m1(x),
    ln => |x, _m| f64::ln(x),
    ln_1p => |x, _m| f64::ln_1p(x),
    tanh => |x, _m| f64::tanh(x),
    sigmoid => |x, _m| double::sigmoid(x),
    erf => |x, _m| libm::erf(x)
);

/// Evaluates a polynomial by Horner's rule, coefficients from the highest power down.
#[inline(always)]
pub(crate) fn horner<T: Real, const N: usize>(x: T, coefficients: [T; N], m: impl MulAdd) -> T {
    let mut sum = T::ZERO;
    for (i, c) in coefficients.into_iter().enumerate() {
        sum = if i == 0 { c } else { m.mul_add(sum, x, c) };
    }
    sum
}
