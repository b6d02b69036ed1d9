//! Metrics that are the mean of a value per sample (`keras.metrics.MeanMetricWrapper`, Keras 3.15.1).

use keras_spec::{DType, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::accuracy;
use super::correlation::{concordance_correlation, pearson_correlation};
use super::state::{State, add};
use crate::Number;
use crate::class::{builders, keras_class};
use crate::losses::divide_no_nan;
use crate::losses::functions::{self, same_rank};

type Reduce = fn(&Tensor, &[isize], bool) -> Result<Tensor>;

/// Brings values to one per sample, weighted; and the weights to one per sample.
fn samplewise(
    values: &Tensor,
    sample_weight: Option<&Tensor>,
    reduce: Reduce,
    dtype: DType,
) -> Result<(Tensor, Option<Tensor>)> {
    let mut values = values.cast(dtype)?;
    let mut weight = None;
    if let Some(w) = sample_weight {
        let (v, w) = same_rank(&values, &w.cast(dtype)?)?;
        let axes: Vec<isize> = (w.rank() as isize..v.rank() as isize).collect();
        let v = if axes.is_empty() { v } else { reduce(&v, &axes, false)? };
        let mut w = w.broadcast_to(v.shape().clone())?;
        values = (v * &w)?;
        if w.rank() > 1 {
            let axes: Vec<isize> = (1..w.rank() as isize).collect();
            w = reduce(&w, &axes, false)?;
        }
        weight = Some(w);
    }
    if values.rank() > 1 {
        let axes: Vec<isize> = (1..values.rank() as isize).collect();
        values = reduce(&values, &axes, false)?;
    }
    Ok((values, weight))
}

fn total(values: &Tensor) -> Result<Tensor> {
    values.sum(&[], false)
}

/// Adds a batch to `[total, count]`.
pub(super) fn update_mean(
    state: &State,
    dtype: DType,
    values: &Tensor,
    sample_weight: Option<&Tensor>,
) -> Result<()> {
    let (values, weight) = samplewise(values, sample_weight, Tensor::mean, dtype)?;
    let variables = state.get(&["total", "count"], &Shape::scalar(), dtype, values.device())?;
    add(&variables[0], &total(&values)?)?;
    let count = match weight {
        Some(w) => total(&w)?,
        None => {
            let samples = values.shape().first().copied().unwrap_or(1);
            Tensor::full([], dtype, samples as f64, values.device())?
        }
    };
    add(&variables[1], &count)
}

pub(super) fn mean_result(state: &State, dtype: DType) -> Result<Tensor> {
    match &state.variables()[..] {
        [total, count] => divide_no_nan(&total.get(), &count.get()),
        _ => Tensor::full([], dtype, 0.0, &keras_spec::Device::default_device()?),
    }
}

/// Declares a metric: a struct with `name`, `dtype`, its own arguments and state, and how a batch becomes values.
macro_rules! mean_metric {
    (
        $(#[$doc:meta])*
        $Metric:ident, $name:literal, [$($alias:literal),*],
        { $($(#[$field_doc:meta])* $(@serde($($serde:tt)*))? $field:ident: $Type:ty = $default:expr,)* },
        |$this:ident, $t:ident, $p:ident| $values:expr,
        $finish:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Metric {
            name: String,
            dtype: DType,
            $($(#[serde($($serde)*)])? $field: $Type,)*
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric, aliases [$($alias),*]);

        impl Default for $Metric {
            fn default() -> Self {
                $Metric { name: $name.to_owned(), dtype: DType::F32, $($field: $default,)* state: State::default() }
            }
        }

        impl $Metric {
            /// The metric with Keras's defaults.
            pub fn new() -> Self {
                $Metric::default()
            }

            builders! {
                $($(#[$field_doc])* $field: $Type;)*
                /// The name in logs.
                name: String;
                /// The dtype of the state.
                dtype: DType;
            }
        }


        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, $t: &Tensor, $p: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                let $this = self;
                let values: Result<Tensor> = $values;
                update_mean(&self.state, self.dtype, &values?, sample_weight)
            }

            fn result(&self) -> Result<Tensor> {
                let finish: fn(Tensor) -> Result<Tensor> = $finish;
                finish(mean_result(&self.state, self.dtype)?)
            }

            fn reset_state(&self) -> Result<()> {
                self.state.reset()
            }

            fn variables(&self) -> Vec<Variable> {
                self.state.variables()
            }
        }
    };
    (
        $(#[$doc:meta])*
        $Metric:ident, $name:literal, [$($alias:literal),*],
        { $($fields:tt)* },
        |$this:ident, $t:ident, $p:ident| $values:expr
    ) => {
        mean_metric! {
            $(#[$doc])*
            $Metric, $name, [$($alias),*], { $($fields)* }, |$this, $t, $p| $values, Ok
        }
    };
}

mean_metric! {
    /// The mean of the values given as `y_true`; predictions are not looked at (`keras.metrics.Mean`).
    Mean, "mean", ["mean"], {}, |_this, t, _p| Ok(t.clone())
}

mean_metric! {
    /// How often predictions equal targets (`keras.metrics.Accuracy`).
    Accuracy, "accuracy", ["accuracy"], {}, |_this, t, p| accuracy::accuracy(t, p)
}

mean_metric! {
    /// How often predictions are on the right side of a threshold (`keras.metrics.BinaryAccuracy`).
    BinaryAccuracy, "binary_accuracy", ["binary_accuracy"],
    {
        /// What a prediction must exceed to mean 1.
        threshold: f64 = 0.5,
    },
    |this, t, p| accuracy::binary_accuracy(t, p, this.threshold)
}

mean_metric! {
    /// How often the most probable class is that of a one-hot target (`keras.metrics.CategoricalAccuracy`).
    CategoricalAccuracy, "categorical_accuracy", ["categorical_accuracy"], {},
    |_this, t, p| accuracy::categorical_accuracy(t, p)
}

mean_metric! {
    /// How often the most probable class is the target (`keras.metrics.SparseCategoricalAccuracy`).
    SparseCategoricalAccuracy, "sparse_categorical_accuracy", ["sparse_categorical_accuracy"], {},
    |_this, t, p| accuracy::sparse_categorical_accuracy(t, p)
}

mean_metric! {
    /// How often the class of a one-hot target is among the `k` most probable (`keras.metrics.TopKCategoricalAccuracy`).
    TopKCategoricalAccuracy, "top_k_categorical_accuracy", ["top_k_categorical_accuracy"],
    {
        /// How many classes may be guessed.
        k: usize = 5,
    },
    |this, t, p| accuracy::top_k_categorical_accuracy(t, p, this.k)
}

fn is_false(flag: &bool) -> bool {
    !flag
}

mean_metric! {
    /// How often the target is among the `k` most probable classes (`keras.metrics.SparseTopKCategoricalAccuracy`).
    SparseTopKCategoricalAccuracy, "sparse_top_k_categorical_accuracy", ["sparse_top_k_categorical_accuracy"],
    {
        /// How many classes may be guessed.
        k: usize = 5,
        /// Whether predictions are class indices, the most probable first.
        @serde(skip_serializing_if = "is_false") from_sorted_ids: bool = false,
    },
    |this, t, p| accuracy::sparse_top_k_categorical_accuracy(t, p, this.k, this.from_sorted_ids)
}

mean_metric! {
    /// [`functions::mean_squared_error`] (`keras.metrics.MeanSquaredError`).
    MeanSquaredError, "mean_squared_error", ["mse", "MSE", "mean_squared_error"], {},
    |_this, t, p| functions::mean_squared_error(t, p)
}

mean_metric! {
    /// [`functions::mean_absolute_error`] (`keras.metrics.MeanAbsoluteError`).
    MeanAbsoluteError, "mean_absolute_error", ["mae", "MAE", "mean_absolute_error"], {},
    |_this, t, p| functions::mean_absolute_error(t, p)
}

mean_metric! {
    /// [`functions::mean_absolute_percentage_error`] (`keras.metrics.MeanAbsolutePercentageError`).
    MeanAbsolutePercentageError, "mean_absolute_percentage_error",
    ["mape", "MAPE", "mean_absolute_percentage_error"], {},
    |_this, t, p| functions::mean_absolute_percentage_error(t, p)
}

mean_metric! {
    /// [`functions::mean_squared_logarithmic_error`] (`keras.metrics.MeanSquaredLogarithmicError`).
    MeanSquaredLogarithmicError, "mean_squared_logarithmic_error",
    ["msle", "MSLE", "mean_squared_logarithmic_error"], {},
    |_this, t, p| functions::mean_squared_logarithmic_error(t, p)
}

mean_metric! {
    /// The root of the mean squared error (`keras.metrics.RootMeanSquaredError`).
    RootMeanSquaredError, "root_mean_squared_error", ["root_mean_squared_error"], {},
    |_this, t, p| {
        let (t, p) = same_rank(&t.cast(DType::F32)?, &p.cast(DType::F32)?)?;
        (p - t)?.square()
    },
    |mean| mean.sqrt()
}

mean_metric! {
    /// The cosine of the angle between targets and predictions (`keras.metrics.CosineSimilarity`).
    ///
    /// Keras 3.15.1 leaves `axis` out of the configuration; this one does the same.
    CosineSimilarity, "cosine_similarity", ["cosine_similarity"],
    {
        /// The axis of the vectors.
        @serde(skip_serializing) axis: isize = -1,
    },
    |this, t, p| {
        let minus = functions::cosine_similarity(t, p, this.axis)?;
        -minus
    }
}

mean_metric! {
    /// [`functions::log_cosh`] (`keras.metrics.LogCoshError`).
    LogCoshError, "logcosh", ["log_cosh_error", "logcosh"], {},
    |_this, t, p| functions::log_cosh(t, p)
}

mean_metric! {
    /// [`functions::hinge`] (`keras.metrics.Hinge`).
    Hinge, "hinge", ["hinge"], {}, |_this, t, p| functions::hinge(t, p)
}

mean_metric! {
    /// [`functions::squared_hinge`] (`keras.metrics.SquaredHinge`).
    SquaredHinge, "squared_hinge", ["squared_hinge"], {}, |_this, t, p| functions::squared_hinge(t, p)
}

mean_metric! {
    /// [`functions::categorical_hinge`] (`keras.metrics.CategoricalHinge`).
    CategoricalHinge, "categorical_hinge", ["categorical_hinge"], {}, |_this, t, p| functions::categorical_hinge(t, p)
}

mean_metric! {
    /// [`functions::kl_divergence`] (`keras.metrics.KLDivergence`).
    KLDivergence, "kl_divergence", ["kl_divergence", "kld", "KLD"], {}, |_this, t, p| functions::kl_divergence(t, p)
}

mean_metric! {
    /// [`functions::poisson`] (`keras.metrics.Poisson`).
    Poisson, "poisson", ["poisson"], {}, |_this, t, p| functions::poisson(t, p)
}

mean_metric! {
    /// [`functions::binary_crossentropy`] (`keras.metrics.BinaryCrossentropy`).
    BinaryCrossentropy, "binary_crossentropy", ["bce", "BCE", "binary_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards 0.5.
        label_smoothing: Number = 0.into(),
    },
    |this, t, p| functions::binary_crossentropy(t, p, this.from_logits, this.label_smoothing.value(), -1)
}

mean_metric! {
    /// [`functions::categorical_crossentropy`] (`keras.metrics.CategoricalCrossentropy`).
    CategoricalCrossentropy, "categorical_crossentropy", ["categorical_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards equal probabilities.
        label_smoothing: Number = 0.into(),
        /// The axis of the classes.
        axis: isize = -1,
    },
    |this, t, p| functions::categorical_crossentropy(t, p, this.from_logits, this.label_smoothing.value(), this.axis)
}

/// The mean of [`functions::sparse_categorical_crossentropy`] (`keras.metrics.SparseCategoricalCrossentropy`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct SparseCategoricalCrossentropy {
    name: String,
    dtype: DType,
    from_logits: bool,
    ignore_class: Option<i64>,
    axis: isize,
    #[serde(skip)]
    state: State,
}

keras_class!(
    dyn Metric,
    "keras.metrics",
    SparseCategoricalCrossentropy,
    aliases["sparse_categorical_crossentropy"]
);

impl Default for SparseCategoricalCrossentropy {
    fn default() -> Self {
        SparseCategoricalCrossentropy {
            name: "sparse_categorical_crossentropy".to_owned(),
            dtype: DType::F32,
            from_logits: false,
            ignore_class: None,
            axis: -1,
            state: State::default(),
        }
    }
}

impl SparseCategoricalCrossentropy {
    /// The metric with Keras's defaults.
    pub fn new() -> Self {
        SparseCategoricalCrossentropy::default()
    }

    builders! {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool;
        /// A class that does not count.
        some ignore_class: i64;
        /// The axis of the classes.
        axis: isize;
        /// The name in logs.
        name: String;
        /// The dtype of the state.
        dtype: DType;
    }
}

impl Metric for SparseCategoricalCrossentropy {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        let (values, mask) = functions::sparse_categorical_crossentropy(
            y_true,
            y_pred,
            self.from_logits,
            self.ignore_class,
            self.axis,
        )?;
        // A given weight meets the mask of ignored targets; without one Keras counts them as zeros.
        let weight = match (sample_weight, mask) {
            (Some(w), Some(mask)) => {
                let (mask, w) = same_rank(&mask.cast(self.dtype)?, &w.cast(self.dtype)?)?;
                Some((w * mask)?)
            }
            (w, _) => w.cloned(),
        };
        update_mean(&self.state, self.dtype, &values, weight.as_ref())
    }

    fn result(&self) -> Result<Tensor> {
        mean_result(&self.state, self.dtype)
    }

    fn reset_state(&self) -> Result<()> {
        self.state.reset()
    }

    fn variables(&self) -> Vec<Variable> {
        self.state.variables()
    }
}

/// The sum of the values given as `y_true`; predictions are not looked at (`keras.metrics.Sum`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Sum {
    name: String,
    dtype: DType,
    #[serde(skip)]
    state: State,
}

keras_class!(dyn Metric, "keras.metrics", Sum, aliases["sum"]);

impl Default for Sum {
    fn default() -> Self {
        Sum { name: "sum".to_owned(), dtype: DType::F32, state: State::default() }
    }
}

impl Sum {
    /// The metric with Keras's defaults.
    pub fn new() -> Self {
        Sum::default()
    }
}

impl Metric for Sum {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn update_state(&self, values: &Tensor, _y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        let (values, _) = samplewise(values, sample_weight, Tensor::sum, self.dtype)?;
        let state = self.state.get(&["total"], &Shape::scalar(), self.dtype, values.device())?;
        add(&state[0], &total(&values)?)
    }

    fn result(&self) -> Result<Tensor> {
        match &self.state.variables()[..] {
            [total] => Ok(total.get()),
            _ => Tensor::full([], self.dtype, 0.0, &keras_spec::Device::default_device()?),
        }
    }

    fn reset_state(&self) -> Result<()> {
        self.state.reset()
    }

    fn variables(&self) -> Vec<Variable> {
        self.state.variables()
    }
}

mean_metric! {
    /// The mean of [`pearson_correlation`] (`keras.metrics.PearsonCorrelation`).
    PearsonCorrelation, "pearson_correlation", ["pearson_correlation"],
    {
        /// The axis along which values are correlated.
        axis: isize = -1,
    },
    |this, t, p| pearson_correlation(t, p, this.axis)
}

mean_metric! {
    /// The mean of [`concordance_correlation`] (`keras.metrics.ConcordanceCorrelation`).
    ConcordanceCorrelation, "concordance_correlation", ["concordance_correlation"],
    {
        /// The axis along which values are correlated.
        axis: isize = -1,
    },
    |this, t, p| concordance_correlation(t, p, this.axis)
}
