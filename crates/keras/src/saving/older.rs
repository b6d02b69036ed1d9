//! Models in the forms that older programs read: Keras 3 back to 3.0, and tf-keras.

use keras_spec::{DTypePolicy, Error, Result};
use serde_json::{Map, Value, json};

use super::h5_config::short_form;
use super::legacy::Version;
use super::since::{
    ADDED, ADDED_TO_KERAS_2, Default, NOT_IN_KERAS_2, activation_since, class_since, is_in_keras_2,
};
use crate::legacy::{LEGACY_HARD_SIGMOID, is_hard_sigmoid};
use crate::models::is_operation;

/// The version of Keras 2 that reads architectures in YAML no more. What is for earlier ones has the names of all of Keras 2.
pub(super) const YAML_ENDS: Version = Version::new(2, 6, 0);

/// Takes an argument out of a configuration.
fn take(
    class: &str,
    config: &mut Map<String, Value>,
    key: &str,
    default: Default,
    version: Version,
) -> Result<()> {
    match config.shift_remove(key) {
        Some(value) if !default.is(&value) => {
            Err(Error::config(class, format!("`{key}` = {value}, which Keras {version} does not have")))
        }
        _ => Ok(()),
    }
}

fn class_of(object: &Map<String, Value>) -> String {
    object.get("class_name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Changes a model, or what one was compiled with, so that Keras 3 of a version reads it.
///
/// # Errors
/// It has something that the version does not have.
pub(super) fn for_keras_3(value: &mut Value, version: Version) -> Result<()> {
    layers_as_activations(value, version)?;
    match value {
        Value::Array(list) => return list.iter_mut().try_for_each(|v| for_keras_3(v, version)),
        Value::Object(map) => map.values_mut().try_for_each(|v| for_keras_3(v, version))?,
        _ => return Ok(()),
    }
    let is_operation = is_operation(value);
    let Value::Object(object) = value else { return Ok(()) };
    let class = class_of(object);
    let module = object.get("module").and_then(Value::as_str).unwrap_or_default();
    if let Some(since) = class_since(&class).filter(|since| version < *since && module.starts_with("keras")) {
        let why = format!("the class came with Keras {since}, and {version} does not have it");
        return Err(Error::config(class, why));
    }
    let calls = object.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten();
    let mut masks = calls.filter_map(|call| call.pointer("/kwargs/mask"));
    // What gives a tensor another mask in models of Keras 2 that had several.
    if version < Version::new(3, 12, 0) && class == "TimeDistributed" && masks.any(|mask| !mask.is_null()) {
        let why =
            format!("a call with `mask`, which Keras {version} does not hand on to the layers behind it");
        return Err(Error::config(class, why));
    }
    if is_operation {
        check_operation(&class, object, version)?;
    }
    // Keras wants shapes as tuples there, of which JSON makes lists; what has no weights needs no building.
    if version < Version::new(3, 1, 0) && class == "Dot" {
        object.shift_remove("build_config");
    }
    if let Some(compile) = object.get_mut("compile_config") {
        flat_metrics(compile);
    }
    if version < Version::new(3, 8, 0) && (class == "Orthogonal" || class == "Identity") {
        let initializer = object.get("module").is_some_and(|m| m == "keras.initializers");
        if initializer {
            object.insert("class_name".to_owned(), format!("{class}Initializer").into());
        }
    }
    let Some(Value::Object(config)) = object.get_mut("config") else { return Ok(()) };
    // The name of an operation stands beside its arguments, too.
    if version < Version::new(3, 11, 0) && is_operation {
        config.shift_remove("name");
    }
    for (key, value) in config.iter().filter(|(key, _)| key.ends_with("activation")) {
        if let Some(since) = value.as_str().and_then(activation_since).filter(|since| version < *since) {
            return Err(Error::config(class, format!("`{key}` = {value}, which came with Keras {since}")));
        }
    }
    for (since, classes, key, default) in ADDED {
        if version < *since && classes.contains(&&*class) {
            take(&class, config, key, *default, version)?;
        }
    }
    if version < Version::new(3, 4, 0)
        && let Some(dtype) = config.get_mut("dtype").filter(|d| d.is_object())
    {
        *dtype = DTypePolicy::from_value(dtype)?.name().into();
    }
    if version < Version::new(3, 11, 0) && class == "Functional" {
        for key in ["input_layers", "output_layers"] {
            list_of_ends(config.get_mut(key));
        }
    }
    Ok(())
}

/// Refuses layers in the place of activations where older versions take only functions.
fn layers_as_activations(value: &Value, version: Version) -> Result<()> {
    let activations = value.get("config").and_then(Value::as_object).into_iter().flatten();
    for (key, activation) in activations.filter(|(key, _)| key.ends_with("activation")) {
        if version < Version::new(3, 10, 0) && activation.get("module").is_some_and(|m| m == "keras.layers") {
            let what =
                if is_hard_sigmoid(activation) { "the `hard_sigmoid` of Keras 2, in Keras 3 " } else { "" };
            let why = format!("`{key}` is {what}a layer, which files of Keras {version} cannot have");
            return Err(Error::config(value["class_name"].as_str().unwrap_or_default(), why));
        }
    }
    Ok(())
}

/// Refuses operations that older versions of Keras 3 have, but do not read with these arguments, from their own files either.
fn check_operation(class: &str, object: &Map<String, Value>, version: Version) -> Result<()> {
    let calls = object.get("inbound_nodes").and_then(Value::as_array).into_iter().flatten();
    let mut keys = calls.filter_map(|call| call.pointer("/args/1"));
    let axis = object.get("config").and_then(|c| c.get("axis"));
    let why = match class {
        "GetItem" if version < Version::new(3, 2, 0) && keys.any(Value::is_array) => "several indices",
        "Logsumexp" if version < Version::new(3, 11, 0) && axis.is_some_and(Value::is_i64) => "one axis",
        _ => return Ok(()),
    };
    Err(Error::config(class, format!("Keras {version} does not read the operation with {why}")))
}

/// The metrics of models with one output, without a list around them that older versions take for a metric.
fn flat_metrics(compile: &mut Value) {
    for key in ["metrics", "weighted_metrics"] {
        if let Some(Value::Array(list)) = compile.get_mut(key)
            && let [Value::Array(own)] = list.as_mut_slice()
        {
            *list = std::mem::take(own);
        }
    }
}

/// Inputs or outputs as a list, even of one.
fn list_of_ends(ends: Option<&mut Value>) {
    if let Some(Value::Array(list)) = ends
        && list.first().is_some_and(Value::is_string)
    {
        *list = vec![std::mem::take(list).into()];
    }
}

/// A model in the form of tf-keras (`model_config` of its HDF5 files).
///
/// # Errors
/// It has something that Keras 2 does not have.
pub(super) fn for_keras_2(model: &Value, version: Version) -> Result<Value> {
    let mut value = model.clone();
    name_hard_sigmoid(&mut value);
    check_classes(&value, version)?;
    for_keras_3(&mut value, version)?;
    layer_for_keras_2(&mut value, version)?;
    Ok(value)
}

/// A model without its weights in the form of Keras 2 (`Model.to_json`, `Model.to_yaml`).
///
/// # Errors
/// It has something that Keras 2 does not have.
pub(super) fn architecture_for_keras_2(model: &Value, version: Version) -> Result<Value> {
    let model = for_keras_2(model, version)?;
    Ok(json!({
        "class_name": model["class_name"], "config": model["config"],
        "keras_version": version.to_string(), "backend": "tensorflow",
    }))
}

/// Keras 2 has its `hard_sigmoid` by name, as that of Keras 3 is not.
fn name_hard_sigmoid(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(name_hard_sigmoid),
        Value::Object(map) => {
            for (_, activation) in map.iter_mut().filter(|(key, _)| key.ends_with("activation")) {
                if is_hard_sigmoid(activation) {
                    *activation = LEGACY_HARD_SIGMOID.into();
                }
            }
            map.values_mut().for_each(name_hard_sigmoid);
        }
        _ => {}
    }
}

/// Refuses what tf-keras has no class for, or cannot read.
fn check_classes(value: &Value, version: Version) -> Result<()> {
    let children: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return Ok(()),
    };
    let Some(class) = value.get("class_name").and_then(Value::as_str) else {
        return children.into_iter().try_for_each(|v| check_classes(v, version));
    };
    if is_operation(value) {
        let why =
            format!("the operation `{class}` between layers, which files of Keras {version} cannot have");
        return Err(Error::config("Functional", why));
    }
    let is_keras = value.get("module").and_then(Value::as_str).is_some_and(|m| m.starts_with("keras"));
    if is_keras && !is_in_keras_2(class, version) {
        return Err(Error::config(class, format!("a class that files of Keras {version} cannot have")));
    }
    let bias = |layer: &str| value.pointer(&format!("/config/{layer}/config/use_bias")).cloned();
    if class == "Bidirectional" && bias("backward_layer").is_some_and(|b| Some(b) != bias("layer")) {
        let why = format!("only one of the layers has a bias, with which Keras {version} reads no file");
        return Err(Error::config(class, why));
    }
    children.into_iter().try_for_each(|v| check_classes(v, version))
}

