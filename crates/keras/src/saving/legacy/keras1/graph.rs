//! `Graph` of Keras 0.3 and 1.0, and models that begin with a `Merge`, as functional models of Keras 1.

use std::collections::HashMap;

use keras_spec::{Config, Error, Result};
use serde_json::{Value, json};

use super::{class, config, list, name, sequential, with_rest};

/// The model with the layers that `model`, a `Sequential` which begins with a `Merge`, is made of: those of its branches one
/// by one, as its weights are in files.
pub(super) fn merged(model: &Value) -> Result<Value> {
    let mut plan = Plan::default();
    let end = plan.chain(model)?;
    plan.model(model, &[end])
}

/// The functional model that a `Graph` is.
pub(super) fn functional(graph: &Value) -> Result<Value> {
    let config = config(graph)?;
    let mut plan = Plan::default();
    let mut ends = HashMap::new();
    for input in list("Graph", config.get("input_config"))? {
        let name = text(input, "name")?;
        ends.insert(name.to_owned(), plan.graph_input(name, input)?);
    }
    for node in list("Graph", config.get("node_config"))? {
        plan.graph_node(config, node, &mut ends)?;
    }
    let mut outputs = Vec::new();
    for output in list("Graph", config.get("output_config"))? {
        let name = text(output, "name")?;
        let end = match sources(output, &ends)?.as_slice() {
            [one] => {
                // Keras 1 calls the layer as the output.
                plan.rename(*one, name);
                *one
            }
            several => plan.merge(output, name, several),
        };
        outputs.push(end);
    }
    plan.model(graph, &outputs)
}

/// What a call of a layer gives: the layer's place in the plan, and which of its calls.
#[derive(Clone, Copy)]
struct End {
    layer: usize,
    call: usize,
}

/// A functional model in the making.
#[derive(Default)]
struct Plan {
    layers: Vec<Planned>,
    inputs: Vec<usize>,
}

struct Planned {
    name: String,
    object: Value,
    /// The inputs of each call.
    calls: Vec<Vec<End>>,
}

impl Plan {
    fn add(&mut self, name: &str, object: &Value) -> usize {
        let (name, object) = (name.to_owned(), object.clone());
        self.layers.push(Planned { name, object, calls: Vec::new() });
        self.layers.len() - 1
    }

    /// The layer with the name of `object`, which is added if there is none yet.
    fn shared(&mut self, object: &Value) -> usize {
        let known =
            self.layers.iter().position(|l| l.name == name(object) && class(&l.object) == class(object));
        known.unwrap_or_else(|| self.add(name(object), object))
    }

    fn call(&mut self, layer: usize, inputs: Vec<End>) -> End {
        let calls = &mut self.layers[layer].calls;
        calls.push(inputs);
        End { layer, call: calls.len() - 1 }
    }

    /// An input; one that is there already is the same.
    fn input(&mut self, object: &Value) -> End {
        let layer = self.shared(object);
        if !self.inputs.contains(&layer) {
            self.inputs.push(layer);
        }
        End { layer, call: 0 }
    }

    /// Adds the layers of a model, or of a single layer that begins one, up to its output.
    fn chain(&mut self, model: &Value) -> Result<End> {
        match class(model) {
            "Sequential" => {
                let layers = list("Sequential", model.get("config"))?;
                let wrong = || Error::config("Sequential", "there are no layers");
                let (first, rest) = layers.split_first().ok_or_else(wrong)?;
                let mut end = self.chain(first)?;
                for layer in rest {
                    let layer = self.shared(layer);
                    end = self.call(layer, vec![end]);
                }
                Ok(end)
            }
            "Merge" => {
                let branches = list("Merge", model.pointer("/config/layers"))?;
                let ends = branches.iter().map(|b| self.chain(b)).collect::<Result<Vec<_>>>()?;
                let merge = self.add(name(model), model);
                Ok(self.call(merge, ends))
            }
            "Model" => self.inlined(model),
            "InputLayer" => Ok(self.input(model)),
            _ => {
                let unknown = || {
                    let why = "the layer at the beginning of a branch does not say what its inputs are";
                    Error::config(class(model), why)
                };
                let input = sequential::input_layer(model).ok_or_else(unknown)?;
                let input = self.input(&input);
                let layer = self.shared(model);
                Ok(self.call(layer, vec![input]))
            }
        }
    }

