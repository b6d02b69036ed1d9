//! `config`: an object that is made and written back.

use keras_spec::object::{Family, Serialized, make};
use keras_spec::{
    Constraint, Initializer, LayerRef, LearningRateSchedule, Loss, Metric, Optimizer, Regularizer,
};
use serde_json::Value;

use super::{Result, mismatch};
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case) -> Result {
    let object = case.json("object");
    let module = object.get("module").and_then(Value::as_str).unwrap_or_default();
    let written = match module {
        "keras.initializers" => written::<dyn Initializer>(object)?,
        "keras.regularizers" => written::<dyn Regularizer>(object)?,
        "keras.constraints" => written::<dyn Constraint>(object)?,
        "keras.losses" => written::<dyn Loss>(object)?,
        "keras.metrics" => written::<dyn Metric>(object)?,
        "keras.optimizers" => written::<dyn Optimizer>(object)?,
        "keras.optimizers.schedules" => written::<dyn LearningRateSchedule>(object)?,
        _ => LayerRef::from_value(object)?.serialize()?.to_value(),
    };
    let expected = case.json("expect");
    if expected.is_null() {
        return Err(VectorError::Key("expect".to_owned(), "is missing".to_owned()).into());
    }
    match difference(&written, expected) {
        None => Ok(()),
        Some(message) => mismatch(message),
    }
}

fn written<T: Family + ?Sized>(object: &Value) -> Result<Value> {
    Ok(Serialized::of(&*make::<T>(object)?)?.to_value())
}

/// The first place where two values differ. Numbers are equal if their values are, as in Python.
fn difference(got: &Value, expected: &Value) -> Option<String> {
    match (got, expected) {
        (Value::Object(a), Value::Object(b)) => {
            if let Some(key) = a.keys().find(|k| !b.contains_key(*k)) {
                return Some(format!("`{key}` is {} where no such key is expected", a[key]));
            }
            b.iter().find_map(|(key, expected)| match a.get(key) {
                None => Some(format!("`{key}` is missing where {expected} is expected")),
                Some(got) => difference(got, expected).map(|d| format!("{key}: {d}")),
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b).map(|d| format!("[{i}]: {d}"))),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (a, b) if a == b => None,
        (a, b) => Some(format!("{a} where {b} is expected")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_located() {
        assert_eq!(difference(&json!({"a": 1, "b": [2]}), &json!({"b": [2.0], "a": 1.0})), None);
        let found = difference(&json!({"a": {"b": [1, 2]}}), &json!({"a": {"b": [1, 3]}})).unwrap();
        assert_eq!(found, "a: b: [1]: 2 where 3 is expected");
        assert!(difference(&json!({}), &json!({"a": null})).unwrap().contains("missing"));
        assert!(difference(&json!({"a": null}), &json!({})).unwrap().contains("no such key"));
        assert!(difference(&json!(true), &json!(1)).is_some());
    }
}