/// Refuses an optimizer, losses and metrics that tf-keras has no class for.
fn check_compiled(value: &Value, version: Version) -> Result<()> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|v| check_compiled(v, version)),
        Value::Object(map) => match map.get("class_name").and_then(Value::as_str) {
            Some(class) if !is_in_keras_2(class, version) => {
                Err(Error::config(class, format!("a class that Keras {version} does not have")))
            }
            _ => map.values().try_for_each(|v| check_compiled(v, version)),
        },
        _ => Ok(()),
    }
}

fn layer_for_keras_2(value: &mut Value, version: Version) -> Result<()> {
    match value {
        Value::Array(list) => return list.iter_mut().try_for_each(|v| layer_for_keras_2(v, version)),
        Value::Object(map) => map.values_mut().try_for_each(|v| layer_for_keras_2(v, version))?,
        _ => return Ok(()),
    }
    let Value::Object(object) = value else { return Ok(()) };
    let class = class_of(object);
    if let Some(plain) = class.strip_suffix("Initializer").filter(|c| ["Orthogonal", "Identity"].contains(c))
    {
        object.insert("class_name".to_owned(), plain.into());
    }
    let Some(Value::Object(config)) = object.get_mut("config") else { return Ok(()) };
    if config.get("zero_output_for_mask").is_some_and(|z| z == false) {
        config.shift_remove("zero_output_for_mask");
    }
    for (classes, key, default) in NOT_IN_KERAS_2 {
        if classes.contains(&&*class) {
            take(&class, config, key, *default, version)?;
        }
    }
    for (since, classes, key, default) in ADDED_TO_KERAS_2 {
        let is_default = config.get(*key).is_none_or(|value| default.is(value));
        if classes.contains(&&*class) && (is_default || version < *since) {
            take(&class, config, key, *default, version)?;
        }
    }
    if class == "__keras_tensor__" {
        return Ok(());
    }
    if let Some(dtype) = config.get_mut("dtype")
        && let Some(name) = dtype.as_str().filter(|name| name.starts_with("mixed_"))
    {
        *dtype = json!({ "class_name": "Policy", "config": { "name": name } });
    }
    for (key, value) in config.iter_mut().filter(|(key, _)| key.ends_with("activation")) {
        if let Value::String(name) = value {
            *name = activation(&class, key, name, version)?.to_owned();
        }
    }
    match &*class {
        "InputLayer" => rename(config, "batch_shape", "batch_input_shape"),
        "LeakyReLU" => rename(config, "negative_slope", "alpha"),
        "Bidirectional" if version < YAML_ENDS && is_mirrored(config) => {
            config.shift_remove("backward_layer");
        }
        "Bidirectional" if version < Version::new(2, 4, 0) => {
            let why = format!("a `backward_layer` of its own, which Keras {version} does not have");
            return Err(Error::config(class, why));
        }
        "Functional" => graph(config)?,
        "MultiHeadAttention" if version >= YAML_ENDS => {
            // It takes them from there without asking whether they are; it is built when it is called.
            for key in ["query_shape", "key_shape", "value_shape"] {
                config.insert(key.to_owned(), Value::Null);
            }
        }
        _ => {}
    }
    for key in ["module", "registered_name", "build_config", "compile_config"] {
        object.shift_remove(key);
    }
    if version < YAML_ENDS {
        first_name(object);
    }
    Ok(())
}

