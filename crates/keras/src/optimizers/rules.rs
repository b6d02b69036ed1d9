//! The optimizers: how each changes a variable.

use keras_spec::{DType, Fused, Op, Result, Tensor, UnaryOp, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all, correction, in_precision};
use super::declare::optimizer;
use crate::class::builders;
use crate::flattened::flattened;

/// Gradient descent, with momentum if given and a learning rate of 0.01 unless given (`keras.optimizers.SGD`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SGD {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    momentum: f64,
    nesterov: bool,
}

optimizer!(SGD, ["sgd"]);

impl Default for SGD {
    fn default() -> Self {
        let base = Base { learning_rate: LearningRate::Constant(0.01), ..Base::default() };
        SGD { base, momentum: 0.0, nesterov: false }
    }
}

impl SGD {
    builders! {
        /// How much of the last step is kept.
        momentum: f64;
        /// Whether the gradient is taken where the momentum leads.
        nesterov: bool;
    }

    fn operation(&self, step: Step) -> Fused {
        let learning_rate = f64::from(step.learning_rate);
        match self.momentum != 0.0 {
            true => Fused::SgdMomentum { learning_rate, momentum: self.momentum, nesterov: self.nesterov },
            false => Fused::Sgd { learning_rate },
        }
    }
}

impl Rule for SGD {
    const CLASS_NAME: &'static str = "SGD";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(if self.momentum != 0.0 { vec![Slot::zeros(variable, &["momentum"])?] } else { Vec::new() })
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        run(self.operation(step), variable, gradient, slots)
    }

    fn fused(&self, step: Step, _dtype: DType) -> Option<Fused> {
        Some(self.operation(step))
    }
}

/// `x + (goal - x) · share`
pub(super) fn approach(x: Tensor, goal: &Tensor, share: f64) -> Result<Tensor> {
    &x + ((goal - &x)? * share)?
}

/// Runs a fused step: the variable first, then its slots.
pub(super) fn run(
    op: Fused,
    variable: Tensor,
    gradient: Tensor,
    slots: Vec<Tensor>,
) -> Result<(Tensor, Vec<Tensor>)> {
    let mut results =
        Tensor::apply(Op::Fused(op), [variable, gradient].into_iter().chain(slots))?.into_iter();
    match results.next() {
        Some(variable) => Ok((variable, results.collect())),
        None => Err(keras_spec::Error::other("an optimizer step without a result")),
    }
}

/// The arguments of Adam and AdamW, which differ in the default of `weight_decay` only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Moments {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Default for Moments {
    fn default() -> Self {
        Moments { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    }
}

macro_rules! adam {
    ($(#[$doc:meta])* $Adam:ident, $alias:literal, weight_decay $weight_decay:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Adam {
            #[serde(flatten, deserialize_with = "flattened")]
            base: Base,
            #[serde(flatten, deserialize_with = "flattened")]
            moments: Moments,
        }

        optimizer!($Adam, [$alias]);

        impl Default for $Adam {
            fn default() -> Self {
                let base = Base { weight_decay: $weight_decay, ..Base::default() };
                $Adam { base, moments: Moments::default() }
            }
        }

        impl $Adam {
            builders! {
                /// The decay of the running mean of gradients. Default: 0.9.
                beta_1 in moments: f64;
                /// The decay of the running mean of squared gradients. Default: 0.999.
                beta_2 in moments: f64;
                /// Added to the root of the second moment. Default: 1e-7.
                epsilon in moments: f64;
                /// Whether the second moment never shrinks. Default: no.
                amsgrad in moments: bool;
            }
        }

        impl Rule for $Adam {
            const CLASS_NAME: &'static str = stringify!($Adam);

            fn base(&self) -> &Base {
                &self.base
            }

            fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
                self.moments.slots(variable)
            }

            fn update(
                &self,
                step: Step,
                variable: Tensor,
                gradient: Tensor,
                slots: Vec<Tensor>,
            ) -> Result<(Tensor, Vec<Tensor>)> {
                self.moments.update(step, variable, gradient, slots)
            }

            fn fused(&self, step: Step, dtype: DType) -> Option<Fused> {
                self.moments.fused(step, dtype)
            }
        }
    };
}

