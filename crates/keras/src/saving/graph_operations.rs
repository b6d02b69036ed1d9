//! Operations in the graphs of Keras 3 that only compute masks.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::models::is_operation;

/// Takes the operations out of graphs that compute the mask of a `Masking` or `Embedding` layer, and the `mask` arguments
/// that they lead to: Keras writes them out, while layers here hand masks on by themselves, as Keras's do. Beside an
/// `initial_state`, where Keras does not, the argument is the user's.
pub(super) fn drop_masks(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(drop_masks),
        Value::Object(map) => {
            if map.get("class_name").is_some_and(|c| c == "Functional")
                && let Some(config) = map.get_mut("config")
            {
                let outputs = config.get("output_layers").cloned().unwrap_or_default();
                if let Some(Value::Array(layers)) = config.get_mut("layers") {
                    remove_masks(layers, &outputs);
                }
            }
            map.values_mut().for_each(drop_masks);
        }
        _ => {}
    }
}

fn class_of(layer: &Value) -> (&str, bool) {
    (layer.get("class_name").and_then(Value::as_str).unwrap_or_default(), is_operation(layer))
}

/// The positional arguments of the only call of a layer.
fn arguments(layer: &Value) -> &[Value] {
    layer.pointer("/inbound_nodes/0/args").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn history(tensor: &Value) -> Option<&Value> {
    tensor.get("config")?.get("keras_history")
}

fn remove_masks(layers: &mut Vec<Value>, outputs: &Value) {
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
    for layer in layers.iter_mut() {
        let calls = layer.get_mut("inbound_nodes").and_then(Value::as_array_mut).into_iter().flatten();
        for call in calls.filter(|call| !has_states(call)) {
            if let Some(keywords) = call.get_mut("kwargs").and_then(Value::as_object_mut) {
                drop_mask(keywords, |mask| leads_to(&masks, mask));
            }
        }
    }
    loop {
        let mut read = HashSet::new();
        collect_texts(outputs, &mut read);
        layers
            .iter()
            .filter_map(|l| l.get("inbound_nodes"))
            .for_each(|calls| collect_texts(calls, &mut read));
        let unread = |name: String| masks.contains(&name) && !read.contains(&name);
        let before = layers.len();
        layers.retain(|layer| !(class_of(layer).1 && name(layer).is_some_and(unread)));
        if layers.len() == before {
            return;
        }
    }
}

/// The name of a layer of a graph that is called with `mask: true`, if there is one.
pub(super) fn heeding(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => list.iter().find_map(heeding),
        Value::Object(map) => {
            let calls = map.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten();
            let heeds = |call: &Value| call.pointer("/kwargs/mask").is_some_and(|mask| mask == true);
            if let (Some(name), false) = (map.get("name").and_then(Value::as_str), is_operation(value))
                && calls.into_iter().any(heeds)
            {
                return Some(name.to_owned());
            }
            map.values().find_map(heeding)
        }
        _ => None,
    }
}

/// Whether a model has layers that no program but this one has anyhow.
pub(super) fn is_ours_alone(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(is_ours_alone),
        Value::Object(map) => {
            let legacy = |text: &Value| text.as_str().is_some_and(|t| t.starts_with("keras.legacy"));
            ["module", "registered_name"].iter().filter_map(|key| map.get(*key)).any(legacy)
                || map.values().any(is_ours_alone)
        }
        _ => false,
    }
}

/// Whether a call of a layer gives states beside the first argument.
fn has_states(call: &Value) -> bool {
    let states = call.pointer("/kwargs/initial_state").or_else(|| call.pointer("/args/1"));
    states.is_some_and(|states| !states.is_null())
}

/// Adds every text in a value to `out`, names of layers among them.
fn collect_texts(value: &Value, out: &mut HashSet<String>) {
    match value {
        Value::String(text) => drop(out.insert(text.clone())),
        Value::Array(list) => list.iter().for_each(|v| collect_texts(v, out)),
        Value::Object(map) => map.values().for_each(|v| collect_texts(v, out)),
        _ => {}
    }
}

fn drop_mask(keywords: &mut Map<String, Value>, is_implied: impl Fn(&Value) -> bool) {
    if keywords.get("mask").is_some_and(is_implied) {
        keywords.shift_remove("mask");
    }
}