/// Whether the layer that a `Bidirectional` has for the way back is the one that it would make itself.
fn is_mirrored(config: &Map<String, Value>) -> bool {
    let without_name = |key: &str| {
        let mut layer = config.get(key)?.clone();
        layer["config"].as_object_mut()?.shift_remove("name");
        Some(layer)
    };
    let (forward, back) = (without_name("layer"), without_name("backward_layer"));
    let mirrored = forward.map(|mut layer| {
        layer["config"]["go_backwards"] = (layer["config"]["go_backwards"] != true).into();
        layer
    });
    back.is_none() || back == mirrored
}

/// Gives a class the name that all versions of Keras 2 know.
fn first_name(object: &mut Map<String, Value>) {
    let name = match &*class_of(object) {
        "Functional" => "Model",
        "L1" | "L2" => "L1L2",
        "GlorotNormal" => "glorot_normal",
        "GlorotUniform" => "glorot_uniform",
        "HeNormal" => "he_normal",
        "HeUniform" => "he_uniform",
        "LecunNormal" => "lecun_normal",
        "LecunUniform" => "lecun_uniform",
        _ => return,
    };
    object.insert("class_name".to_owned(), name.into());
}

fn rename(config: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = config.shift_remove(from) {
        config.insert(to.to_owned(), value);
    }
}

