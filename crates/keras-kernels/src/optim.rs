//! One step of an optimizer on one variable, in place and in one pass over memory.
//!
//! Formulas, and the order of rounding, are those of `keras.optimizers` 3.15.1. Each kernel takes the learning rate of
//! this step. Weight decay is decoupled as Keras does it for every optimizer: `decay`, the weight decay times the learning rate,
//! is the share of a weight that is taken away before the step; 0 for none.

use crate::math::Real;
use crate::{Error, Num, Result, par};

/// Stochastic gradient descent: `keras.optimizers.SGD`.
#[derive(Debug, Clone, Copy)]
pub struct Sgd<A> {
    /// Step size.
    pub learning_rate: A,
    /// How much of the last step is kept; not read without a state.
    pub momentum: A,
    /// Whether the momentum is applied ahead.
    pub nesterov: bool,
    /// The share of each weight that goes before the step.
    pub decay: A,
}

/// `keras.optimizers.Adam` and, with weight decay, `AdamW`.
#[derive(Debug, Clone, Copy)]
pub struct Adam<A> {
    /// Step size, corrected for the moments' start at zero: `learning_rate · sqrt(1 - beta_2^t) / (1 - beta_1^t)`.
    pub alpha: A,
    /// Decay of the first moment; Keras takes `1 - beta_1` before it rounds to the variable's type.
    pub beta_1: f64,
    /// Decay of the second moment, likewise.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: A,
    /// The share of each weight that goes before the step.
    pub decay: A,
}

/// `keras.optimizers.RMSprop`.
#[derive(Debug, Clone, Copy)]
pub struct RmsProp<A> {
    /// Step size.
    pub learning_rate: A,
    /// Decay of the mean square; Keras takes `1 - rho` before it rounds to the variable's type.
    pub rho: f64,
    /// How much of the last step is kept; not read without that state.
    pub momentum: A,
    /// Added under the root.
    pub epsilon: A,
    /// The share of each weight that goes before the step.
    pub decay: A,
}

/// Calls `op(variable, gradient, states)` for every element, where an absent state stands for a value that is
/// computed and forgotten.
fn step<T: Num, const N: usize>(
    variable: &mut [T],
    gradient: &[T],
    states: [&mut [T]; N],
    decay: T::Acc,
    op: impl Fn(T::Acc, T::Acc, [T::Acc; N]) -> (T::Acc, [T::Acc; N]) + Send + Sync,
) -> Result<()>
where
    T::Acc: Real,
{
    const COST: usize = 8;
    Error::check_len("gradient", variable.len(), gradient.len())?;
    for state in &states {
        Error::check_len("state", variable.len(), state.len())?;
    }
    let work = variable.len().saturating_mul(COST);
    let mut states = states.map(|state| state.chunks_mut(par::CHUNK));
    let chunks = variable.chunks_mut(par::CHUNK).zip(gradient.chunks(par::CHUNK));
    let items = chunks.map(|(variable, gradient)| {
        // Checked above: every state has as many chunks.
        let states = states.each_mut().map(|state| state.next().unwrap_or_default());
        (variable, gradient, states)
    });
    // Without decay NaN and infinity in the factor must not reach the weight.
    let decayed = move |w: T::Acc| if decay == T::Acc::ZERO { w } else { w - w * decay };
    par::for_each(items, work, move |(variable, gradient, states)| {
        par::simd!(elements(variable, gradient, states, |w, g, states| op(decayed(w), g, states)));
    });
    Ok(())
}

/// Calls `op` for every element, in blocks of a known size, which compilers turn into vectors: of slices in an array they do not
/// know that none looks at another's elements.
#[inline(always)]
fn elements<T: Num, const N: usize>(
    variable: &mut [T],
    gradient: &[T],
    mut states: [&mut [T]; N],
    op: impl Fn(T::Acc, T::Acc, [T::Acc; N]) -> (T::Acc, [T::Acc; N]),
) {
    const BLOCK: usize = 32;
    let (blocks, last) = variable.as_chunks_mut::<BLOCK>();
    let (gradients, last_gradient) = gradient.as_chunks::<BLOCK>();
    let whole = blocks.len() * BLOCK;
    for (i, (w, g)) in blocks.iter_mut().zip(gradients).enumerate() {
        let mut own = [[T::ZERO; BLOCK]; N];
        for (own, state) in own.iter_mut().zip(&states) {
            own.copy_from_slice(&state[i * BLOCK..][..BLOCK]);
        }
        for j in 0..BLOCK {
            let (new, states) = op(w[j].widen(), g[j].widen(), own.each_ref().map(|own| own[j].widen()));
            w[j] = T::narrow(new);
            own.iter_mut().zip(states).for_each(|(own, state)| own[j] = T::narrow(state));
        }
        for (own, state) in own.iter().zip(&mut states) {
            state[i * BLOCK..][..BLOCK].copy_from_slice(own);
        }
    }
    for (j, (w, g)) in last.iter_mut().zip(last_gradient).enumerate() {
        let (new, own) = op(w.widen(), g.widen(), states.each_ref().map(|state| state[whole + j].widen()));
        *w = T::narrow(new);
        states.iter_mut().zip(own).for_each(|(state, own)| state[whole + j] = T::narrow(own));
    }
}

