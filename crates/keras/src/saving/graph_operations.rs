//! Operations in the graphs of Keras 3 (`keras.src.ops`): those that only compute masks, and all others.

use keras_spec::{Error, Result};
use serde_json::{Map, Value};

/// Takes the operations out of graphs that compute the mask of a `Masking` or `Embedding` layer, and the `mask` arguments
/// that they lead to: Keras writes them out, while layers here hand masks on by themselves, as Keras's do.
///
/// # Errors
/// [`Error::Unknown`] for every other operation.
pub(super) fn resolve(value: &mut Value) -> Result<()> {
    match value {
        Value::Array(list) => list.iter_mut().try_for_each(resolve),
        Value::Object(map) => {
            if map.get("class_name").is_some_and(|c| c == "Functional")
                && let Some(Value::Array(layers)) = map.get_mut("config").and_then(|c| c.get_mut("layers"))
            {
                remove_masks(layers);
            }
            let (name, is_operation) = class(map);
            if is_operation {
                return Err(Error::unknown("operation in a graph", name, ["layers only"]));
            }
            map.values_mut().try_for_each(resolve)
        }
        _ => Ok(()),
    }
}

/// A class's name, and whether it is an operation. HDF5 files do not say which module a class is from; an operation with the
/// name of a layer takes two tensors or numbers where the layer takes a list.
fn class(object: &Map<String, Value>) -> (&str, bool) {
    let name = object.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let is_operation = match object.get("module").and_then(Value::as_str) {
        Some(module) => module.starts_with("keras.src.ops"),
        None => match name {
            "NotEqual" | "Any" => true,
            "Add" | "Subtract" | "Multiply" | "Maximum" | "Minimum" => {
                let args = object.get("inbound_nodes").and_then(|n| n.get(0)?.get("args")?.as_array());
                args.is_some_and(|args| args.len() == 2)
            }
            _ => false,
        },
    };
    (name, is_operation)
}

fn class_of(layer: &Value) -> (&str, bool) {
    layer.as_object().map_or(("", false), class)
}

/// The positional arguments of the only call of a layer.
fn arguments(layer: &Value) -> &[Value] {
    layer.pointer("/inbound_nodes/0/args").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn history(tensor: &Value) -> Option<&Value> {
    tensor.get("config")?.get("keras_history")
}

fn remove_masks(layers: &mut Vec<Value>) {
    // What is masked, and the value that says so.
    let mut masked: Vec<(Value, f64)> = Vec::new();
    for layer in layers.iter() {
        let value = match class_of(layer) {
            ("Masking", false) => layer.pointer("/config/mask_value").and_then(Value::as_f64),
            ("Embedding", false) => layer.pointer("/config/mask_zero").filter(|m| **m == true).map(|_| 0.0),
            _ => None,
        };
        let calls = layer.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten();
        let inputs = calls.filter_map(|c| history(c.pointer("/args/0")?));
        masked.extend(value.into_iter().flat_map(|v| inputs.clone().map(move |i| (i.clone(), v))));
    }
    let name = |layer: &Value| layer.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut masks: Vec<String> = Vec::new();
    for layer in layers.iter().filter(|l| class_of(l) == ("NotEqual", true)) {
        if let [input, value] = arguments(layer)
            && masked.iter().any(|(i, v)| history(input) == Some(i) && value.as_f64() == Some(*v))
        {
            masks.extend(name(layer));
        }
    }
    let leads_to = |masks: &[String], tensor: &Value| {
        let from = history(tensor).and_then(|h| h.get(0)).and_then(Value::as_str);
        from.is_some_and(|from| masks.iter().any(|m| m == from))
    };
    let reduced: Vec<String> = layers
        .iter()
        .filter(|l| class_of(l) == ("Any", true) && arguments(l).first().is_some_and(|t| leads_to(&masks, t)))
        .filter_map(name)
        .collect();
    masks.extend(reduced);
    layers.retain(|layer| !(class_of(layer).1 && name(layer).is_some_and(|n| masks.contains(&n))));
    for layer in layers {
        let calls = layer.get_mut("inbound_nodes").and_then(Value::as_array_mut).into_iter().flatten();
        for keywords in calls.filter_map(|c| c.get_mut("kwargs")?.as_object_mut()) {
            drop_mask(keywords, |mask| leads_to(&masks, mask));
        }
    }
}

fn drop_mask(keywords: &mut Map<String, Value>, is_implied: impl Fn(&Value) -> bool) {
    if keywords.get("mask").is_some_and(is_implied) {
        keywords.shift_remove("mask");
    }
}
