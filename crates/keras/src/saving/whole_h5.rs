//! Models in HDF5 as Keras 2 laid them out and Keras 3 still writes them: weights by layer.

use std::collections::HashSet;

use keras_spec::object::{Family, Serialized, make};
use keras_spec::{Device, HostTensor, LayerRef, Loss, Metric, Result, ResultExt, Variable};
use serde_json::{Value, json};

use super::error::{FileError, Result as FileResult};
use super::layer_weights::{self, Incoming, NAMES, SavedWeights, legacy_order};
use super::legacy::{Report, Version, keras1, upgrade_compile};
use super::{KERAS_VERSION, LoadOptions, architecture, h5, h5_config, json as python, older};
use crate::models::Model;

/// The group with the weights of a whole model.
pub(super) const WEIGHTS: &str = "model_weights";
const OPTIMIZER: &str = "optimizer_weights";

/// A whole model, ready to be written for `version` of Keras, or for the one that is written otherwise.
///
/// # Errors
/// A layer cannot be written, or a device fails.
pub(super) fn pack(model: &Model, version: Option<Version>) -> Result<h5::Writer> {
    let mut file = h5::Writer::new();
    let mut config = architecture::to_value(model)?;
    let old = version.filter(|v| v.major < 3);
    config = match (old, version) {
        (Some(version), _) => older::for_keras_2(&config, version)?,
        (None, Some(version)) => {
            older::for_keras_3(&mut config, version)?;
            config
        }
        (None, None) => config,
    };
    let config =
        h5_config::downgrade(json!({ "class_name": config["class_name"], "config": config["config"] }));
    let written_by = version.map_or_else(|| KERAS_VERSION.to_owned(), |v| v.to_string());
    // Keras 2 takes other backends than those that it ran on for Theano.
    let backend = if old.is_some() { "tensorflow".to_owned() } else { backend()? };
    file.text("keras_version", &*written_by);
    file.text("backend", &*backend);
    file.bytes("model_config", python::to_string(&config));
    if let Some(training) = architecture::compile_config(model)? {
        let mut training = h5_config::training_config(with_objects(training)?);
        if let Some(version) = old {
            training = older::compile_for_keras_2(&training, version)?;
        }
        file.bytes("training_config", python::to_string(&training));
    }
    let group = file.group(WEIGHTS);
    write_layers(model, group)?;
    group.bytes("backend", backend);
    group.bytes("keras_version", written_by);
    let state = model.compiled.as_ref().map(|c| (c.optimizer.name(), c.optimizer.variables()));
    if let Some((name, variables)) = state.filter(|(_, v)| !v.is_empty()) {
        // The learning rate stands in the configuration of Keras 2 only.
        let kept = |v: &Variable| old.is_none() || v.name() != "learning_rate";
        let variables: Vec<Variable> = variables.into_iter().filter(kept).collect();
        let paths = variables.iter().map(|v| match v.path().contains('/') {
            true => v.path().to_owned(),
            false => format!("{name}/{}", v.path()),
        });
        write_arrays(file.group(OPTIMIZER), paths.collect(), &variables)?;
    }
    Ok(file)
}

/// Keras reads no names such as `"mse"` from these files, only objects; but for metrics that it chooses by shapes.
fn with_objects(mut compile: Value) -> Result<Value> {
    fn replace<T: Family + ?Sized>(value: &mut Value) -> Result<()> {
        match value {
            Value::String(name) if !["accuracy", "acc", "crossentropy", "ce"].contains(&name.as_str()) => {
                *value = Serialized::of(&*make::<T>(value)?)?.to_value();
                Ok(())
            }
            Value::Array(list) => list.iter_mut().try_for_each(replace::<T>),
            Value::Object(map) if !map.contains_key("class_name") => {
                map.values_mut().try_for_each(replace::<T>)
            }
            _ => Ok(()),
        }
    }
    replace::<dyn Loss>(&mut compile["loss"])?;
    replace::<dyn Metric>(&mut compile["metrics"])?;
    replace::<dyn Metric>(&mut compile["weighted_metrics"])?;
    Ok(compile)
}

fn backend() -> Result<String> {
    Ok(Device::default_device()?.backend_name().to_owned())
}

/// Adds the weights of every layer to a group, with who wrote them.
///
/// # Errors
/// A device fails.
pub(super) fn write_weights(model: &Model, group: &mut h5::Writer) -> Result<()> {
    write_layers(model, group)?;
    group.bytes("backend", backend()?);
    group.bytes("keras_version", KERAS_VERSION);
    Ok(())
}

