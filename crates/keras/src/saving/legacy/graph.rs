//! The calls in graphs, from Keras 2 to Keras 3.

use std::collections::HashMap;

use keras_spec::{Config, Error, Result};
use serde_json::{Map, Value, json};

use super::Report;
use super::operations::Operations;

/// Layers that take their states as further inputs.
const RECURRENT: [&str; 8] =
    ["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"];

/// Changes the calls of a graph.
///
/// # Errors
/// A call cannot be read, or calls a function of TensorFlow that has no counterpart.
pub(super) fn upgrade_graph(config: &mut Config, report: &mut Report) -> Result<()> {
    let Some(Value::Array(layers)) = config.get("layers") else { return Ok(()) };
    let mut graph = Graph::default();
    layers.iter().for_each(|layer| graph.add(layer));
    let ends = ["input_layers", "output_layers"].iter().filter_map(|key| config.get(*key));
    ends.chain(layers.iter().filter_map(|l| l.get("inbound_nodes"))).for_each(|v| graph.see(v));
    let Some(Value::Array(layers)) = config.get_mut("layers") else { return Ok(()) };
    let mut operations = Operations::default();
    for mut layer in std::mem::take(layers) {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let causal = layer.pointer("/config/causal").is_some_and(|c| c == true);
        if let Some(Value::Array(nodes)) = layer.get_mut("inbound_nodes") {
            for node in nodes.iter_mut().filter(|n| n.get("args").is_none()) {
                *node = graph.call(&class, node)?;
                if causal {
                    node["kwargs"]["use_causal_mask"] = true.into();
                }
            }
        }
        if let Some(own) = layer.get_mut("config").and_then(Value::as_object_mut) {
            own.shift_remove("causal");
        }
        operations.add(layer, report)?;
    }
    *layers = operations.finish();
    for key in ["input_layers", "output_layers"] {
        if let Some(ends) = config.get_mut(key) {
            graph.ends(ends);
        }
    }
    Ok(())
}

/// A layer of a graph.
#[derive(Default)]
struct Called {
    /// It is a model, of which the first call may be that of its own graph.
    model: bool,
    functional: bool,
    calls: u64,
    /// The last call of which there is talk.
    last: u64,
}

impl Called {
    /// How many calls come before the first one in this graph.
    fn own(&self) -> u64 {
        u64::from(self.model && self.last >= self.calls.max(1))
    }
}

/// The layers of a graph.
#[derive(Default)]
struct Graph {
    layers: HashMap<String, Called>,
}

fn name_of(layer: &Value) -> Option<&str> {
    layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str)
}

/// Whether a value is a tensor of a graph: layer, call, result.
fn is_triple(value: &Value) -> bool {
    value.as_array().is_some_and(|v| v.first().is_some_and(Value::is_string))
}

/// The tensors in lists of lists, in their order.
fn triples(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) if !list.first().is_some_and(Value::is_string) => {
            list.into_iter().flat_map(triples).collect()
        }
        one => vec![one],
    }
}

impl Graph {
    fn add(&mut self, layer: &Value) {
        let Some(name) = name_of(layer) else { return };
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let calls =
            layer.get("inbound_nodes").and_then(Value::as_array).map_or(0, |calls| calls.len() as u64);
        let functional = class == "Functional";
        let called = Called { model: functional || class == "Sequential", functional, calls, last: 0 };
        self.layers.insert(name.to_owned(), called);
    }

    /// Notes which calls there is talk of.
    fn see(&mut self, value: &Value) {
        match value {
            Value::Array(list) => {
                if let [Value::String(name), call, _, ..] = list.as_slice()
                    && let (Some(called), Some(call)) = (self.layers.get_mut(name), call.as_u64())
                {
                    called.last = called.last.max(call);
                }
                list.iter().for_each(|v| self.see(v));
            }
            Value::Object(map) => map.values().for_each(|v| self.see(v)),
            _ => {}
        }
    }

