//! Which dtype a layer computes in and which its variables have.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::dtype::DType;
use crate::error::{Error, Result};

/// `keras.DTypePolicy` (Keras 3.15.1): a dtype's name, `mixed_float16` or `mixed_bfloat16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DTypePolicy {
    compute: DType,
    variable: DType,
}

impl DTypePolicy {
    /// Computes in `dtype` and has variables of it.
    pub const fn uniform(dtype: DType) -> Self {
        DTypePolicy { compute: dtype, variable: dtype }
    }

    /// A policy by its name.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no such policy.
    pub fn new(name: &str) -> Result<Self> {
        match name {
            "mixed_float16" => Ok(DTypePolicy { compute: DType::F16, variable: DType::F32 }),
            "mixed_bfloat16" => Ok(DTypePolicy { compute: DType::BF16, variable: DType::F32 }),
            other => other.parse().map(DTypePolicy::uniform),
        }
    }

    /// The policy's name.
    pub fn name(&self) -> String {
        if self.compute == self.variable {
            self.compute.to_string()
        } else {
            format!("mixed_{}", self.compute)
        }
    }

    /// The dtype that float inputs and weights are cast to in a call.
    pub fn compute_dtype(&self) -> DType {
        self.compute
    }

    /// The dtype of variables.
    pub fn variable_dtype(&self) -> DType {
        self.variable
    }

    /// The policy of layers that are given none: [`set_dtype_policy`]'s, at first `float32`.
    pub fn global() -> Self {
        *GLOBAL.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From what files hold: a name, or Keras's object form.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else.
    pub fn from_value(value: &Value) -> Result<Self> {
        let name = match value {
            Value::String(name) => Some(name.as_str()),
            Value::Object(o) => o.get("config").and_then(|c| c.get("name")).and_then(Value::as_str),
            _ => None,
        };
        DTypePolicy::new(
            name.ok_or_else(|| Error::config("DTypePolicy", format!("cannot be read from {value}")))?,
        )
    }

    /// Keras's object form.
    pub fn to_value(&self) -> Value {
        json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": self.name()}, "registered_name": null})
    }
}

static GLOBAL: RwLock<DTypePolicy> = RwLock::new(DTypePolicy::uniform(DType::F32));

/// Sets the policy of layers that are given none (`keras.config.set_dtype_policy`).
pub fn set_dtype_policy(policy: DTypePolicy) {
    *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = policy;
}

impl Serialize for DTypePolicy {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(s)
    }
}

impl<'de> Deserialize<'de> for DTypePolicy {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        DTypePolicy::from_value(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
