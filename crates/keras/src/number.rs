//! Numbers as their writer wrote them.

use serde::{Deserialize, Serialize};

/// A number of a configuration where Keras's own default is an integer, or may be: model files keep `255` apart from `255.0`.
/// Integers and floats of Rust convert into it.
///
/// ```
/// use keras::optimizers::schedules::ExponentialDecay;
///
/// // What `ExponentialDecay(0.1, decay_steps=10_000, decay_rate=0.96)` is in Python.
/// let schedule = ExponentialDecay::new(0.1, 10_000, 0.96);
/// # let _ = schedule;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// Written without a point.
    Int(i64),
    /// Written with one.
    Float(f64),
}

impl From<i32> for Number {
    fn from(number: i32) -> Self {
        Number::Int(number.into())
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Number::Int(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Number::Float(number)
    }
}

impl Number {
    /// The value, whichever way it is written.
    pub fn value(self) -> f64 {
        match self {
            Number::Int(n) => n as f64,
            Number::Float(x) => x,
        }
    }
}
