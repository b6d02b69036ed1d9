//! Accuracies as functions: 1 for each sample that is right and 0 for the others (`keras.metrics`, Keras 3.15.1).

use keras_spec::{CompareOp, DType, Error, Result, Tensor};

use crate::losses::functions::same_rank;

/// Where predictions equal targets.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn accuracy(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (t, p) = same_rank(&y_true.cast(y_pred.dtype())?, y_pred)?;
    t.equal(&p)?.cast(DType::F32)
}

/// Where predictions above `threshold` have the target 1, and others 0.
///
/// # Errors
/// If the shapes cannot be broadcast.
pub fn binary_accuracy(y_true: &Tensor, y_pred: &Tensor, threshold: f64) -> Result<Tensor> {
    let (t, p) = same_rank(y_true, y_pred)?;
    let p = p.compare_with(CompareOp::Gt, threshold)?.cast(t.dtype())?;
    t.equal(&p)?.cast(DType::F32)
}

/// Where the greatest prediction is at the place of the greatest target.
///
/// # Errors
/// If the shapes do not fit.
pub fn categorical_accuracy(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let t = y_true.argmax(-1)?;
    if t.rank() == y_pred.rank() {
        let shape = t.shape().clone();
        return y_pred.argmax(-1)?.equal(&t.squeeze(-1)?)?.cast(DType::F32)?.reshape(shape);
    }
    t.equal(&y_pred.argmax(-1)?)?.cast(DType::F32)
}

/// Where the greatest prediction is at the place that the target says.
///
/// # Errors
/// If the shapes do not fit.
pub fn sparse_categorical_accuracy(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let shape = y_true.shape().clone();
    let column = y_true.rank() == y_pred.rank() && shape.last() == Some(&1);
    let t = if column { y_true.squeeze(-1)? } else { y_true.clone() };
    let t = t.cast(y_pred.dtype())?;
    let p = y_pred.argmax(-1)?.cast(y_pred.dtype())?;
    let mut matches = t.equal(&p)?.cast(DType::F32)?;
    if column {
        matches = matches.reshape(shape)?;
    }
    if matches.rank() > 1 && matches.shape().last() == Some(&1) {
        matches = matches.squeeze(-1)?;
    }
    Ok(matches)
}

/// Where the class of a one-hot target is among the `k` greatest predictions.
///
/// # Errors
/// If the shapes do not fit.
pub fn top_k_categorical_accuracy(y_true: &Tensor, y_pred: &Tensor, k: usize) -> Result<Tensor> {
    sparse_top_k_categorical_accuracy(&y_true.argmax(-1)?, y_pred, k, false)
}

/// Where the target is among the `k` greatest predictions, or with `from_sorted_ids` among the first `k` indices.
///
/// # Errors
/// If the shapes do not fit.
pub fn sparse_top_k_categorical_accuracy(
    y_true: &Tensor,
    y_pred: &Tensor,
    k: usize,
    from_sorted_ids: bool,
) -> Result<Tensor> {
    let shape = y_true.shape().clone();
    let Some(&classes) = y_pred.shape().last() else {
        return Err(Error::argument("y_pred", "an axis of classes", "a scalar"));
    };
    let rows = y_pred.reshape([y_pred.shape().size() / classes.max(1), classes])?;
    let t = y_true.reshape([shape.size()])?;
    let matches = if from_sorted_ids {
        let first = rows.narrow(1, 0, k.min(classes))?;
        t.cast(rows.dtype())?.expand_dims(1)?.equal(&first)?.max(&[1], false)?
    } else {
        in_top_k(&t.cast(DType::I32)?, &rows, k)?
    };
    matches.cast(DType::F32)?.reshape(shape)
}

/// Whether fewer than `k` predictions exceed that of the target, which must be finite and exist.
fn in_top_k(targets: &Tensor, rows: &Tensor, k: usize) -> Result<Tensor> {
    let classes = rows.shape()[1] as f64;
    let own = rows.take_along_axis(&targets.expand_dims(1)?, 1)?;
    let better = rows.greater(&own)?.cast(DType::I32)?.sum(&[1], false)?;
    let few = better.compare_with(CompareOp::Lt, k as f64)?;
    let own = own.squeeze(1)?;
    // NaN is unequal to everything.
    let finite = own.abs()?.compare_with(CompareOp::Lt, f64::INFINITY)?;
    let exists =
        targets.compare_with(CompareOp::Ge, 0.0)?.and(&targets.compare_with(CompareOp::Lt, classes)?)?;
    few.and(&finite)?.and(&exists)
}
