//! Single-precision functions without branches: each `if` is a choice between two computed values.
//!
//! Coefficients of `exp`, `ln` and `tanh` are those of Cephes (S. Moshier), of `erf` N. Juffa's, of `erf_inv`
//! M. Giles's; that of `erfc` was fitted for this file.

use super::horner;

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

/// Splits `x` into `n ln 2 + r`, and gives `n`, `r` and `exp(r) - 1 - r`.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let whole = shifted - ROUND;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let p = horner(r, [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5]);
    (n, r, r * r * p)
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
pub(super) fn exp(x: f32) -> f32 {
    let (n, r, tail) = reduce(clamp(x, -104.0, 89.0));
    scale(1.0 + (r + tail), n)
}

#[inline(always)]
pub(super) fn exp_m1(x: f32) -> f32 {
    let (n, r, tail) = reduce(clamp(x, -18.0, 89.0));
    let y = scale((r + tail) + (1.0 - exp2i(n.wrapping_neg().max(-126))), n);
    // Here the quadratic term is lost anyway, and the sign of zero must not be.
    if x.abs() < 1e-8 { x } else { y }
}

#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let bits = (scaled.to_bits() as i32).wrapping_sub(SQRT_HALF);
    let exponent = (bits >> 23) as f32 - if subnormal { 23.0 } else { 0.0 };
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF) as u32) - 1.0;
    let z = m * m;
    let p = horner(
        m,
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
    );
    let tail = m * z * p + exponent * LN_2_LOW - 0.5 * z;
    let y = (m + tail) + exponent * LN_2_HIGH;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

#[inline(always)]
pub(super) fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // What rounding took from 1 + x, over u, is the first-order correction.
    let correction = (x - (u - 1.0)) / u;
    let y = ln(u) + correction;
    let y = if u == 0.0 || u == f32::INFINITY { ln(u) } else { y };
    if u == 1.0 { x } else { y }
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = x * x;
    let near =
        horner(z, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_8]) * z * x + x;
    let far = 1.0 - 2.0 / (exp(a + a) + 1.0);
    let y = if a < 0.625 { near } else { far };
    y.copysign(x)
}

#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
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
    );
    let far = 1.0 - exp(p * t - t);
    let near =
        horner(s, [-5.967_617e-4, 4.991_194e-3, -2.676_813_5e-2, 0.112_819_925, -0.376_125_34, 0.128_379_17])
            * x
            + x;
    let y = if t > 0.927_734_4 { far } else { near };
    y.copysign(x)
}

/// `t exp(g(t) - x²)` with `t = 1 / (1 + |x|/2)`, in double precision, since the square needs the digits.
#[inline(always)]
pub(super) fn erfc(x: f32) -> f32 {
    const G: [f64; 13] = [
        6.990293564704063e-06,
        -8.712414686064097e-06,
        -4.7821392182659776e-05,
        0.00010090426222638715,
        0.00016026791867817744,
        -0.0007047731660650289,
        -0.00020373366912036615,
        0.004319923037793253,
        -0.001765075549885388,
        -0.03190743233584462,
        0.01932365987420778,
        0.5856021050652452,
        -0.5748763017833165,
    ];
    const ROUND_64: f64 = 6_755_399_441_055_744.0;
    // erfc(12) is below the smallest f32.
    let a = clamp(x.abs(), 0.0, 12.0) as f64;
    let t = 1.0 / (1.0 + 0.5 * a);
    // The fit is on 1/7 ..= 1, moved to -1 ..= 1.
    let argument = horner((t - 4.0 / 7.0) * (7.0 / 3.0), G) - a * a;
    let shifted = argument * std::f64::consts::LOG2_E + ROUND_64;
    let n = (shifted.to_bits() as i64).wrapping_sub(ROUND_64.to_bits() as i64);
    let r = argument - (shifted - ROUND_64) * std::f64::consts::LN_2;
    let e = horner(
        r,
        [1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0],
    );
    let y = t * e * f64::from_bits((n.wrapping_add(1023) << 52) as u64);
    (if x < 0.0 { 2.0 - y } else { y }) as f32
}

#[inline(always)]
pub(super) fn erf_inv(x: f32) -> f32 {
    let w = -ln_1p(-x * x);
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
    );
    let p = if w < 5.0 { near } else { far };
    if x.abs() == 1.0 { x * f32::INFINITY } else { p * x }
}

#[cfg(test)]
mod tests {
    use super::super::Real;
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
    fn worst(function: fn(f32) -> f32, exact: fn(f64) -> f64) -> (u64, f32) {
        let specials = [0, 0x7f80_0000, 0x7fc0_0000, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_ffff];
        let patterns = (0..u32::MAX / 2).step_by(1009).chain(specials);
        patterns
            .flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
            .map(|x| (ulps(function(x), exact(x.to_f64()) as f32), x))
            .max_by_key(|(error, _)| *error)
            .unwrap()
    }

    #[test]
    fn accuracy() {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let sigmoid = |x: f64| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, u64);
        let cases: [Case; 10] = [
            ("exp", exp, f64::exp, 1),
            ("exp_m1", exp_m1, f64::exp_m1, 2),
            ("ln", ln, f64::ln, 1),
            ("ln_1p", ln_1p, f64::ln_1p, 2),
            ("tanh", tanh, f64::tanh, 2),
            ("sigmoid", Real::sigmoid, sigmoid, 2),
            ("softplus", Real::softplus, softplus, 2),
            ("erf", erf, libm::erf, 2),
            ("erfc", erfc, libm::erfc, 1),
            ("rsqrt", Real::rsqrt, |x| 1.0 / x.sqrt(), 1),
        ];
        let failures: Vec<String> = cases
            .iter()
            .filter_map(|&(name, function, exact, limit)| {
                let (error, x) = worst(function, exact);
                (error > limit).then(|| format!("{name}({x:e}) = {:e}: {error} ULP", function(x)))
            })
            .collect();
        assert!(failures.is_empty(), "{failures:#?}");
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
        for function in [exp_m1, ln_1p, tanh, erf, erf_inv] {
            assert_eq!(function(-0.0).to_bits(), (-0.0f32).to_bits());
            assert_eq!(function(0.0).to_bits(), 0);
        }
    }
}