    /// Adds the layers of a functional model with one output.
    fn inlined(&mut self, model: &Value) -> Result<End> {
        let wrong = || Error::config("Model", "a branch of a `Merge` cannot be read");
        let layers = list("Model", model.pointer("/config/layers"))?;
        let mut places = HashMap::new();
        for layer in layers {
            let place = match class(layer) {
                "InputLayer" => self.input(layer).layer,
                _ => self.shared(layer),
            };
            places.insert(name(layer), place);
        }
        let end = |tensor: &Value| {
            let (layer, call) = (tensor.get(0)?.as_str()?, usize::try_from(tensor.get(1)?.as_u64()?).ok()?);
            let layer = *places.get(layer)?;
            Some((layer, call))
        };
        for layer in layers {
            for call in layer.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten() {
                let mut inputs = Vec::new();
                for tensor in call.as_array().into_iter().flatten() {
                    let (layer, call) = end(tensor).ok_or_else(wrong)?;
                    let own = usize::from(is_container(&self.layers[layer].object));
                    inputs.push(End { layer, call: call.checked_sub(own).ok_or_else(wrong)? });
                }
                let place = *places.get(name(layer)).ok_or_else(wrong)?;
                self.call(place, inputs);
            }
        }
        let (layer, call) = model.pointer("/config/output_layers/0").and_then(end).ok_or_else(wrong)?;
        let own = usize::from(is_container(&self.layers[layer].object));
        Ok(End { layer, call: call.checked_sub(own).ok_or_else(wrong)? })
    }

    fn graph_input(&mut self, name: &str, input: &Value) -> Result<End> {
        let shape = match (input.get("batch_input_shape"), input.get("input_shape")) {
            (Some(shape @ Value::Array(_)), _) => shape.clone(),
            (_, Some(Value::Array(shape))) => {
                let mut all = vec![Value::Null];
                all.extend(shape.iter().cloned());
                all.into()
            }
            _ => return Err(Error::config("Graph", format!("the shape of the input `{name}` is missing"))),
        };
        let integers = input.get("dtype").and_then(Value::as_str).is_some_and(|d| d.starts_with("int"));
        let dtype = if integers { "int32" } else { "float32" };
        let config = json!({ "batch_input_shape": shape, "input_dtype": dtype, "name": name });
        Ok(self.input(&json!({ "class_name": "InputLayer", "config": config, "name": name })))
    }

    /// A layer of a `Graph` with the merging before it, or behind it if it is called on each of its inputs.
    fn graph_node(&mut self, graph: &Config, node: &Value, ends: &mut HashMap<String, End>) -> Result<()> {
        let node_name = text(node, "name")?;
        let missing = || Error::config("Graph", format!("the layer `{node_name}` is missing"));
        let shared = node.get("layer").filter(|l| l.is_object());
        let object = match shared {
            Some(layer) => layer,
            None => graph.get("nodes").and_then(|n| n.get(node_name)).ok_or_else(missing)?,
        };
        let inputs = sources(node, ends)?;
        if shared.is_none() {
            let inputs = match inputs.as_slice() {
                [_] => inputs,
                several => vec![self.merge(node, &format!("merge_inputs_for_{node_name}"), several)],
            };
            let layer = self.add(node_name, object);
            ends.insert(node_name.to_owned(), self.call(layer, inputs));
            return Ok(());
        }
        let merges = node.get("merge_mode").is_some_and(Value::is_string);
        let layer_name = if merges { format!("input_for_{node_name}") } else { node_name.to_owned() };
        let layer = self.add(&layer_name, object);
        let called: Vec<End> = inputs.into_iter().map(|input| self.call(layer, vec![input])).collect();
        if merges {
            let end = self.merge(node, node_name, &called);
            ends.insert(node_name.to_owned(), end);
            return Ok(());
        }
        for (output, end) in list("Graph", node.get("outputs"))?.iter().zip(called) {
            let output = output.as_str().ok_or_else(missing)?;
            ends.insert(output.to_owned(), end);
        }
        Ok(())
    }

