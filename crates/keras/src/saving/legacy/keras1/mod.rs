//! Keras 0.3 to 1.2.2 in the form of Keras 2.2: architectures, weights, and what models were compiled with.
//!
//! Each step takes JSON and arrays and gives JSON and arrays; what it changes is told in the report.

mod arguments;
mod compile;
mod graph;
mod layer;
mod merge;
mod sequential;
mod values;
mod weights;

pub(crate) use compile::{DROPPED as DROPPED_METRICS, upgrade_compile};
pub(super) use merge::merge;
pub(crate) use sequential::inputs as input_of;
pub(crate) use weights::{numbered, share_axes, upgrade_optimizer, upgrade_weights};

use std::collections::HashMap;

use keras_spec::{Config, Error, Initializer, Result, ResultExt, Shared};
use serde_json::{Map, Value, json};

use super::{Origin, Report, Version};
use crate::layers::DataFormat;

/// How deep layers may lie within each other: deeper than any model, less than a stack holds.
const DEPTH: usize = 64;

/// The architecture of a model of Keras 0.3 to 1.2.2 in the form of Keras 2.2.
///
/// `Graph` and models that begin with a `Merge` become functional ones; layers get the names and arguments of Keras 2, those
/// that it dropped become others that compute the same.
///
/// # Errors
/// The model has something that no version since has, such as code that is not to be run, or cannot be read.
pub(crate) fn upgrade_config(model: &Value, origin: &Origin, report: &mut Report) -> Result<Value> {
    let mut names = HashMap::new();
    let model = normalized(model, &mut names, 0)?;
    let data_format = data_format(&model, origin, report);
    let mut era = Era { data_format, report };
    era.model(&model)
}

/// `origin` with Theano as the backend where nobody says it and the model has its channels first, which was Theano's order, or
/// the padding that only Theano had.
pub(crate) fn on_theano(model: &Value, origin: &Origin) -> Origin {
    fn theanos(value: &Value) -> bool {
        match value {
            Value::Array(list) => list.iter().any(theanos),
            Value::Object(map) => {
                let says = |key: &str, word: &str| map.get(key).is_some_and(|v| v == word);
                says("dim_ordering", "th") || says("border_mode", "full") || map.values().any(theanos)
            }
            _ => false,
        }
    }
    let mut origin = origin.clone();
    if origin.backend.is_none() && theanos(model) {
        origin.backend = Some("theano".to_owned());
    }
    origin
}

/// A layer, as a call of Keras 1 makes it, in the forms of Keras 2.2 and of Keras 3.
///
/// # Errors
/// An argument has no counterpart.
pub(crate) fn upgrade_call(layer: &Value) -> Result<(Value, Value)> {
    let origin = Origin { version: Some(Version::new(1, 2, 2)), ..Origin::default() };
    let mut report = Report::new(origin.clone());
    let mut era = Era { data_format: DataFormat::default(), report: &mut report };
    let second = era.layer(layer)?;
    let third = super::config::upgrade_config(&second, &origin, &mut report)?;
    Ok((second, third))
}

/// An optimizer, as a call of Keras 1 makes it, in the form of Keras 3.
///
/// # Errors
/// The configuration is no object.
pub(crate) fn upgrade_optimizer_call(optimizer: Value) -> Result<Value> {
    let origin = Origin { version: Some(Version::new(1, 2, 2)), ..Origin::default() };
    let training = json!({ "optimizer_config": optimizer });
    let mut compiled =
        super::compile::upgrade_compile(&training, 1, &origin, &mut Report::new(origin.clone()))?;
    Ok(compiled["optimizer"].take())
}

/// The initializer that Keras 1 knows under a name.
///
/// # Errors
/// There is none.
pub(crate) fn initializer(name: &str) -> Result<Shared<dyn Initializer>> {
    let unknown = || Error::unknown("initializer", name, values::INITIALIZERS);
    keras_spec::object::make(&values::initializer(name).ok_or_else(unknown)?).map(Shared::from)
}

/// Whether a version of Keras before 2 wrote a model: by its version, or else by what it looks like.
pub(crate) fn wrote(model: &Value, origin: &Origin) -> bool {
    if let Some(version) = origin.version {
        return version.major < 2;
    }
    if model.get("module").is_some() {
        return false;
    }
    // An object that is its configuration with the class as its name, or arguments that are Keras 1's.
    let own = model.get("class_name").is_none() && model.get("name").is_some();
    own || speaks_keras1(model, 0)
}

/// Whether arguments of a class have names that only Keras 1 knows.
fn speaks_keras1(value: &Value, depth: usize) -> bool {
    const NAMES: &[&str] = &["output_dim", "nb_filter", "border_mode", "p", "dim_ordering", "inner_init"];
    if depth > 4 * DEPTH {
        return false;
    }
    match value {
        Value::Array(list) => list.iter().any(|v| speaks_keras1(v, depth + 1)),
        Value::Object(map) => {
            let class = class(value);
            let kept = ["Embedding", "MaxoutDense", "Highway"].contains(&class);
            let own = value.get("config").and_then(Value::as_object);
            class == "Merge"
                || class == "Graph"
                || own.is_some_and(|own| !kept && NAMES.iter().any(|name| own.contains_key(*name)))
                || map.values().any(|v| speaks_keras1(v, depth + 1))
        }
        _ => false,
    }
}

