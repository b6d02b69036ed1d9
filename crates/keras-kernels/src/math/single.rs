//! Single-precision functions without branches: each `if` is a choice between two computed values.
//!
//! Coefficients of `exp`, `ln` and `tanh` are those of Cephes (S. Moshier), of `erf` N. Juffa's, of `erf_inv`
//! M. Giles's.

use super::{MulAdd, Separate, horner};

/// Adding and subtracting it rounds to an integer (to nearest even) any value below 2^22 in magnitude.
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `2^n` for `n` in -126..=127.
#[inline(always)]
fn exp2i(n: i32) -> f32 {
    power(n.wrapping_add(127))
}

/// The power of two with a biased exponent, of 1 to 254.
#[inline(always)]
fn power(biased: i32) -> f32 {
    f32::from_bits((biased << 23) as u32)
}

/// Splits `x` into `n ln 2 + r`, and gives `n` and `exp(r) - 1`.
#[inline(always)]
fn reduce(x: f32, m: impl MulAdd) -> (i32, f32) {
    let shifted = m.mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let whole = shifted - ROUND;
    let r = m.mul_add(whole, -LN_2_LOW, m.mul_add(whole, -LN_2_HIGH, x));
    let p = horner(r, [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5], m);
    (n, m.mul_add(r * r, p, r))
}

/// Multiplies by `2^n` in two exact steps and one that rounds, for `n` in -252..=254.
#[inline(always)]
fn scale(x: f32, n: i32) -> f32 {
    // The sum of both factors' biased exponents.
    let biased = n.wrapping_add(2 * 127);
    let half = biased >> 1;
    x * power(half) * power(biased.wrapping_sub(half))
}

/// Keeps NaN, unlike `f32::clamp`'s users expect of `min` and `max`.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
pub(super) fn exp(x: f32, m: impl MulAdd) -> f32 {
    let (n, less_one) = reduce(clamp(x, -104.0, 89.0), m);
    scale(1.0 + less_one, n)
}

#[inline(always)]
pub(super) fn exp_m1(x: f32, m: impl MulAdd) -> f32 {
    let (n, less_one) = reduce(clamp(x, -18.0, 89.0), m);
    let y = scale(less_one + (1.0 - exp2i(n.wrapping_neg().max(-126))), n);
    // Here the quadratic term is lost anyway, and the sign of zero must not be.
    if x.abs() < 1e-8 { x } else { y }
}

#[inline(always)]
pub(super) fn ln(x: f32, m: impl MulAdd) -> f32 {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let bits = (scaled.to_bits() as i32).wrapping_sub(SQRT_HALF);
    let exponent = (bits >> 23) as f32 - if subnormal { 23.0 } else { 0.0 };
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF) as u32) - 1.0;
    let z = f * f;
    let p = horner(
        f,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_984,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_3,
        ],
        m,
    );
    let tail = m.mul_add(z, -0.5, m.mul_add(exponent, LN_2_LOW, f * z * p));
    let y = m.mul_add(exponent, LN_2_HIGH, f + tail);
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

#[inline(always)]
pub(super) fn ln_1p(x: f32, m: impl MulAdd) -> f32 {
    let u = 1.0 + x;
    // What rounding took from 1 + x, over u, is the first-order correction.
    let correction = (x - (u - 1.0)) / u;
    let logarithm = ln(u, m);
    let y = logarithm + correction;
    let y = if u == 0.0 || u == f32::INFINITY { logarithm } else { y };
    if u == 1.0 { x } else { y }
}

#[inline(always)]
pub(super) fn sigmoid(x: f32, m: impl MulAdd) -> f32 {
    let e = exp(-x.abs(), m);
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

#[inline(always)]
pub(super) fn tanh(x: f32, m: impl MulAdd) -> f32 {
    let a = x.abs();
    let z = x * x;
    let p = horner(z, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_8], m);
    let near = m.mul_add(z * x, p, x);
    // Beyond 10 it is 1, and 2^n needs no second step.
    let (n, less_one) = reduce(if a > 10.0 { 20.0 } else { a + a }, m);
    let far = 1.0 - 2.0 / m.mul_add(less_one, exp2i(n), exp2i(n) + 1.0);
    let y = if a < 0.625 { near } else { far };
    y.copysign(x)
}

#[inline(always)]
pub(super) fn erf(x: f32, m: impl MulAdd) -> f32 {
    let t = x.abs();
    let s = x * x;
    let p = horner(
        t,
        [
            -1.728_534_7e-5,
            3.831_979_7e-4,
            -3.883_964e-3,
            2.425_462_2e-2,
            -0.106_777_88,
            -0.634_846_9,
            -0.128_717_51,
        ],
        m,
    );
    let far = 1.0 - exp(m.mul_add(p, t, -t), m);
    let q = horner(
        s,
        [-5.967_617e-4, 4.991_194e-3, -2.676_813_5e-2, 0.112_819_925, -0.376_125_34, 0.128_379_17],
        m,
    );
    let near = m.mul_add(q, x, x);
    let y = if t > 0.927_734_4 { far } else { near };
    y.copysign(x)
}