    /// A call in the form of Keras 3: positional arguments, keywords.
    fn call(&self, class: &str, node: &Value) -> Result<Value> {
        let mut keywords = Map::new();
        let first = self.inputs(class, node, &mut keywords)?;
        // Keras 3 has no such argument, and old graphs say that there are none.
        if keywords.get("constants").is_some_and(Value::is_null) {
            keywords.shift_remove("constants");
        }
        let args: Value = match first {
            Value::Array(mut tensors) if RECURRENT.contains(&class) && tensors.len() > 1 => {
                let state = tensors.split_off(1);
                keywords.insert("initial_state".to_owned(), state.into());
                tensors.into()
            }
            Value::Array(tensors) if tensors.len() == 1 => tensors.into(),
            other => json!([other]),
        };
        Ok(json!({ "args": args, "kwargs": keywords }))
    }

    /// What a layer is called on: a tensor, or lists of tensors. Each tensor brings keywords of the call.
    fn inputs(&self, class: &str, node: &Value, keywords: &mut Map<String, Value>) -> Result<Value> {
        let wrong = || Error::config(class, format!("a call that cannot be read: {node}"));
        match node {
            Value::Array(list) if list.first().is_some_and(Value::is_string) => {
                let (history, own) = match list.split_last() {
                    Some((Value::Object(own), history)) => (history, Some(own)),
                    _ => (list.as_slice(), None),
                };
                for (key, value) in own.into_iter().flatten() {
                    keywords.insert(key.clone(), self.argument(value));
                }
                match history {
                    [Value::String(constant), _, value] if constant == "_CONSTANT_VALUE" => Ok(value.clone()),
                    [Value::String(_), _, _] => self.tensor(history).ok_or_else(wrong),
                    _ => Err(wrong()),
                }
            }
            Value::Array(list) => list
                .iter()
                .map(|v| self.inputs(class, v, keywords))
                .collect::<Result<Vec<_>>>()
                .map(Value::from),
            // Keras sorts the keys of a dictionary of inputs.
            Value::Object(map) => {
                let mut parts: Vec<_> = map.iter().collect();
                parts.sort_by_key(|(key, _)| *key);
                let parts = parts.into_iter().map(|(_, v)| self.inputs(class, v, keywords));
                parts.collect::<Result<Vec<_>>>().map(Value::from)
            }
            _ => Err(wrong()),
        }
    }

    /// A keyword argument, in which `[layer, call, result]` is a tensor.
    fn argument(&self, value: &Value) -> Value {
        match value {
            Value::Array(list) => match (self.tensor(list), list.as_slice()) {
                (Some(tensor), _) => tensor,
                (None, [Value::String(constant), _, value, ..]) if constant == "_CONSTANT_VALUE" => {
                    value.clone()
                }
                _ => list.iter().map(|v| self.argument(v)).collect(),
            },
            other => other.clone(),
        }
    }

    fn tensor(&self, history: &[Value]) -> Option<Value> {
        let [Value::String(name), call, result, ..] = history else { return None };
        let call = call.as_u64()?.checked_sub(self.layers.get(name)?.own())?;
        let history = json!([name, call, result]);
        Some(json!({ "class_name": "__keras_tensor__", "config": { "keras_history": history } }))
    }

    /// The inputs or outputs of the graph. Here Keras 3 counts the own call of graphs, but not that of chains.
    fn ends(&self, ends: &mut Value) {
        match ends {
            Value::Array(triple) if triple.first().is_some_and(Value::is_string) => {
                let called = triple[0].as_str().and_then(|name| self.layers.get(name));
                if let (Some(called), Some(call)) = (called, triple.get(1).and_then(Value::as_u64)) {
                    triple[1] = (call.saturating_sub(called.own()) + u64::from(called.functional)).into();
                }
                triple.truncate(3);
            }
            Value::Array(list) => {
                list.iter_mut().for_each(|end| self.ends(end));
                // A layer that returned lists made lists of outputs; all are in one row here.
                if list.iter().any(is_triple) && !list.iter().all(is_triple) {
                    *list = std::mem::take(list).into_iter().flat_map(triples).collect();
                }
                // A single tensor could not be told from a list of one.
                if list.len() == 1 && is_triple(&list[0]) {
                    *ends = list.remove(0);
                }
            }
            // A list of values is for the keys in their order.
            Value::Object(map) => {
                map.sort_keys();
                map.values_mut().for_each(|end| self.ends(end));
            }
            _ => {}
        }
    }
}
