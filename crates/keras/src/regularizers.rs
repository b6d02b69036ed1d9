//! `keras.regularizers` of Keras 3.15.1: penalties on weights and outputs.
//!
//! A layer takes them as objects: `Dense::new(10).kernel_regularizer(L2::new(1e-4))`.

use keras_spec::{Error, HostTensor, Regularizer, Result, Tensor};
use serde::{Deserialize, Serialize, Serializer};

use crate::class::{builders, keras_class};
use crate::layers::common::scalar_like;

/// `keras.config.epsilon()`
pub(crate) const EPSILON: f64 = 1e-7;

/// Refuses a factor that is negative or not finite.
fn factor(argument: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(argument, "a non-negative float", value))
}

/// Keras keeps some factors as float32 and writes them so.
fn as_f32<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(f64::from(*value as f32))
}

/// `l1 · Σ|x|` (`keras.regularizers.L1`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1 {
    #[serde(serialize_with = "as_f32")]
    l1: f64,
}

keras_class!(dyn Regularizer, "keras.regularizers", L1, aliases ["l1"], check validate);

impl Default for L1 {
    fn default() -> Self {
        L1 { l1: 0.01 }
    }
}

impl L1 {
    /// With a factor; Keras's default is 0.01.
    pub fn new(l1: f64) -> Self {
        L1 { l1 }
    }

    fn validate(&self) -> Result<()> {
        factor("l1", self.l1)
    }
}

impl Regularizer for L1 {
    fn call(&self, x: &Tensor) -> Result<Tensor> {
        self.validate()?;
        x.abs()?.sum(&[], false)? * f64::from(self.l1 as f32)
    }
}

/// `l2 · Σx²` (`keras.regularizers.L2`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L2 {
    l2: f64,
}

keras_class!(dyn Regularizer, "keras.regularizers", L2, aliases ["l2"], check validate);

impl Default for L2 {
    fn default() -> Self {
        L2 { l2: 0.01 }
    }
}

impl L2 {
    /// With a factor; Keras's default is 0.01.
    pub fn new(l2: f64) -> Self {
        L2 { l2 }
    }

    fn validate(&self) -> Result<()> {
        factor("l2", self.l2)
    }
}

impl Regularizer for L2 {
    fn call(&self, x: &Tensor) -> Result<Tensor> {
        self.validate()?;
        x.square()?.sum(&[], false)? * self.l2
    }
}

/// `l1 · Σ|x| + l2 · Σx²` (`keras.regularizers.L1L2`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct L1L2 {
    l1: f64,
    l2: f64,
}

keras_class!(dyn Regularizer, "keras.regularizers", L1L2, aliases ["l1l2", "l1_l2"], check validate);

impl L1L2 {
    /// With two factors; Keras's defaults are 0.
    pub fn new(l1: f64, l2: f64) -> Self {
        L1L2 { l1, l2 }
    }

    fn validate(&self) -> Result<()> {
        factor("l1", self.l1)?;
        factor("l2", self.l2)
    }
}

impl Regularizer for L1L2 {
    fn call(&self, x: &Tensor) -> Result<Tensor> {
        self.validate()?;
        let mut penalty = scalar_like(x, 0.0)?;
        if self.l1 != 0.0 {
            penalty = (penalty + (x.abs()?.sum(&[], false)? * self.l1)?)?;
        }
        if self.l2 != 0.0 {
            penalty = (penalty + (x.square()?.sum(&[], false)? * self.l2)?)?;
        }
        Ok(penalty)
    }
}

/// What is to be orthogonal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrthogonalMode {
    /// The rows.
    #[default]
    Rows,
    /// The columns.
    Columns,
}

/// The mean absolute cosine between the rows (or columns) of a matrix, times a factor
/// (`keras.regularizers.OrthogonalRegularizer`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrthogonalRegularizer {
    #[serde(serialize_with = "as_f32")]
    factor: f64,
    mode: OrthogonalMode,
}

keras_class!(
    dyn Regularizer, "keras.regularizers", OrthogonalRegularizer, aliases ["orthogonal_regularizer"],
    check validate
);

impl Default for OrthogonalRegularizer {
    fn default() -> Self {
        OrthogonalRegularizer { factor: 0.01, mode: OrthogonalMode::default() }
    }
}

impl OrthogonalRegularizer {
    /// With factor 0.01, for rows.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// What the penalty is multiplied by.
        factor: f64;
        /// What is to be orthogonal.
        mode: OrthogonalMode;
    }

    fn validate(&self) -> Result<()> {
        factor("factor", self.factor)
    }
}

impl Regularizer for OrthogonalRegularizer {
    fn call(&self, x: &Tensor) -> Result<Tensor> {
        self.validate()?;
        if x.rank() != 2 {
            return Err(Error::argument("inputs", "rank 2", format!("shape {}", x.shape())));
        }
        let vectors = match self.mode {
            OrthogonalMode::Rows => x.clone(),
            OrthogonalMode::Columns => x.swap_axes(0, 1)?,
        };
        let vectors = l2_normalized(&vectors, 1)?;
        let cosines = vectors.matmul(&vectors.swap_axes(0, 1)?)?;
        let n = vectors.shape()[0];
        let off_diagonal: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 0.0 } else { 1.0 }).collect();
        let off_diagonal =
            Tensor::from_host(HostTensor::new([n, n], off_diagonal)?.cast(x.dtype()), x.device())?;
        let pairs = n as f64 * (n as f64 - 1.0) / 2.0;
        let sum = (cosines * off_diagonal)?.abs()?.sum(&[], false)?;
        (sum * (f64::from(self.factor as f32) * 0.5))? / pairs
    }
}

/// `x` divided by its Euclidean norm along an axis (`keras.ops.normalize`).
pub(crate) fn l2_normalized(x: &Tensor, axis: isize) -> Result<Tensor> {
    x * x.square()?.sum(&[axis], true)?.rsqrt()?.at_most(1.0 / EPSILON)?
}