#[inline(always)]
pub(super) fn erf_inv(x: f32) -> f32 {
    let w = -ln_1p(-x * x, Separate);
    let near = horner(
        w - 2.5,
        [
            2.810_226_4e-8,
            3.432_739_4e-7,
            -3.523_387_7e-6,
            -4.391_506_4e-6,
            0.000_218_580_87,
            -0.001_253_725,
            -0.004_177_681_6,
            0.246_640_73,
            1.501_409_4,
        ],
        Separate,
    );
    let far = horner(
        w.sqrt() - 3.0,
        [
            -0.000_200_214_26,
            0.000_100_950_56,
            0.001_349_343_2,
            -0.003_673_428_5,
            0.005_739_507_7,
            -0.007_622_461_3,
            0.009_438_870_5,
            1.001_674,
            2.832_976_8,
        ],
        Separate,
    );
    let p = if w < 5.0 { near } else { far };
    if x.abs() == 1.0 { x * f32::INFINITY } else { p * x }
}

#[cfg(test)]
mod tests {
    use super::super::{Fused, Real};
    use super::*;

    /// Distance in units in the last place, counted through the subnormals.
    fn ulps(a: f32, b: f32) -> u64 {
        let ordered = |x: f32| {
            let bits = x.to_bits() as i32 as i64;
            if bits < 0 { i32::MIN as i64 - bits } else { bits }
        };
        if a.is_nan() || b.is_nan() {
            return if a.is_nan() && b.is_nan() { 0 } else { u64::MAX };
        }
        ordered(a).abs_diff(ordered(b))
    }

    /// The largest error against `exact` over bit patterns of all magnitudes and both signs.
    fn worst(function: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> (u64, f32) {
        let specials = [0, 0x7f80_0000, 0x7fc0_0000, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_ffff];
        let patterns = (0..u32::MAX / 2).step_by(1009).chain(specials);
        patterns
            .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
            .map(|x| (ulps(function(x), exact(x.to_f64()) as f32), x))
            .max_by_key(|(error, _)| *error)
            .unwrap()
    }

    fn check_accuracy(m: impl MulAdd) {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let check = |name, function: &dyn Fn(f32) -> f32, exact: &dyn Fn(f64) -> f64, limit| {
            let (error, x) = worst(function, exact);
            assert!(error <= limit, "{name}({x:e}) = {:e} with {m:?}: {error} ULP", function(x));
        };
        check("exp", &|x| exp(x, m), &f64::exp, 1);
        check("exp_m1", &|x| exp_m1(x, m), &f64::exp_m1, 2);
        check("ln", &|x| ln(x, m), &f64::ln, 1);
        check("ln_1p", &|x| ln_1p(x, m), &f64::ln_1p, 2);
        check("tanh", &|x| tanh(x, m), &f64::tanh, 2);
        check("sigmoid", &|x| sigmoid(x, m), &super::super::double::sigmoid, 2);
        check("softplus", &|x| Real::softplus(x, m), &softplus, 2);
        check("erf", &|x| erf(x, m), &libm::erf, 2);
        check("rsqrt", &Real::rsqrt, &|x| 1.0 / x.sqrt(), 1);
    }

    #[test]
    fn accuracy() {
        check_accuracy(Fused);
        check_accuracy(Separate);
    }

    /// `jax.lax.erf_inv` of JAX 0.10.2 on the CPU, as bits: its error against the true function is up to 60 ULP.
    #[test]
    fn erf_inv_is_that_of_jax() {
        let golden: [(u32, u32); 34] = [
            (0xbdfb5c78, 0xbddfa621),
            (0xbd64a130, 0xbd4ac885),
            (0xbe6a46cc, 0xbe528d5e),
            (0xbf11710f, 0xbf0e47e5),
            (0xbf0f9d57, 0xbf0c160c),
            (0x3f4e32d9, 0x3f6ad4f4),
            (0xbe7d839c, 0xbe646727),
            (0xbe362f6c, 0xbe22d1bb),
            (0xbe91f296, 0xbe84396d),
            (0x3ead4ac2, 0x3e9e7f27),
            (0xbd938bf8, 0xbd82f027),
            (0x3f20c699, 0x3f219cbd),
            (0x3ec6206a, 0x3eb719a4),
            (0xbf5bf56f, 0xbf854f17),
            (0xbe267ebc, 0xbe1496b7),
            (0xbf585103, 0xbf80b569),
            (0x3f42bbad, 0x3f550068),
            (0xbf3f9abf, 0xbf4f8ec1),
            (0xbeed46a6, 0xbedfbe1e),
            (0xbe087dec, 0xbdf30fde),
            (0xbe060c1c, 0xbdeeab31),
            (0xbf63708b, 0xbf9004ec),
            (0xbf38b40f, 0xbf442b32),
            (0x3e8fe4e2, 0x3e8247e2),
            (0x3f7fffff, 0x407547ca),
            (0x3f7ffffe, 0x406f9c68),
            (0x3f7ffff5, 0x406119a9),
            (0x3f7fff9b, 0x404ccf1a),
            (0x3f7ffc17, 0x4035a8a0),
            (0x3f7ff061, 0x4026496f),
            (0xbf7fff9a, 0xc04cb6f6),
            (0xbf7ff82e, 0xc02e1e0d),
            (0x3a83126f, 0x3a6851b2),
            (0x322bcc77, 0x321840ab),
        ];
        for (x, y) in golden.map(|(x, y)| (f32::from_bits(x), f32::from_bits(y))) {
            assert!(ulps(erf_inv(x), y) <= 2, "{x:e}: {:e} is not {y:e}", erf_inv(x));
        }
    }

    #[test]
    fn zeros_keep_their_sign() {
        fn check(m: impl MulAdd) {
            for zero in [0.0, -0.0f32] {
                let values = [exp_m1(zero, m), ln_1p(zero, m), tanh(zero, m), erf(zero, m), erf_inv(zero)];
                assert_eq!(values.map(f32::to_bits), [zero.to_bits(); 5]);
            }
        }
        check(Fused);
        check(Separate);
    }
}