impl<A: Real> Sgd<A> {
    /// Updates `variable`, and the velocity that Keras calls `momentums` if there is one.
    ///
    /// # Errors
    /// If the slices differ in length.
    pub fn step<T: Num<Acc = A>>(
        &self,
        variable: &mut [T],
        gradient: &[T],
        velocity: Option<&mut [T]>,
    ) -> Result<()> {
        let Self { learning_rate: lr, momentum, nesterov, decay } = *self;
        let Some(velocity) = velocity else {
            return step(variable, gradient, [], decay, move |w, g, []| (w - g * lr, []));
        };
        step(variable, gradient, [velocity], decay, move |w, g, [m]| {
            let m = m * momentum - g * lr;
            (if nesterov { w + (m * momentum - g * lr) } else { w + m }, [m])
        })
    }
}

impl<A: Real> Adam<A> {
    /// Updates `variable`, its first moment (`momentum`) and second moment (`velocity`); with `velocity_hat`, the
    /// largest second moment so far, the AMSGrad variant.
    ///
    /// # Errors
    /// If the slices differ in length.
    pub fn step<T: Num<Acc = A>>(
        &self,
        variable: &mut [T],
        gradient: &[T],
        momentum: &mut [T],
        velocity: &mut [T],
        velocity_hat: Option<&mut [T]>,
    ) -> Result<()> {
        let Self { alpha, beta_1, beta_2, epsilon, decay } = *self;
        let (new_1, new_2) = (A::from_f64(1.0 - beta_1), A::from_f64(1.0 - beta_2));
        let moments = move |g: A, m: A, v: A| (m + (g - m) * new_1, v + (g * g - v) * new_2);
        match velocity_hat {
            None => step(variable, gradient, [momentum, velocity], decay, move |w, g, [m, v]| {
                let (m, v) = moments(g, m, v);
                (w - m * alpha / (v.sqrt() + epsilon), [m, v])
            }),
            Some(hat) => {
                step(variable, gradient, [momentum, velocity, hat], decay, move |w, g, [m, v, hat]| {
                    let (m, v) = moments(g, m, v);
                    let hat = hat.maximum(v);
                    (w - m * alpha / (hat.sqrt() + epsilon), [m, v, hat])
                })
            }
        }
    }
}

