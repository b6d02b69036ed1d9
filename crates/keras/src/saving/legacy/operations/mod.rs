//! Functions of TensorFlow in the graphs of tf.keras, as operations of Keras 3.

mod arrays;
mod call;
mod images;
mod logic;
mod masks;
mod mathematics;
mod nodes;
pub(super) mod resizing;
mod table;
mod values;
mod windows;

use std::collections::{HashMap, HashSet};

use keras_spec::layer::loading;
use keras_spec::{Error, Result};
use serde_json::{Map, Value, json};

use super::Report;
use crate::layers::{has_function, name_lambdas};
use crate::models::{Graph, KerasTensor};
use call::{Call, Operation};
pub(super) use masks::Place;

/// The sign of a tensor in a graph.
const TENSOR: &str = "__keras_tensor__";

/// The layers of a graph, one after the other in the form of Keras 3.
#[derive(Default)]
pub(super) struct Operations {
    layers: Vec<Value>,
    /// What layers give that compute with nothing but the lengths of axes: a length that is not known is null.
    values: HashMap<String, Vec<Value>>,
    /// Those of them that are chosen by a comparison of lengths of which not all are known.
    choices: HashSet<String>,
    /// The first `traced` layers, for the shapes of their tensors.
    graph: Graph,
    traced: usize,
    /// Where the first `indexed` layers are, by their names.
    places: HashMap<String, usize>,
    indexed: usize,
}

impl Operations {
    /// All layers there are.
    pub(super) fn finish(self) -> Vec<Value> {
        self.layers
    }

    /// Adds a layer, or what a function of TensorFlow is in Keras 3.
    ///
    /// # Errors
    /// The function, or one of its arguments, has no counterpart.
    pub(super) fn add(&mut self, mut layer: Value, report: &mut Report) -> Result<()> {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str);
        let name = name.unwrap_or(&class).to_owned();
        let (function, calls) = match &*class {
            "TFOpLambda" | "SlicingOpLambda" => {
                let function = layer.pointer("/config/function").and_then(Value::as_str);
                let calls = layer.get("inbound_nodes").and_then(Value::as_array).cloned();
                (function.unwrap_or_default().to_owned(), calls.unwrap_or_default())
            }
            "TensorFlowOpLayer" => {
                let (function, call) = nodes::call(&layer, &name)?;
                (function.to_owned(), vec![call])
            }
            _ if resizing::is_other(&layer) => {
                ("image.resize".to_owned(), resizing::calls(self, &layer, &name)?)
            }
            _ => {
                if !self.values.is_empty() {
                    self.materialize(&mut layer, &name)?;
                }
                self.layers.push(layer);
                return Ok(());
            }
        };
        if has_function(&name)
            && let Some(lambda) = lambda(&name, &function, &calls)
        {
            report.converted(&*name, format!("`tf.{function}` is the function registered as `{name}`"));
            self.layers.push(lambda);
            return Ok(());
        }
        let mut entries: Vec<Value> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let mut call = call.clone();
            let function = match function == "tile" && self.takes_choice(&mut call) {
                true => "identity",
                false => &*function,
            };
            self.insert_values(&mut call);
            if let Some(values) = values::evaluate(self, function, &call)? {
                if function == "where" && values.iter().any(has_null) {
                    self.choices.insert(name.clone());
                }
                report.converted(&*name, format!("`tf.{function}` of lengths of axes is the number itself"));
                self.values.insert(name, values);
                return Ok(());
            }
            let operations = Call::new(self, &name, function, index, &call)?.operations()?;
            if index == 0 {
                let classes: Vec<&str> = operations.iter().map(|o| o.class).collect();
                let text = format!("`tf.{function}` is the operation `{}`", classes.join("`, `"));
                report.converted(&*name, text);
                entries.extend(operations.iter().map(Operation::entry));
            }
            let same = entries.len() == operations.len()
                && entries.iter().zip(&operations).all(|(entry, o)| entry["config"] == o.entry()["config"]);
            if !same {
                let why = format!("`tf.{function}` with other arguments at each call");
                return Err(Error::config(name, why));
            }
            for (entry, operation) in entries.iter_mut().zip(operations) {
                if let Some(Value::Array(nodes)) = entry.get_mut("inbound_nodes") {
                    nodes.push(operation.node());
                }
            }
        }
        self.layers.extend(entries);
        Ok(())
    }

    /// Adds an operation that is called once.
    fn push(&mut self, operation: Operation) {
        let mut entry = operation.entry();
        entry["inbound_nodes"] = json!([operation.node()]);
        self.layers.push(entry);
    }

    /// Where the layer of a name is.
    fn find(&mut self, name: &str) -> Option<usize> {
        for (index, layer) in self.layers.iter().enumerate().skip(self.indexed) {
            if let Some(name) = layer["name"].as_str().or_else(|| layer["config"]["name"].as_str()) {
                self.places.entry(name.to_owned()).or_insert(index);
            }
        }
        self.indexed = self.layers.len();
        self.places.get(name).copied()
    }

    /// The tensor of a graph that a value stands for, with its shape and dtype.
    fn trace(&mut self, tensor: &Value) -> Result<KerasTensor> {
        // Weights are made in order to know shapes; they are zeros that take no memory.
        loading(usize::MAX, true, || {
            for layer in self.layers.iter().skip(self.traced) {
                let mut layer = layer.clone();
                name_lambdas(&mut layer)?;
                self.graph.add_layer(&layer)?;
            }
            self.traced = self.layers.len();
            self.graph.trace(&tensor["config"]["keras_history"])
        })
    }

    /// Takes out of a call of `tf.tile` how often it repeats what, if that is chosen by lengths that are not known. Then it is the
    /// condition of a `K.switch`, repeated where it is shorter than what is chosen from, and `Where` of Keras 3 takes it as it is.
    fn takes_choice(&self, call: &mut Value) -> bool {
        let from = call.pointer("/kwargs/multiples/config/keras_history/0").and_then(Value::as_str);
        let is = from.is_some_and(|name| self.choices.contains(name));
        if let (true, Some(Value::Object(keywords))) = (is, call.get_mut("kwargs")) {
            keywords.shift_remove("multiples");
        }
        is
    }

    /// Puts values in the places of the tensors that stood for them.
    fn insert_values(&self, value: &mut Value) {
        if is_tensor(value) {
            let history = &value["config"]["keras_history"];
            let known = history[0].as_str().and_then(|name| self.values.get(name));
            let result = history[2].as_u64().and_then(|i| usize::try_from(i).ok()).unwrap_or(0);
            if let Some(known) = known.and_then(|results| results.get(result)) {
                *value = known.clone();
            }
            return;
        }
        match value {
            Value::Array(list) => list.iter_mut().for_each(|v| self.insert_values(v)),
            Value::Object(map) => map.values_mut().for_each(|v| self.insert_values(v)),
            _ => {}
        }
    }

    /// Makes values tensors again, as zeros plus the value, for a layer that is called on them.
    fn materialize(&mut self, layer: &mut Value, name: &str) -> Result<()> {
        let Some(Value::Array(nodes)) = layer.get_mut("inbound_nodes") else { return Ok(()) };
        for place in nodes.iter_mut().filter_map(|n| n.pointer_mut("/args/0")) {
            let mut value = place.clone();
            self.insert_values(&mut value);
            if value == *place {
                continue;
            }
            let input = self.layers.iter().find(|l| l["class_name"] == "InputLayer");
            let (Some(input), false) = (input.map(|l| l["config"]["name"].clone()), has_null(&value)) else {
                return Err(Error::config(name, "a call on the size of a batch, which is not known before"));
            };
            let input = tensor(input, 0);
            let known = format!("{name}.known");
            let parts = [
                ("ZerosLike", json!([input]), json!({ "dtype": "int32" })),
                ("Sum", json!([tensor(format!("{known}.0"), 0)]), Value::Null),
                ("Add", json!([tensor(format!("{known}.1"), 0), value]), Value::Null),
            ];
            for (i, (class, args, config)) in parts.into_iter().enumerate() {
                let args = args.as_array().cloned().unwrap_or_default();
                let mut operation = Operation::new(format!("{known}.{i}"), class, args, config);
                operation.name.truncate(if i == 2 { known.len() } else { operation.name.len() });
                self.push(operation);
            }
            *place = tensor(known, 0);
        }
        Ok(())
    }
}

