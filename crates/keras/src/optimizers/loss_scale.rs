//! Dynamic loss scaling: what keeps small gradients from vanishing in float16.

use std::sync::{Mutex, OnceLock, PoisonError};

use keras_spec::layer::auto_name;
use keras_spec::object::{Serialized, make, to_config};
use keras_spec::{
    BinaryOp, Class, CompareOp, Config, Device, Error, HostTensor, Object, Optimizer, Result, Shared, Tensor,
    Variable, scope,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Multiplies the loss by a scale and divides the gradients by it, before another optimizer gets them. Where a gradient is not
/// finite the step is left out and the scale halved; after `dynamic_growth_steps` steps without that it is doubled
/// (`keras.optimizers.LossScaleOptimizer`, Keras 3.15.1).
///
/// ```
/// use keras::optimizers::{Adam, LossScaleOptimizer};
///
/// let optimizer = LossScaleOptimizer::new(Adam::new(1e-3)).dynamic_growth_steps(1000);
/// ```
#[derive(Debug)]
pub struct LossScaleOptimizer {
    inner: Shared<dyn Optimizer>,
    name: Option<String>,
    auto_name: OnceLock<String>,
    initial_scale: f64,
    dynamic_growth_steps: u64,
    own: Mutex<Option<Own>>,
}

/// State that the inner optimizer does not have.
#[derive(Clone, Debug)]
struct Own {
    step_counter: Variable,
    dynamic_scale: Variable,
    all: Vec<Variable>,
}

/// The configuration. Arguments that belong to the inner optimizer have their defaults here.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(default)]
    name: Option<String>,
    inner_optimizer: Value,
    #[serde(default = "initial_scale")]
    initial_scale: f64,
    #[serde(default = "growth_steps")]
    dynamic_growth_steps: u64,
}

fn initial_scale() -> f64 {
    32768.0
}

fn growth_steps() -> u64 {
    2000
}

impl LossScaleOptimizer {
    const CLASS: Class = Class::keras("keras.optimizers", "LossScaleOptimizer");

    /// Around another optimizer, which must not have a `loss_scale_factor`.
    pub fn new(inner: impl Into<Shared<dyn Optimizer>>) -> Self {
        LossScaleOptimizer::around(inner.into())
    }

    fn around(inner: Shared<dyn Optimizer>) -> Self {
        LossScaleOptimizer {
            inner,
            name: None,
            auto_name: OnceLock::new(),
            initial_scale: initial_scale(),
            dynamic_growth_steps: growth_steps(),
            own: Mutex::default(),
        }
    }

    crate::class::builders! {
        /// The name in files and logs.
        some name: String;
        /// The scale of the first steps. Default: 32768.
        initial_scale: f64;
        /// After how many steps in a row the scale is doubled. Default: 2000.
        dynamic_growth_steps = u64;
    }

    fn from_config(config: &Config) -> Result<Self> {
        let mut arguments: Arguments = keras_spec::object::from_config(Self::CLASS, config)?;
        // Keras clears the inner factor likewise: there is one scale.
        if let Some(inner) = arguments.inner_optimizer.pointer_mut("/config/loss_scale_factor") {
            *inner = Value::Null;
        }
        let mut made = LossScaleOptimizer::around(make::<dyn Optimizer>(&arguments.inner_optimizer)?.into());
        made.name = arguments.name;
        made.initial_scale = arguments.initial_scale;
        made.dynamic_growth_steps = arguments.dynamic_growth_steps;
        Ok(made)
    }

    fn own(&self) -> Option<Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn make_own(&self, device: &Device) -> Result<Own> {
        let scalar = |name: &str, value: HostTensor| -> Result<Variable> {
            Ok(Variable::new(name, Tensor::from_host(value, device)?, false))
        };
        let step_counter = scalar("step_counter", 0i32.into())?;
        let dynamic_scale = scalar("dynamic_scale", (self.initial_scale as f32).into())?;
        // The first two are Keras's own; nothing uses them.
        let all = vec![
            scalar("iteration", 0i32.into())?,
            scalar("learning_rate", 0f32.into())?,
            step_counter.clone(),
            dynamic_scale.clone(),
        ];
        Ok(Own { step_counter, dynamic_scale, all })
    }
}