    /// A `Merge` with the mode of a node.
    fn merge(&mut self, node: &Value, name: &str, inputs: &[End]) -> End {
        let mode = node.get("merge_mode").filter(|m| m.is_string()).cloned().unwrap_or("concat".into());
        let axis = |key: &str| node.get(key).cloned().unwrap_or(json!(-1));
        let config = json!({
            "name": name,
            "mode": mode,
            "concat_axis": axis("concat_axis"),
            "dot_axes": axis("dot_axes"),
        });
        let layer = self.add(name, &json!({ "class_name": "Merge", "config": config }));
        self.call(layer, inputs.to_vec())
    }

    fn rename(&mut self, end: End, name: &str) {
        if !self.inputs.contains(&end.layer) && !self.layers.iter().any(|l| l.name == name) {
            self.layers[end.layer].name = name.to_owned();
        }
    }

    /// `[layer, call, result]`, as Keras 1 counts calls.
    fn tensor(&self, end: End) -> Value {
        let layer = &self.layers[end.layer];
        let own = usize::from(is_container(&layer.object));
        json!([layer.name, end.call + own, 0])
    }

    /// The model in the form of Keras 1; `from` is what it was.
    fn model(&self, from: &Value, outputs: &[End]) -> Result<Value> {
        let mut layers = Vec::new();
        for layer in &self.layers {
            let calls = layer.calls.iter().map(|call| call.iter().map(|&end| self.tensor(end)).collect());
            let calls: Vec<Value> = calls.collect();
            let mut object = layer.object.clone();
            object["name"] = layer.name.as_str().into();
            object["inbound_nodes"] = calls.into();
            if object["config"].is_object() {
                object["config"]["name"] = layer.name.as_str().into();
            }
            if class(&object) == "Merge"
                && let Some(config) = object["config"].as_object_mut()
            {
                config.shift_remove("layers");
            }
            layers.push(object);
        }
        let inputs: Vec<Value> =
            self.inputs.iter().map(|&layer| self.tensor(End { layer, call: 0 })).collect();
        let outputs: Vec<Value> = outputs.iter().map(|&end| self.tensor(end)).collect();
        let mut config = json!({ "layers": layers, "input_layers": inputs, "output_layers": outputs });
        if let Some(name) = from.get("name") {
            config["name"] = name.clone();
        }
        Ok(with_rest(from, json!({ "class_name": "Model", "config": config })))
    }
}

/// Whether a layer's own graph counts as its first call.
fn is_container(object: &Value) -> bool {
    ["Sequential", "Model", "Graph"].contains(&class(object))
}

/// What the inputs of a node or output of a `Graph` are.
fn sources(node: &Value, ends: &HashMap<String, End>) -> Result<Vec<End>> {
    let one = node.get("input").filter(|i| i.is_string());
    let several = node.get("inputs").and_then(Value::as_array).filter(|_| one.is_none());
    let names = one.into_iter().chain(several.into_iter().flatten());
    let found = names.map(|name| name.as_str().and_then(|name| ends.get(name)).copied());
    match found.collect::<Option<Vec<_>>>() {
        Some(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::config("Graph", format!("the inputs of a node are unknown: {node}"))),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Result<&'a str> {
    let wrong = || Error::config("Graph", format!("`{key}` is missing in {object}"));
    object.get(key).and_then(Value::as_str).ok_or_else(wrong)
}
