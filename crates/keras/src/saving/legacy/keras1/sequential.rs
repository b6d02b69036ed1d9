//! `Sequential`: a list of layers, of which the first says what the inputs are.

use keras_spec::{Error, Result};
use serde_json::{Value, json};

use super::{Era, class, graph, list, name, with_rest};

impl Era<'_> {
    /// A chain; one that begins with a `Merge` as a functional model.
    pub(super) fn sequential(&mut self, model: &Value) -> Result<Value> {
        let layers = list("Sequential", model.get("config"))?;
        let first = layers.first().ok_or_else(|| Error::config("Sequential", "there are no layers"))?;
        if class(first) == "Merge" {
            let text = "a `Sequential` that begins with a `Merge` is a functional model";
            self.report.converted(name(model), text);
            return self.functional(&graph::merged(model)?);
        }
        let mut upgraded = Vec::with_capacity(layers.len() + 1);
        if class(first) != "InputLayer"
            && let Some(input) = input_layer(first)
        {
            upgraded.push(self.layer(&input)?);
        }
        for layer in layers {
            upgraded.push(self.model(layer)?);
        }
        let mut config = json!({ "layers": upgraded });
        if let Some(name) = model.get("name") {
            config["name"] = name.clone();
        }
        Ok(with_rest(model, json!({ "class_name": "Sequential", "config": config })))
    }
}

/// The input layer that Keras makes for the first layer of a chain; none if that does not say what its inputs are.
pub(super) fn input_layer(first: &Value) -> Option<Value> {
    let (shape, dtype) = inputs(first)?;
    let name = format!("{}_input", name(first).to_lowercase());
    Some(json!({
        "class_name": "InputLayer",
        "config": { "batch_input_shape": shape, "input_dtype": dtype, "name": name },
    }))
}

/// The shape and dtype of the inputs of a layer that stands first.
pub(crate) fn inputs(layer: &Value) -> Option<(Value, Value)> {
    if class(layer) == "Sequential" {
        return inputs(layer.get("config")?.as_array()?.first()?);
    }
    if class(layer) == "Model" {
        let input = layer.pointer("/config/input_layers/0/0")?;
        let layers = layer.pointer("/config/layers")?.as_array()?;
        return inputs(layers.iter().find(|l| l.get("name") == Some(input))?);
    }
    let config = layer.get("config")?.as_object()?;
    let embedding = class(layer) == "Embedding";
    let dtype = match config.get("input_dtype").filter(|d| d.is_string()) {
        Some(dtype) => dtype.clone(),
        None if embedding => "int32".into(),
        None => "float32".into(),
    };
    let given = |key: &str| config.get(key).filter(|v| !v.is_null());
    if let Some(shape) = given("batch_input_shape") {
        return Some((shape.clone(), dtype));
    }
    let steps = config.get("input_length").cloned();
    let axes = match (given("input_shape").and_then(Value::as_array), given("input_dim")) {
        (Some(shape), _) => shape.clone(),
        (None, _) if embedding => vec![steps.unwrap_or_default()],
        (None, Some(features)) => steps.into_iter().chain([features.clone()]).collect(),
        (None, None) => return None,
    };
    let mut shape = vec![Value::Null];
    shape.extend(axes);
    Some((shape.into(), dtype))
}
