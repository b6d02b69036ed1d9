//! `keras.constraints` of Keras 3.15.1: where weights are moved after each step.
//!
//! A layer takes them as objects: `Dense::new(10).kernel_constraint(MaxNorm::new(2.0))`. An `axis` is one along which norms
//! are taken, or a list of such: `0` for the kernel of a dense layer, `[0, 1, 2]` for that of a two-dimensional convolution.

use keras_spec::{Constraint, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::Number;
use crate::class::{builders, keras_class};
use crate::regularizers::EPSILON;

/// An axis, or several together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axes {
    /// One axis.
    One(isize),
    /// Several axes.
    Many(Vec<isize>),
}

impl Axes {
    /// The axes as a slice.
    pub fn as_slice(&self) -> &[isize] {
        match self {
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::Many(axes) => axes,
        }
    }
}

impl Default for Axes {
    fn default() -> Self {
        Axes::One(0)
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Axes::One(axis)
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Axes::Many(axes.to_vec())
    }
}

fn norms(w: &Tensor, axis: &Axes) -> Result<Tensor> {
    w.square()?.sum(axis.as_slice(), true)?.sqrt()
}

fn scaled(w: &Tensor, desired: Tensor, norms: Tensor) -> Result<Tensor> {
    w * (desired / (norms + EPSILON)?)?
}

/// Norms of at most `max_value` (`keras.constraints.MaxNorm`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaxNorm {
    max_value: Number,
    axis: Axes,
}

keras_class!(dyn Constraint, "keras.constraints", MaxNorm, aliases["max_norm"]);

impl Default for MaxNorm {
    fn default() -> Self {
        MaxNorm { max_value: 2.into(), axis: Axes::default() }
    }
}

impl MaxNorm {
    /// Norms along axis 0 of at most `max_value`; Keras's default is 2.
    pub fn new(max_value: impl Into<Number>) -> Self {
        MaxNorm { max_value: max_value.into(), ..Self::default() }
    }

    builders! {
        /// Along which axes norms are taken.
        axis: Axes;
    }
}

impl Constraint for MaxNorm {
    fn call(&self, w: &Tensor) -> Result<Tensor> {
        let norms = norms(w, &self.axis)?;
        scaled(w, norms.clip(0.0, self.max_value.value())?, norms)
    }
}

/// Negative weights become 0 (`keras.constraints.NonNeg`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonNeg {}

keras_class!(dyn Constraint, "keras.constraints", NonNeg, aliases["non_neg"]);

impl NonNeg {
    /// The constraint.
    pub fn new() -> Self {
        NonNeg {}
    }
}

impl Constraint for NonNeg {
    fn call(&self, w: &Tensor) -> Result<Tensor> {
        w.at_least(0.0)
    }
}

/// Norms of 1 (`keras.constraints.UnitNorm`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnitNorm {
    axis: Axes,
}

keras_class!(dyn Constraint, "keras.constraints", UnitNorm, aliases["unit_norm"]);

impl UnitNorm {
    /// Norms along axis 0.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Along which axes norms are taken.
        axis: Axes;
    }
}

impl Constraint for UnitNorm {
    fn call(&self, w: &Tensor) -> Result<Tensor> {
        w / (norms(w, &self.axis)? + EPSILON)?
    }
}

/// Norms moved towards `min_value..=max_value` (`keras.constraints.MinMaxNorm`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MinMaxNorm {
    min_value: f64,
    max_value: f64,
    rate: f64,
    axis: Axes,
}

keras_class!(dyn Constraint, "keras.constraints", MinMaxNorm, aliases["min_max_norm"]);

impl Default for MinMaxNorm {
    fn default() -> Self {
        MinMaxNorm { min_value: 0.0, max_value: 1.0, rate: 1.0, axis: Axes::default() }
    }
}

impl MinMaxNorm {
    /// Norms along axis 0 between the two, reached in one step.
    pub fn new(min_value: f64, max_value: f64) -> Self {
        MinMaxNorm { min_value, max_value, ..Self::default() }
    }

    builders! {
        /// How much of the way to go in one step, 0 to 1.
        rate: f64;
        /// Along which axes norms are taken.
        axis: Axes;
    }
}

impl Constraint for MinMaxNorm {
    fn call(&self, w: &Tensor) -> Result<Tensor> {
        let norms = norms(w, &self.axis)?;
        let clipped = (norms.clip(self.min_value, self.max_value)? * self.rate)?;
        let desired = (clipped + (&norms * (1.0 - self.rate))?)?;
        scaled(w, desired, norms)
    }
}
