//! Metrics: what training reports (`keras.metrics`, Keras 3.15.1).

pub mod accuracy;
mod auc;
mod confusion;
pub mod correlation;
mod f_score;
mod iou;
mod mean;
mod r2_score;
mod state;
mod trade_off;
mod wrapper;

pub use auc::{AUC, Curve, SummationMethod};
pub use confusion::{
    FalseNegatives, FalsePositives, Precision, Recall, Thresholds, TrueNegatives, TruePositives,
};
pub use f_score::{Average, F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use mean::{
    Accuracy, BinaryAccuracy, BinaryCrossentropy, CategoricalAccuracy, CategoricalCrossentropy,
    CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, Hinge, KLDivergence, LogCoshError, Mean,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError,
    PearsonCorrelation, Poisson, RootMeanSquaredError, SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy, SparseTopKCategoricalAccuracy, SquaredHinge, Sum, TopKCategoricalAccuracy,
};
pub use r2_score::{ClassAggregation, R2Score};
pub use trade_off::{
    PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity,
};
pub use wrapper::MeanMetricWrapper;

use keras_spec::object::{Config, make};
use keras_spec::{Metric, Result, Shared, Tensor};
use serde_json::json;

use crate::losses::kind_of;

/// A metric by name (`keras.metrics.get`): a class or a function of `keras.metrics`, or what has been registered.
///
/// # Errors
/// [`keras_spec::Error::Unknown`] if there is none.
pub fn get(name: &str) -> Result<Shared<dyn Metric>> {
    named(name, name)
}

fn named(class: &str, name: &str) -> Result<Shared<dyn Metric>> {
    let mut config = Config::new();
    config.insert("name".to_owned(), name.into());
    make::<dyn Metric>(&json!({ "class_name": class, "config": config })).map(Shared::from)
}

/// The metric that a name means for an output: `"accuracy"` depends on the shapes. In logs it goes by the name given.
pub(crate) fn for_output(name: &str, y_true: &Tensor, y_pred: &Tensor) -> Result<Shared<dyn Metric>> {
    let class = match name.to_lowercase().as_str() {
        "accuracy" | "acc" => match kind_of(y_true, y_pred) {
            (true, _) => "BinaryAccuracy",
            (_, true) => "SparseCategoricalAccuracy",
            _ => "CategoricalAccuracy",
        },
        "crossentropy" | "ce" => match kind_of(y_true, y_pred) {
            (true, _) => "BinaryCrossentropy",
            (_, true) => "SparseCategoricalCrossentropy",
            _ => "CategoricalCrossentropy",
        },
        _ => name,
    };
    named(class, name)
}
