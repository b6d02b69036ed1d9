//! Samples as `keras.random` of Keras 3.15.1 draws them on JAX, as plain vectors in row-major order.
//!
//! A sampler takes the [`Key`] that a seed stands for and the number of elements; the shape does not matter, so one
//! is asked for only where an axis has a meaning. Integers, categories and masks are exactly JAX's; floating-point
//! samples are within 2 ULP of it (see `spec/README.md`).
//!
//! JAX, unless told otherwise, silently computes `float64` and `int64` in 32 bits. Here they are real 64-bit types
//! and agree with JAX under `jax_enable_x64`.

use half::{bf16, f16};

use super::special::Real;
use super::threefry::{Key, RandomBits, map_bits, random_bits};
use crate::error::{Error, Result};

/// Floating-point types that can be sampled: `f16`, `bf16`, `f32` and `f64`.
///
/// The half precisions compute in `f32` and round after every operation, as XLA does.
pub trait RandomFloat: Copy + 'static {
    /// The random bits that make one sample.
    #[doc(hidden)]
    type Bits: RandomBits;
    /// The type computed in.
    #[doc(hidden)]
    type Compute: Real;
    /// 1 − ε/2, the largest number below one.
    #[doc(hidden)]
    const BELOW_ONE: f64;
    /// The largest number below two.
    #[doc(hidden)]
    const BELOW_TWO: f64;
    /// √2 in this precision.
    #[doc(hidden)]
    const SQRT_2: f64;
    /// erf(2 / √2), every operation in this precision.
    #[doc(hidden)]
    const ERF_SQRT_2: f64;
    /// The smallest positive normal number.
    #[doc(hidden)]
    const TINY: f64;

    /// The number in [0, 1) whose mantissa is the leading bits of `bits`.
    #[doc(hidden)]
    fn unit(bits: Self::Bits) -> Self::Compute;
    /// The nearest number of this type.
    #[doc(hidden)]
    fn narrow(value: Self::Compute) -> Self;
    /// The same number in the type computed in.
    #[doc(hidden)]
    fn widen(self) -> Self::Compute;

    /// `value` rounded to this type's precision.
    #[doc(hidden)]
    fn round(value: Self::Compute) -> Self::Compute {
        Self::narrow(value).widen()
    }
    /// `unit · span + low`, with the roundings XLA makes: one, where the product and the sum are fused.
    #[doc(hidden)]
    fn scale(unit: Self::Compute, span: Self::Compute, low: Self::Compute) -> Self::Compute {
        Self::round(unit.fma(span, low))
    }
    /// A Python number as an argument of this type.
    #[doc(hidden)]
    fn argument(value: f64) -> Self::Compute {
        Self::round(Self::Compute::from_f64(value))
    }
}

impl RandomFloat for f16 {
    type Bits = u16;
    type Compute = f32;
    const BELOW_ONE: f64 = 1.0 - 1.0 / 2048.0;
    const BELOW_TWO: f64 = 2.0 - 1.0 / 1024.0;
    const SQRT_2: f64 = 1.414_062_5;
    const ERF_SQRT_2: f64 = 0.954_589_843_75;
    const TINY: f64 = 1.0 / 16384.0;

