//! Learning rates by the step (`keras.optimizers.schedules`, Keras 3.15.1), in float32.

use std::f32::consts::PI;

use keras_spec::{Error, LearningRateSchedule, Result};
use serde::{Deserialize, Serialize};

use super::LearningRate;
use crate::Number;
use crate::class::{builders, keras_class};

macro_rules! schedule {
    ($Schedule:ident, $check:ident) => {
        keras_class!(dyn LearningRateSchedule, "keras.optimizers.schedules", $Schedule, aliases [], check $check);

        impl From<$Schedule> for LearningRate {
            fn from(schedule: $Schedule) -> Self {
                LearningRate::Schedule((Box::new(schedule) as Box<dyn LearningRateSchedule>).into())
            }
        }
    };
}

fn positive(name: &str, value: f64) -> Result<()> {
    if value > 0.0 { Ok(()) } else { Err(Error::argument(name, "a positive number", value)) }
}

/// `initial · rate^(step / decay_steps)`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExponentialDecay {
    initial_learning_rate: f64,
    decay_steps: Number,
    decay_rate: f64,
    #[serde(default)]
    staircase: bool,
    #[serde(default = "exponential")]
    name: String,
}

fn exponential() -> String {
    "ExponentialDecay".to_owned()
}

schedule!(ExponentialDecay, validate);

impl ExponentialDecay {
    /// Multiplies the rate by `decay_rate` every `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: impl Into<Number>, decay_rate: f64) -> Self {
        ExponentialDecay {
            initial_learning_rate,
            decay_steps: decay_steps.into(),
            decay_rate,
            staircase: false,
            name: exponential(),
        }
    }

    builders! {
        /// Whether the rate changes only every `decay_steps` steps.
        staircase: bool;
    }

    fn validate(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps.value())
    }
}

fn progress(step: u64, decay_steps: f64, staircase: bool) -> f32 {
    let p = step as f32 / decay_steps as f32;
    if staircase { p.floor() } else { p }
}

impl LearningRateSchedule for ExponentialDecay {
    fn at(&self, step: u64) -> f32 {
        let p = progress(step, self.decay_steps.value(), self.staircase);
        self.initial_learning_rate as f32 * (self.decay_rate as f32).powf(p)
    }
}

/// `initial / (1 + rate · step / decay_steps)`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InverseTimeDecay {
    initial_learning_rate: f64,
    decay_steps: Number,
    decay_rate: f64,
    #[serde(default)]
    staircase: bool,
    #[serde(default = "inverse_time")]
    name: String,
}

fn inverse_time() -> String {
    "InverseTimeDecay".to_owned()
}

schedule!(InverseTimeDecay, validate);

impl InverseTimeDecay {
    /// Divides the rate by one more `decay_rate` every `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: impl Into<Number>, decay_rate: f64) -> Self {
        InverseTimeDecay {
            initial_learning_rate,
            decay_steps: decay_steps.into(),
            decay_rate,
            staircase: false,
            name: inverse_time(),
        }
    }

    builders! {
        /// Whether the rate changes only every `decay_steps` steps.
        staircase: bool;
    }

    fn validate(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps.value())
    }
}

impl LearningRateSchedule for InverseTimeDecay {
    fn at(&self, step: u64) -> f32 {
        let p = progress(step, self.decay_steps.value(), self.staircase);
        self.initial_learning_rate as f32 / (1.0 + self.decay_rate as f32 * p)
    }
}

/// One value up to and including each boundary, and another beyond the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PiecewiseConstantDecay {
    boundaries: Vec<Number>,
    values: Vec<f64>,
    #[serde(default = "piecewise")]
    name: String,
}

fn piecewise() -> String {
    "PiecewiseConstant".to_owned()
}

schedule!(PiecewiseConstantDecay, validate);

impl PiecewiseConstantDecay {
    /// One more value than boundaries, which ascend.
    ///
    /// # Errors
    /// [`Error::Argument`] if the numbers do not match.
    pub fn new<N: Into<Number>>(
        boundaries: impl IntoIterator<Item = N>,
        values: impl Into<Vec<f64>>,
    ) -> Result<Self> {
        let schedule = PiecewiseConstantDecay {
            boundaries: boundaries.into_iter().map(N::into).collect(),
            values: values.into(),
            name: piecewise(),
        };
        schedule.validate()?;
        Ok(schedule)
    }

    fn validate(&self) -> Result<()> {
        if self.values.len() == self.boundaries.len() + 1 {
            return Ok(());
        }
        let expected = format!("{} numbers, one more than boundaries", self.boundaries.len() + 1);
        Err(Error::argument("values", expected, self.values.len()))
    }
}

impl LearningRateSchedule for PiecewiseConstantDecay {
    fn at(&self, step: u64) -> f32 {
        // Keras compares in the integer type of the step.
        let passed = self.boundaries.iter().filter(|&&b| step as i64 > b.value() as i64).count();
        self.values.get(passed).copied().unwrap_or(0.0) as f32
    }
}

/// `(initial - end) · (1 - step / decay_steps)^power + end`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolynomialDecay {
    initial_learning_rate: f64,
    decay_steps: Number,
    #[serde(default = "end")]
    end_learning_rate: f64,
    #[serde(default = "one")]
    power: f64,
    #[serde(default)]
    cycle: bool,
    #[serde(default = "polynomial")]
    name: String,
}

fn end() -> f64 {
    0.0001
}

fn one() -> f64 {
    1.0
}

fn polynomial() -> String {
    "PolynomialDecay".to_owned()
}

schedule!(PolynomialDecay, validate);

