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
    let merging = merging(layers);
    for layer in layers.iter_mut() {
        let calls = layer.get_mut("inbound_nodes").and_then(Value::as_array_mut).into_iter().flatten();
        for call in calls.filter(|call| !has_states(call) && !reads(call, &merging)) {
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

/// Layers of several inputs, and operations: none of them hands on a mask as it is, so what is given to a call on their results is
/// another.
fn merging(layers: &[Value]) -> HashSet<String> {
    let several =
        |layer: &&Value| is_operation(layer) || arguments(layer).first().is_some_and(Value::is_array);
    layers.iter().filter(several).filter_map(|l| l.get("name")?.as_str().map(str::to_owned)).collect()
}

/// Whether a call is on the result of one of these layers.
fn reads(call: &Value, layers: &HashSet<String>) -> bool {
    let history = call.pointer("/args/0").and_then(history).and_then(|h| h.get(0)?.as_str());
    history.is_some_and(|name| layers.contains(name))
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
