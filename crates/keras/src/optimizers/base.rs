//! What all optimizers share: learning rate, clipping, weight decay, averaging, accumulation, and the order of their state.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use keras_spec::layer::auto_name;
use keras_spec::object::{Serialized, make};
use keras_spec::{
    DType, Device, Error, Fused, HostTensor, LearningRateSchedule, Result, Shared, Tensor, Variable, scope,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A learning rate: a number, or a schedule.
#[derive(Clone, Debug)]
pub enum LearningRate {
    /// The same at every step, until it is set anew.
    Constant(f32),
    /// By the step.
    Schedule(Shared<dyn LearningRateSchedule>),
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        LearningRate::Constant(rate as f32)
    }
}

impl Serialize for LearningRate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            LearningRate::Constant(rate) => s.serialize_f64(f64::from(*rate)),
            LearningRate::Schedule(schedule) => {
                Serialized::of(&**schedule).map_err(serde::ser::Error::custom)?.serialize(s)
            }
        }
    }
}

impl<'de> Deserialize<'de> for LearningRate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Value::deserialize(d)? {
            Value::Number(n) => Ok(LearningRate::Constant(n.as_f64().unwrap_or(f64::NAN) as f32)),
            other => make::<dyn LearningRateSchedule>(&other)
                .map(|schedule| LearningRate::Schedule(schedule.into()))
                .map_err(serde::de::Error::custom),
        }
    }
}

/// The arguments that every optimizer takes (`keras.optimizers.Optimizer`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Base {
    pub(super) name: Option<String>,
    pub(super) learning_rate: LearningRate,
    pub(super) weight_decay: Option<f64>,
    pub(super) clipnorm: Option<f64>,
    pub(super) global_clipnorm: Option<f64>,
    pub(super) clipvalue: Option<f64>,
    pub(super) use_ema: bool,
    pub(super) ema_momentum: f64,
    pub(super) ema_overwrite_frequency: Option<u64>,
    pub(super) loss_scale_factor: Option<f64>,
    pub(super) gradient_accumulation_steps: Option<u64>,
    #[serde(skip)]
    pub(super) exclude: Vec<String>,
    #[serde(skip)]
    pub(super) state: State,
}

impl Default for Base {
    fn default() -> Self {
        Base {
            name: None,
            learning_rate: LearningRate::Constant(0.001),
            weight_decay: None,
            clipnorm: None,
            global_clipnorm: None,
            clipvalue: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
            exclude: Vec::new(),
            state: State::default(),
        }
    }
}

impl Base {
    /// Refuses arguments that make no sense.
    pub(super) fn validate(&self) -> Result<()> {
        let given = [self.clipnorm, self.global_clipnorm, self.clipvalue].iter().flatten().count();
        if given > 1 {
            return Err(Error::argument(
                "clipnorm",
                "at most one of clipnorm, global_clipnorm and clipvalue",
                given,
            ));
        }
        if !(0.0..=1.0).contains(&self.ema_momentum) {
            return Err(Error::argument("ema_momentum", "a number in 0..=1", self.ema_momentum));
        }
        if self.gradient_accumulation_steps.is_some_and(|n| n < 2) {
            return Err(Error::argument("gradient_accumulation_steps", "at least 2", "less"));
        }
        Ok(())
    }
}

/// State, made when the optimizer meets its variables.
#[derive(Debug, Default)]
pub(super) struct State {
    name: OnceLock<String>,
    built: Mutex<Option<Built>>,
    /// A rate that was set after construction.
    rate: Mutex<Option<f32>>,
}