/// Adds the weights of every layer to a group.
///
/// # Errors
/// A device fails.
fn write_layers(model: &Model, group: &mut h5::Writer) -> Result<()> {
    let mut layers = model.layers();
    let names: Vec<&str> = layers.iter().map(LayerRef::name).collect();
    group.texts("layer_names", &names)?;
    layers.sort_by(|a, b| a.name().cmp(b.name()));
    for layer in &layers {
        let weights = legacy_order(layer);
        let paths = weights.iter().map(|w| w.path().to_owned()).collect();
        write_arrays(group.group(layer.name()), paths, &weights)?;
    }
    // Weights that a model has beside those of its layers; the models here have none.
    group.group("top_level_model_weights").texts(NAMES, &[""; 0])?;
    Ok(())
}

/// Writes arrays under their paths, and the list of these. A path that was used already gets a number.
fn write_arrays(group: &mut h5::Writer, mut paths: Vec<String>, variables: &[Variable]) -> Result<()> {
    let mut used = HashSet::new();
    for path in &mut paths {
        let numbered = (1..).map(|i| format!("{path}_{i}"));
        let unused = std::iter::once(path.clone()).chain(numbered).find(|p| !used.contains(p));
        *path = unused.unwrap_or_default();
        used.insert(path.clone());
    }
    group.texts(NAMES, &paths)?;
    for (path, variable) in paths.iter().zip(variables) {
        group.dataset(path, &variable.get().to_host()?)?;
    }
    Ok(())
}

/// Loads the model in a file.
///
/// # Errors
/// The file is damaged, a class is not registered, or weights do not fit.
pub(super) fn load(
    file: &str,
    root: &h5::Group,
    options: &LoadOptions,
    report: &mut Report,
) -> Result<Model> {
    let attributes = root.attributes()?;
    let object = |name: &str| format!("/@{name}");
    let parse = |name: &str| -> FileResult<Option<Value>> {
        let Some(text) = attributes.text(name)? else { return Ok(None) };
        let wrong = |e| FileError::unexpected(file, object(name), "JSON", format!("text that is not: {e}"));
        python::parse(text).map(Some).map_err(wrong)
    };
    let missing = || FileError::Missing { file: file.to_owned(), object: object("model_config") };
    let mut config = parse("model_config")?.ok_or_else(missing)?;
    h5_config::upgrade(&mut config);
    let held = root.group(WEIGHTS)?;
    let mut origin = options.origin(attributes.text("keras_version")?, attributes.text("backend")?);
    layer_weights::complete(&mut origin, &held, report)?;
    report.origin = origin.clone();
    let by_keras1 = keras1::wrote(&config, &origin);
    if by_keras1 {
        keras1::share_axes(&mut config, &|layer| layer_weights::shapes(&held, layer));
    }
    let place = || format!("{file}: {}", object("model_config"));
    let count = held.count_elements()?;
    let mut model = architecture::from_file(config, &origin, count, options, report).at(place)?;
    let weights = SavedWeights::read(file, &held, &origin, options, model.source.as_ref(), report)?;
    let training = parse("training_config")?.filter(|t| options.compile && !t.is_null());
    if let Some(training) = training {
        let place = || format!("{file}: {}", object("training_config"));
        let training = match &model.source {
            Some(source) => upgrade_compile(&training, source, report).at(place)?,
            None => Some(h5_config::compile_config(training)),
        };
        architecture::compile(&mut model, training.as_ref()).at(place)?;
    }
    let optimizer = match (&model.compiled, root.find_group(OPTIMIZER)?) {
        (Some(compiled), Some(group)) => {
            let mut state = named_arrays(&group)?;
            if let Some(source) = model.source.as_ref().filter(|_| by_keras1) {
                state = keras1::upgrade_optimizer(
                    &source.config,
                    &layer_weights::names(file, &held)?,
                    state,
                    &origin,
                    report,
                )?;
            }
            Some((compiled.optimizer.clone(), state))
        }
        _ => None,
    };
    Incoming { weights, optimizer, options: options.clone() }.into_model(&model, report)?;
    Ok(model)
}

/// The optimizer's state in its order.
fn named_arrays(group: &h5::Group) -> FileResult<Vec<(String, HostTensor)>> {
    let names = group.attributes()?.texts(NAMES)?.unwrap_or_default();
    let mut once = group.once();
    names.into_iter().map(|name| once.read(&group.dataset(&name)?).map(|array| (name, array))).collect()
}