/// Keras 1's objects of the layers of a file of weights, which are given with how many arrays they have: those of their names,
/// or those at their places where names differ. None for layers without weights, and those that are not the model's.
///
/// # Errors
/// The model cannot be read.
pub(crate) fn layers_of<'a>(
    model: &Value,
    file: impl Iterator<Item = (&'a str, usize)>,
) -> Result<Vec<Option<Value>>> {
    let model = normalized(model, &mut HashMap::new(), 0)?;
    let layers = weights::sublayers(&model)?;
    let file: Vec<_> = file.collect();
    let named = |wanted: &str| layers.iter().find(|l| name(l) == wanted).cloned();
    let found: Vec<Option<Value>> =
        file.iter().map(|&(name, count)| named(name).filter(|_| count > 0)).collect();
    if file.iter().zip(&found).all(|(&(_, count), found)| count == 0 || found.is_some()) {
        return Ok(found);
    }
    let mut weighted = Vec::new();
    for layer in layers {
        if weights::counts(&layer, 0)? != [0, 0] {
            weighted.push(layer);
        }
    }
    if weighted.len() != file.iter().filter(|(_, count)| *count > 0).count() {
        return Ok(found);
    }
    let mut weighted = weighted.into_iter();
    Ok(file.iter().map(|&(_, count)| if count > 0 { weighted.next() } else { None }).collect())
}

/// What is known while a model is upgraded.
struct Era<'a> {
    /// Where the channels are for layers that do not say it.
    data_format: DataFormat,
    report: &'a mut Report,
}

impl Era<'_> {
    /// A model, or any layer.
    fn model(&mut self, model: &Value) -> Result<Value> {
        match class(model) {
            "Sequential" => self.sequential(model),
            "Model" => self.functional(model),
            "Graph" => {
                let functional = graph::functional(model)?;
                let text = "a `Graph` is a functional model in Keras 2";
                self.report.converted(name(model), text);
                self.functional(&functional)
            }
            _ => self.layer(model).at(|| format!("layer `{}`", name(model))),
        }
    }

    /// A functional model: its layers one by one.
    fn functional(&mut self, model: &Value) -> Result<Value> {
        let mut config = config(model)?.clone();
        let Some(Value::Array(layers)) = config.get_mut("layers") else {
            return Err(Error::config("Model", "`layers` must be a list"));
        };
        for layer in layers.iter_mut() {
            let mut upgraded = self.model(layer)?;
            for key in ["name", "inbound_nodes"] {
                if let Some(value) = layer.get(key) {
                    upgraded[key] = value.clone();
                }
            }
            *layer = upgraded;
        }
        Ok(with_rest(model, json!({ "class_name": "Model", "config": config })))
    }
}

/// What stands beside class and configuration, such as the version.
fn with_rest(from: &Value, mut to: Value) -> Value {
    for (key, value) in from.as_object().into_iter().flatten() {
        if to.get(key).is_none() {
            to[key] = value.clone();
        }
    }
    to
}

/// The class of an object; empty if there is none.
fn class(object: &Value) -> &str {
    object.get("class_name").and_then(Value::as_str).unwrap_or_default()
}

/// The name of a layer; that of its class if it has none.
fn name(layer: &Value) -> &str {
    let own = layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str);
    own.unwrap_or_else(|| class(layer))
}

/// The configuration of an object.
fn config(object: &Value) -> Result<&Config> {
    let wrong = || Error::config(class(object), "the configuration must be an object");
    object.get("config").and_then(Value::as_object).ok_or_else(wrong)
}

/// The objects inside a list.
fn list<'a>(of: &str, value: Option<&'a Value>) -> Result<&'a [Value]> {
    let wrong = || Error::config(of, "a list of layers is missing");
    value.and_then(Value::as_array).map(Vec::as_slice).ok_or_else(wrong)
}