/// The name in Keras 2 of an activation.
fn activation<'a>(class: &str, key: &str, name: &'a str, version: Version) -> Result<&'a str> {
    match name {
        "silu" => Ok("swish"),
        LEGACY_HARD_SIGMOID => Ok("hard_sigmoid"),
        "elu" | "exponential" | "gelu" | "linear" | "mish" | "relu" | "selu" | "sigmoid" | "softmax"
        | "softplus" | "softsign" | "tanh" => Ok(name),
        other => {
            let why = format!("`{key}` is the `{other}` of Keras 3, which Keras {version} does not have");
            Err(Error::config(class, why))
        }
    }
}

/// The calls of a graph: Keras 2 writes positional tensors as a list, and counts the own graph of a model as its first call.
fn graph(config: &mut Map<String, Value>) -> Result<()> {
    let models: Vec<String> = {
        let layers = config.get("layers").and_then(Value::as_array).into_iter().flatten();
        let is_model =
            |l: &&Value| l.get("class_name").is_some_and(|c| c == "Functional" || c == "Sequential");
        layers.filter(is_model).filter_map(|l| Some(l.get("name")?.as_str()?.to_owned())).collect()
    };
    let functional: Vec<String> = {
        let layers = config.get("layers").and_then(Value::as_array).into_iter().flatten();
        let is = |l: &&Value| l.get("class_name").is_some_and(|c| c == "Functional");
        layers.filter(is).filter_map(|l| Some(l.get("name")?.as_str()?.to_owned())).collect()
    };
    let Some(Value::Array(layers)) = config.get_mut("layers") else { return Ok(()) };
    for layer in layers.iter_mut() {
        let is_attention = layer.get("class_name").is_some_and(|c| c == "MultiHeadAttention");
        let others: &[&str] = if is_attention { &["value", "key"] } else { &[] };
        if let Some(Value::Array(nodes)) = layer.get_mut("inbound_nodes") {
            for node in nodes.iter_mut() {
                *node = call(node, &models, others)?;
            }
        }
    }
    for key in ["input_layers", "output_layers"] {
        list_of_ends(config.get_mut(key));
        let ends = config.get_mut(key).and_then(Value::as_array_mut);
        for end in ends.into_iter().flatten().filter_map(Value::as_array_mut) {
            // Keras 3 counts the own graph of functional models here too.
            let [Value::String(name), Value::Number(index), ..] = end.as_mut_slice() else { continue };
            if models.contains(name) && !functional.contains(name) {
                *index = (index.as_u64().unwrap_or(0) + 1).into();
            }
        }
    }
    Ok(())
}

