//! Losses as functions: one value per sample, under the names of `keras.losses` (Keras 3.15.1).
//!
//! `y_true` and `y_pred` have one shape unless said otherwise; the last axis is averaged or summed away.

use keras_spec::{CompareOp, DType, Error, Fused, HostTensor, Op, Result, Tensor};
use serde::{Deserialize, Serialize};

pub use super::ctc::ctc;
pub use super::overlap::{categorical_generalized_cross_entropy, circle, dice, tversky};

/// `keras.config.epsilon()`
pub(super) const EPSILON: f64 = 1e-7;

/// Gives two tensors whose ranks differ by one a common rank, if the extra axis is the last and has length 1.
pub(crate) fn same_rank(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let fit = |long: &Tensor, short: &Tensor| -> Result<(Tensor, Tensor)> {
        if long.shape().last() != Some(&1) {
            return Ok((long.clone(), short.clone()));
        }
        match short.rank() {
            1 => Ok((long.clone(), short.expand_dims(-1)?)),
            _ => Ok((long.squeeze(-1)?, short.clone())),
        }
    };
    if a.rank() == b.rank() + 1 {
        fit(a, b)
    } else if b.rank() == a.rank() + 1 {
        fit(b, a).map(|(b, a)| (a, b))
    } else {
        Ok((a.clone(), b.clone()))
    }
}

pub(super) fn prepared(y_true: &Tensor, y_pred: &Tensor) -> Result<(Tensor, Tensor)> {
    same_rank(&y_true.cast(y_pred.dtype())?, y_pred)
}

/// `mean((y_true - y_pred)²)`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn mean_squared_error(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    (t - p)?.square()?.mean(&[-1], false)
}

/// `mean(|y_true - y_pred|)`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn mean_absolute_error(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    (t - p)?.abs()?.mean(&[-1], false)
}

/// `100 · mean(|y_true - y_pred| / |y_true|)`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn mean_absolute_percentage_error(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let size = t.abs()?.at_least(EPSILON)?;
    ((t - p)? / size)?.abs()?.mean(&[-1], false)? * 100.0
}

/// `mean((ln(1 + y_true) - ln(1 + y_pred))²)`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn mean_squared_logarithmic_error(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let log = |x: &Tensor| (x.at_least(EPSILON)? + 1.0)?.log();
    (log(&p)? - log(&t)?)?.square()?.mean(&[-1], false)
}

/// Minus the cosine of the angle between the vectors along `axis`.
///
/// # Errors
/// If the shapes cannot be broadcast or the axis does not exist.
pub fn cosine_similarity(y_true: &Tensor, y_pred: &Tensor, axis: isize) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    // Keras clamps the square of the norm to the square of epsilon.
    let unit = |x: &Tensor| x * x.square()?.sum(&[axis], true)?.at_least(1e-12)?.rsqrt()?;
    let cosine = (unit(&t)? * unit(&p)?)?.sum(&[axis], false)?;
    -cosine
}

/// Quadratic within `delta` of the target, linear beyond, averaged.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn huber(y_true: &Tensor, y_pred: &Tensor, delta: f64) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let error = (p - t)?;
    let size = error.abs()?;
    let near = (error.square()? * 0.5)?;
    let far = ((&size * delta)? - 0.5 * delta * delta)?;
    size.compare_with(CompareOp::Le, delta)?.select(&near, &far)?.mean(&[-1], false)
}

/// `mean(ln(cosh(y_pred - y_true)))`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn log_cosh(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let x = (p - t)?;
    let soft = (&x * -2.0)?.softplus()?;
    ((x + soft)? - std::f64::consts::LN_2)?.mean(&[-1], false)
}

/// `mean(max(1 - y_true · y_pred, 0))`; targets of 0 and 1 are taken as -1 and 1.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn hinge(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    margins(y_true, y_pred)?.mean(&[-1], false)
}

/// `mean(max(1 - y_true · y_pred, 0)²)`; targets of 0 and 1 are taken as -1 and 1.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn squared_hinge(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    margins(y_true, y_pred)?.square()?.mean(&[-1], false)
}

fn margins(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let t = y_true.cast(y_pred.dtype())?;
    let binary = t.compare_with(CompareOp::Eq, 0.0)?.or(&t.compare_with(CompareOp::Eq, 1.0)?)?;
    let signs = ((&t * 2.0)? - 1.0)?;
    let t = binary.min(&[], false)?.select(&signs, &t)?;
    (1.0 - (t * y_pred)?)?.at_least(0.0)
}

/// `max(max((1 - y_true) · y_pred) - sum(y_true · y_pred) + 1, 0)`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn categorical_hinge(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let t = y_true.cast(y_pred.dtype())?;
    let right = (&t * y_pred)?.sum(&[-1], false)?;
    let wrong = ((1.0 - t)? * y_pred)?.max(&[-1], false)?;
    ((wrong - right)? + 1.0)?.at_least(0.0)
}

