//! Connectionist temporal classification.

use keras_spec::{CompareOp, DType, Error, Result, Tensor, result_type};

/// In the place of the logarithm of 0.
const LOG_EPSILON: f64 = -1e5;

/// Minus the logarithm of the probability that frames spell a sequence, over all alignments: `y_true (samples, labels)` class
/// indices, padded with the blank 0, `y_pred (samples, frames, classes)` logits, → `(samples,)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn ctc(y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
    let (&[_, labels], &[_, frames, classes]) = (y_true.shape().dims(), y_pred.shape().dims()) else {
        let found = format!("{} and {}", y_true.shape(), y_pred.shape());
        return Err(Error::argument(
            "y_true",
            "(samples, labels), and logits (samples, frames, classes)",
            found,
        ));
    };
    let logits = y_pred.cast(result_type(&[y_pred.dtype().into(), DType::F32.into()]))?;
    let logs = logits.log_softmax(-1)?;
    let target = y_true.cast(DType::I32)?;
    let lengths = target.compare_with(CompareOp::Ne, 0.0)?.cast(DType::I32)?.sum(&[-1], false)?;
    let emit = logs.matmul(&target.one_hot(classes, logs.dtype())?.swap_axes(1, 2)?)?;
    let blank = logs.narrow(2, 0, 1)?.squeeze(2)?;
    // Whether a label is followed by itself: there must be a blank between.
    let mut repeats = target.narrow(1, 0, labels.saturating_sub(1))?.equal(&target.narrow(1, 1, labels)?)?;
    repeats = repeats.cast(logs.dtype())?.pad(&[(0, 0), (0, 1)], 0.0)?;
    let (again, once) = ((&repeats * LOG_EPSILON)?, ((1.0 - &repeats)? * LOG_EPSILON)?);
    // `phi` is after each number of labels with a blank last, `label` with that label last.
    let samples = target.shape()[0];
    let start = |n: usize| Tensor::full([samples, n], logs.dtype(), LOG_EPSILON, logs.device());
    let zero = Tensor::full([samples, 1], logs.dtype(), 0.0, logs.device())?;
    let mut phi = Tensor::concatenate(&[zero, start(labels)?], 1)?;
    let mut label = start(labels)?;
    for t in 0..frames {
        let (emitted, blank) = (emit.index(1, t)?, blank.narrow(1, t, t + 1)?);
        let before = followed(&phi, &(&label + &again)?)?;
        let next = log_add(&(before.narrow(1, 0, labels)? + &emitted)?, &(&label + &emitted)?)?;
        phi = followed(&(before + &blank)?, &((&label + blank)? + &once)?)?;
        label = next;
    }
    let last = followed(&phi, &label)?;
    let wanted = lengths.one_hot(labels + 1, logs.dtype())?;
    let total = (last * wanted)?.sum(&[-1], false)?;
    -total
}

/// `phi` with `added`, in logarithms, at every place but the first.
fn followed(phi: &Tensor, added: &Tensor) -> Result<Tensor> {
    let places = phi.shape()[1];
    let rest = log_add(&phi.narrow(1, 1, places)?, added)?;
    Tensor::concatenate(&[phi.narrow(1, 0, 1)?, rest], 1)
}

/// `ln(e^a + e^b)`
fn log_add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.maximum(b)? + (-(a - b)?.abs()?)?.exp()?.log1p()?
}
