//! Models without their weights, as JSON: Keras's object form, and what of it older versions wrote differently.

use std::collections::HashMap;

use keras_spec::layer::{loading, reading_shared, writing_shared};
use keras_spec::{Error, LayerRef, PartialShape, Result, ResultExt};
use serde_json::{Map, Value, json};

use super::legacy::{self, Origin, Report, Source};
use super::{LoadOptions, graph_operations, json as python};
use crate::layers::name_lambdas;
use crate::models::{Chain, Model};
use crate::training::Compile;

/// How many weights a model may have beyond those in its file before this is what the error is about, instead of the
/// weight that the file lacks.
const UNNOTICED: usize = 1 << 20;

/// The object form of a model with what it was compiled with (`keras.saving.serialize_keras_object`).
///
/// # Errors
/// A configuration cannot be written.
pub(super) fn to_value(model: &Model) -> Result<Value> {
    let mut value = writing_shared(|| model.as_layer().serialize())?.to_value();
    activations_in_dtype(&mut value);
    value["compile_config"] = compile_config(model)?.unwrap_or_else(|| json!({}));
    Ok(value)
}

/// Lets layers that are the activations of others compute in the dtype of those: they do not say one, and it would be Keras's
/// default.
fn activations_in_dtype(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(activations_in_dtype),
        Value::Object(map) => {
            let dtype = map.get("dtype").filter(|d| **d != "float32").cloned();
            for (_, activation) in map.iter_mut().filter(|(key, _)| key.ends_with("activation")) {
                let steps = activation.pointer_mut("/config/layers").and_then(Value::as_array_mut);
                for step in steps.into_iter().flatten().filter(|_| dtype.is_some()) {
                    step["config"]["dtype"] = json!(dtype);
                }
            }
            map.values_mut().for_each(activations_in_dtype);
        }
        _ => {}
    }
}

/// What a model was compiled with, and its present learning rate; `None` if it is not compiled.
///
/// # Errors
/// A configuration cannot be written.
pub(super) fn compile_config(model: &Model) -> Result<Option<Value>> {
    let Some(compiled) = &model.compiled else { return Ok(None) };
    let mut value = compiled.arguments.to_value()?;
    let rate = value.pointer_mut("/optimizer/config/learning_rate").filter(|rate| rate.is_number());
    if let Some(rate) = rate {
        *rate = python::from_f64(compiled.optimizer.learning_rate().into());
    }
    Ok(Some(value))
}

/// The uncompiled model that `value` describes, written by `origin`.
///
/// # Errors
/// A class is not registered, or a configuration is wrong.
pub(super) fn from_value(value: Value, origin: &Origin, report: &mut Report) -> Result<Model> {
    let (mut linked, source) = match is_legacy(&value, origin) {
        true => {
            let upgraded = legacy::upgrade_config(&value, origin, report)?;
            (upgraded, Some(Source { config: value, origin: origin.clone() }))
        }
        false => (value, None),
    };
    let build_shape = linked.pointer("/build_config/input_shape").filter(|s| !s.is_null()).cloned();
    link_shared(&mut linked);
    graph_operations::drop_masks(&mut linked);
    name_lambdas(&mut linked)?;
    let layer = reading_shared(|| LayerRef::from_owned(linked))?;
    let mut model = Model::from_layer(layer.clone());
    if !model.is_built()
        && let Some(shapes) = build_shapes(&layer, build_shape)?
    {
        layer.build(&shapes)?;
    }
    model.source = source;
    Ok(model)
}

/// [`from_value`] of a model of which no file has the weights: zeros that take no memory, unless they are `initialized`.
///
/// # Errors
/// As [`from_value`].
pub(super) fn without_file(
    value: Value,
    origin: &Origin,
    initialized: bool,
    report: &mut Report,
) -> Result<Model> {
    match initialized {
        true => from_value(value, origin, report),
        false => loading(usize::MAX, true, || from_value(value, origin, report)),
    }
}