adam! {
    /// Adaptive moments, with a learning rate of 0.001 unless given (`keras.optimizers.Adam`, Keras 3.15.1).
    Adam, "adam", weight_decay None
}
adam! {
    /// [`Adam`] with weight decay, 0.004 unless given (`keras.optimizers.AdamW`, Keras 3.15.1).
    AdamW, "adamw", weight_decay Some(0.004)
}

impl Moments {
    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let mut groups = vec![Slot::zeros(variable, &["momentum", "velocity"])?];
        if self.amsgrad {
            groups.push(Slot::zeros(variable, &["velocity_hat"])?);
        }
        Ok(groups)
    }

    /// The step, corrected for the moments' start at zero.
    fn alpha(&self, step: Step, dtype: DType) -> f64 {
        let f = |x: f64| in_precision(dtype, x);
        let root = f(correction(dtype, self.beta_2, step).sqrt());
        f(f(f64::from(step.learning_rate) * root) / correction(dtype, self.beta_1, step))
    }

    fn fused(&self, step: Step, dtype: DType) -> Option<Fused> {
        let (beta_1, beta_2, epsilon) = (self.beta_1, self.beta_2, self.epsilon);
        (!self.amsgrad).then(|| Fused::Adam { alpha: self.alpha(step, dtype), beta_1, beta_2, epsilon })
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        if let Some(op) = self.fused(step, variable.dtype()) {
            return run(op, variable, gradient, slots);
        }
        let alpha = self.alpha(step, variable.dtype());
        let [m, v, greatest] = all(slots)?;
        let m = approach(m, &gradient, 1.0 - self.beta_1)?;
        let v = approach(v, &gradient.square()?, 1.0 - self.beta_2)?;
        let greatest = greatest.maximum(&v)?;
        let change = ((&m * alpha)? / (greatest.sqrt()? + self.epsilon)?)?;
        Ok(((variable - change)?, vec![m, v, greatest]))
    }
}

/// Gradients over the root of their running mean square, with a learning rate of 0.001 unless given (`keras.optimizers.RMSprop`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RMSprop {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

optimizer!(RMSprop, ["rmsprop"]);

impl Default for RMSprop {
    fn default() -> Self {
        RMSprop { base: Base::default(), rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

impl RMSprop {
    builders! {
        /// The decay of the running mean of squared gradients.
        rho: f64;
        /// How much of the last step is kept.
        momentum: f64;
        /// Added to the mean square before the root is taken.
        epsilon: f64;
        /// Whether the variance of gradients is used instead of their mean square.
        centered: bool;
    }
}

impl Rule for RMSprop {
    const CLASS_NAME: &'static str = "RMSprop";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let given =
            [(true, "velocity"), (self.momentum > 0.0, "momentum"), (self.centered, "average_gradient")];
        given
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| Slot::zeros(variable, &[name]))
            .collect()
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let mut slots = slots.into_iter();
        let mut next =
            || slots.next().ok_or_else(|| keras_spec::Error::other("RMSprop's state is incomplete"));
        let mix = |old: Tensor, new: Tensor| (old * self.rho)? + (new * (1.0 - self.rho))?;
        let velocity = mix(next()?, gradient.square()?)?;
        let momentum = if self.momentum > 0.0 { Some(next()?) } else { None };
        let average = if self.centered { Some(mix(next()?, gradient.clone())?) } else { None };
        let spread = match &average {
            Some(a) => (&velocity - a.square()?)?,
            None => velocity.clone(),
        };
        let root = Tensor::apply1(Op::Unary(UnaryOp::Sqrt), [(spread + self.epsilon)?])?;
        let mut change = ((gradient * f64::from(step.learning_rate))? / root)?;
        let momentum = match momentum {
            Some(m) => {
                change = ((m * self.momentum)? + change)?;
                Some(change.clone())
            }
            None => None,
        };
        let new = std::iter::once(velocity).chain(momentum).chain(average).collect();
        Ok(((variable - change)?, new))
    }
}
