//! Adagrad and Adadelta: steps by the sizes of all gradients so far.

use keras_spec::{Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all};
use super::declare::optimizer;
use crate::class::builders;
use crate::flattened::flattened;

/// Gradients over the root of the sum of all their squares, with a learning rate of 0.001 unless given
/// (`keras.optimizers.Adagrad`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Adagrad {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    initial_accumulator_value: f64,
    epsilon: f64,
}

optimizer!(Adagrad, ["adagrad"]);

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad { base: Base::default(), initial_accumulator_value: 0.1, epsilon: 1e-7 }
    }
}

impl Adagrad {
    builders! {
        /// Where the sums of squares begin. Default: 0.1.
        initial_accumulator_value: f64;
        /// Added to the sum before the root is taken. Default: 1e-7.
        epsilon: f64;
    }
}

impl Rule for Adagrad {
    const CLASS_NAME: &'static str = "Adagrad";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![vec![Slot::full(variable, "accumulator", self.initial_accumulator_value)?]])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [sum] = all(slots)?;
        let sum = (sum + gradient.square()?)?;
        let change = ((gradient * f64::from(step.learning_rate))? / (&sum + self.epsilon)?.sqrt()?)?;
        Ok(((variable - change)?, vec![sum]))
    }
}

/// Gradients in the units of the variable: over their own running root mean square, times that of past changes. The learning
/// rate is 0.001 unless given (`keras.optimizers.Adadelta`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Adadelta {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    rho: f64,
    epsilon: f64,
}

optimizer!(Adadelta, ["adadelta"]);

impl Default for Adadelta {
    fn default() -> Self {
        Adadelta { base: Base::default(), rho: 0.95, epsilon: 1e-7 }
    }
}

impl Adadelta {
    builders! {
        /// The decay of the running means. Default: 0.95.
        rho: f64;
        /// Added to mean squares before roots are taken. Default: 1e-7.
        epsilon: f64;
    }
}

impl Rule for Adadelta {
    const CLASS_NAME: &'static str = "Adadelta";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![Slot::zeros(variable, &["accumulated_grad", "accumulated_delta_var"])?])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [gradients, changes] = all(slots)?;
        let mix = |old: &Tensor, new: Tensor| (old * self.rho)? + (new.square()? * (1.0 - self.rho))?;
        let rms = |x: &Tensor| (x + self.epsilon)?.sqrt();
        let gradients = mix(&gradients, gradient.clone())?;
        let change = ((rms(&changes)? * gradient)? / rms(&gradients)?)?;
        let changes = mix(&changes, change.clone())?;
        Ok(((variable - (change * f64::from(step.learning_rate))?)?, vec![gradients, changes]))
    }
}