/// `sum(y_true · ln(y_true / y_pred))`, both clipped to `1e-7..1`.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn kl_divergence(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let t = y_true.cast(y_pred.dtype())?.clip(EPSILON, 1.0)?;
    let p = y_pred.clip(EPSILON, 1.0)?;
    (&t * (&t / p)?.log()?)?.sum(&[-1], false)
}

/// `mean(y_pred - y_true · ln(y_pred))`
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn poisson(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let t = y_true.cast(y_pred.dtype())?;
    (y_pred - (t * (y_pred + EPSILON)?.log()?)?)?.mean(&[-1], false)
}

fn same_shape(y_true: &Tensor, y_pred: &Tensor) -> Result<()> {
    if y_true.shape() == y_pred.shape() {
        return Ok(());
    }
    let expected = format!("the shape of `y_pred`, {}", y_pred.shape());
    Err(Error::argument("y_true", expected, y_true.shape()))
}

/// The cross-entropy of each probability (or logit) with a target in `0..=1`: not averaged.
///
/// # Errors
/// If the shapes differ.
pub(crate) fn elementwise_binary_crossentropy(t: &Tensor, p: &Tensor, from_logits: bool) -> Result<Tensor> {
    same_shape(t, p)?;
    let rest = (1.0 - t)?;
    if from_logits {
        let log_p = (-(-p)?.softplus()?)?;
        let log_not_p = (-p.softplus()?)?;
        return ((-t)? * log_p)? - (rest * log_not_p)?;
    }
    let p = p.clip(EPSILON, 1.0 - EPSILON)?;
    let positive = (t * p.log()?)?;
    let gain = (positive + (rest * (1.0 - p)?.log()?)?)?;
    -gain
}

fn smooth_binary(y_true: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    if label_smoothing == 0.0 {
        return Ok(y_true.clone());
    }
    (y_true * (1.0 - label_smoothing))? + 0.5 * label_smoothing
}

fn smooth_classes(y_true: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    if label_smoothing == 0.0 {
        return Ok(y_true.clone());
    }
    let classes = y_true.shape().last().copied().unwrap_or(1) as f64;
    (y_true * (1.0 - label_smoothing))? + label_smoothing / classes
}

/// The cross-entropy of binary predictions, averaged over `axis`.
///
/// # Errors
/// If the shapes differ.
pub fn binary_crossentropy(
    y_true: &Tensor,
    y_pred: &Tensor,
    from_logits: bool,
    label_smoothing: f64,
    axis: isize,
) -> Result<Tensor> {
    let t = smooth_binary(&y_true.cast(y_pred.dtype())?, label_smoothing)?;
    elementwise_binary_crossentropy(&t, y_pred, from_logits)?.mean(&[axis], false)
}

/// The parameters of [`binary_focal_crossentropy`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// Weighs classes by `alpha`.
    pub apply_class_balancing: bool,
    /// The weight of the positive class.
    pub alpha: f64,
    /// How much easy samples are played down.
    pub gamma: f64,
}

/// How much [`categorical_focal_crossentropy`] weighs classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Alpha {
    /// All the same.
    Same(f64),
    /// Each by its own number, along the last axis.
    PerClass(Vec<f64>),
}

impl From<f64> for Alpha {
    fn from(alpha: f64) -> Self {
        Alpha::Same(alpha)
    }
}

impl From<Vec<f64>> for Alpha {
    fn from(alphas: Vec<f64>) -> Self {
        Alpha::PerClass(alphas)
    }
}

/// Binary cross-entropy that plays down what is predicted well already.
///
/// # Errors
/// If the shapes differ.
pub fn binary_focal_crossentropy(
    y_true: &Tensor,
    y_pred: &Tensor,
    focal: Focal,
    from_logits: bool,
    label_smoothing: f64,
    axis: isize,
) -> Result<Tensor> {
    let t = smooth_binary(&y_true.cast(y_pred.dtype())?, label_smoothing)?;
    let p = if from_logits { y_pred.sigmoid()? } else { y_pred.clone() };
    let bce = elementwise_binary_crossentropy(&t, &p, false)?;
    let not_t = (1.0 - &t)?;
    let p_t = ((&t * &p)? + (&not_t * (1.0 - &p)?)?)?;
    let mut loss = (power((1.0 - p_t)?, focal.gamma)? * bce)?;
    if focal.apply_class_balancing {
        let weight = ((&t * focal.alpha)? + (not_t * (1.0 - focal.alpha))?)?;
        loss = (weight * loss)?;
    }
    loss.mean(&[axis], false)
}

fn power(x: Tensor, exponent: f64) -> Result<Tensor> {
    let exponent = Tensor::full([], x.dtype(), exponent, x.device())?;
    x.pow(&exponent)
}

