//! Models in HDF5 as Keras 2 laid them out and Keras 3 still writes them: weights by layer.

use std::collections::HashSet;

use keras_spec::object::{Family, Serialized, make};
use keras_spec::{Device, HostTensor, LayerRef, Loss, Metric, Result, ResultExt, Variable};
use serde_json::{Value, json};

use super::error::{FileError, Result as FileResult};
use super::legacy::Report;
use super::tree::read_for;
use super::{
    KERAS_VERSION, LoadOptions, architecture, assign, h5, json as python, legacy_config, optimizer_state,
};
use crate::models::Model;

/// The group with the weights of a whole model.
pub(super) const WEIGHTS: &str = "model_weights";
const OPTIMIZER: &str = "optimizer_weights";
const NAMES: &str = "weight_names";

/// Weights in the order of these files: what training changes, then the rest.
fn legacy_order(layer: &LayerRef) -> Vec<Variable> {
    let mut all = layer.trainable_weights();
    all.extend(layer.non_trainable_weights());
    all
}

/// A whole model, ready to be written.
///
/// # Errors
/// A layer cannot be written, or a device fails.
pub(super) fn pack(model: &Model) -> Result<h5::Writer> {
    let mut file = h5::Writer::new();
    let config = architecture::to_value(model)?;
    let config = legacy_config::downgrade(json!({
        "class_name": config["class_name"],
        "config": config["config"],
    }));
    file.text("keras_version", KERAS_VERSION);
    file.text("backend", backend()?);
    file.bytes("model_config", python::to_string(&config));
    if let Some(training) = architecture::compile_config(model)? {
        let training = legacy_config::training_config(with_objects(training)?);
        file.bytes("training_config", python::to_string(&training));
    }
    write_weights(model, file.group(WEIGHTS))?;
    let state = model.compiled.as_ref().map(|c| (c.optimizer.name(), c.optimizer.variables()));
    if let Some((name, variables)) = state.filter(|(_, v)| !v.is_empty()) {
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

/// Adds the weights of every layer to a group.
///
/// # Errors
/// A device fails.
pub(super) fn write_weights(model: &Model, group: &mut h5::Writer) -> Result<()> {
    let mut layers = model.layers();
    let names: Vec<&str> = layers.iter().map(LayerRef::name).collect();
    group.texts("layer_names", &names)?;
    group.bytes("backend", backend()?);
    group.bytes("keras_version", KERAS_VERSION);
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
/// The file is damaged or from before Keras 2, a class is not registered, or weights do not fit.
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
    let config = parse("model_config")?.ok_or_else(missing)?;
    let version = attributes.text("keras_version")?;
    if version.is_none_or(|v| v.starts_with("0.") || v.starts_with("1.")) {
        let found = version.unwrap_or("no version, as in files of Keras 1");
        return Err(FileError::unexpected(file, object("keras_version"), "2 or 3", found).into());
    }
    report.origin = options.origin(version, attributes.text("backend")?);
    let held = root.group(WEIGHTS)?;
    let place = || format!("{file}: {}", object("model_config"));
    let mut model = architecture::from_file(&config, version, &held).at(place)?;
    assign(weights(file, &held, &model)?)?;
    if let Some(training) = parse("training_config")?.filter(|_| options.compile) {
        let place = || format!("{file}: {}", object("training_config"));
        let training = match architecture::is_legacy(&config, version) {
            true => legacy_config::upgrade_compile(&training).at(place)?,
            false => legacy_config::compile_config(training),
        };
        architecture::compile(&mut model, Some(&training)).at(place)?;
        if let (Some(compiled), Some(group)) = (&model.compiled, root.find_group(OPTIMIZER)?) {
            compiled.optimizer.build(&model.as_layer().trainable_weights())?;
            match optimizer_arrays(&group)? {
                Some(state) => optimizer_state::restore(&*compiled.optimizer, state)?,
                None => {
                    tracing::warn!("{file}: the state of an optimizer from before Keras 2.11 is left out")
                }
            }
        }
    }
    Ok(model)
}

/// The optimizer's state in its order. `None` if it is of a generation that sorts it differently: only later ones call the
/// count of steps `iteration`.
fn optimizer_arrays(group: &h5::Group) -> FileResult<Option<Vec<HostTensor>>> {
    let names = group.attributes()?.texts(NAMES)?.unwrap_or_default();
    let count = names.first().and_then(|n| n.rsplit('/').next());
    if !count.is_some_and(|n| n == "iteration" || n == "iteration:0") {
        return Ok(None);
    }
    names.iter().map(|name| group.dataset(name)?.read()).collect::<FileResult<_>>().map(Some)
}

/// The values of all weights of a model. Nothing is assigned. Layers go by their names, or by their order if the names are
/// others.
///
/// # Errors
/// An array or a layer is missing, damaged, too much or of another shape.
pub(super) fn weights(file: &str, group: &h5::Group, model: &Model) -> Result<Vec<(Variable, HostTensor)>> {
    let attributes = group.attributes()?;
    let attribute = |group: &h5::Group, name: &str| format!("{}@{name}", group.path());
    match (attributes.text("keras_version")?, attributes.text("backend")?) {
        (None, _) => {
            let object = attribute(group, "keras_version");
            let found = "none, as in files of Keras 1";
            return Err(FileError::unexpected(file, object, "2 or 3", found).into());
        }
        (_, Some("theano")) => {
            let object = attribute(group, "backend");
            let expected = "a backend that correlates";
            return Err(FileError::unexpected(file, object, expected, "theano, which flips kernels").into());
        }
        _ => {}
    }
    let list = |group: &h5::Group, name: &str| {
        let missing = || FileError::Missing { file: file.to_owned(), object: attribute(group, name) };
        group.attributes()?.texts(name)?.ok_or_else(missing)
    };
    let mut saved = Vec::new();
    for name in list(group, "layer_names")? {
        let layer = group.group(&name)?;
        let arrays = list(&layer, NAMES)?;
        if !arrays.is_empty() {
            saved.push((name, layer, arrays));
        }
    }
    let layers: Vec<LayerRef> = model.layers().into_iter().filter(|l| !legacy_order(l).is_empty()).collect();
    if layers.len() != saved.len() {
        let expected = format!("weights of {} layers", layers.len());
        let found = format!("weights of {}", saved.len());
        return Err(FileError::unexpected(file, group.path(), expected, found).into());
    }
    let by_name = |layer: &LayerRef| saved.iter().position(|(name, ..)| name == layer.name());
    let places: Option<Vec<usize>> = layers.iter().map(by_name).collect();
    let places = places.unwrap_or_else(|| (0..saved.len()).collect());
    let mut out = Vec::new();
    for (layer, place) in layers.iter().zip(places) {
        let (_, group, arrays) = &saved[place];
        let variables = legacy_order(layer);
        if variables.len() != arrays.len() {
            let expected = format!("{} arrays for `{}`", variables.len(), layer.name());
            let found = format!("{} arrays", arrays.len());
            return Err(FileError::unexpected(file, group.path(), expected, found).into());
        }
        for (variable, name) in variables.into_iter().zip(arrays) {
            let value = read_for(file, &group.dataset(name)?, &variable)?;
            out.push((variable, value));
        }
    }
    Ok(out)
}