impl<A: Real> RmsProp<A> {
    /// Updates `variable`, its mean square (`velocity`), the last step (`momentum`) if there is one, and with
    /// `average_gradient` the centered variant's mean gradient.
    ///
    /// # Errors
    /// If the slices differ in length.
    pub fn step<T: Num<Acc = A>>(
        &self,
        variable: &mut [T],
        gradient: &[T],
        velocity: &mut [T],
        momentum: Option<&mut [T]>,
        average_gradient: Option<&mut [T]>,
    ) -> Result<()> {
        let Self { learning_rate: lr, rho, momentum: factor, epsilon, decay } = *self;
        let (old_part, new_part) = (A::from_f64(rho), A::from_f64(1.0 - rho));
        let mean = move |average: A, new: A| old_part * average + new_part * new;
        let increment = move |g: A, denominator: A| lr * g / denominator.sqrt();
        match (momentum, average_gradient) {
            (None, None) => step(variable, gradient, [velocity], decay, move |w, g, [v]| {
                let v = mean(v, g * g);
                (w - increment(g, v + epsilon), [v])
            }),
            (Some(last), None) => {
                step(variable, gradient, [velocity, last], decay, move |w, g, [v, last]| {
                    let v = mean(v, g * g);
                    let last = factor * last + increment(g, v + epsilon);
                    (w - last, [v, last])
                })
            }
            (None, Some(average)) => {
                step(variable, gradient, [velocity, average], decay, move |w, g, [v, average]| {
                    let (v, average) = (mean(v, g * g), mean(average, g));
                    (w - increment(g, v - average * average + epsilon), [v, average])
                })
            }
            (Some(last), Some(average)) => {
                step(variable, gradient, [velocity, last, average], decay, move |w, g, [v, last, average]| {
                    let (v, average) = (mean(v, g * g), mean(average, g));
                    let last = factor * last + increment(g, v - average * average + epsilon);
                    (w - last, [v, last, average])
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRADIENTS: [[f32; 3]; 3] = [[0.1, -2.0, 0.0], [0.3, 1.5, -0.25], [-0.7, 0.125, 4.0]];

    /// Three steps from the same weights, as the real Keras was run to get the expectations.
    fn run(mut step: impl FnMut(u64, &mut [f32], &[f32]) -> Result<()>, expected: [f32; 3]) {
        let mut w = [0.5, -1.25, 3.0];
        for (i, gradient) in GRADIENTS.iter().enumerate() {
            step(i as u64 + 1, &mut w, gradient).unwrap();
        }
        for (w, expected) in w.iter().zip(expected) {
            assert!((w - expected).abs() <= 2e-7 * expected.abs(), "{w} is not {expected}");
        }
    }

    #[test]
    fn sgd() {
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: false, decay: 0.0 };
        run(|_, w, g| sgd.step(w, g, None), [0.530_000_03, -1.2125, 2.625]);
        let decayed = Sgd { decay: 0.05 * 0.1, ..sgd };
        run(|_, w, g| decayed.step(w, g, None), [0.522_787_2, -1.195_088_5, 2.580_099_6]);
        let mut m = [0.0; 3];
        run(|_, w, g| sgd.step(w, g, Some(&mut m)), [0.4859, -1.005_5, 2.647_5]);
        let (nesterov, mut m) = (Sgd { nesterov: true, ..sgd }, [0.0; 3]);
        run(|_, w, g| nesterov.step(w, g, Some(&mut m)), [0.517_31, -0.992_450_06, 2.307_749_7]);
    }

    #[test]
    fn adam() {
        let at = |step: u64, beta_2: f64| {
            let left = |beta: f64| 1.0 - (beta as f32).powf(step as f32);
            let alpha = 0.01 * left(beta_2).sqrt() / left(0.9);
            Adam { alpha, beta_1: 0.9, beta_2, epsilon: 1e-7, decay: 0.0 }
        };
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        run(
            |step, w, g| at(step, 0.999).step(w, g, &mut m, &mut v, None),
            [0.483_725_52, -1.238_736_5, 3.001_424_3],
        );
        let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
        run(
            |step, w, g| Adam { decay: 0.05 * 0.01, ..at(step, 0.999) }.step(w, g, &mut m, &mut v, None),
            [0.482_990_44, -1.236_872_9, 2.996_923],
        );
        let (mut m, mut v, mut hat) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        run(
            |step, w, g| at(step, 0.5).step(w, g, &mut m, &mut v, Some(&mut hat)),
            [0.484_167_4, -1.238_718_6, 3.001_843_7],
        );
        assert!(hat[1] > v[1]);
    }

    #[test]
    fn rms_prop() {
        let rms = RmsProp { learning_rate: 0.01, rho: 0.9, momentum: 0.9, epsilon: 1e-7, decay: 0.0 };
        let (mut v, mut m, mut a) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        run(|_, w, g| rms.step(w, g, &mut v, None, None), [0.467_316_3, -1.239_709, 3.000_055]);
        v = [0.0; 3];
        run(|_, w, g| rms.step(w, g, &mut v, Some(&mut m), None), [0.386_108_2, -1.203_284_5, 3.028_515_3]);
        v = [0.0; 3];
        run(|_, w, g| rms.step(w, g, &mut v, None, Some(&mut a)), [0.463_294_33, -1.238_014, 3.000_264_2]);
        (v, m, a) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        let expected = [0.376_801_34, -1.198_678, 3.030_264];
        run(|_, w, g| rms.step(w, g, &mut v, Some(&mut m), Some(&mut a)), expected);
    }

    #[test]
    fn long_variables_in_chunks_and_half_precision() {
        let n = 2 * par::CHUNK + 5;
        let sgd = Sgd { learning_rate: 0.5f32, momentum: 0.5, nesterov: false, decay: 0.0 };
        let (mut w, g, mut m) =
            (vec![half::bf16::ONE; n], vec![half::bf16::ONE; n], vec![half::bf16::ONE; n]);
        par::with_threads(3, || sgd.step(&mut w, &g, Some(&mut m))).unwrap();
        assert!(w.iter().all(|&w| w == half::bf16::ONE) && m.iter().all(|&m| m == half::bf16::ZERO));
    }

    #[test]
    fn lengths_must_agree() {
        let sgd = Sgd { learning_rate: 0.1f64, momentum: 0.0, nesterov: false, decay: 0.0 };
        assert!(sgd.step(&mut [1.0, 2.0], &[1.0], None).is_err());
        assert!(sgd.step(&mut [1.0, 2.0], &[1.0, 2.0], Some(&mut [0.0])).is_err());
        assert!(sgd.step::<f64>(&mut [], &[], Some(&mut [])).is_ok());
    }
}
