//! Models of Keras 2 (Keras 2.0 to 2.3, tf.keras, tf-keras) in the form of Keras 3.

use keras_spec::layer::auto_name;
use keras_spec::{Config, Result};
use serde_json::{Map, Value, json};

use super::operations::resizing;
use super::{Origin, Program, Report, Version, arguments, graph, keras1, masks};

/// A model of Keras 2 in the form of Keras 3.
///
/// # Errors
/// It has something that Keras 3 does not have, or computes differently.
pub(crate) fn upgrade_config(model: &Value, origin: &Origin, report: &mut Report) -> Result<Value> {
    let mut value = model.clone();
    let keeps_masked = origin.program == Program::Keras && origin.is_before(Version::new(2, 4, 0));
    let masked = masks::makes_masks(model);
    Upgrade { origin, report, masked, carries_masked: keeps_masked && masked }.value(&mut value)?;
    if masked {
        let states = keeps_masked && !origin.is_theano() && origin.is_before(Version::new(2, 3, 0));
        let then = masks::Then { zeros: !states, repeated: keeps_masked };
        masks::keep(&mut value, false, then, report)?;
    }
    Ok(value)
}

struct Upgrade<'a> {
    origin: &'a Origin,
    report: &'a mut Report,
    masked: bool,
    /// Whether there are masks, and recurrent layers repeat their last output at masked steps in both directions too.
    carries_masked: bool,
}

impl Upgrade<'_> {
    fn value(&mut self, value: &mut Value) -> Result<()> {
        match value {
            Value::Array(list) => list.iter_mut().try_for_each(|v| self.value(v)),
            Value::Object(map) if map.contains_key("class_name") && map.contains_key("config") => {
                self.object(map)
            }
            Value::Object(map) => map.values_mut().try_for_each(|v| self.value(v)),
            _ => Ok(()),
        }
    }

    fn object(&mut self, object: &mut Map<String, Value>) -> Result<()> {
        let class = object.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let known = arguments::class_name(&class);
        if known != class {
            let name = object.get("config").and_then(|c| c.get("name")).and_then(Value::as_str);
            self.report.renamed(name.unwrap_or(&class), format!("`{class}` is `{known}`"));
        }
        object.insert("class_name".to_owned(), known.into());
        let Some(config) = object.get_mut("config") else { return Ok(()) };
        if let ("Sequential", Value::Array(layers)) = (&*class, &mut *config) {
            let layers = std::mem::take(layers);
            *config = json!({ "name": auto_name("Sequential"), "layers": layers });
        }
        let Value::Object(config) = config else { return Ok(()) };
        let mut known = known;
        if class == "Sequential" {
            begin_with_input(config);
            if let Some(graph) = as_graph(config, self.masked, self.carries_masked) {
                let name = config.get("name").and_then(Value::as_str).unwrap_or("Sequential");
                self.report.converted(name, "a graph, for a layer of it is several operations of Keras 3");
                *config = graph;
                known = "Functional";
            }
        }
        if class == "Merge" {
            let old = config.clone();
            let name = old.get("name").and_then(Value::as_str).unwrap_or("Merge");
            let merging = keras1::merge(name, &old, config, self.report)?;
            object.insert("class_name".to_owned(), merging.into());
            return Ok(());
        }
        if class == "Bidirectional" {
            self.directions(config);
        }
        config.values_mut().try_for_each(|v| self.value(v))?;
        match known {
            "Sequential" => Ok(()),
            "Functional" => {
                graph::upgrade_graph(config, self.report)?;
                object.insert("class_name".to_owned(), known.into());
                Ok(())
            }
            _ => {
                let other = arguments::upgrade_layer(&class, config, self.origin, self.report)?;
                let heeds = class == "Softmax" && self.masked && self.origin.is_before(Version::new(2, 4, 0));
                let other = other.or_else(|| heeds.then(|| as_activation(config)).flatten());
                other.map(|class| object.insert("class_name".to_owned(), class.into()));
                Ok(())
            }
        }
    }
}

