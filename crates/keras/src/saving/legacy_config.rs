//! Configurations of Keras 2 (tf-keras, tf.keras and before) as Keras 3 writes them, and the form of Keras 3's HDF5 files.

use std::collections::HashSet;

use keras_spec::layer::auto_name;
use keras_spec::{Config, Error, Result};
use serde_json::{Map, Value, json};

/// A model of Keras 2 in the form of Keras 3.
///
/// # Errors
/// It has something that Keras 3 does not have, or computes differently.
pub(super) fn upgrade(model: &Value) -> Result<Value> {
    let mut value = model.clone();
    upgrade_value(&mut value)?;
    Ok(value)
}

fn upgrade_value(value: &mut Value) -> Result<()> {
    match value {
        Value::Array(list) => list.iter_mut().try_for_each(upgrade_value),
        Value::Object(map) if map.contains_key("class_name") && map.contains_key("config") => {
            upgrade_object(map)
        }
        Value::Object(map) => map.values_mut().try_for_each(upgrade_value),
        _ => Ok(()),
    }
}

fn upgrade_object(object: &mut Map<String, Value>) -> Result<()> {
    let class = object.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if class == "Model" {
        object.insert("class_name".to_owned(), "Functional".into());
    }
    let Some(config) = object.get_mut("config") else { return Ok(()) };
    if let ("Sequential", Value::Array(layers)) = (&*class, &mut *config) {
        let layers = std::mem::take(layers);
        *config = json!({ "name": auto_name("Sequential"), "layers": layers });
    }
    let Value::Object(config) = config else { return Ok(()) };
    config.values_mut().try_for_each(upgrade_value)?;
    match &*class {
        "Sequential" => begin_with_input(config),
        "Model" | "Functional" => upgrade_graph(config),
        _ => upgrade_layer(&class, config),
    }
}

/// A chain began with the shape of its first layer's inputs.
fn begin_with_input(config: &mut Config) -> Result<()> {
    let Some(Value::Array(layers)) = config.get_mut("layers") else { return Ok(()) };
    let Some(first) = layers.first_mut().and_then(|l| l.get_mut("config")).and_then(Value::as_object_mut)
    else {
        return Ok(());
    };
    if let Some(shape) = first.shift_remove("batch_input_shape") {
        let dtype = first.get("dtype").filter(|d| d.is_string()).cloned().unwrap_or("float32".into());
        let name = auto_name("InputLayer");
        let input = json!({
            "class_name": "InputLayer",
            "config": { "batch_shape": shape, "dtype": dtype, "name": name },
        });
        layers.insert(0, input);
    }
    // Later versions say it twice: in an input layer, and in the layer behind it.
    for config in layers.iter_mut().filter_map(|l| l.get_mut("config")?.as_object_mut()) {
        config.shift_remove("batch_input_shape");
    }
    Ok(())
}

