//! Follow the regularized leader.

use keras_spec::{Error, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all};
use super::declare::optimizer;
use crate::class::builders;
use crate::flattened::flattened;

/// Follows the regularized leader, for shallow models with many sparse features; the learning rate is 0.001 unless given
/// (`keras.optimizers.Ftrl`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Ftrl {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    learning_rate_power: f64,
    initial_accumulator_value: f64,
    l1_regularization_strength: f64,
    l2_regularization_strength: f64,
    l2_shrinkage_regularization_strength: f64,
    beta: f64,
}

optimizer!(Ftrl, ["ftrl"]);

impl Default for Ftrl {
    fn default() -> Self {
        Ftrl {
            base: Base::default(),
            learning_rate_power: -0.5,
            initial_accumulator_value: 0.1,
            l1_regularization_strength: 0.0,
            l2_regularization_strength: 0.0,
            l2_shrinkage_regularization_strength: 0.0,
            beta: 0.0,
        }
    }
}

impl Ftrl {
    builders! {
        /// How the rate falls with the sum of squared gradients; not positive, 0 for a fixed rate. Default: -0.5.
        learning_rate_power: f64;
        /// Where the sums of squares begin, not negative. Default: 0.1.
        initial_accumulator_value: f64;
        /// The strength of the penalty on absolute values, not negative.
        l1_regularization_strength: f64;
        /// The strength of the penalty on squares, not negative.
        l2_regularization_strength: f64;
        /// The strength of a penalty on squares that acts through the gradient, not negative.
        l2_shrinkage_regularization_strength: f64;
        /// Makes rates smaller at the beginning.
        beta: f64;
    }
}

impl Rule for Ftrl {
    const CLASS_NAME: &'static str = "Ftrl";

    fn base(&self) -> &Base {
        &self.base
    }

    fn validate(&self) -> Result<()> {
        self.base.validate()?;
        let not_negative = [
            ("initial_accumulator_value", self.initial_accumulator_value),
            ("l1_regularization_strength", self.l1_regularization_strength),
            ("l2_regularization_strength", self.l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", self.l2_shrinkage_regularization_strength),
        ];
        if let Some((name, found)) = not_negative.into_iter().find(|(_, value)| *value < 0.0) {
            return Err(Error::argument(name, "a positive number or zero", found));
        }
        if self.learning_rate_power > 0.0 {
            let found = self.learning_rate_power;
            return Err(Error::argument("learning_rate_power", "a negative number or zero", found));
        }
        Ok(())
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let sum = Slot::full(variable, "accumulator", self.initial_accumulator_value)?;
        Ok(vec![vec![sum, Slot::full(variable, "linear", 0.0)?]])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [sum, linear] = all(slots)?;
        let rate = f64::from(step.learning_rate);
        let exponent = Tensor::full([], variable.dtype(), -self.learning_rate_power, variable.device())?;
        let power = |x: &Tensor| x.pow(&exponent);
        let l2 = self.l2_regularization_strength + self.beta / (2.0 * rate);
        let new_sum = (&sum + gradient.square()?)?;
        let shrunk = (gradient + (&variable * (2.0 * self.l2_shrinkage_regularization_strength))?)?;
        let moved = (((power(&new_sum)? - power(&sum)?)? / rate)? * &variable)?;
        let linear = (linear + (shrunk - moved)?)?;
        let quadratic = ((power(&new_sum)? / rate)? + 2.0 * l2)?;
        let l1 = self.l1_regularization_strength;
        let variable = ((linear.clip(-l1, l1)? - &linear)? / quadratic)?;
        Ok((variable, vec![new_sum, linear]))
    }
}