impl PolynomialDecay {
    /// Falls to 0.0001 within `decay_steps` steps, linearly.
    pub fn new(initial_learning_rate: f64, decay_steps: impl Into<Number>) -> Self {
        PolynomialDecay {
            initial_learning_rate,
            decay_steps: decay_steps.into(),
            end_learning_rate: end(),
            power: one(),
            cycle: false,
            name: polynomial(),
        }
    }

    builders! {
        /// The rate at the end.
        end_learning_rate: f64;
        /// The power of the polynomial.
        power: f64;
        /// Whether it begins anew, and longer, when it has ended.
        cycle: bool;
    }

    fn validate(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps.value())
    }
}

impl LearningRateSchedule for PolynomialDecay {
    fn at(&self, step: u64) -> f32 {
        let (step, mut steps) = (step as f32, self.decay_steps.value() as f32);
        let mut at = step;
        if self.cycle {
            steps *= if step == 0.0 { 1.0 } else { (step / steps).ceil() };
        } else {
            at = at.min(steps);
        }
        let end = self.end_learning_rate as f32;
        (self.initial_learning_rate as f32 - end) * (1.0 - at / steps).powf(self.power as f32) + end
    }
}

/// Half a cosine down to `alpha` times the rate, after an optional warm-up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CosineDecay {
    initial_learning_rate: f64,
    decay_steps: Number,
    #[serde(default)]
    alpha: f64,
    #[serde(default = "cosine")]
    name: String,
    #[serde(default)]
    warmup_target: Option<f64>,
    #[serde(default = "none")]
    warmup_steps: Number,
}

fn none() -> Number {
    0.into()
}

fn cosine() -> String {
    "CosineDecay".to_owned()
}

schedule!(CosineDecay, validate);

impl CosineDecay {
    /// Falls to 0 within `decay_steps` steps.
    pub fn new(initial_learning_rate: f64, decay_steps: impl Into<Number>) -> Self {
        CosineDecay {
            initial_learning_rate,
            decay_steps: decay_steps.into(),
            alpha: 0.0,
            name: cosine(),
            warmup_target: None,
            warmup_steps: none(),
        }
    }

    builders! {
        /// The share of the rate that remains.
        alpha: f64;
    }

    /// Rises linearly to `target` within `steps` steps first.
    #[must_use]
    pub fn warmup(mut self, target: f64, steps: impl Into<Number>) -> Self {
        self.warmup_target = Some(target);
        self.warmup_steps = steps.into();
        self
    }

    fn validate(&self) -> Result<()> {
        positive("decay_steps", self.decay_steps.value())
    }

    fn decayed(&self, step: f32, from: f32) -> f32 {
        let cosine = 0.5 * (1.0 + (PI * (step / self.decay_steps.value() as f32)).cos());
        let alpha = self.alpha as f32;
        from * ((1.0 - alpha) * cosine + alpha)
    }
}

impl LearningRateSchedule for CosineDecay {
    fn at(&self, step: u64) -> f32 {
        let (initial, steps) = (self.initial_learning_rate as f32, self.decay_steps.value() as f32);
        let Some(target) = self.warmup_target.map(|t| t as f32) else {
            return self.decayed((step as f32).min(steps), initial);
        };
        let warmup = self.warmup_steps.value() as f32;
        let step = (step as f32).min(steps + warmup);
        if step < warmup {
            (target - initial) * (step / warmup) + initial
        } else {
            self.decayed(step - warmup, target)
        }
    }
}

/// [`CosineDecay`] that begins anew when it has ended, longer and lower each time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CosineDecayRestarts {
    initial_learning_rate: f64,
    first_decay_steps: Number,
    #[serde(default = "two")]
    t_mul: f64,
    #[serde(default = "one")]
    m_mul: f64,
    #[serde(default)]
    alpha: f64,
    #[serde(default = "sgdr")]
    name: String,
}

fn two() -> f64 {
    2.0
}

fn sgdr() -> String {
    "SGDRDecay".to_owned()
}

schedule!(CosineDecayRestarts, validate);

impl CosineDecayRestarts {
    /// A first period of `first_decay_steps` steps; each one twice as long as the one before.
    pub fn new(initial_learning_rate: f64, first_decay_steps: impl Into<Number>) -> Self {
        CosineDecayRestarts {
            initial_learning_rate,
            first_decay_steps: first_decay_steps.into(),
            t_mul: two(),
            m_mul: one(),
            alpha: 0.0,
            name: sgdr(),
        }
    }

    builders! {
        /// How much longer each period is.
        t_mul: f64;
        /// What the rate is multiplied with at each restart.
        m_mul: f64;
        /// The share of the rate that remains at the end of a period.
        alpha: f64;
    }

    fn validate(&self) -> Result<()> {
        positive("first_decay_steps", self.first_decay_steps.value())
    }
}

impl LearningRateSchedule for CosineDecayRestarts {
    fn at(&self, step: u64) -> f32 {
        let mut done = step as f32 / self.first_decay_steps.value() as f32;
        let t = self.t_mul as f32;
        let restart;
        if t == 1.0 {
            restart = done.floor();
            done -= restart;
        } else {
            restart = ((1.0 - done * (1.0 - t)).ln() / t.ln()).floor();
            let before = (1.0 - t.powf(restart)) / (1.0 - t);
            done = (done - before) / t.powf(restart);
        }
        let alpha = self.alpha as f32;
        let cosine = 0.5 * (self.m_mul as f32).powf(restart) * (1.0 + (PI * done).cos());
        self.initial_learning_rate as f32 * ((1.0 - alpha) * cosine + alpha)
    }
}
