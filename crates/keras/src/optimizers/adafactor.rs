//! Adafactor: second moments as products of rows and columns.

use keras_spec::{DType, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all, in_precision, power};
use super::declare::optimizer;
use crate::class::builders;
use crate::flattened::flattened;

/// Keeps of the second moments of matrices only the means of rows and columns; the learning rate is 0.001 unless given
/// (`keras.optimizers.Adafactor`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Adafactor {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_2_decay: f64,
    epsilon_1: f64,
    epsilon_2: f64,
    clip_threshold: f64,
    relative_step: bool,
}

optimizer!(Adafactor, ["adafactor"]);

impl Default for Adafactor {
    fn default() -> Self {
        Adafactor {
            base: Base::default(),
            beta_2_decay: -0.8,
            epsilon_1: 1e-30,
            epsilon_2: 1e-3,
            clip_threshold: 1.0,
            relative_step: true,
        }
    }
}

impl Adafactor {
    builders! {
        /// The exponent by which second moments forget ever less. Default: -0.8.
        beta_2_decay: f64;
        /// Added to squared gradients. Default: 1e-30.
        epsilon_1: f64;
        /// The least size of a variable that steps are measured by. Default: 1e-3.
        epsilon_2: f64;
        /// The greatest root mean square of a step. Default: 1.
        clip_threshold: f64;
        /// Whether the rate falls with the root of the step; not with a schedule. Default: yes.
        relative_step: bool;
    }
}

fn rms(x: &Tensor) -> Result<Tensor> {
    x.square()?.mean(&[], false)?.sqrt()
}

impl Rule for Adafactor {
    const CLASS_NAME: &'static str = "Adafactor";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let (shape, v) = (variable.shape(), variable.get());
        let mean = |shape: Shape, dtype: DType| -> Result<Slot> {
            let start = Tensor::full(shape, dtype, 0.0, v.device())?;
            Ok(Slot { name: variable.name().to_owned(), start })
        };
        let without = |axis: usize| {
            let mut shape = shape.clone();
            shape.remove(axis);
            shape
        };
        // Keras keeps an unused integer for each mean that a vector or a number does not have.
        let (rows, columns) = match shape.len() {
            0 | 1 => (mean(Shape::scalar(), DType::I32)?, mean(Shape::scalar(), DType::I32)?),
            n => (mean(without(n - 1), variable.dtype())?, mean(without(n - 2), variable.dtype())?),
        };
        Ok(vec![vec![rows, columns, Slot::full(variable, "velocity", 0.0)?]])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [mut rows, mut columns, mut v] = all(slots)?;
        let dtype = variable.dtype();
        let f = |x: f64| in_precision(dtype, x);
        let t = step.number as f64;
        let falling = f(1.0 / f(t.sqrt()));
        // With a relative step the rate is the smaller one already; without, Keras takes the smaller one all the same.
        let rate = f64::from(step.learning_rate).min(falling);
        let alpha = (rms(&variable)?.at_least(self.epsilon_2)? * rate)?;
        let square = (gradient.square()? + self.epsilon_1)?;
        let beta_2 = f(1.0 - power(dtype, t, self.beta_2_decay));
        let mix = |old: Tensor, new: Tensor| (old * beta_2)? + (new * f(1.0 - beta_2))?;
        if variable.rank() >= 2 {
            rows = mix(rows, square.mean(&[-1], false)?)?;
            columns = mix(columns, square.mean(&[-2], false)?)?;
            let share = (&rows / rows.mean(&[-1], true)?)?;
            v = (share.expand_dims(-1)? * columns.expand_dims(-2)?)?;
        } else {
            v = mix(v, square)?;
        }
        let change = (gradient / v.sqrt()?)?;
        let limit = (rms(&change)? / self.clip_threshold)?.at_least(1.0)?;
        let variable = (variable - (alpha * (change / limit)?)?)?;
        Ok((variable, vec![rows, columns, v]))
    }
}