/// A call in the form of Keras 2, in which tensors beyond the first have the given names.
fn call(node: &Value, models: &[String], others_by_name: &[&str]) -> Result<Value> {
    let wrong = || Error::config("Functional", format!("a call that Keras 2 cannot write: {node}"));
    let mut keywords = Map::new();
    for (key, value) in node.get("kwargs").and_then(Value::as_object).into_iter().flatten() {
        if !value.is_null() {
            keywords.insert(key.clone(), argument(value, models));
        }
    }
    let Some([first, others @ ..]) = node.get("args").and_then(Value::as_array).map(Vec::as_slice) else {
        return Err(wrong());
    };
    if others.len() > others_by_name.len() {
        return Err(wrong());
    }
    for (name, value) in others_by_name.iter().zip(others) {
        keywords.insert((*name).to_owned(), argument(value, models));
    }
    let mut tensors = match first {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    // Keras 2 takes the states of recurrent layers for further inputs.
    if let Some(Value::Array(states)) = node.pointer("/kwargs/initial_state") {
        keywords.shift_remove("initial_state");
        tensors.extend(states.iter().cloned());
    }
    let mut first = true;
    let tensors = tensors.iter().map(|t| {
        let Value::Array(mut history) = argument(t, models) else { return Err(wrong()) };
        let own = if std::mem::take(&mut first) { keywords.clone() } else { Map::new() };
        history.push(own.into());
        Ok(Value::from(history))
    });
    tensors.collect::<Result<Vec<_>>>().map(Value::from)
}

/// An argument with `[layer, call, result]` in the place of tensors.
fn argument(value: &Value, models: &[String]) -> Value {
    match value {
        Value::Array(list) => list.iter().map(|v| argument(v, models)).collect(),
        Value::Object(map) => match map.get("config").and_then(|c| c.get("keras_history")) {
            Some(Value::Array(history)) => {
                let mut history = history.clone();
                if let [Value::String(name), Value::Number(index), ..] = history.as_mut_slice()
                    && models.contains(name)
                {
                    *index = (index.as_u64().unwrap_or(0) + 1).into();
                }
                history.into()
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// What a model was compiled with in the form of tf-keras (`training_config`).
///
/// # Errors
/// It has something that Keras 2 does not have.
pub(super) fn compile_for_keras_2(training: &Value, version: Version) -> Result<Value> {
    let mut value = training.clone();
    if let Value::Object(map) = &value {
        map.values().try_for_each(|part| check_compiled(part, version))?;
    }
    flat_metrics(&mut value);
    for_keras_3(&mut value, version)?;
    if let Value::Object(map) = &mut value {
        for key in ["run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"] {
            map.shift_remove(key);
        }
        map.values_mut().for_each(plain);
    }
    // By its plain name tf-keras takes an optimizer for one of before 2.11.
    if let Some(class) = value.pointer_mut("/optimizer_config/class_name") {
        *class = format!("Custom>{}", class.as_str().unwrap_or_default()).into();
    }
    Ok(value)
}

/// Objects without what tf-keras does not look at, at any depth.
fn plain(value: &mut Value) {
    short_form(value);
    match value {
        Value::Array(list) => list.iter_mut().for_each(plain),
        Value::Object(map) => map.values_mut().for_each(plain),
        _ => {}
    }
}
