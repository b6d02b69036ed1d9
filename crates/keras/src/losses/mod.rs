//! Losses: what training minimises (`keras.losses`, Keras 3.15.1), as functions and as classes.

mod classes;
mod ctc;
pub mod functions;
mod overlap;

pub use classes::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CTC, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, CategoricalHinge, Circle, CosineSimilarity, Dice, Hinge, Huber,
    KLDivergence, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy, SquaredHinge, Tversky,
};
pub use functions::Alpha;
pub use keras_spec::Reduction;

use keras_spec::object::{Config, make};
use keras_spec::{DType, Loss, Result, Shared, Tensor};
use serde_json::json;

use functions::same_rank;

/// A loss by name (`keras.losses.get`): a class or a function of `keras.losses`, or what has been registered. A function's
/// loss is named as the caller named it (`"mse"`).
///
/// # Errors
/// [`keras_spec::Error::Unknown`] if there is none.
pub fn get(name: &str) -> Result<Shared<dyn Loss>> {
    let mut config = Config::new();
    if name.chars().next().is_some_and(char::is_lowercase) || name.chars().all(char::is_uppercase) {
        config.insert("name".to_owned(), name.into());
    }
    make::<dyn Loss>(&json!({ "class_name": name, "config": config })).map(Shared::from)
}

/// Whether targets and predictions are of one number, or of a class index against several classes.
pub(crate) fn kind_of(y_true: &Tensor, y_pred: &Tensor) -> (bool, bool) {
    let last = |t: &Tensor| t.shape().last().copied().unwrap_or(1);
    let sparse = y_true.rank() < y_pred.rank() || last(y_true) == 1 && last(y_pred) > 1;
    (last(y_pred) == 1, sparse)
}

/// The loss that a name means for an output: `"crossentropy"` depends on the shapes.
pub(crate) fn for_output(name: &str, y_true: &Tensor, y_pred: &Tensor) -> Result<Shared<dyn Loss>> {
    match name.to_lowercase().as_str() {
        "crossentropy" | "ce" => get(match kind_of(y_true, y_pred) {
            (true, _) => "binary_crossentropy",
            (_, true) => "sparse_categorical_crossentropy",
            _ => "categorical_crossentropy",
        }),
        _ => get(name),
    }
}

/// The loss of a batch: weighted by samples, without what is masked, reduced (`Loss.__call__`, Keras 3.15.1).
///
/// # Errors
/// If the shapes do not fit.
pub fn compute(
    loss: &dyn Loss,
    y_true: &Tensor,
    y_pred: &Tensor,
    sample_weight: Option<&Tensor>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let dtype = loss.dtype();
    let (y_true, y_pred) = same_rank(&y_true.cast(dtype)?, &y_pred.cast(dtype)?)?;
    let (mut values, own_mask) = loss.call_masked(&y_true, &y_pred)?;
    let mask = match (mask, own_mask) {
        (Some(a), Some(b)) => Some(a.cast(DType::Bool)?.and(&b)?),
        (Some(a), None) => Some(a.cast(DType::Bool)?),
        (None, own) => own,
    };
    let mut weight = sample_weight.map(|w| w.cast(dtype)).transpose()?;
    if let Some(mask) = mask {
        weight = Some(masked_weight(&mask, weight, dtype, loss.reduction())?);
    }
    if let Some(w) = weight.take() {
        let (v, w) = same_rank(&values, &w)?;
        values = (v * &w)?;
        weight = Some(w);
    }
    reduce(&values, weight.as_ref(), loss.reduction())
}

/// The mask as weights whose mean is 1 where the loss is averaged, times the given weights.
fn masked_weight(
    mask: &Tensor,
    weight: Option<Tensor>,
    dtype: DType,
    reduction: Reduction,
) -> Result<Tensor> {
    let floats = mask.cast(dtype)?;
    let floats = match reduction {
        Reduction::Mean | Reduction::SumOverBatchSize => {
            let size = Tensor::full([], dtype, mask.shape().size() as f64, floats.device())?;
            let share = divide_no_nan(&size, &floats.sum(&[], false)?)?;
            (floats * share)?
        }
        _ => floats,
    };
    match weight {
        None => Ok(floats),
        Some(w) => {
            let (floats, w) = same_rank(&floats, &w)?;
            w * floats
        }
    }
}

/// `a / b`, and 0 where `b` is 0, in a way whose gradient is finite too.
pub(crate) fn divide_no_nan(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let zero = Tensor::full([], b.dtype(), 0.0, b.device())?;
    let nothing = b.equal(&zero)?;
    let one = Tensor::full([], b.dtype(), 1.0, b.device())?;
    nothing.select(&zero, &(a / nothing.select(&one, b)?)?)
}

fn reduce(values: &Tensor, weight: Option<&Tensor>, reduction: Reduction) -> Result<Tensor> {
    if reduction == Reduction::None || values.rank() == 0 || values.shape().dims() == [0] {
        return Ok(values.clone());
    }
    let sum = values.sum(&[], false)?;
    match (reduction, weight) {
        (Reduction::Sum, _) => Ok(sum),
        (Reduction::MeanWithSampleWeight, Some(w)) => divide_no_nan(&sum, &w.sum(&[], false)?),
        _ => match values.shape().size() {
            0 => Ok(sum),
            n => sum / n as f64,
        },
    }
}
