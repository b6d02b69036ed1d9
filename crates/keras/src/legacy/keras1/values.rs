//! Penalties, constraints and functions by Keras 1's names.

use keras_spec::{Error, HostTensor, Identifier, Initializer, Loss, Metric, Result, Shared};
use serde_json::{Value, json};

use super::warn_once;
use crate::saving::legacy::{DROPPED_METRICS, function_name};

/// `keras.regularizers` of Keras 1.
pub mod regularizers {
    use super::{Value, json, warn_once};

    /// `l1(l)`, the same in Keras 2.
    pub fn l1(l: f64) -> Value {
        both(l, 0.0)
    }

    /// `l2(l)`, the same in Keras 2.
    pub fn l2(l: f64) -> Value {
        both(0.0, l)
    }

    /// `l1l2(l1, l2)`, in Keras 2 `l1_l2`.
    pub fn l1l2(l1: f64, l2: f64) -> Value {
        warn_once(format!("`l1l2` is `l1_l2(l1={l1}, l2={l2})` in Keras 2"));
        both(l1, l2)
    }

    /// `activity_l1(l)`, in Keras 2 `l1`.
    pub fn activity_l1(l: f64) -> Value {
        warn_once(format!("`activity_l1` is `l1({l})` in Keras 2"));
        both(l, 0.0)
    }

    /// `activity_l2(l)`, in Keras 2 `l2`.
    pub fn activity_l2(l: f64) -> Value {
        warn_once(format!("`activity_l2` is `l2({l})` in Keras 2"));
        both(0.0, l)
    }

    /// `activity_l1l2(l1, l2)`, in Keras 2 `l1_l2`.
    pub fn activity_l1l2(l1: f64, l2: f64) -> Value {
        warn_once(format!("`activity_l1l2` is `l1_l2(l1={l1}, l2={l2})` in Keras 2"));
        both(l1, l2)
    }

    fn both(l1: f64, l2: f64) -> Value {
        json!({ "name": "L1L2Regularizer", "l1": l1, "l2": l2 })
    }
}

/// `keras.constraints` of Keras 1.
pub mod constraints {
    use super::{Value, json, warn_once};

    /// `maxnorm(m)`, in Keras 2 `MaxNorm(max_value)`.
    pub fn maxnorm(m: f64) -> Value {
        warn_once(format!("`maxnorm` is `max_norm({m})` in Keras 2"));
        json!({ "name": "MaxNorm", "m": m, "axis": 0 })
    }

    /// `nonneg()`, in Keras 2 `NonNeg()`.
    pub fn nonneg() -> Value {
        warn_once("`nonneg` is `non_neg()` in Keras 2".to_owned());
        json!({ "name": "NonNeg" })
    }

    /// `unitnorm()`, in Keras 2 `UnitNorm()`.
    pub fn unitnorm() -> Value {
        warn_once("`unitnorm` is `unit_norm()` in Keras 2".to_owned());
        json!({ "name": "UnitNorm", "axis": 0 })
    }
}

/// `keras.objectives` of Keras 1, in Keras 2 `keras.losses`.
pub mod objectives {
    use super::{Identifier, Loss, function_name, warn_once};

    /// The loss of a name, for [`Compile`](crate::training::Compile).
    pub fn get(name: &str) -> Identifier<dyn Loss> {
        let new = function_name(name);
        warn_once(format!("`keras.objectives.{name}` is `keras.losses.{name}` in Keras 2"));
        if name.starts_with("cosine") {
            warn_once(format!(
                "`{name}` is the mean over the last axis in Keras 1, and the sum over it since"
            ));
        }
        new.into()
    }
}

/// `keras.metrics` of Keras 1.
pub mod metrics {
    use super::{DROPPED_METRICS, Error, Identifier, Metric, Result, function_name};

    /// The metric of a name, for [`Compile`](crate::training::Compile).
    ///
    /// # Errors
    /// Keras 2 dropped the metric: `precision`, `recall`, `fbeta_score` and their like were means over batches, which are not
    /// what they say.
    pub fn get(name: &str) -> Result<Identifier<dyn Metric>> {
        if DROPPED_METRICS.contains(&name) {
            let why = "Keras 2 dropped it: the mean over batches is not what it says; use `Precision`, `Recall` or \
                       `FBetaScore` of `keras::metrics`";
            return Err(Error::argument("metrics", "a metric of Keras 2", format!("`{name}`. {why}")));
        }
        Ok(function_name(name).into())
    }
}

/// `keras.utils.np_utils` of Keras 1.
pub mod np_utils {
    use super::{HostTensor, Result, warn_once};

    /// Class indices as one-hot rows: `(…)` → `(…, nb_classes)` of float32 (`keras.utils.np_utils.to_categorical`,
    /// Keras 1.2.2).
    ///
    /// # Errors
    /// As [`to_categorical`](crate::utils::to_categorical).
    pub fn to_categorical(y: &HostTensor, nb_classes: Option<usize>) -> Result<HostTensor> {
        let classes = nb_classes.map(|n| format!(", num_classes={n}")).unwrap_or_default();
        warn_once(format!(
            "Update your `to_categorical` call to the Keras 2 API: `keras.utils.to_categorical(y{classes})`"
        ));
        crate::utils::to_categorical(y, nb_classes)
    }
}

/// `keras.initializations` of Keras 1, in Keras 2 `keras.initializers`.
pub mod initializations {
    use super::{Initializer, Result, Shared, warn_once};
    use crate::saving::legacy::keras1::initializer;

    /// The initializer that Keras 1 knows under a name, which may be another than today's: `normal` and `uniform` have a
    /// width of their own, `orthogonal` a gain of 1.1, and nothing is truncated.
    ///
    /// # Errors
    /// Keras 1 has none of the name.
    pub fn get(name: &str) -> Result<Shared<dyn Initializer>> {
        warn_once("`keras.initializations` is `keras.initializers` in Keras 2".to_owned());
        initializer(name)
    }
}