/// [`from_value`] of a model whose file has `held` numbers for its weights, and which has not many more than those. They are
/// not initialised unless `options` let weights be that the file does not have.
///
/// # Errors
/// As [`from_value`], or the model has more weights than the file.
pub(super) fn from_file(
    value: Value,
    origin: &Origin,
    held: usize,
    options: &LoadOptions,
    report: &mut Report,
) -> Result<Model> {
    let held = held.saturating_add(UNNOTICED);
    let replaced = !options.by_name && !options.skip_mismatch;
    loading(held, replaced, || from_value(value, origin, report))
}

/// Whether a Keras before 3 wrote it. Where no version is known, only Keras 3 says which module the model's class is from.
pub(super) fn is_legacy(value: &Value, origin: &Origin) -> bool {
    match origin.version {
        Some(version) => version.major < 3,
        None => value.get("module").is_none(),
    }
}

/// The shapes that a model which does not know its inputs was built for.
fn build_shapes(layer: &LayerRef, given: Option<Value>) -> Result<Option<Vec<PartialShape>>> {
    if let Some(shape) = layer.downcast::<Chain>().and_then(Chain::batch_shape) {
        return Ok(Some(vec![shape.clone()]));
    }
    let Some(shape) = given else { return Ok(None) };
    let one = serde_json::from_value::<PartialShape>(shape.clone()).map(|s| vec![s]);
    let shapes = one.or_else(|_| serde_json::from_value::<Vec<PartialShape>>(shape.clone()));
    shapes.map(Some).map_err(|e| Error::config(layer.class().name, format!("`build_config`: {e}")))
}

/// Compiles a model as `config` says: Keras 3's `compile_config`, of which nothing is left where the model was not
/// compiled.
///
/// # Errors
/// A class is not registered, or a configuration is wrong.
pub(super) fn compile(model: &mut Model, config: Option<&Value>) -> Result<()> {
    match config {
        Some(Value::Object(map)) if map.get("optimizer").is_some_and(|o| !o.is_null()) => {
            let place = || "what the model was compiled with (loading uncompiled leaves it out)";
            let arguments = Compile::from_value(&Value::Object(map.clone())).at(place)?;
            model.compile(arguments).at(place)
        }
        _ => Ok(()),
    }
}

/// Keras gives a layer that stands at two places a `shared_object_id`, but loses it at the first place if that is inside a
/// graph. It is put back: an object whose number nothing else has is the same as the one before it that is equal to it.
fn link_shared(value: &mut Value) {
    let mut counts = HashMap::new();
    visit(value, &mut |object| {
        if let Some(id) = number(object) {
            *counts.entry(id).or_insert(0) += 1;
        }
    });
    let mut lone = HashMap::new();
    visit(value, &mut |object| {
        if let Some(id) = number(object).filter(|id| counts[id] == 1) {
            lone.insert(identity(object), id);
        }
    });
    if !lone.is_empty() {
        visit(value, &mut |object| {
            if let (None, Some(id)) = (number(object), lone.get(&identity(object))) {
                object.insert("shared_object_id".to_owned(), (*id).into());
            }
        });
    }
}

/// Calls `f` for every layer in a value: every object with a class and a name.
fn visit(value: &mut Value, f: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| visit(v, f)),
        Value::Object(map) => {
            let named = map.get("config").and_then(|c| c.get("name")).is_some_and(Value::is_string);
            if named && map.contains_key("class_name") {
                f(map);
            }
            map.values_mut().for_each(|v| visit(v, f));
        }
        _ => {}
    }
}

fn number(object: &Map<String, Value>) -> Option<i64> {
    object.get("shared_object_id")?.as_i64()
}

/// Class and configuration, without the numbers inside.
fn identity(object: &Map<String, Value>) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(strip),
            Value::Object(map) => {
                map.shift_remove("shared_object_id");
                map.values_mut().for_each(strip);
            }
            _ => {}
        }
    }
    let mut config = object.get("config").cloned().unwrap_or_default();
    strip(&mut config);
    format!("{} {config}", object.get("class_name").unwrap_or(&Value::Null))
}
