//! What Keras 3 no longer has: the layers and functions of Keras 1 and 2 that old models are made of.
//!
//! Models loaded from old files use them by themselves; new models have no need of them. In files the layers are classes of the
//! package `keras.legacy`, which the real Keras knows only if a program registers such classes: a model with one of them is
//! refused there instead of computing something else.

pub mod keras1;
pub mod layers;

use keras_spec::{Result, Tensor};
use serde_json::{Value, json};

/// The name of the `hard_sigmoid` that Keras 1 and 2 have.
pub(crate) const LEGACY_HARD_SIGMOID: &str = "keras.legacy>hard_sigmoid";

/// `max(0, min(1, 0.2 · x + 0.5))`, of any shape: the `hard_sigmoid` of Keras 1 and 2 (`keras.activations.hard_sigmoid`,
/// Keras 0.3 to tf-keras 2.21). That of Keras 3 is [`activations::hard_sigmoid`](crate::activations::hard_sigmoid).
///
/// # Errors
/// If the dtype is not a float.
pub fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.2)? + 0.5)?.clip(0.0, 1.0)
}

/// [`hard_sigmoid`] as files have it: Keras 3 has no function for it, but takes layers without weights for activations.
pub(crate) fn hard_sigmoid_form() -> Value {
    let layer = |class: &str, config: Value| json!({ "module": "keras.layers", "class_name": class, "config": config, "registered_name": null });
    let steps = [
        layer("Rescaling", json!({ "scale": 0.2, "offset": 0.5 })),
        layer("ReLU", json!({ "max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0 })),
    ];
    layer("Pipeline", json!({ "layers": steps, "name": "hard_sigmoid" }))
}

/// Whether a value is [`hard_sigmoid_form`], perhaps as the real Keras has written it again.
pub(crate) fn is_hard_sigmoid(value: &Value) -> bool {
    let form = hard_sigmoid_form();
    let [form, found] = [&form, value].map(|v| v.pointer("/config/layers").and_then(Value::as_array));
    let (Some(form), Some(found)) = (form, found) else { return false };
    let agree = |(a, b): (&Value, &Value)| {
        let arguments = a["config"].as_object().into_iter().flatten();
        a["class_name"] == b["class_name"]
            && arguments.into_iter().all(|(key, v)| b["config"].get(key) == Some(v))
    };
    value["class_name"] == "Pipeline" && form.len() == found.len() && form.iter().zip(found).all(agree)
}

/// The examples of the book's chapter on migration.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/src/migrating.md")]
struct Migrating;
