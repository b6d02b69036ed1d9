//! Samples of the gamma and the beta distribution, as JAX draws them: Marsaglia and Tsang's method.

use keras_spec::random::Key;
use keras_spec::random::distributions::{normal, uniform};

macro_rules! samplers {
    ($T:ty, $sample:ident, $gamma:ident, $beta:ident) => {
        /// A sample of the gamma distribution: a number and the logarithm of what it is to be multiplied with. Their product may
        /// be less than there are numbers for.
        fn $sample(key: Key, alpha: $T) -> ($T, $T) {
            // Below 1, a sample for one more is made smaller.
            let d = if alpha >= 1.0 { alpha } else { alpha + 1.0 } - 1.0 / 3.0;
            let c = (1.0 / 3.0) / d.sqrt();
            let [mut key, smaller_key] = key.split();
            let v = loop {
                let [next, mut normal_key, uniform_key] = key.split();
                key = next;
                let (x, v) = loop {
                    let [next, subkey] = normal_key.split();
                    normal_key = next;
                    let x = normal::<$T>(subkey, 1, 0.0, 1.0)[0];
                    let v = 1.0 + x * c;
                    if v > 0.0 {
                        break (x * x, v * v * v);
                    }
                };
                let u = uniform::<$T>(uniform_key, 1, 0.0, 1.0)[0];
                if u < 1.0 - 0.0331 * (x * x) || u.ln() < x * 0.5 + d * (1.0 - v + v.ln()) {
                    break v;
                }
            };
            let rest = uniform::<$T>(smaller_key, 1, 0.0, 1.0)[0];
            (d * v, if alpha >= 1.0 { 0.0 } else { (-rest).ln_1p() / alpha })
        }

        /// As many samples of the gamma distribution.
        pub(super) fn $gamma(key: Key, len: usize, alpha: $T) -> Vec<$T> {
            let sample = |i| {
                let (number, logarithm) = $sample(key.fold_in(i), alpha);
                number * logarithm.exp()
            };
            (0..len as u32).map(sample).collect()
        }

        /// As many samples of the beta distribution.
        pub(super) fn $beta(key: Key, len: usize, [alpha, beta]: [$T; 2]) -> Vec<$T> {
            let [first, second] = key.split::<2>();
            let sample = |i| {
                let log = |(number, logarithm): ($T, $T)| number.ln() + logarithm;
                let a = log($sample(first.fold_in(i), alpha));
                let b = log($sample(second.fold_in(i), beta));
                let largest = a.max(b);
                let (a, b) = ((a - largest).exp(), (b - largest).exp());
                a / (a + b)
            };
            (0..len as u32).map(sample).collect()
        }
    };
}

samplers!(f32, sample_f32, gamma_f32, beta_f32);
samplers!(f64, sample_f64, gamma_f64, beta_f64);
