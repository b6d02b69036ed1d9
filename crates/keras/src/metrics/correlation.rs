//! How closely predictions follow targets, as functions (`keras.metrics`, Keras 3.15.1).

use keras_spec::{Result, Tensor};

use crate::losses::functions::same_rank;

fn prepared(y_true: &Tensor, y_pred: &Tensor) -> Result<(Tensor, Tensor)> {
    same_rank(&y_true.cast(y_pred.dtype())?, y_pred)
}

/// Pearson's correlation along an axis, from -1 to 1.
///
/// # Errors
/// If the shapes cannot be broadcast or the axis does not exist.
pub fn pearson_correlation(y_true: &Tensor, y_pred: &Tensor, axis: isize) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let standard = |x: &Tensor| -> Result<Tensor> {
        let centred = (x - x.mean(&[axis], true)?)?;
        let spread = centred.variance(&[axis], true)?.sqrt()?;
        centred / spread
    };
    (standard(&t)? * standard(&p)?)?.mean(&[axis], false)
}

/// Lin's concordance correlation along an axis: 1 where predictions equal targets. What Keras calls the covariance takes the
/// predictions' mean away from both.
///
/// # Errors
/// If the shapes cannot be broadcast or the axis does not exist.
pub fn concordance_correlation(y_true: &Tensor, y_pred: &Tensor, axis: isize) -> Result<Tensor> {
    let (t, p) = prepared(y_true, y_pred)?;
    let (t_mean, p_mean) = (t.mean(&[axis], true)?, p.mean(&[axis], true)?);
    let spread = ((&t - &t_mean)?.variance(&[axis], true)? + (&p - &p_mean)?.variance(&[axis], true)?)?;
    let norm = ((spread + (t_mean - &p_mean)?.square()?)? + 1e-7)?;
    let product = (((t - &p_mean)? * (p - p_mean)?)? * 2.0)?;
    (product / norm)?.mean(&[axis], false)
}