/// The layer of a registered function, which is called on the tensors of each call; `None` if one has none.
fn lambda(name: &str, function: &str, calls: &[Value]) -> Option<Value> {
    fn tensors(value: &Value, out: &mut Vec<Value>) {
        match value {
            tensor if is_tensor(tensor) => out.push(tensor.clone()),
            Value::Array(list) => list.iter().for_each(|v| tensors(v, out)),
            Value::Object(map) => map.values().for_each(|v| tensors(v, out)),
            _ => {}
        }
    }
    let node = |call: &Value| {
        let mut all = Vec::new();
        tensors(call, &mut all);
        let inputs = if all.len() == 1 { all.pop()? } else { all.into() };
        (inputs != json!([])).then(|| json!({ "args": [inputs], "kwargs": {} }))
    };
    Some(json!({
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": { "name": name, "function": format!("tf.{function}"), "arguments": {} },
        "registered_name": null,
        "name": name,
        "inbound_nodes": calls.iter().map(node).collect::<Option<Vec<_>>>()?,
    }))
}

/// The first result of a call of a layer.
fn tensor(layer: impl Into<Value>, call: usize) -> Value {
    let history = [layer.into(), call.into(), 0.into()];
    json!({ "class_name": TENSOR, "config": { "keras_history": history } })
}

fn is_tensor(value: &Value) -> bool {
    value.get("class_name").is_some_and(|c| c == TENSOR)
}

/// Whether there is a tensor in a value.
fn has_tensor(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_tensor),
        other => is_tensor(other),
    }
}

/// Whether a length in a value is not known.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_null),
        other => other.is_null(),
    }
}

/// An object, or none at all.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
