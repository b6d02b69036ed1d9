//! `erf_inv`, `log1p` and `log` as XLA computes them on a CPU, operation by operation.
//!
//! The last bits of a normal sample, and which category a Gumbel draw picks, depend on the approximation, on the
//! order of its operations and on which product and sum become one rounding. These functions keep XLA's
//! (jaxlib 0.10.2), so that samples agree with JAX and do not depend on the platform's mathematical library.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The inverse of the error function, infinite at ±1 and NaN beyond: the one function that operations need and neither
/// Rust's standard library nor `libm` has.
pub fn erf_inv(x: f64) -> f64 {
    if x.abs() == 1.0 { x * f64::INFINITY } else { Real::erf_inv(x) }
}

/// The precision that sampling computes in: `f32`, or `f64` for double-precision samples.
pub trait Real:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// `self · b + c` with one rounding.
    fn fma(self, b: Self, c: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The natural logarithm of a positive, normal number.
    fn log(self) -> Self;
    /// The inverse of the error function on (−1, 1).
    fn erf_inv(self) -> Self;
    /// Whether this is not a number.
    fn is_nan(self) -> bool;
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    /// The product of two `f32` is exact in `f64`, so this differs from a fused operation only where the sum lies
    /// within 2⁻⁵³ of a tie; unlike `f32::mul_add` it is fast on every target.
    fn fma(self, b: Self, c: Self) -> Self {
        (f64::from(self) * f64::from(b) + f64::from(c)) as f32
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }

    /// The Cephes approximation: x = m · 2ᵉ with m in [√½, √2), a polynomial of degree eight in m − 1.
    fn log(self) -> Self {
        const SQRT_HALF: f32 = 0.707_106_77;
        const LN_2_HI: f32 = 0.693_359_4;
        const LN_2_LO: f32 = -0.000_212_194_44;

        let bits = self.to_bits();
        let mut exponent = ((bits >> 23) as i32 - 127) as f32 + 1.0;
        let mantissa = f32::from_bits(bits & 0x007F_FFFF | 0x3F00_0000);
        let mut x = mantissa - 1.0;
        if mantissa < SQRT_HALF {
            x += mantissa;
            exponent -= 1.0;
        }
        let (x2, x3) = (x * x, x * x * x);
        let high = x.fma(0.070_376_836, -0.115_146_1).fma(x, 0.116_769_984);
        let middle = x.fma(-0.124_201_41, 0.142_493_23).fma(x, -0.166_680_57);
        let low = x.fma(0.200_007_14, -0.249_999_94).fma(x, 0.333_333_3);
        let series = high.fma(x3, middle).fma(x3, low);
        let tail = series.fma(x3, exponent * LN_2_LO);
        exponent.fma(LN_2_HI, tail + x2.fma(-0.5, x))
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }

    /// Giles, "Approximating the erfinv function", single precision.
    fn erf_inv(self) -> Self {
        const CENTRAL: [f32; 9] = [
            2.810_226_4e-8,
            3.432_739_4e-7,
            -3.523_387_7e-6,
            -4.391_506_5e-6,
            0.000_218_580_87,
            -0.001_253_725,
            -0.004_177_681_6,
            0.246_640_73,
            1.501_409_4,
        ];
        const TAIL: [f32; 9] = [
            -0.000_200_214_26,
            0.000_100_950_56,
            0.001_349_343_2,
            -0.003_673_428_4,
            0.005_739_507_7,
            -0.007_622_461_3,
            0.009_438_870_5,
            1.001_674,
            2.832_976_8,
        ];
        let w = -log1p(-self * self);
        let central = w < 5.0;
        let x = if central { w - 2.5 } else { w.sqrt() - 3.0 };
        let mut p = if central { CENTRAL[0] } else { TAIL[0] };
        for (&c, &t) in CENTRAL[1..].iter().zip(&TAIL[1..]) {
            p = p.fma(x, if central { c } else { t });
        }
        p * self
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn fma(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn log(self) -> Self {
        self.ln()
    }

    fn is_nan(self) -> bool {
        self.is_nan()
    }

    /// Giles, "Approximating the erfinv function", double precision.
    fn erf_inv(self) -> Self {
        const CENTRAL: [f64; 23] = [
            -3.644_412_064_017_82e-21,
            -1.685_059_138_182_016_6e-19,
            1.285_848_071_525_64e-18,
            1.115_787_767_802_518_1e-17,
            -1.333_171_662_854_621e-16,
            2.097_276_787_596_856_2e-17,
            6.637_638_134_358_324e-15,
            -4.054_566_272_975_207e-14,
            -8.151_934_197_605_472e-14,
            2.633_509_315_308_232_3e-12,
            -1.297_513_325_345_353_2e-11,
            -5.415_412_054_294_628e-11,
            1.051_212_273_321_532_3e-9,
            -4.112_633_980_346_984e-9,
            -2.907_036_995_788_200_5e-8,
            4.234_787_782_793_240_4e-7,
            -1.365_469_200_083_467_9e-6,
            -1.388_252_336_278_646_9e-5,
            0.000_186_734_208_034_057_14,
            -0.000_740_702_534_166_267,
            -0.006_033_670_871_430_149,
            0.240_158_182_425_589_62,
            1.653_654_562_683_102_7,
        ];
        const MIDDLE: [f64; 19] = [
            2.213_737_692_177_578_7e-9,
            9.075_656_193_888_539e-8,
            -2.751_740_629_706_454_5e-7,
            1.823_962_921_438_922_8e-8,
            1.502_740_396_890_982_8e-6,
            -4.013_867_526_981_546e-6,
            2.923_444_908_995_544_6e-6,
            1.247_530_448_167_177_9e-5,
            -4.731_822_900_905_573_4e-5,
            6.828_485_145_957_318e-5,
            2.403_111_038_709_789_4e-5,
            -0.000_355_037_520_362_847_5,
            0.000_953_289_379_737_380_5,
            -0.001_688_275_556_023_504_7,
            0.002_491_442_096_107_851,
            -0.003_751_208_507_569_241,
            0.005_370_914_553_590_064,
            1.005_258_967_694_159_2,
            3.083_885_610_492_220_8,
        ];
        const TAIL: [f64; 17] = [
            -2.710_992_061_643_857_3e-11,
            -2.555_641_816_996_525e-10,
            1.507_657_269_350_054_8e-9,
            -3.789_465_440_126_737e-9,
            7.615_701_208_078_34e-9,
            -1.496_002_662_714_924e-8,
            2.914_795_345_090_108e-8,
            -6.771_199_775_845_234e-8,
            2.290_048_222_802_665_5e-7,
            -9.929_827_294_231_7e-7,
            4.526_062_597_223_154e-6,
            -1.968_177_810_553_167e-5,
            7.599_527_703_001_776e-5,
            -0.000_215_030_119_300_444_77,
            -0.000_138_719_318_336_231_22,
            1.010_300_464_864_534_4,
            4.849_906_401_408_584,
        ];
        let w = -log1p(-self * self);
        let p = if w < 6.25 {
            horner(&CENTRAL, w - 3.125)
        } else if w < 16.0 {
            horner(&MIDDLE, w.sqrt() - 3.25)
        } else {
            horner(&TAIL, w.sqrt() - 5.0)
        };
        p * self
    }
}

/// The polynomial whose coefficients, from the highest power down, are `coefficients`.
fn horner<R: Real>(coefficients: &[f64], x: R) -> R {
    let mut powers = coefficients.iter().map(|&c| R::from_f64(c));
    let first = powers.next().unwrap_or(R::from_f64(0.0));
    powers.fold(first, |p, c| p.fma(x, c))
}

/// `log(1 + x)` for x > −1: a rational function near zero, the logarithm elsewhere.
fn log1p<R: Real>(x: R) -> R {
    const NUMERATOR: [f64; 7] = [
        4.527_000_086_244_52e-5,
        0.498_541_028_231_933_75,
        6.578_732_594_206_104,
        29.911_919_328_553_072,
        60.949_667_980_987_79,
        57.112_963_590_585_54,
        20.039_553_499_201_283,
    ];
    const DENOMINATOR: [f64; 7] = [
        1.0,
        15.062_909_083_469_192,
        83.047_565_967_967_22,
        221.762_398_237_328_57,
        309.098_722_253_120_57,
        216.427_886_144_959_47,
        60.118_660_497_603_84,
    ];
    let near = R::from_f64(std::f64::consts::SQRT_2 - 1.0);
    if x < near && -x < near {
        let x2 = x * x;
        let ratio = horner(&NUMERATOR, x) / horner(&DENOMINATOR, x);
        x + x2.fma(R::from_f64(-0.5), x * x2 * ratio)
    } else {
        (R::from_f64(1.0) + x).log()
    }
}