/// The cross-entropy of logits with labels: numbers of classes if `sparse`, else targets of the logits' shape.
fn softmax_cross_entropy(labels: Tensor, logits: &Tensor, sparse: bool, axis: isize) -> Result<Tensor> {
    let labels = if sparse { labels } else { labels.move_axis(axis, -1)? };
    let op = Op::Fused(Fused::SoftmaxCrossEntropy { sparse });
    Tensor::apply1(op, [logits.move_axis(axis, -1)?, labels])
}

/// Logarithms of probabilities, from numbers that are divided by their sum.
fn log_probabilities(y_pred: &Tensor, axis: isize) -> Result<Tensor> {
    (y_pred / y_pred.sum(&[axis], true)?)?.clip(EPSILON, 1.0 - EPSILON)?.log()
}

/// The cross-entropy of predictions with one-hot targets along `axis`.
///
/// # Errors
/// If the shapes differ.
pub fn categorical_crossentropy(
    y_true: &Tensor,
    y_pred: &Tensor,
    from_logits: bool,
    label_smoothing: f64,
    axis: isize,
) -> Result<Tensor> {
    let t = smooth_classes(&y_true.cast(y_pred.dtype())?, label_smoothing)?;
    same_shape(&t, y_pred)?;
    if from_logits {
        return softmax_cross_entropy(t, y_pred, false, axis);
    }
    let gain = (t * log_probabilities(y_pred, axis)?)?.sum(&[axis], false)?;
    -gain
}

/// Categorical cross-entropy that plays down what is predicted well already.
///
/// # Errors
/// If the shapes differ.
pub fn categorical_focal_crossentropy(
    y_true: &Tensor,
    y_pred: &Tensor,
    alpha: &Alpha,
    gamma: f64,
    from_logits: bool,
    label_smoothing: f64,
    axis: isize,
) -> Result<Tensor> {
    let t = smooth_classes(&y_true.cast(y_pred.dtype())?, label_smoothing)?;
    let p = if from_logits { y_pred.softmax(axis)? } else { y_pred.clone() };
    let p = (&p / p.sum(&[axis], true)?)?.clip(EPSILON, 1.0 - EPSILON)?;
    let cce = ((-t)? * p.log()?)?;
    let easy = power((1.0 - p)?, gamma)?;
    let factor = match alpha {
        Alpha::Same(alpha) => (easy * *alpha)?,
        Alpha::PerClass(alphas) => {
            let alphas = HostTensor::new([alphas.len()], alphas.clone())?.cast(easy.dtype());
            (&easy * Tensor::from_host(alphas, easy.device())?)?
        }
    };
    (factor * cce)?.sum(&[axis], false)
}

/// The cross-entropy of predictions with class indices, and with `ignore_class` the mask of targets that are not it.
/// `y_true` lacks the axis of the classes, or has length 1 there.
///
/// # Errors
/// If the shapes do not fit.
pub fn sparse_categorical_crossentropy(
    y_true: &Tensor,
    y_pred: &Tensor,
    from_logits: bool,
    ignore_class: Option<i64>,
    axis: isize,
) -> Result<(Tensor, Option<Tensor>)> {
    let axis = y_pred.shape().axis(axis)?;
    let mut t = y_true.clone();
    if t.rank() == y_pred.rank() && t.shape()[axis] == 1 {
        t = t.squeeze(axis as isize)?;
    }
    let mut expected = y_pred.shape().clone();
    let classes = expected.remove(axis);
    if *t.shape() != expected {
        return Err(Error::argument("y_true", format!("class indices of shape {expected}"), t.shape()));
    }
    let valid = ignore_class.map(|class| t.compare_with(CompareOp::Ne, class as f64)).transpose()?;
    let mut t = t.cast(DType::I32)?;
    if let Some(valid) = &valid {
        // The number of no class.
        t = valid.select(&t, &Tensor::full([], DType::I32, -1.0, t.device())?)?;
    }
    if from_logits {
        return Ok((softmax_cross_entropy(t, y_pred, true, axis as isize)?, valid));
    }
    let mut y_pred = y_pred.clone();
    if let Some(valid) = &valid {
        let nothing = Tensor::full([], y_pred.dtype(), 0.0, y_pred.device())?;
        y_pred = valid.expand_dims(axis as isize)?.select(&y_pred, &nothing)?;
    }
    let one_hot = t.one_hot(classes, y_pred.dtype())?.move_axis(-1, axis as isize)?;
    let log = log_probabilities(&y_pred, axis as isize)?;
    let mut loss = (-(one_hot * log)?.sum(&[axis as isize], false)?)?;
    if let Some(valid) = &valid {
        loss = valid.select(&loss, &Tensor::full([], loss.dtype(), 0.0, loss.device())?)?;
    }
    Ok((loss, valid))
}