/// A model of Keras 0.3, where an object is its configuration with the class as `name`, in the form of Keras 1; others as they
/// are. Layers without a name get one.
fn normalized(object: &Value, names: &mut HashMap<String, usize>, depth: usize) -> Result<Value> {
    if depth > DEPTH {
        return Err(Error::config("model", "layers lie too deep within each other"));
    }
    let mut inner = |value: &Value| normalized(value, names, depth + 1);
    let all = |inner: &mut dyn FnMut(&Value) -> Result<Value>, list: &[Value]| {
        list.iter().map(inner).collect::<Result<Vec<Value>>>()
    };
    let Some(map) = object.as_object() else {
        return Err(Error::config("layer", format!("expected an object, found {object}")));
    };
    if map.contains_key("class_name") {
        let mut object = object.clone();
        match class(&object).to_owned().as_str() {
            "Sequential" => {
                if let Some(Value::Array(layers)) = object.get("config") {
                    object["config"] = all(&mut inner, layers)?.into();
                }
            }
            "Graph" => normalize_nodes(&mut object["config"], &mut inner)?,
            "Merge" | "Model" => {
                if let Some(Value::Array(layers)) = object.pointer("/config/layers") {
                    object["config"]["layers"] = all(&mut inner, layers)?.into();
                }
            }
            _ => {}
        }
        return Ok(object);
    }
    let Some(Value::String(class)) = map.get("name") else {
        return Err(Error::config("layer", format!("an object has no class: {object}")));
    };
    let mut config = map.clone();
    config.shift_remove("name");
    let mut rest = Map::new();
    for key in ["optimizer", "loss", "loss_weights", "sample_weight_mode", "sample_weight_modes"] {
        if ["Sequential", "Graph"].contains(&class.as_str())
            && let Some(value) = config.shift_remove(key)
        {
            rest.insert(key.to_owned(), value);
        }
    }
    let layers = config.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    let config = match class.as_str() {
        "Sequential" => Value::from(all(&mut inner, &layers)?),
        "AutoEncoder" => return autoencoder(&config, &mut inner),
        "Graph" => {
            let mut config = Value::Object(config);
            normalize_nodes(&mut config, &mut inner)?;
            config
        }
        _ => {
            if class == "Merge" {
                config.insert("layers".to_owned(), all(&mut inner, &layers)?.into());
            }
            if let Some(layer) = config.get("layer") {
                let layer = inner(layer)?;
                config.insert("layer".to_owned(), layer);
            }
            let own = config.shift_remove("custom_name").filter(Value::is_string);
            let count = names.entry(class.clone()).or_default();
            *count += 1;
            // Keras 0.3 calls a layer after its class unless told otherwise; there may be several.
            let own = own.filter(|own| own.as_str() != Some(&class.to_lowercase()));
            let name = own.unwrap_or_else(|| format!("{}_{count}", class.to_lowercase()).into());
            config.insert("name".to_owned(), name);
            config.into()
        }
    };
    rest.insert("class_name".to_owned(), class.as_str().into());
    rest.insert("config".to_owned(), config);
    Ok(rest.into())
}

/// The layers of a `Graph` are in an object by name.
fn normalize_nodes(config: &mut Value, inner: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<()> {
    if let Some(nodes) = config.get_mut("nodes").and_then(Value::as_object_mut) {
        for (name, node) in nodes.iter_mut() {
            *node = inner(node)?;
            if node.get("config").is_some_and(Value::is_object) {
                node["config"]["name"] = name.as_str().into();
            }
        }
    }
    Ok(())
}

/// Keras 0.3's `AutoEncoder` predicts what the decoder makes of the encoder's output, or that itself.
fn autoencoder(config: &Config, inner: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Value> {
    let part = |key: &str| {
        config.get(key).ok_or_else(|| Error::config("AutoEncoder", format!("`{key}` is missing")))
    };
    let mut layers = vec![inner(part("encoder_config")?)?];
    if config.get("output_reconstruction").is_none_or(|o| o != false) {
        layers.push(inner(part("decoder_config")?)?);
    }
    Ok(json!({ "class_name": "Sequential", "config": layers }))
}

/// Where the channels are for the layers of which Keras 1 does not write it: where those are that say it, if they agree;
/// what the caller says; the default of the version.
fn data_format(model: &Value, origin: &Origin, report: &mut Report) -> DataFormat {
    fn collect(value: &Value, found: &mut Vec<DataFormat>, silent: &mut bool) {
        match value {
            Value::Array(list) => list.iter().for_each(|v| collect(v, found, silent)),
            Value::Object(map) => {
                let ordering = map.get("dim_ordering").and_then(Value::as_str);
                found.extend(ordering.and_then(values::data_format));
                *silent |= layer::is_silent(class(value)) && value.pointer("/config/dim_ordering").is_none();
                map.values().for_each(|v| collect(v, found, silent));
            }
            _ => {}
        }
    }
    let (mut found, mut silent) = (Vec::new(), false);
    collect(model, &mut found, &mut silent);
    let guess = match found.split_first() {
        Some((first, rest)) if rest.iter().all(|f| f == first) => *first,
        _ => {
            if let Some(told) = origin.data_format {
                return told;
            }
            match origin.is_before(Version::new(1, 1, 0)) {
                true => DataFormat::ChannelsFirst,
                false => DataFormat::ChannelsLast,
            }
        }
    };
    if silent {
        let format = values::data_format_name(guess);
        let text = format!("where layers do not say where the channels are, `{format}` is assumed");
        report.guessed("model", text);
    }
    guess
}