impl Upgrade<'_> {
    /// What `Bidirectional` of Keras 3 takes for granted: that the backward layer goes backwards, and gives zeros at masked
    /// steps.
    fn directions(&mut self, config: &mut Config) {
        let Some(layer) = config.get("layer") else { return };
        let is = |key: &str| layer.pointer(&format!("/config/{key}")).is_some_and(|v| v == true);
        let backward = is("go_backwards") && config.get("backward_layer").is_none_or(Value::is_null);
        let carried = self.carries_masked && is("return_sequences");
        if backward {
            let mut other = layer.clone();
            other["config"]["go_backwards"] = false.into();
            let name = other.pointer("/config/name").and_then(Value::as_str).unwrap_or_default();
            other["config"]["name"] = format!("backward_{name}").into();
            config.insert("backward_layer".to_owned(), other);
        }
        if carried {
            config.insert("zero_output_for_mask".to_owned(), false.into());
            let name = config.get("name").and_then(Value::as_str).unwrap_or("Bidirectional").to_owned();
            self.report.converted(name, "outputs at masked steps are those of the step before, not 0");
        }
    }
}

/// A `Softmax` as the layer that leaves masks out of account, as it did before TensorFlow 2.4.
fn as_activation(config: &mut Config) -> Option<&'static str> {
    let last = config.get("axis").is_none_or(|axis| *axis == -1);
    last.then(|| {
        config.shift_remove("axis");
        config.insert("activation".to_owned(), "softmax".into());
        "Activation"
    })
}

/// A chain as a graph, if one of its layers is not a layer of Keras 3 but several operations, and its input is known.
fn as_graph(config: &Config, masked: bool, carries_masked: bool) -> Option<Config> {
    let mut layers = config.get("layers")?.as_array()?.clone();
    let begins = layers.first().is_some_and(|layer| layer["class_name"] == "InputLayer");
    let is_other = |layer: &Value| {
        let sequences = layer["class_name"] == "Bidirectional" && masks::says(layer, "return_sequences");
        let repeats = sequences && (carries_masked || masks::says(layer, "unroll"));
        resizing::is_other(layer) || (masked && (repeats || masks::says(layer, "stateful")))
    };
    if !begins || !layers.iter().any(is_other) {
        return None;
    }
    let mut end = Value::Null;
    let begin = json!([layers.first()?["config"]["name"], 0, 0]);
    for layer in &mut layers {
        let name = layer["config"]["name"].clone();
        layer["inbound_nodes"] = if end.is_null() { json!([]) } else { json!([[end]]) };
        let model = layer["class_name"] == "Functional" || layer["class_name"] == "Sequential";
        end = json!([name, u64::from(model), 0, {}]);
        layer["name"] = name;
    }
    let output = json!([end[0], end[1], end[2]]);
    let graph = json!({ "name": config.get("name"), "layers": layers, "input_layers": [begin], "output_layers": [output] });
    graph.as_object().cloned()
}

/// A chain began with the shape of its first layer's inputs.
fn begin_with_input(config: &mut Config) {
    let Some(Value::Array(layers)) = config.get_mut("layers") else { return };
    let Some(first) = layers.first().filter(|l| l.get("class_name").is_some_and(|c| c != "InputLayer"))
    else {
        return;
    };
    if let Some((shape, dtype)) = input_of(first) {
        let name = auto_name("InputLayer");
        let input = json!({
            "class_name": "InputLayer",
            "config": { "batch_shape": shape, "dtype": dtype, "name": name },
        });
        layers.insert(0, input);
    }
}

/// Shape and dtype of what goes into the first layer of a chain; in a model within it, into its first layer.
fn input_of(layer: &Value) -> Option<(Value, Value)> {
    let config = layer.get("config")?;
    let inner = config.get("layers").unwrap_or(config).as_array();
    if let Some(first) = inner.and_then(|layers| layers.first()) {
        return input_of(first);
    }
    let shape = ["batch_input_shape", "batch_shape"].iter().find_map(|key| config.get(*key));
    let shape = shape.or_else(|| {
        // A wrapper that goes through time has its inputs' shape from the layer in it.
        let wrapped = layer.get("class_name").is_some_and(|c| c == "Bidirectional");
        config.pointer("/layer/config/batch_input_shape").filter(|_| wrapped)
    })?;
    let dtype = config.get("input_dtype").or_else(|| config.get("dtype")).filter(|d| d.is_string());
    Some((shape.clone(), dtype.cloned().unwrap_or("float32".into())))
}
