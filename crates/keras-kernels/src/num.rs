//! The numeric types that kernels work on.

use half::{bf16, f16};

/// A numeric element type: `f16`, `bf16`, `f32`, `f64`, `i8` … `i64`, `u8` … `u64`.
///
/// The methods are not named after `std::ops` because they differ: integers wrap around. A kernel loads with
/// [`widen`](Num::widen), computes in [`Acc`](Num::Acc) and stores with [`narrow`](Num::narrow), so that one
/// generic body serves the half precisions too.
///
/// A kernel for floating-point types only asks for `T: Num<Acc: num_traits::Float>`.
pub trait Num:
    crate::gemm::Kernel + Copy + Default + PartialEq + PartialOrd + Send + Sync + std::fmt::Debug + 'static
{
    /// The type to compute in: `f32` for the half precisions, otherwise `Self`.
    type Acc: Num<Acc = Self::Acc>;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The neutral element of the maximum: minus infinity, or the smallest integer.
    const LOWEST: Self;
    /// The neutral element of the minimum: infinity, or the largest integer.
    const HIGHEST: Self;

    /// The same value in the type to compute in.
    fn widen(self) -> Self::Acc;
    /// The slice as the type to compute in, if that is `Self`.
    fn as_acc(slice: &[Self]) -> Option<&[Self::Acc]>;
    /// As [`as_acc`](Num::as_acc).
    fn as_acc_mut(slice: &mut [Self]) -> Option<&mut [Self::Acc]>;
    /// The nearest value of this type; exact unless `Self` is a half precision.
    fn narrow(acc: Self::Acc) -> Self;
    /// `n` as this type, rounded or wrapped where it does not fit.
    fn from_usize(n: usize) -> Self;
    /// Sum; integers wrap.
    fn plus(self, other: Self) -> Self;
    /// Difference; integers wrap.
    fn minus(self, other: Self) -> Self;
    /// Product; integers wrap.
    fn times(self, other: Self) -> Self;
    /// Quotient; integers round towards zero, and by zero they give zero.
    fn over(self, other: Self) -> Self;
    /// The larger one; NaN if either is NaN (as XLA's and NumPy's `maximum`).
    fn maximum(self, other: Self) -> Self;
    /// The smaller one; NaN if either is NaN (as XLA's and NumPy's `minimum`).
    fn minimum(self, other: Self) -> Self;
    /// Whether this is not a number; never for integers.
    fn is_nan(self) -> bool;
}

macro_rules! integers {
    ($($t:ty)*) => {$(
        impl Num for $t {
            type Acc = Self;
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LOWEST: Self = <$t>::MIN;
            const HIGHEST: Self = <$t>::MAX;

            #[inline(always)]
            fn widen(self) -> Self {
                self
            }
            #[inline(always)]
            fn as_acc(slice: &[Self]) -> Option<&[Self]> {
                Some(slice)
            }
            #[inline(always)]
            fn as_acc_mut(slice: &mut [Self]) -> Option<&mut [Self]> {
                Some(slice)
            }
            #[inline(always)]
            fn narrow(acc: Self) -> Self {
                acc
            }
            #[inline(always)]
            fn from_usize(n: usize) -> Self {
                n as $t
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                Ord::max(self, other)
            }
            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                Ord::min(self, other)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}

macro_rules! floats {
    ($($t:ty, $acc:ty, $zero:expr, $one:expr, $widen:expr, $narrow:expr, $same:expr;)*) => {$(
        impl Num for $t {
            type Acc = $acc;
            const ZERO: Self = $zero;
            const ONE: Self = $one;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;

            #[inline(always)]
            fn widen(self) -> $acc {
                $widen(self)
            }
            #[inline(always)]
            fn as_acc(slice: &[Self]) -> Option<&[$acc]> {
                $same(slice)
            }
            #[inline(always)]
            fn as_acc_mut(slice: &mut [Self]) -> Option<&mut [$acc]> {
                $same(slice)
            }
            #[inline(always)]
            fn narrow(acc: $acc) -> Self {
                $narrow(acc)
            }
            #[inline(always)]
            fn from_usize(n: usize) -> Self {
                $narrow(n as $acc)
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                // A NaN on the right makes the comparison false and is returned; one on the left is asked for.
                if self > other || self.is_nan() { self } else { other }
            }
            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                if self < other || self.is_nan() { self } else { other }
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 u8 u16 u32 u64);
floats! {
    f32, f32, 0.0, 1.0, std::convert::identity, std::convert::identity, Some;
    f64, f64, 0.0, 1.0, std::convert::identity, std::convert::identity, Some;
    f16, f32, f16::ZERO, f16::ONE, f16::to_f32, f16::from_f32, |_| None;
    bf16, f32, bf16::ZERO, bf16::ONE, bf16::to_f32, bf16::from_f32, |_| None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Num>() {
        assert_eq!(T::ONE.plus(T::ZERO), T::from_usize(1));
        assert_eq!(T::from_usize(3).minus(T::ONE), T::from_usize(2));
        assert_eq!(T::from_usize(3).times(T::from_usize(5)), T::from_usize(15));
        assert_eq!(T::from_usize(15).over(T::from_usize(5)), T::from_usize(3));
        assert_eq!(T::LOWEST.maximum(T::ONE), T::ONE);
        assert_eq!(T::HIGHEST.minimum(T::ONE), T::ONE);
        assert_eq!(T::narrow(T::from_usize(7).widen()), T::from_usize(7));
    }

    #[test]
    fn every_type_counts() {
        check::<f16>();
        check::<bf16>();
        check::<f32>();
        check::<f64>();
        check::<i8>();
        check::<i16>();
        check::<i32>();
        check::<i64>();
        check::<u8>();
        check::<u16>();
        check::<u32>();
        check::<u64>();
    }

    #[test]
    fn nan_wins_and_integers_wrap() {
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            assert!(Num::maximum(a, b).is_nan() && Num::minimum(a, b).is_nan());
        }
        assert!(Num::maximum(f16::NAN, f16::ONE).is_nan());
        assert_eq!(100i8.plus(100), -56);
        assert_eq!(0u8.minus(1), 255);
        assert_eq!(100i8.times(3), 44);
    }
}
