//! The optimizers: how each changes a variable.

use keras_spec::{DType, Fused, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, correction, in_precision};
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
}

impl Rule for SGD {
    const CLASS_NAME: &'static str = "SGD";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(if self.momentum != 0.0 { vec![Slot::zeros(variable, &["momentum"])?] } else { Vec::new() })
    }

    fn fused(&self, step: Step, _variable: &Variable) -> Option<Fused> {
        let (learning_rate, decay) = (f64::from(step.learning_rate), step.decay);
        let (momentum, nesterov) = (self.momentum, self.nesterov);
        Some(match momentum != 0.0 {
            true => Fused::SgdMomentum { learning_rate, momentum, nesterov, decay },
            false => Fused::Sgd { learning_rate, decay },
        })
    }
}

/// `x + (goal - x) · share`
pub(super) fn approach(x: Tensor, goal: &Tensor, share: f64) -> Result<Tensor> {
    &x + ((goal - &x)? * share)?
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

            fn fused(&self, step: Step, variable: &Variable) -> Option<Fused> {
                let Moments { beta_1, beta_2, epsilon, amsgrad } = self.moments;
                let alpha = alpha(step.learning_rate.into(), [beta_1, beta_2], step, variable.dtype());
                Some(Fused::Adam { alpha, beta_1, beta_2, epsilon, amsgrad, decay: step.decay })
            }
        }
    };
}

/// The step of Adam, corrected for the moments' start at zero.
pub(super) fn alpha(learning_rate: f64, [beta_1, beta_2]: [f64; 2], step: Step, dtype: DType) -> f64 {
    let f = |x: f64| in_precision(dtype, x);
    let root = f(correction(dtype, beta_2, step).sqrt());
    f(f(learning_rate * root) / correction(dtype, beta_1, step))
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

    fn fused(&self, step: Step, _variable: &Variable) -> Option<Fused> {
        Some(Fused::RmsProp {
            learning_rate: step.learning_rate.into(),
            rho: self.rho,
            momentum: Some(self.momentum).filter(|momentum| *momentum > 0.0),
            epsilon: self.epsilon,
            centered: self.centered,
            decay: step.decay,
        })
    }
}