impl Clone for State {
    /// A copy of an optimizer starts anew.
    fn clone(&self) -> Self {
        State::default()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Built {
    variables: Vec<Variable>,
    iteration: Variable,
    learning_rate: Option<Variable>,
    averages: Vec<Variable>,
    accumulators: Vec<Variable>,
    /// Per variable, those of all groups of [`Rule::slots`].
    slots: Vec<Vec<Variable>>,
    /// What [`Rule::common`] says.
    common: Option<Variable>,
    all: Vec<Variable>,
}

/// How one optimizer changes one variable.
pub(super) trait Rule {
    /// The common arguments.
    fn base(&self) -> &Base;

    /// The class, for the default name.
    const CLASS_NAME: &'static str;

    /// What is kept for a variable, in groups. Files have the groups one after the other; within a group, all of a
    /// variable before the next variable.
    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>>;

    /// Refuses arguments that make no sense.
    fn validate(&self) -> Result<()> {
        self.base().validate()
    }

    /// The first value of a number that is kept for all variables together.
    fn common(&self) -> Option<f64> {
        None
    }

    /// What that number becomes at the beginning of a step, in the dtype of the first variable.
    fn advance(&self, step: Step, dtype: DType) -> f64 {
        let _ = dtype;
        step.common
    }

    /// How much a variable decays.
    fn weight_decay(&self, variable: &Variable) -> Option<f64> {
        let _ = variable;
        self.base().weight_decay
    }

    /// The step as a fused operation, which runs in place; `None` where there is none, and [`update`](Rule::update) is asked.
    fn fused(&self, step: Step, variable: &Variable) -> Option<Fused> {
        let _ = (step, variable);
        None
    }

    /// The new values of the variable, which has decayed already, and of its slots.
    fn update(
        &self,
        step: Step,
        variable: Tensor,
        gradient: Tensor,
        slots: Vec<Tensor>,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let _ = (step, variable, gradient, slots);
        Err(keras_spec::Error::other(format!("{} has neither a fused step nor another", Self::CLASS_NAME)))
    }
}

/// Where training is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) learning_rate: f32,
    /// What share of the variable is taken away before the step.
    pub(super) decay: f64,
    /// The number of [`Rule::common`], 0 without one.
    pub(super) common: f64,
}

/// Something that is kept for a variable.
pub(super) struct Slot {
    pub(super) name: String,
    /// Its first value.
    pub(super) start: Tensor,
}

impl Slot {
    /// As Keras names what belongs to a variable: `dense_kernel_momentum`.
    pub(super) fn new(variable: &Variable, name: &str, start: Tensor) -> Self {
        Slot { name: format!("{}_{name}", variable.path().replace('/', "_")), start }
    }

    /// Of the variable's shape.
    pub(super) fn full(variable: &Variable, name: &str, value: f64) -> Result<Self> {
        let v = variable.get();
        Ok(Slot::new(variable, name, Tensor::full(v.shape().clone(), v.dtype(), value, v.device())?))
    }

    /// One group of zeros.
    pub(super) fn zeros(variable: &Variable, names: &[&str]) -> Result<Vec<Self>> {
        names.iter().map(|name| Slot::full(variable, name, 0.0)).collect()
    }

