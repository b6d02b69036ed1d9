//! Adamax, Nadam, Lamb, Lion and the schedule-free AdamW: other uses of running means of gradients than Adam's.

use keras_spec::{CompareOp, DType, Error, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all, correction, in_precision, power};
use super::declare::optimizer;
use super::rules::approach;
use crate::class::builders;
use crate::flattened::flattened;

/// [`Adam`](super::Adam) with the largest gradient in the place of the second moment; the learning rate is 0.001 unless given
/// (`keras.optimizers.Adamax`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Adamax {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

optimizer!(Adamax, ["adamax"]);

impl Default for Adamax {
    fn default() -> Self {
        Adamax { base: Base::default(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Adamax {
    builders! {
        /// The decay of the running mean of gradients. Default: 0.9.
        beta_1: f64;
        /// The decay of the largest gradient. Default: 0.999.
        beta_2: f64;
        /// Added to the largest gradient. Default: 1e-7.
        epsilon: f64;
    }
}

impl Rule for Adamax {
    const CLASS_NAME: &'static str = "Adamax";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![Slot::zeros(variable, &["momentum", "norm"])?])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [m, norm] = all(slots)?;
        let m = approach(m, &gradient, 1.0 - self.beta_1)?;
        let norm = (norm * self.beta_2)?.maximum(&gradient.abs()?)?;
        let scale = ((&norm + self.epsilon)? * correction(variable.dtype(), self.beta_1, step))?;
        let change = ((&m * f64::from(step.learning_rate))? / scale)?;
        Ok(((variable - change)?, vec![m, norm]))
    }
}

/// [`Adam`](super::Adam) with Nesterov's momentum; the learning rate is 0.001 unless given (`keras.optimizers.Nadam`, Keras
/// 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Nadam {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

optimizer!(Nadam, ["nadam"]);

impl Default for Nadam {
    fn default() -> Self {
        Nadam { base: Base::default(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Nadam {
    builders! {
        /// The decay of the running mean of gradients. Default: 0.9.
        beta_1: f64;
        /// The decay of the running mean of squared gradients. Default: 0.999.
        beta_2: f64;
        /// Added to the root of the second moment. Default: 1e-7.
        epsilon: f64;
    }

    /// The momentum of a step, which grows with training.
    fn momentum(&self, step: u64, dtype: DType) -> f64 {
        let f = |x: f64| in_precision(dtype, x);
        f(f(self.beta_1) * f(1.0 - f(0.5 * power(dtype, 0.96, step as f64))))
    }
}

impl Rule for Nadam {
    const CLASS_NAME: &'static str = "Nadam";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![Slot::zeros(variable, &["momentum", "velocity"])?])
    }

    /// The product of all momenta so far.
    fn common(&self) -> Option<f64> {
        Some(1.0)
    }

    fn advance(&self, step: Step, dtype: DType) -> f64 {
        in_precision(dtype, step.common * self.momentum(step.number, dtype))
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [m, v] = all(slots)?;
        let dtype = variable.dtype();
        let f = |x: f64| in_precision(dtype, x);
        let now = self.momentum(step.number, dtype);
        let next = self.momentum(step.number + 1, dtype);
        let m = approach(m, &gradient, f(1.0 - f(self.beta_1)))?;
        let v = approach(v, &gradient.square()?, f(1.0 - f(self.beta_2)))?;
        let ahead = ((&m * next)? / f(1.0 - f(step.common * next)))?;
        let here = ((gradient * f(1.0 - now))? / f(1.0 - step.common))?;
        let root = (&v / correction(dtype, self.beta_2, step))?.sqrt()?;
        let change = (((ahead + here)? * f64::from(step.learning_rate))? / (root + self.epsilon)?)?;
        Ok(((variable - change)?, vec![m, v]))
    }
}

/// [`Adam`](super::Adam) whose steps are as long as the variable is large, for big batches; the learning rate is 0.001 unless
/// given (`keras.optimizers.Lamb`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Lamb {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

optimizer!(Lamb, ["lamb"]);

impl Default for Lamb {
    fn default() -> Self {
        Lamb { base: Base::default(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Lamb {
    builders! {
        /// The decay of the running mean of gradients. Default: 0.9.
        beta_1: f64;
        /// The decay of the running mean of squared gradients. Default: 0.999.
        beta_2: f64;
        /// Added to the root of the second moment. Default: 1e-7.
        epsilon: f64;
    }
}

impl Rule for Lamb {
    const CLASS_NAME: &'static str = "Lamb";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![Slot::zeros(variable, &["momentum", "velocity"])?])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [m, v] = all(slots)?;
        let dtype = variable.dtype();
        let m = approach(m, &gradient, 1.0 - self.beta_1)?;
        let v = approach(v, &gradient.square()?, 1.0 - self.beta_2)?;
        let root = ((&v / correction(dtype, self.beta_2, step))?.sqrt()? + self.epsilon)?;
        let change = ((&m / correction(dtype, self.beta_1, step))? / root)?;
        let norm = |x: &Tensor| x.square()?.sum(&[], false)?.sqrt();
        let (size, length) = (norm(&variable)?, norm(&change)?);
        let positive = |x: &Tensor| x.compare_with(CompareOp::Gt, 0.0);
        let one = Tensor::full([], dtype, 1.0, variable.device())?;
        let ratio = positive(&size)?.and(&positive(&length)?)?.select(&(size / length)?, &one)?;
        let change = ((ratio * f64::from(step.learning_rate))? * change)?;
        Ok(((variable - change)?, vec![m, v]))
    }
}

/// Steps of one length in the direction of the momentum's sign; the learning rate is 0.001 unless given
/// (`keras.optimizers.Lion`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Lion {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_1: f64,
    beta_2: f64,
}

optimizer!(Lion, ["lion"]);

impl Default for Lion {
    fn default() -> Self {
        Lion { base: Base::default(), beta_1: 0.9, beta_2: 0.99 }
    }
}

impl Lion {
    builders! {
        /// How much of the momentum is in the direction, above 0 and at most 1. Default: 0.9.
        beta_1: f64;
        /// The decay of the momentum. Default: 0.99.
        beta_2: f64;
    }
}

impl Rule for Lion {
    const CLASS_NAME: &'static str = "Lion";

    fn base(&self) -> &Base {
        &self.base
    }

    fn validate(&self) -> Result<()> {
        self.base.validate()?;
        if self.beta_1 <= 0.0 || self.beta_1 > 1.0 {
            return Err(Error::argument("beta_1", "a number above 0 and at most 1", self.beta_1));
        }
        Ok(())
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        Ok(vec![Slot::zeros(variable, &["momentum"])?])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [m] = all(slots)?;
        let f = |x: f64| in_precision(variable.dtype(), x);
        let mix = |beta: f64| (&m * beta)? + (&gradient * f(1.0 - f(beta)))?;
        let change = (mix(self.beta_1)?.sign()? * f64::from(step.learning_rate))?;
        let m = mix(self.beta_2)?;
        Ok(((variable - change)?, vec![m]))
    }
}

/// [`AdamW`](super::AdamW) that averages instead of following a schedule; the learning rate is 0.0025 unless given
/// (`keras.optimizers.ScheduleFreeAdamW`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleFreeAdamW {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    warmup_steps: u64,
}

optimizer!(ScheduleFreeAdamW, ["schedulefreeadamw"]);

impl Default for ScheduleFreeAdamW {
    fn default() -> Self {
        let base = Base { learning_rate: LearningRate::Constant(0.0025), ..Base::default() };
        ScheduleFreeAdamW { base, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, warmup_steps: 0 }
    }
}

impl ScheduleFreeAdamW {
    builders! {
        /// How close gradients are taken to the average. Default: 0.9.
        beta_1: f64;
        /// The decay of the running mean of squared gradients. Default: 0.999.
        beta_2: f64;
        /// Added to the root of the second moment. Default: 1e-8.
        epsilon: f64;
        /// Over how many steps the learning rate grows to its full size. Default: 0.
        warmup_steps = u64;
    }
}

impl Rule for ScheduleFreeAdamW {
    const CLASS_NAME: &'static str = "ScheduleFreeAdamW";

    fn base(&self) -> &Base {
        &self.base
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let fast = Slot::new(variable, "momentum", variable.get());
        Ok(vec![vec![fast, Slot::full(variable, "velocity", 0.0)?]])
    }

    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let [old, v] = all(slots)?;
        let dtype = variable.dtype();
        let f = |x: f64| in_precision(dtype, x);
        let t = step.number as f64;
        let warm = if self.warmup_steps > 0 { f(t / self.warmup_steps as f64).min(1.0) } else { 1.0 };
        let rate = f(f64::from(step.learning_rate) * warm);
        let (beta_1, weight) = (f(self.beta_1), f(1.0 / t));
        let v = approach(v, &gradient.square()?, f(1.0 - f(self.beta_2)))?;
        let root = ((&v / correction(dtype, self.beta_2, step))?.sqrt()? + self.epsilon)?;
        let fast = (&old - ((gradient * rate)? / root)?)?;
        let average = ((variable - (old * f(1.0 - beta_1))?)? / beta_1)?;
        let average = ((average * f(1.0 - weight))? + (&fast * weight)?)?;
        let variable = ((&fast * f(1.0 - beta_1))? + (average * beta_1)?)?;
        Ok((variable, vec![fast, v]))
    }
}
