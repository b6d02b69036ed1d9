//! Penalties, constraints and functions by Keras 1's names.

use keras_spec::{Identifier, Initializer, Loss, Result, Shared};
use serde_json::{Value, json};

use super::warn_once;

/// `keras.regularizers` of Keras 1.
pub mod regularizers {
    use super::{Value, json};

    /// `l1(l)`, the same in Keras 2.
    pub fn l1(l: f64) -> Value {
        l1l2(l, 0.0)
    }

    /// `l2(l)`, the same in Keras 2.
    pub fn l2(l: f64) -> Value {
        l1l2(0.0, l)
    }

    /// `l1l2(l1, l2)`, in Keras 2 `l1_l2`. `activity_l1` and its like are the same here.
    pub fn l1l2(l1: f64, l2: f64) -> Value {
        json!({ "name": "L1L2Regularizer", "l1": l1, "l2": l2 })
    }
}

/// `keras.constraints` of Keras 1.
pub mod constraints {
    use super::{Value, json};

    /// `maxnorm(m)`, in Keras 2 `MaxNorm(max_value)`.
    pub fn maxnorm(m: f64) -> Value {
        json!({ "name": "MaxNorm", "m": m, "axis": 0 })
    }

    /// `nonneg()`, in Keras 2 `NonNeg()`.
    pub fn nonneg() -> Value {
        json!({ "name": "NonNeg" })
    }

    /// `unitnorm()`, in Keras 2 `UnitNorm()`.
    pub fn unitnorm() -> Value {
        json!({ "name": "UnitNorm", "axis": 0 })
    }
}

/// `keras.objectives` of Keras 1, in Keras 2 `keras.losses`.
pub mod objectives {
    use super::{Identifier, Loss, warn_once};

    /// The loss of a name, for [`Compile`](crate::training::Compile).
    pub fn get(name: &str) -> Identifier<dyn Loss> {
        warn_once("`keras.objectives` is `keras.losses` in Keras 2".to_owned());
        name.into()
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