    fn variable(self) -> Variable {
        Variable::new(&self.name, self.start, false)
    }
}

/// The values of `N` slots.
pub(super) fn all<const N: usize>(slots: Vec<Tensor>) -> Result<[Tensor; N]> {
    slots.try_into().map_err(|_| Error::other("the optimizer's state is incomplete"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn name<R: Rule>(rule: &R) -> String {
    let state = &rule.base().state;
    rule.base().name.clone().unwrap_or_else(|| state.name.get_or_init(|| auto_name(R::CLASS_NAME)).clone())
}

pub(super) fn build<R: Rule>(rule: &R, variables: &[Variable]) -> Result<()> {
    let base = rule.base();
    let mut state = lock(&base.state.built);
    if let Some(built) = &*state {
        let same = built.variables.len() == variables.len()
            && built.variables.iter().zip(variables).all(|(a, b)| Variable::same(a, b));
        return match same {
            true => Ok(()),
            false => Err(Error::argument("variables", "those that the optimizer was built for", "others")),
        };
    }
    rule.validate()?;
    let device = match variables.first() {
        Some(v) => *v.get().device(),
        None => Device::default_device()?,
    };
    *state = Some(scope::named(&name(rule), || -> Result<Built> {
        let scalar = |name: &str, value: HostTensor| -> Result<Variable> {
            Ok(Variable::new(name, Tensor::from_host(value, &device)?, false))
        };
        let iteration = scalar("iteration", 0i32.into())?;
        let learning_rate = match &base.learning_rate {
            LearningRate::Constant(rate) => {
                let rate = lock(&base.state.rate).unwrap_or(*rate);
                Some(scalar("learning_rate", rate.into())?)
            }
            LearningRate::Schedule(_) => None,
        };
        let per_variable = |name: &str, wanted: bool| -> Result<Vec<Variable>> {
            variables.iter().filter(|_| wanted).map(|v| Ok(Slot::full(v, name, 0.0)?.variable())).collect()
        };
        let averages = per_variable("average", base.use_ema)?;
        let accumulators = per_variable("gradient_accumulator", base.gradient_accumulation_steps.is_some())?;
        let mut all: Vec<Variable> = std::iter::once(&iteration).chain(&learning_rate).cloned().collect();
        all.extend(averages.iter().chain(&accumulators).cloned());
        let mut groups: Vec<Vec<(usize, Variable)>> = Vec::new();
        for (i, v) in variables.iter().enumerate() {
            for (g, group) in rule.slots(v)?.into_iter().enumerate() {
                if groups.len() <= g {
                    groups.push(Vec::new());
                }
                groups[g].extend(group.into_iter().map(|slot| (i, slot.variable())));
            }
        }
        let mut slots: Vec<Vec<Variable>> = vec![Vec::new(); variables.len()];
        for (i, slot) in groups.into_iter().flatten() {
            slots[i].push(slot.clone());
            all.push(slot);
        }
        let common = match rule.common() {
            Some(value) => {
                let dtype = variables.first().map_or(DType::F32, Variable::dtype);
                Some(Variable::new("variable", Tensor::full([], dtype, value, &device)?, false))
            }
            None => None,
        };
        all.extend(common.clone());
        Ok(Built {
            variables: variables.to_vec(),
            iteration,
            learning_rate,
            averages,
            accumulators,
            slots,
            common,
            all,
        })
    })?);
    Ok(())
}

fn built<R: Rule>(rule: &R) -> Option<Built> {
    lock(&rule.base().state.built).clone()
}

pub(super) fn variables<R: Rule>(rule: &R) -> Vec<Variable> {
    built(rule).map(|b| b.all).unwrap_or_default()
}

pub(super) fn iterations<R: Rule>(rule: &R) -> u64 {
    built(rule).and_then(|b| b.iteration.get().item().ok()).map_or(0, |n| n as u64)
}

pub(super) fn learning_rate<R: Rule>(rule: &R) -> f32 {
    let base = rule.base();
    match &base.learning_rate {
        LearningRate::Schedule(schedule) => schedule.at(iterations(rule)),
        LearningRate::Constant(rate) => {
            let stored = built(rule).and_then(|b| b.learning_rate).and_then(|v| v.get().item().ok());
            stored.map_or(lock(&base.state.rate).unwrap_or(*rate), |r| r as f32)
        }
    }
}

pub(super) fn set_learning_rate<R: Rule>(rule: &R, rate: f32) -> Result<()> {
    let base = rule.base();
    if let LearningRate::Schedule(schedule) = &base.learning_rate {
        let found = format!("a {}", schedule.class().name);
        return Err(Error::argument("learning_rate", "an optimizer whose rate is a number", found));
    }
    *lock(&base.state.rate) = Some(rate);
    match built(rule).and_then(|b| b.learning_rate) {
        Some(v) => v.assign(&Tensor::from_host(rate.into(), v.get().device())?),
        None => Ok(()),
    }
}

pub(super) fn apply<R: Rule>(rule: &R, gradients: &[Option<Tensor>], variables: &[Variable]) -> Result<()> {
    build(rule, variables)?;
    let Some(built) = built(rule) else { return Ok(()) };
    if gradients.len() != variables.len() {
        let found = format!("{} gradients", gradients.len());
        return Err(Error::argument(
            "gradients",
            format!("one for each of {} variables", variables.len()),
            found,
        ));
    }
    if gradients.iter().all(Option::is_none) && !variables.is_empty() {
        return Err(Error::Gradient("the loss depends on no trainable variable".to_owned()));
    }
    scope::unrecorded(|| Update { rule, base: rule.base(), built: &built }.run(gradients))
}

/// One call of `apply`.
struct Update<'a, R> {
    rule: &'a R,
    base: &'a Base,
    built: &'a Built,
}

impl<R: Rule> Update<'_, R> {
    fn run(&self, gradients: &[Option<Tensor>]) -> Result<()> {
        let done = iterations(self.rule);
        let mut given: Vec<(usize, Tensor)> = Vec::with_capacity(gradients.len());
        for (i, g) in gradients.iter().enumerate() {
            let Some(g) = g else {
                tracing::warn!("no gradient for variable `{}`", self.built.variables[i].path());
                continue;
            };
            let g = match self.base.loss_scale_factor {
                Some(scale) => (g / scale)?,
                None => g.clone(),
            };
            given.push((i, g.into_dtype(self.built.variables[i].dtype())?));
        }
        // Keras counts updates here, and calls for schedules.
        let updates = done / self.base.gradient_accumulation_steps.unwrap_or(1);
        let step =
            Step { number: updates + 1, learning_rate: learning_rate(self.rule), decay: 0.0, common: 0.0 };
        match self.base.gradient_accumulation_steps {
            Some(n) if !(done + 1).is_multiple_of(n) => {
                for (i, g) in &given {
                    let sum = &self.built.accumulators[*i];
                    sum.assign(&(g + sum.get())?)?;
                }
            }
            Some(n) => {
                for (i, g) in &mut given {
                    *g = ((&*g + self.built.accumulators[*i].get())? / n as f64)?;
                }
                self.step(step, given)?;
                for sum in &self.built.accumulators {
                    sum.assign(&(sum.get() * 0.0)?)?;
                }
            }
            None => self.step(step, given)?,
        }
        if self.base.use_ema {
            self.average(updates)?;
        }
        for v in &self.built.variables {
            if let Some(constraint) = v.constraint() {
                v.assign(&constraint.call(&v.get())?)?;
            }
        }
        let next = i32::try_from(done + 1).unwrap_or(i32::MAX);
        self.built.iteration.assign(&Tensor::from_host(next.into(), self.built.iteration.get().device())?)
    }

    fn step(&self, mut step: Step, given: Vec<(usize, Tensor)>) -> Result<()> {
        if let Some(common) = &self.built.common {
            step.common = common.get().item()?;
            step.common = self.rule.advance(step, common.dtype());
            common.assign(&Tensor::full([], common.dtype(), step.common, common.get().device())?)?;
        }
        for (i, gradient) in self.clip(given)? {
            let variable = &self.built.variables[i];
            let slots = &self.built.slots[i];
            let decay = self.rule.weight_decay(variable).filter(|_| self.decays(variable));
            step.decay = decay.unwrap_or(0.0) * f64::from(step.learning_rate);
            if let Some(op) = self.rule.fused(step, variable) {
                variable.update(op, &gradient, slots)?;
                continue;
            }
            let mut value = variable.get();
            if step.decay != 0.0 {
                value = (&value - (&value * step.decay)?)?;
            }
            let old = slots.iter().map(Variable::get).collect();
            let (value, new) = self.rule.update(step, value, gradient, old)?;
            variable.assign(&value)?;
            slots.iter().zip(&new).try_for_each(|(slot, value)| slot.assign(value))?;
        }
        Ok(())
    }

    fn decays(&self, variable: &Variable) -> bool {
        !self.base.exclude.iter().any(|part| variable.path().contains(part.as_str()))
    }

    fn clip(&self, given: Vec<(usize, Tensor)>) -> Result<Vec<(usize, Tensor)>> {
        let positive = |limit: Option<f64>| limit.filter(|&l| l > 0.0);
        let norm = |g: &Tensor| g.square()?.sum(&[], false)?.sqrt();
        if let Some(limit) = positive(self.base.clipnorm) {
            let clip = |(i, g): (usize, Tensor)| Ok((i, ((&g * limit)? / norm(&g)?.at_least(limit)?)?));
            return given.into_iter().map(clip).collect();
        }
        if let Some(limit) = positive(self.base.global_clipnorm) {
            let mut total: Option<Tensor> = None;
            for (_, g) in &given {
                let square = g.square()?.sum(&[], false)?;
                total = Some(total.map_or(Ok(square.clone()), |t| t + square)?);
            }
            let Some(total) = total else { return Ok(given) };
            let norm = total.sqrt()?;
            let scale = ((1.0 / &norm)?.at_most(1.0 / limit)? * limit)?;
            // An infinite or undefined norm makes every gradient NaN, as in Keras.
            let scale = (scale + (norm * 0.0)?)?;
            return given.into_iter().map(|(i, g)| Ok((i, (g * &scale)?))).collect();
        }
        if let Some(limit) = positive(self.base.clipvalue) {
            return given.into_iter().map(|(i, g)| Ok((i, g.clip(-limit, limit)?))).collect();
        }
        Ok(given)
    }

    fn average(&self, done: u64) -> Result<()> {
        let momentum = if done == 0 { 0.0 } else { self.base.ema_momentum };
        for (v, average) in self.built.variables.iter().zip(&self.built.averages) {
            average.assign(&((average.get() * momentum)? + (v.get() * (1.0 - momentum))?)?)?;
        }
        match self.base.ema_overwrite_frequency {
            Some(n) if n > 0 && (done + 1).is_multiple_of(n) => self.overwrite(),
            _ => Ok(()),
        }
    }

    fn overwrite(&self) -> Result<()> {
        self.built
            .variables
            .iter()
            .zip(&self.built.averages)
            .try_for_each(|(v, average)| v.assign(&average.get()))
    }
}

pub(super) fn finalize<R: Rule>(rule: &R) -> Result<()> {
    match built(rule).filter(|_| rule.base().use_ema) {
        Some(built) => Update { rule, base: rule.base(), built: &built }.overwrite(),
        None => Ok(()),
    }
}

/// Converts to the precision in which Keras computes a step.
pub(super) fn in_precision(dtype: DType, value: f64) -> f64 {
    if dtype == DType::F64 { value } else { f64::from(value as f32) }
}

/// `base^exponent`, in that precision.
pub(super) fn power(dtype: DType, base: f64, exponent: f64) -> f64 {
    match dtype {
        DType::F64 => base.powf(exponent),
        _ => f64::from((base as f32).powf(exponent as f32)),
    }
}

/// `1 - beta^t`: what a running mean that began at zero is divided by after `t` steps.
pub(super) fn correction(dtype: DType, beta: f64, step: Step) -> f64 {
    in_precision(dtype, 1.0 - power(dtype, beta, step.number as f64))
}
