//! Losses as classes of `keras.losses` (Keras 3.15.1).

use keras_spec::{DType, Error, Loss, Reduction, Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize};

use super::functions::{self, Alpha, Focal};
use crate::class::{builders, keras_class};
use crate::constraints::Axes;

/// `reduction` in files may be null.
fn reduction<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Reduction, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or(Reduction::None))
}

/// Declares a loss: a struct with `name`, `reduction`, `dtype` and its own arguments with their defaults, and how it calls
/// its function.
macro_rules! loss {
    (
        $(#[$doc:meta])*
        $Loss:ident, $name:literal, [$($alias:literal),*],
        { $($(#[$field_doc:meta])* $(@serde($($serde:tt)*))? $field:ident: $Type:ty = $default:expr,)* },
        |$this:ident, $t:ident, $p:ident| $call:expr
        $(, check $check:ident)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Loss {
            name: String,
            #[serde(deserialize_with = "reduction")]
            reduction: Reduction,
            $($(#[serde($($serde)*)])? $field: $Type,)*
            #[serde(skip_serializing)]
            dtype: Option<DType>,
        }

        keras_class!(dyn Loss, "keras.losses", $Loss, aliases [$($alias),*] $(, check $check)?);

        impl Default for $Loss {
            fn default() -> Self {
                $Loss { name: $name.to_owned(), reduction: Reduction::default(), $($field: $default,)* dtype: None }
            }
        }

        impl $Loss {
            /// The loss with Keras's defaults.
            pub fn new() -> Self {
                $Loss::default()
            }

            builders! {
                $($(#[$field_doc])* $field: $Type;)*
                /// The name in logs.
                name: String;
                /// How the values of samples become one number.
                reduction: Reduction;
                /// The dtype that the loss computes in; float32 unless given.
                some dtype: DType;
            }
        }

        impl Loss for $Loss {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
                self.call_masked(y_true, y_pred).map(|(loss, _)| loss)
            }

            fn call_masked(&self, $t: &Tensor, $p: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
                let $this = self;
                $call
            }

            fn reduction(&self) -> Reduction {
                self.reduction
            }

            fn dtype(&self) -> DType {
                self.dtype.unwrap_or(DType::F32)
            }
        }
    };
}

/// A loss without a mask of its own.
fn plain(loss: Result<Tensor>) -> Result<(Tensor, Option<Tensor>)> {
    loss.map(|l| (l, None))
}

loss! {
    /// [`functions::mean_squared_error`] (`keras.losses.MeanSquaredError`).
    MeanSquaredError, "mean_squared_error", ["mse", "MSE", "mean_squared_error"], {},
    |_this, t, p| plain(functions::mean_squared_error(t, p))
}

loss! {
    /// [`functions::mean_absolute_error`] (`keras.losses.MeanAbsoluteError`).
    MeanAbsoluteError, "mean_absolute_error", ["mae", "MAE", "mean_absolute_error"], {},
    |_this, t, p| plain(functions::mean_absolute_error(t, p))
}

loss! {
    /// [`functions::mean_absolute_percentage_error`] (`keras.losses.MeanAbsolutePercentageError`).
    MeanAbsolutePercentageError, "mean_absolute_percentage_error",
    ["mape", "MAPE", "mean_absolute_percentage_error"], {},
    |_this, t, p| plain(functions::mean_absolute_percentage_error(t, p))
}

loss! {
    /// [`functions::mean_squared_logarithmic_error`] (`keras.losses.MeanSquaredLogarithmicError`).
    MeanSquaredLogarithmicError, "mean_squared_logarithmic_error",
    ["msle", "MSLE", "mean_squared_logarithmic_error"], {},
    |_this, t, p| plain(functions::mean_squared_logarithmic_error(t, p))
}

loss! {
    /// [`functions::cosine_similarity`] (`keras.losses.CosineSimilarity`).
    ///
    /// Keras 3.15.1 leaves `axis` out of the configuration, so a saved loss forgets it; this one does the same.
    CosineSimilarity, "cosine_similarity", ["cosine_similarity"],
    {
        /// The axis of the vectors.
        @serde(skip_serializing) axis: isize = -1,
    },
    |this, t, p| plain(functions::cosine_similarity(t, p, this.axis))
}

loss! {
    /// [`functions::huber`] (`keras.losses.Huber`).
    ///
    /// Keras 3.15.1 leaves `delta` out of the configuration, so a saved loss forgets it; this one does the same.
    Huber, "huber_loss", ["huber"],
    {
        /// Where the loss becomes linear.
        @serde(skip_serializing) delta: f64 = 1.0,
    },
    |this, t, p| plain(functions::huber(t, p, this.delta))
}

loss! {
    /// [`functions::log_cosh`] (`keras.losses.LogCosh`).
    LogCosh, "log_cosh", ["log_cosh", "logcosh"], {},
    |_this, t, p| plain(functions::log_cosh(t, p))
}

loss! {
    /// [`functions::hinge`] (`keras.losses.Hinge`).
    Hinge, "hinge", ["hinge"], {},
    |_this, t, p| plain(functions::hinge(t, p))
}

loss! {
    /// [`functions::squared_hinge`] (`keras.losses.SquaredHinge`).
    SquaredHinge, "squared_hinge", ["squared_hinge"], {},
    |_this, t, p| plain(functions::squared_hinge(t, p))
}

loss! {
    /// [`functions::categorical_hinge`] (`keras.losses.CategoricalHinge`).
    CategoricalHinge, "categorical_hinge", ["categorical_hinge"], {},
    |_this, t, p| plain(functions::categorical_hinge(t, p))
}

loss! {
    /// [`functions::kl_divergence`] (`keras.losses.KLDivergence`).
    KLDivergence, "kl_divergence", ["kld", "KLD", "kl_divergence", "kullback_leibler_divergence"], {},
    |_this, t, p| plain(functions::kl_divergence(t, p))
}

loss! {
    /// [`functions::poisson`] (`keras.losses.Poisson`).
    Poisson, "poisson", ["poisson"], {},
    |_this, t, p| plain(functions::poisson(t, p))
}

loss! {
    /// [`functions::binary_crossentropy`] (`keras.losses.BinaryCrossentropy`).
    BinaryCrossentropy, "binary_crossentropy", ["bce", "BCE", "binary_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards 0.5.
        label_smoothing: f64 = 0.0,
        /// The axis that is averaged.
        axis: isize = -1,
    },
    |this, t, p| plain(functions::binary_crossentropy(t, p, this.from_logits, this.label_smoothing, this.axis))
}

loss! {
    /// [`functions::binary_focal_crossentropy`] (`keras.losses.BinaryFocalCrossentropy`).
    BinaryFocalCrossentropy, "binary_focal_crossentropy", ["binary_focal_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards 0.5.
        label_smoothing: f64 = 0.0,
        /// The axis that is averaged.
        axis: isize = -1,
        /// Weighs the positive class by `alpha` and the other by `1 - alpha`.
        apply_class_balancing: bool = false,
        /// The weight of the positive class.
        alpha: f64 = 0.25,
        /// How much easy samples are played down.
        gamma: f64 = 2.0,
    },
    |this, t, p| {
        let focal = Focal {
            apply_class_balancing: this.apply_class_balancing, alpha: this.alpha, gamma: this.gamma,
        };
        let (logits, smoothing) = (this.from_logits, this.label_smoothing);
        plain(functions::binary_focal_crossentropy(t, p, focal, logits, smoothing, this.axis))
    }
}

loss! {
    /// [`functions::categorical_crossentropy`] (`keras.losses.CategoricalCrossentropy`).
    CategoricalCrossentropy, "categorical_crossentropy", ["categorical_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards equal probabilities.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: isize = -1,
    },
    |this, t, p| plain(functions::categorical_crossentropy(t, p, this.from_logits, this.label_smoothing, this.axis))
}

loss! {
    /// [`functions::categorical_focal_crossentropy`] (`keras.losses.CategoricalFocalCrossentropy`).
    CategoricalFocalCrossentropy, "categorical_focal_crossentropy", ["categorical_focal_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// Moves targets towards equal probabilities.
        label_smoothing: f64 = 0.0,
        /// The axis of the classes.
        axis: isize = -1,
        /// The weight of the loss, or of each class.
        alpha: Alpha = Alpha::Same(0.25),
        /// How much easy samples are played down.
        gamma: f64 = 2.0,
    },
    |this, t, p| {
        let (logits, smoothing) = (this.from_logits, this.label_smoothing);
        let (alpha, gamma) = (&this.alpha, this.gamma);
        plain(functions::categorical_focal_crossentropy(t, p, alpha, gamma, logits, smoothing, this.axis))
    }
}

loss! {
    /// [`functions::sparse_categorical_crossentropy`] (`keras.losses.SparseCategoricalCrossentropy`).
    ///
    /// Keras 3.15.1 leaves `axis` out of the configuration, so a saved loss forgets it; this one does the same.
    SparseCategoricalCrossentropy, "sparse_categorical_crossentropy", ["sparse_categorical_crossentropy"],
    {
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool = false,
        /// A class that does not count.
        ignore_class: Option<i64> = None,
        /// The axis of the classes.
        @serde(skip_serializing) axis: isize = -1,
    },
    |this, t, p| {
        functions::sparse_categorical_crossentropy(t, p, this.from_logits, this.ignore_class, this.axis)
    }
}

loss! {
    /// [`functions::categorical_generalized_cross_entropy`] (`keras.losses.CategoricalGeneralizedCrossEntropy`).
    CategoricalGeneralizedCrossEntropy, "categorical_generalized_cross_entropy",
    ["categorical_generalized_cross_entropy"],
    {
        /// How much wrong labels are played down, between 0 and 1.
        q: f64 = 0.5,
    },
    |this, t, p| {
        this.validate()?;
        plain(functions::categorical_generalized_cross_entropy(t, p, this.q))
    },
    check validate
}

impl CategoricalGeneralizedCrossEntropy {
    fn validate(&self) -> Result<()> {
        if self.q > 0.0 && self.q < 1.0 {
            return Ok(());
        }
        Err(Error::argument("q", "a number in the interval (0, 1)", self.q))
    }
}

/// The axes that are summed over: all unless given.
fn axes(given: Option<&Axes>) -> &[isize] {
    given.map_or(&[], Axes::as_slice)
}

loss! {
    /// [`functions::dice`] (`keras.losses.Dice`).
    Dice, "dice", ["dice"],
    {
        /// The axes that are summed over; all unless given.
        axis: Option<Axes> = None,
    },
    |this, t, p| plain(functions::dice(t, p, axes(this.axis.as_ref())))
}

loss! {
    /// [`functions::tversky`] (`keras.losses.Tversky`).
    Tversky, "tversky", ["tversky"],
    {
        /// How much false positives count.
        alpha: f64 = 0.5,
        /// How much false negatives count.
        beta: f64 = 0.5,
        /// The axes that are summed over; all unless given.
        axis: Option<Axes> = None,
    },
    |this, t, p| plain(functions::tversky(t, p, this.alpha, this.beta, axes(this.axis.as_ref())))
}

loss! {
    /// [`functions::circle`] (`keras.losses.Circle`). Samples without a loss do not count in the mean.
    Circle, "circle", ["circle"],
    {
        /// How steep the loss is.
        gamma: f64 = 80.0,
        /// How far apart classes are to be.
        margin: f64 = 0.4,
        /// Whether a sample is not compared with itself.
        remove_diagonal: bool = true,
    },
    |this, t, p| {
        let loss = functions::circle(t, p, this.remove_diagonal, this.gamma, this.margin)?;
        let counts = loss.compare_with(keras_spec::CompareOp::Gt, 0.0)?;
        Ok((loss, Some(counts)))
    }
}

loss! {
    /// [`functions::ctc`] (`keras.losses.CTC`).
    CTC, "ctc", ["ctc"], {}, |_this, t, p| plain(functions::ctc(t, p))
}
