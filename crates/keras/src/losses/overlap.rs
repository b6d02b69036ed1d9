//! Losses of segmentation, of embeddings, and of labels that may be wrong.

use keras_spec::{CompareOp, DType, Error, HostTensor, Result, Tensor};

use super::functions::{EPSILON, prepared};
use crate::layers::scalar_like;

/// `(1 - p^q) / q` for the probability `p` of the class that `y_true` names: `y_true (…)`, `y_pred (…, classes)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn categorical_generalized_cross_entropy(y_true: &Tensor, y_pred: &Tensor, q: f64) -> Result<Tensor> {
    let classes = y_pred.shape().last().copied().unwrap_or(1);
    let wanted = y_true.cast(DType::I32)?.one_hot(classes, y_pred.dtype())?;
    let p = (y_pred * wanted)?.sum(&[-1], false)?;
    (1.0 - p.pow(&scalar_like(&p, q)?)?)? / q
}

/// One minus twice the overlap over the sum of both, over `axes` or, if there are none, everything.
///
/// # Errors
/// If the shapes cannot be broadcast or an axis does not exist.
pub fn dice(y_true: &Tensor, y_pred: &Tensor, axes: &[isize]) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let overlap = ((&t * &p)?.sum(axes, false)? * 2.0)?;
    let both = ((t.sum(axes, false)? + p.sum(axes, false)?)? + EPSILON)?;
    1.0 - (overlap / both)?
}

/// [`dice`] in which false positives count `alpha` and false negatives `beta`.
///
/// # Errors
/// If the shapes cannot be broadcast or an axis does not exist.
pub fn tversky(y_true: &Tensor, y_pred: &Tensor, alpha: f64, beta: f64, axes: &[isize]) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let overlap = (&t * &p)?.sum(axes, false)?;
    // Keras takes the targets for the predictions here.
    let only_true = ((1.0 - &p)? * &t)?.sum(axes, false)?;
    let only_pred = (&p * (1.0 - &t)?)?.sum(axes, false)?;
    let all = (((&overlap + (only_true * alpha)?)? + (only_pred * beta)?)? + EPSILON)?;
    1.0 - (overlap / all)?
}

/// How much closer embeddings of other classes are than those of the same: `y_true (samples,)` or `(samples, 1)` class
/// indices, `y_pred (samples, features)` embeddings of length 1, → `(samples,)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn circle(
    y_true: &Tensor,
    y_pred: &Tensor,
    remove_diagonal: bool,
    gamma: f64,
    margin: f64,
) -> Result<Tensor> {
    let labels = y_true.cast(DType::I32)?;
    let labels = if labels.rank() == 1 { labels.expand_dims(-1)? } else { labels };
    if labels.rank() != 2 || y_pred.rank() != 2 {
        return Err(Error::argument("y_pred", "shape (samples, features)", y_pred.shape()));
    }
    let distances = (1.0 - y_pred.matmul(&y_pred.swap_axes(0, 1)?)?)?.at_least(0.0)?;
    let mut same = labels.equal(&labels.swap_axes(0, 1)?)?;
    let other = same.not()?;
    if remove_diagonal {
        let n = labels.shape()[0];
        let index = HostTensor::new([n], (0..n as i32).collect::<Vec<_>>())?;
        let index = Tensor::from_host(index, y_pred.device())?;
        same = same.and(&index.expand_dims(-1)?.not_equal(&index)?)?;
    }
    let weight = |x: Tensor, mask: &Tensor| (x * mask.cast(y_pred.dtype())?)?.at_least(0.0);
    let near = weight((&distances + margin)?, &same)?;
    let far = weight(((1.0 + margin) - &distances)?, &other)?;
    let near = ((near * (margin - &distances)?)? * -gamma)?;
    let far = ((far * ((1.0 - margin) - &distances)?)? * gamma)?;
    (log_sum_exp(&near, &same)? + log_sum_exp(&far, &other)?)?.softplus()
}

/// `ln Σ e^x` of the elements of each row that the mask has; minus infinity where it has none.
fn log_sum_exp(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let lowest = scalar_like(x, f64::NEG_INFINITY)?;
    let x = mask.select(x, &lowest)?;
    let most = x.stop_gradient().max(&[1], true)?;
    let finite = most.compare_with(CompareOp::Gt, f64::NEG_INFINITY)?;
    let most = finite.select(&most, &scalar_like(&most, 0.0)?)?;
    (&x - &most)?.exp()?.sum(&[1], false)?.log()? + most.squeeze(1)?
}
