//! The form that models and what they are compiled with have in Keras 3's HDF5 files.

use serde_json::Value;

/// The `training_config` of an HDF5 file as `compile_config`: only the optimizer goes by another name.
pub(super) fn compile_config(mut training: Value) -> Value {
    rename(&mut training, "optimizer_config", "optimizer");
    training
}

/// The `training_config` that Keras 3 writes for a `compile_config`.
pub(super) fn training_config(mut compile: Value) -> Value {
    rename(&mut compile, "optimizer", "optimizer_config");
    if let Value::Object(map) = &mut compile {
        for object in map.values_mut() {
            short_form(object);
        }
    }
    compile
}

fn rename(value: &mut Value, from: &str, to: &str) {
    if let Value::Object(map) = value
        && let Some(object) = map.shift_remove(from)
    {
        map.insert(to.to_owned(), object);
    }
}

/// Objects outermost in `value` without what HDF5 files leave out of them.
pub(super) fn short_form(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(short_form),
        Value::Object(map) if map.contains_key("class_name") => {
            for key in ["module", "registered_name", "build_config", "compile_config"] {
                map.shift_remove(key);
            }
        }
        Value::Object(map) => map.values_mut().for_each(short_form),
        _ => {}
    }
}

/// Gives classes the names that they have outside of HDF5 files of Keras 3.
pub(super) fn upgrade(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(upgrade),
        Value::Object(map) => {
            if let Some(class) = map.get_mut("class_name").filter(|c| *c == "GroupedQueryAttention") {
                *class = "GroupQueryAttention".into();
            }
            map.values_mut().for_each(upgrade);
        }
        _ => {}
    }
}

/// A model in the form of Keras 3's HDF5 files, in which the layers of models have only class and configuration.
pub(super) fn downgrade(mut model: Value) -> Value {
    downgrade_layers(&mut model);
    model
}

fn downgrade_layers(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(downgrade_layers),
        Value::Object(map) => {
            // Here Keras writes the names that classes have in Python.
            if let Some(class) = map.get_mut("class_name").filter(|c| *c == "GroupQueryAttention") {
                *class = "GroupedQueryAttention".into();
            }
            if map.get("class_name").is_some_and(|c| c == "Functional" || c == "Sequential")
                && let Some(layers) = map.get_mut("config").and_then(|c| c.get_mut("layers"))
            {
                short_form(layers);
            }
            map.values_mut().for_each(downgrade_layers);
        }
        _ => {}
    }
}