    fn unit(bits: u16) -> f32 {
        f32::from(bits >> 6) * (1.0 / 1024.0)
    }
    fn narrow(value: f32) -> Self {
        f16::from_f32(value)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl RandomFloat for bf16 {
    type Bits = u8;
    type Compute = f32;
    const BELOW_ONE: f64 = 1.0 - 1.0 / 256.0;
    const BELOW_TWO: f64 = 2.0 - 1.0 / 128.0;
    const SQRT_2: f64 = 1.414_062_5;
    const ERF_SQRT_2: f64 = 0.953_125;
    const TINY: f64 = f32::MIN_POSITIVE as f64;

    fn unit(bits: u8) -> f32 {
        f32::from(bits >> 1) * (1.0 / 128.0)
    }
    fn narrow(value: f32) -> Self {
        bf16::from_f32(value)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
    /// XLA has no fused operation in bfloat16.
    fn scale(unit: f32, span: f32, low: f32) -> f32 {
        Self::round(Self::round(unit * span) + low)
    }
}

impl RandomFloat for f32 {
    type Bits = u32;
    type Compute = f32;
    const BELOW_ONE: f64 = 1.0 - f32::EPSILON as f64 / 2.0;
    const BELOW_TWO: f64 = 2.0 - f32::EPSILON as f64;
    const SQRT_2: f64 = std::f32::consts::SQRT_2 as f64;
    const ERF_SQRT_2: f64 = 0.954_499_721_527_099_6;
    const TINY: f64 = f32::MIN_POSITIVE as f64;

    fn unit(bits: u32) -> f32 {
        (bits >> 9) as f32 * f32::EPSILON
    }
    fn narrow(value: f32) -> Self {
        value
    }
    fn widen(self) -> f32 {
        self
    }
}

impl RandomFloat for f64 {
    type Bits = u64;
    type Compute = f64;
    const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;
    const BELOW_TWO: f64 = 2.0 - f64::EPSILON;
    const SQRT_2: f64 = std::f64::consts::SQRT_2;
    const ERF_SQRT_2: f64 = 0.954_499_736_103_641_6;
    const TINY: f64 = f64::MIN_POSITIVE;

    fn unit(bits: u64) -> f64 {
        (bits >> 12) as f64 * f64::EPSILON
    }
    fn narrow(value: f64) -> Self {
        value
    }
    fn widen(self) -> f64 {
        self
    }
}

/// `len` values, each `f` of a sample uniform in `[low, high)`; everything in the precision of `T`.
fn map_uniform<T: RandomFloat, U>(
    key: Key,
    len: usize,
    low: T::Compute,
    high: T::Compute,
    f: impl Fn(T::Compute) -> U,
) -> Vec<U> {
    let span = T::round(high - low);
    map_bits(key, len, |bits| {
        let sample = T::scale(T::unit(bits), span, low);
        f(if sample < low { low } else { sample })
    })
}

/// `len` samples uniform in `[minval, maxval)`: `keras.random.uniform`.
pub fn uniform<T: RandomFloat>(key: Key, len: usize, minval: f64, maxval: f64) -> Vec<T> {
    map_uniform::<T, T>(key, len, T::argument(minval), T::argument(maxval), T::narrow)
}

/// `len` samples of the normal distribution: `keras.random.normal`.
pub fn normal<T: RandomFloat>(key: Key, len: usize, mean: f64, stddev: f64) -> Vec<T> {
    let place = place::<T>(mean, stddev);
    let (low, high) = (T::argument(-T::BELOW_ONE), T::argument(1.0));
    map_uniform::<T, T>(key, len, low, high, |u| place(standard_normal::<T>(u)))
}

/// `len` samples of the normal distribution redrawn beyond two standard deviations: `keras.random.truncated_normal`.
pub fn truncated_normal<T: RandomFloat>(key: Key, len: usize, mean: f64, stddev: f64) -> Vec<T> {
    let place = place::<T>(mean, stddev);
    let high = T::argument(T::ERF_SQRT_2);
    let limit = T::argument(T::BELOW_TWO);
    map_uniform::<T, T>(key, len, -high, high, |u| {
        let sample = standard_normal::<T>(u);
        place(if sample > limit {
            limit
        } else if sample < -limit {
            -limit
        } else {
            sample
        })
    })
}

/// The standard normal quantile that `u`, uniform in (−1, 1), stands for.
fn standard_normal<T: RandomFloat>(u: T::Compute) -> T::Compute {
    T::round(T::round(u.erf_inv()) * T::argument(T::SQRT_2))
}

/// `x · stddev + mean`, rounded twice: Keras does this outside JAX's compiled sampler.
fn place<T: RandomFloat>(mean: f64, stddev: f64) -> impl Fn(T::Compute) -> T {
    let (mean, stddev) = (T::argument(mean), T::argument(stddev));
    move |x| T::narrow(T::round(x * stddev) + mean)
}

/// Integer types that [`randint`] draws: `i8` to `i64` and `u8` to `u64`.
pub trait RandomInt: Copy + 'static {
    /// The smallest and the largest value of the type.
    #[doc(hidden)]
    const RANGE: (i128, i128);
    /// The value whose two's complement ends in the bits of `bits`.
    #[doc(hidden)]
    fn from_low_bits(bits: u64) -> Self;
}

macro_rules! random_int {
    ($($t:ty)*) => {$(
        impl RandomInt for $t {
            const RANGE: (i128, i128) = (<$t>::MIN as i128, <$t>::MAX as i128);
            fn from_low_bits(bits: u64) -> Self {
                bits as $t
            }
        }
    )*};
}
random_int!(i8 i16 i32 i64 u8 u16 u32 u64);

/// `len` integers uniform in `[minval, maxval)`: `keras.random.randint`.
///
/// Bounds beyond the type are clipped to it; where `maxval <= minval`, every sample is `minval`. Types narrower than
/// 32 bits are drawn as `i32`.
pub fn randint<T: RandomInt>(key: Key, len: usize, minval: i64, maxval: i64) -> Vec<T> {
    let (type_min, type_max) = T::RANGE;
    let narrow = type_max < i128::from(i32::MAX);
    let (min, max) = if narrow { (i128::from(i32::MIN), i128::from(i32::MAX)) } else { T::RANGE };
    let (low, high) = if narrow {
        (i128::from(minval).clamp(type_min, type_max), i128::from(maxval).clamp(type_min, type_max + 1))
    } else {
        (i128::from(minval), i128::from(maxval))
    };
    let past_the_end = high > max;
    let (low, high) = (low.clamp(min, max), high.clamp(min, max));
    // A span of 2ⁿ, the whole n-bit type, wraps to zero below; a remainder by zero then keeps its dividend.
    let span = if high <= low { 1 } else { high - low + i128::from(past_the_end) };

    let [high_key, low_key] = key.split();
    let draw = |mask: u64, higher: u64, lower: u64| {
        let span = span as u64 & mask;
        let rem = |x: u64| x.checked_rem(span).unwrap_or(x);
        let half_range = rem(1 << (mask.count_ones() / 2));
        let multiplier = rem(half_range.wrapping_mul(half_range) & mask);
        let offset = rem(higher).wrapping_mul(multiplier).wrapping_add(rem(lower)) & mask;
        T::from_low_bits((low as u64).wrapping_add(rem(offset)))
    };
    if max - min > i128::from(u32::MAX) {
        let higher = random_bits::<u64>(high_key, len);
        let lower = random_bits::<u64>(low_key, len);
        higher.into_iter().zip(lower).map(|(h, l)| draw(u64::MAX, h, l)).collect()
    } else {
        let higher = random_bits::<u32>(high_key, len);
        let lower = random_bits::<u32>(low_key, len);
        let mask = u64::from(u32::MAX);
        higher.into_iter().zip(lower).map(|(h, l)| draw(mask, h.into(), l.into())).collect()
    }
}

/// `len` booleans that are true with probability `p`: the mask `keras.random.dropout` keeps elements by, with
/// `p = 1 - rate`, whatever the dtype of its input.
pub fn bernoulli(key: Key, len: usize, p: f64) -> Vec<bool> {
    let p = p as f32;
    map_bits(key, len, |bits| f32::unit(bits) < p)
}

/// The shape of a dropout mask for an input of shape `input`: that of `noise`, its unknown dimensions filled in.
///
/// Nothing is broadcast here; a dimension of size one in the result stands for all of the input's.
///
/// # Errors
///
/// When the mask cannot be broadcast to the input.
pub fn dropout_noise_shape(input: &[usize], noise: Option<&[Option<usize>]>) -> Result<Vec<usize>> {
    let Some(noise) = noise else { return Ok(input.to_vec()) };
    let fits = noise.len() == input.len()
        && noise.iter().zip(input).all(|(n, &size)| n.is_none_or(|n| n == 1 || n == size));
    if !fits {
        return Err(Error::argument(
            "noise_shape",
            format!("one that broadcasts to the inputs, of shape {input:?}"),
            format!("{noise:?}"),
        ));
    }
    Ok(noise.iter().zip(input).map(|(n, &size)| n.unwrap_or(size)).collect())
}

/// For each row of `logits` (shape `(batch, classes)`), `num_samples` classes drawn with the probabilities
/// `softmax(row)`; the result has shape `(batch, num_samples)`: `keras.random.categorical`.
///
/// # Errors
///
/// When `logits` does not hold `batch · classes` numbers, or `classes` is zero.
pub fn categorical<T: RandomFloat>(
    key: Key,
    logits: &[T],
    [batch, classes]: [usize; 2],
    num_samples: usize,
) -> Result<Vec<i32>> {
    if classes == 0 || batch.checked_mul(classes) != Some(logits.len()) {
        return Err(Error::argument(
            "logits",
            format!("shape ({batch}, {classes}) with at least one class"),
            format!("{} numbers", logits.len()),
        ));
    }
    let (low, high) = (T::argument(T::TINY), T::argument(1.0));
    let draws = logits.len().checked_mul(num_samples).ok_or_else(|| {
        Error::argument("num_samples", "a number of samples that fits in memory", num_samples)
    })?;
    let gumbel =
        map_uniform::<T, T::Compute>(key, draws, low, high, |u| -T::round((-T::round(u.log())).log()));
    let mut samples = Vec::with_capacity(batch * num_samples);
    for row in 0..batch {
        for sample in 0..num_samples {
            let score = |class: usize| {
                let cell = row * classes + class;
                T::round(gumbel[cell * num_samples + sample] + logits[cell].widen())
            };
            let mut best = (0, score(0));
            for class in 1..classes {
                let candidate = score(class);
                // The first NaN wins, as in NumPy.
                if candidate > best.1 || (candidate.is_nan() && !best.1.is_nan()) {
                    best = (class as i32, candidate);
                }
            }
            samples.push(best.0);
        }
    }
    Ok(samples)
}

/// `data` of the given `shape` with every vector along `axis` in a random order of its own: `keras.random.shuffle`.
///
/// For a vector this is also `jax.random.permutation`.
///
/// # Errors
///
/// When `shape` has no such axis, or `data` is not of that shape.
pub fn shuffle<T: Copy>(key: Key, data: &[T], shape: &[usize], axis: usize) -> Result<Vec<T>> {
    let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if axis >= shape.len() || size != Some(data.len()) {
        return Err(Error::argument(
            "x",
            format!("shape {shape:?} with an axis {axis}"),
            format!("{} elements", data.len()),
        ));
    }
    let length = shape[axis];
    let stride: usize = shape[axis + 1..].iter().product();
    // Sorting by 32-bit keys may meet equal keys; JAX repeats it until that is unlikely to matter.
    let rounds = (3.0 * (data.len().max(1) as f64).ln() / f64::from(u32::MAX).ln()).ceil() as usize;

    let mut key = key;
    let mut data = data.to_vec();
    let mut line = Vec::with_capacity(length);
    for _ in 0..rounds {
        let [next, subkey] = key.split();
        key = next;
        let sort_keys = random_bits::<u32>(subkey, data.len());
        let starts =
            (0..data.len()).step_by((length * stride).max(1)).flat_map(|block| block..block + stride);
        for start in starts {
            line.clear();
            line.extend((0..length).map(|i| start + i * stride).map(|at| (sort_keys[at], data[at])));
            line.sort_by_key(|&(sort_key, _)| sort_key);
            for (i, &(_, value)) in line.iter().enumerate() {
                data[start + i * stride] = value;
            }
        }
    }
    Ok(data)
}