/// Changes the arguments of one class.
fn upgrade_layer(class: &str, config: &mut Config) -> Result<()> {
    for key in ["activation", "recurrent_activation"] {
        if config.get(key).is_some_and(|a| a == "hard_sigmoid") {
            let why = format!(
                "`{key}` is the hard_sigmoid of Keras 2, clip(0.2·x + 0.5, 0, 1), which Keras 3 does not have"
            );
            return Err(Error::config(class, why));
        }
    }
    for (_, value) in config.iter_mut().filter(|(key, _)| key.ends_with("_initializer")) {
        if let Some(arguments) = value.get_mut("config").and_then(Value::as_object_mut) {
            arguments.shift_remove("dtype");
        }
    }
    let removed: &[&str] = match class {
        "SimpleRNN" | "LSTM" | "GRU" => &["time_major", "implementation", "input_dim", "input_length"],
        "DepthwiseConv1D" | "DepthwiseConv2D" | "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" => {
            &["groups"]
        }
        "SeparableConv1D" | "SeparableConv2D" => {
            &["groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"]
        }
        "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" => &["noise_shape"],
        "Embedding" => &["input_length"],
        _ => &[],
    };
    if removed.contains(&"time_major") && config.get("time_major").is_some_and(|t| t == true) {
        return Err(Error::config(class, "`time_major` is true, which Keras 3 does not have"));
    }
    removed.iter().for_each(|key| {
        config.shift_remove(*key);
    });
    match class {
        "InputLayer" => {
            if let Some(shape) = config.shift_remove("batch_input_shape") {
                config.insert("batch_shape".to_owned(), shape);
            }
            if let Some(dtype) = config.shift_remove("input_dtype") {
                config.insert("dtype".to_owned(), dtype);
            }
        }
        "GRU" if !config.contains_key("reset_after") => {
            config.insert("reset_after".to_owned(), false.into());
        }
        "BatchNormalization" => {
            if let Some([axis]) = config.get("axis").and_then(Value::as_array).map(Vec::as_slice) {
                let axis = axis.clone();
                config.insert("axis".to_owned(), axis);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Changes the calls of a graph.
fn upgrade_graph(config: &mut Config) -> Result<()> {
    let Some(Value::Array(layers)) = config.get_mut("layers") else { return Ok(()) };
    let mut graph = Graph::default();
    for layer in layers.iter_mut() {
        graph.add(layer);
    }
    for layer in layers.iter_mut() {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(Value::Array(nodes)) = layer.get_mut("inbound_nodes") {
            for node in nodes.iter_mut().filter(|n| n.is_array()) {
                *node = graph.call(&class, node)?;
            }
        }
        // The shape of the inputs is said by the graph.
        if class != "InputLayer"
            && let Some(own) = layer.get_mut("config").and_then(Value::as_object_mut)
        {
            own.shift_remove("batch_input_shape");
        }
    }
    for key in ["input_layers", "output_layers"] {
        if let Some(ends) = config.get_mut(key) {
            graph.ends(ends);
        }
    }
    Ok(())
}

/// Which layers of a graph there are, and of which the first call was the model's own graph.
#[derive(Default)]
struct Graph {
    names: HashSet<String>,
    chains: HashSet<String>,
    graphs: HashSet<String>,
}

impl Graph {
    fn add(&mut self, layer: &Value) {
        let name = layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str);
        let Some(name) = name.map(str::to_owned) else { return };
        match layer.get("class_name").and_then(Value::as_str) {
            Some("Functional") => drop(self.graphs.insert(name.clone())),
            Some("Sequential")
                if layer.pointer("/config/layers/0/class_name").is_some_and(|c| c == "InputLayer") =>
            {
                self.chains.insert(name.clone());
            }
            _ => {}
        }
        self.names.insert(name);
    }

    /// A call in the form of Keras 3: positional arguments, keywords.
    fn call(&self, class: &str, node: &Value) -> Result<Value> {
        let wrong = || Error::config(class, format!("a call that cannot be read: {node}"));
        let inputs = node.as_array().ok_or_else(wrong)?;
        let mut tensors = Vec::with_capacity(inputs.len());
        let mut keywords = Map::new();
        for input in inputs {
            let [history @ .., last] = input.as_array().map(Vec::as_slice).ok_or_else(wrong)? else {
                return Err(wrong());
            };
            let (history, own) = match last {
                Value::Object(own) => (history, Some(own)),
                _ => (input.as_array().map_or(&[][..], Vec::as_slice), None),
            };
            match history {
                [Value::String(constant), _, value] if constant == "_CONSTANT_VALUE" => {
                    tensors.push(value.clone());
                }
                [Value::String(_), _, _] => tensors.push(self.tensor(history).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
            for (key, value) in own.into_iter().flatten() {
                keywords.insert(key.clone(), self.argument(value));
            }
        }
        let recurrent = ["SimpleRNN", "LSTM", "GRU", "Bidirectional"].contains(&class);
        if recurrent && tensors.len() > 1 {
            let state = tensors.split_off(1);
            keywords.insert("initial_state".to_owned(), state.into());
        }
        let args: Value = match tensors.len() {
            1 => tensors.into(),
            _ => json!([tensors]),
        };
        Ok(json!({ "args": args, "kwargs": keywords }))
    }

    /// A keyword argument, in which `[layer, call, result]` is a tensor.
    fn argument(&self, value: &Value) -> Value {
        let Value::Array(list) = value else { return value.clone() };
        match self.tensor(list) {
            Some(tensor) => tensor,
            None => list.iter().map(|v| self.argument(v)).collect(),
        }
    }

    fn tensor(&self, history: &[Value]) -> Option<Value> {
        let [Value::String(name), call, result, ..] = history else { return None };
        if !self.names.contains(name) {
            return None;
        }
        let call = call.as_u64()?;
        let own = self.chains.contains(name) || self.graphs.contains(name);
        let call = call.checked_sub(u64::from(own))?;
        let history = json!([name, call, result]);
        Some(json!({ "class_name": "__keras_tensor__", "config": { "keras_history": history } }))
    }

    /// The inputs or outputs of the graph. Here Keras 3 counts the own call of graphs too, but not that of chains.
    fn ends(&self, ends: &mut Value) {
        let is_triple = |v: &Value| v.as_array().is_some_and(|v| v.first().is_some_and(Value::is_string));
        match ends {
            Value::Array(triple) if triple.first().is_some_and(Value::is_string) => {
                let chain = triple[0].as_str().is_some_and(|name| self.chains.contains(name));
                if let (true, Some(call)) = (chain, triple.get(1).and_then(Value::as_u64)) {
                    triple[1] = call.saturating_sub(1).into();
                }
                triple.truncate(3);
            }
            Value::Array(list) => {
                list.iter_mut().for_each(|end| self.ends(end));
                // A single tensor could not be told from a list of one.
                if list.len() == 1 && is_triple(&list[0]) {
                    *ends = list.remove(0);
                }
            }
            Value::Object(map) => map.values_mut().for_each(|end| self.ends(end)),
            _ => {}
        }
    }
}

/// What a model of Keras 2 was compiled with (`training_config` of HDF5 files, `compile_config` of archives), in the form
/// of Keras 3's `compile_config`.
///
/// # Errors
/// The optimizer's configuration is no object.
pub(super) fn upgrade_compile(training: &Value) -> Result<Value> {
    let mut compile = compile_config(training.clone());
    if let Some(optimizer) = compile.get_mut("optimizer").filter(|o| !o.is_null()) {
        upgrade_optimizer(optimizer)?;
    }
    for key in ["loss", "metrics", "weighted_metrics"] {
        if let Some(value) = compile.get_mut(key) {
            upgrade_compiled(value);
        }
    }
    Ok(compile)
}

fn upgrade_optimizer(optimizer: &mut Value) -> Result<()> {
    if let Some(class) = optimizer.get("class_name").and_then(Value::as_str) {
        let class = class.strip_prefix("Custom>").unwrap_or(class).to_owned();
        optimizer["class_name"] = class.into();
    }
    let wrong = Error::config("optimizer", format!("not an optimizer: {optimizer}"));
    let config = optimizer.get_mut("config").and_then(Value::as_object_mut).ok_or(wrong)?;
    for key in ["jit_compile", "is_legacy_optimizer"] {
        config.shift_remove(key);
    }
    if let Some(rate) = config.shift_remove("lr") {
        config.insert("learning_rate".to_owned(), rate);
    }
    if config.get("epsilon").is_some_and(Value::is_null) {
        config.shift_remove("epsilon");
    }
    let decay = config.shift_remove("decay").filter(|d| d.as_f64().is_some_and(|d| d != 0.0));
    if let (Some(decay), Some(rate)) = (decay, config.get("learning_rate").filter(|r| r.is_number()).cloned())
    {
        let schedule = json!({
            "class_name": "InverseTimeDecay",
            "config": { "initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay },
        });
        config.insert("learning_rate".to_owned(), schedule);
    }
    Ok(())
}

/// Losses and metrics.
fn upgrade_compiled(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(upgrade_compiled),
        Value::Object(map) if map.contains_key("class_name") => {
            let wrapper =
                map.get("class_name").is_some_and(|c| c == "MeanMetricWrapper" || c == "LossFunctionWrapper");
            let Some(config) = map.get_mut("config").and_then(Value::as_object_mut) else { return };
            if config.get("reduction").is_some_and(|r| r == "auto") {
                config.insert("reduction".to_owned(), "sum_over_batch_size".into());
            }
            let function = config.shift_remove("fn");
            let name = function.as_ref().and_then(|f| f.as_str().or_else(|| f.get("config")?.as_str()));
            if let (true, Some(name)) = (wrapper, name) {
                let name = Value::from(name);
                map.insert("class_name".to_owned(), name);
            }
        }
        Value::Object(map) => map.values_mut().for_each(upgrade_compiled),
        _ => {}
    }
}

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
fn short_form(value: &mut Value) {
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

/// A model in the form of Keras 3's HDF5 files, in which the layers of models have only class and configuration.
pub(super) fn downgrade(mut model: Value) -> Value {
    downgrade_layers(&mut model);
    model
}

fn downgrade_layers(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(downgrade_layers),
        Value::Object(map) => {
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
