//! Scalar mathematics behind one trait, written so that loops over it vectorise.
//!
//! Kernels load any [`Num`] and compute in its [`Acc`](Num::Acc), which for floating-point types is a [`Real`]:
//! `f32` or `f64`. The `f32` functions are polynomials without branches, without fused multiply-add and without
//! table look-ups, so that they vectorise, and so that the same input gives the same bits on
//! every machine, vectorised or not. Those of `f64` are the standard library's, and `libm`'s for the error functions.

mod double;
mod single;

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::Num;

/// A type that kernels compute in: `f32` or `f64`.
///
/// Where the type is known to be `f32`, write `Real::exp(x)`: `x.exp()` would be the standard library's.
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
    /// e to this power (1 ULP).
    fn exp(self) -> Self;
    /// e to this power, less one (2 ULP).
    fn exp_m1(self) -> Self;
    /// Natural logarithm (1 ULP).
    fn ln(self) -> Self;
    /// Natural logarithm of one more (2 ULP).
    fn ln_1p(self) -> Self;
    /// Hyperbolic tangent (2 ULP).
    fn tanh(self) -> Self;
    /// `1 / (1 + exp(-x))` without overflow (2 ULP).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        let numerator = if self < Self::ZERO { e } else { Self::ONE };
        numerator / (Self::ONE + e)
    }
    /// `ln(1 + exp(x))` without overflow (2 ULP).
    #[inline(always)]
    fn softplus(self) -> Self {
        self.maximum(Self::ZERO) + (-self.abs()).exp().ln_1p()
    }
    /// Error function (2 ULP).
    fn erf(self) -> Self;
    /// Complementary error function, accurate in the tail (1 ULP).
    fn erfc(self) -> Self;
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
    ($t:ident, $($name:ident => $path:path),+) => {
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
            $(
                #[inline(always)]
                fn $name(self) -> $t {
                    $path(self)
                }
            )+
        }
    };
}

native!(
    f32,
    exp => single::exp,
    exp_m1 => single::exp_m1,
    ln => single::ln,
    ln_1p => single::ln_1p,
    tanh => single::tanh,
    erf => single::erf,
    erfc => single::erfc,
    erf_inv => single::erf_inv
);
native!(
    f64,
    exp => f64::exp,
    exp_m1 => f64::exp_m1,
    ln => f64::ln,
    ln_1p => f64::ln_1p,
    tanh => f64::tanh,
    erf => libm::erf,
    erfc => libm::erfc,
    erf_inv => double::erf_inv
);

/// Evaluates a polynomial by Horner's rule, coefficients from the highest power down.
#[inline(always)]
pub(crate) fn horner<T: Real, const N: usize>(x: T, coefficients: [T; N]) -> T {
    let mut sum = T::ZERO;
    for (i, c) in coefficients.into_iter().enumerate() {
        sum = if i == 0 { c } else { sum * x + c };
    }
    sum
}