keras_spec::register!(dyn Optimizer, LossScaleOptimizer::CLASS, |given| {
    Ok(Box::new(LossScaleOptimizer::from_config(given)?))
});

impl Object for LossScaleOptimizer {
    fn class(&self) -> Class {
        Self::CLASS
    }

    fn config(&self) -> Result<Config> {
        to_config(&Arguments {
            name: Some(self.name()),
            inner_optimizer: Serialized::of(&*self.inner)?.to_value(),
            initial_scale: self.initial_scale,
            dynamic_growth_steps: self.dynamic_growth_steps,
        })
    }
}

/// Whether every element of every gradient is a finite number.
fn finite(gradients: &[Option<Tensor>]) -> Result<bool> {
    for gradient in gradients.iter().flatten() {
        // Infinities times 0 and NaN are NaN, which is unequal to 0.
        let zero = (gradient * 0.0)?.compare_with(CompareOp::Eq, 0.0)?;
        if zero.min(&[], false)?.item()? == 0.0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set(variable: &Variable, value: f64) -> Result<()> {
    variable.assign(&Tensor::full([], variable.dtype(), value, variable.get().device())?)
}

impl Optimizer for LossScaleOptimizer {
    fn name(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| self.auto_name.get_or_init(|| auto_name("LossScaleOptimizer")).clone())
    }

    fn build(&self, variables: &[Variable]) -> Result<()> {
        if self.inner.loss_scale().is_some() {
            return Err(Error::argument(
                "inner_optimizer",
                "an optimizer without a loss_scale_factor",
                "one",
            ));
        }
        self.inner.build(variables)?;
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_none() {
            let device = match variables.first() {
                Some(v) => *v.get().device(),
                None => Device::default_device()?,
            };
            *own = Some(scope::named(&self.name(), || self.make_own(&device))?);
        }
        Ok(())
    }

    fn apply(&self, gradients: &[Option<Tensor>], variables: &[Variable]) -> Result<()> {
        self.build(variables)?;
        let Some(own) = self.own() else { return Ok(()) };
        let scale = own.dynamic_scale.get();
        if !scope::unrecorded(|| finite(gradients))? {
            set(&own.step_counter, 0.0)?;
            return set(&own.dynamic_scale, scale.item()? * 0.5);
        }
        let unscale = |g: &Tensor| Tensor::binary(BinaryOp::Div, g.clone(), scale.clone());
        let unscaled: Vec<Option<Tensor>> = scope::unrecorded(|| {
            gradients.iter().map(|g| g.as_ref().map(unscale).transpose()).collect::<Result<_>>()
        })?;
        self.inner.apply(&unscaled, variables)?;
        let steps = own.step_counter.get().item()? + 1.0;
        if steps == self.dynamic_growth_steps as f64 {
            set(&own.step_counter, 0.0)?;
            return set(&own.dynamic_scale, scale.item()? * 2.0);
        }
        set(&own.step_counter, steps)
    }

    fn variables(&self) -> Vec<Variable> {
        let own = self.own().map(|own| own.all).unwrap_or_default();
        own.into_iter().chain(self.inner.variables()).collect()
    }

    fn iterations(&self) -> u64 {
        self.inner.iterations()
    }

    fn learning_rate(&self) -> f32 {
        self.inner.learning_rate()
    }

    fn set_learning_rate(&self, rate: f32) -> Result<()> {
        self.inner.set_learning_rate(rate)
    }

    fn loss_scale(&self) -> Option<f32> {
        let scale = self.own().and_then(|own| own.dynamic_scale.get().item().ok());
        Some(scale.unwrap_or(self.initial_scale) as f32)
    }

    fn finalize(&self, variables: &[Variable]) -> Result<()> {
        self.inner.finalize(variables)
    }
}
