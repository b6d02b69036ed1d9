//! Files of older Keras: who wrote them, what is changed on the way to Keras 3, and the account of it.

mod arguments;
mod compile;
mod config;
mod graph;
pub(crate) mod keras1;
mod masks;
mod operations;
mod origin;
mod report;
mod theano;
pub(super) mod weights;

use std::collections::HashMap;

use keras_spec::layer::to_snake_case;
use keras_spec::{Error, HostTensor, Result, ResultExt};
use serde_json::Value;

pub use origin::{Origin, Program, Version};
pub use report::{Change, Entry, Report};

pub(crate) use compile::function_name;
pub(crate) use keras1::DROPPED_METRICS;

/// An architecture from before Keras 3, as its file has it, and who wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) config: Value,
    pub(crate) origin: Origin,
}

impl Source {
    /// The layers that models had in the program that wrote them, after whose classes `.keras` files name their groups. Here layers
    /// may have become others, stand in another order, or have new ones between them.
    pub(crate) fn groups(&self) -> Groups {
        fn collect(value: &Value, out: &mut Groups) {
            match value {
                Value::Array(list) => list.iter().for_each(|v| collect(v, out)),
                Value::Object(map) => {
                    let of = value.pointer("/config/name").and_then(Value::as_str);
                    let layers = value.pointer("/config/layers").and_then(Value::as_array);
                    if let (Some(of), Some(layers)) = (of, layers) {
                        let layers = layers.iter().filter_map(group).collect();
                        out.entry(of.to_owned()).or_insert(layers);
                    }
                    map.values().for_each(|v| collect(v, out));
                }
                _ => {}
            }
        }
        fn group(layer: &Value) -> Option<(String, String)> {
            let class = layer.get("class_name")?.as_str()?;
            let name = layer.pointer("/config/name").or_else(|| layer.get("name"))?.as_str()?;
            Some((name.to_owned(), to_snake_case(class.rsplit('>').next()?)))
        }
        let mut out = Groups::new();
        collect(&self.config, &mut out);
        out
    }
}

/// By the names of models, their layers: the name of each, and that of its class in the form of groups.
pub(crate) type Groups = HashMap<String, Vec<(String, String)>>;

/// A model from before Keras 3 in the form of Keras 3.
///
/// # Errors
/// It has something that Keras 3 does not have, or computes differently.
pub(super) fn upgrade_config(model: &Value, origin: &Origin, report: &mut Report) -> Result<Value> {
    if keras1::wrote(model, origin) {
        let second = keras1::upgrade_config(model, origin, report)?;
        let origin = keras1::on_theano(model, origin);
        return config::upgrade_config(&second, &origin, report);
    }
    config::upgrade_config(model, origin, report)
}

/// What a model from before Keras 3 was compiled with, in the form of Keras 3's `compile_config`; `None` if it was not.
///
/// # Errors
/// The optimizer's configuration is no object.
pub(super) fn upgrade_compile(
    training: &Value,
    source: &Source,
    report: &mut Report,
) -> Result<Option<Value>> {
    let second = match keras1::wrote(&source.config, &source.origin) {
        true => keras1::upgrade_compile(training, report),
        false => Some(training.clone()),
    };
    let ends = source.config.pointer("/config/output_layers").and_then(Value::as_array);
    let outputs = ends.map_or(1, Vec::len);
    second.map(|training| compile::upgrade_compile(&training, outputs, &source.origin, report)).transpose()
}

/// The arrays of one layer of a file with their names.
pub(super) type Arrays = Vec<(String, HostTensor)>;

/// The arrays of the layers of a file, under the layers' names, in the order and the layouts of Keras 2. `place` says where a
/// layer of the file is.
///
/// # Errors
/// They are not those of the layer.
pub(super) fn upgrade_weights(
    source: &Source,
    origin: &Origin,
    layers: Vec<(String, Arrays)>,
    place: impl Fn(&str) -> String,
    report: &mut Report,
) -> Result<Vec<(String, Arrays)>> {
    if !keras1::wrote(&source.config, &source.origin) {
        return Ok(layers);
    }
    let mut origin = origin.clone();
    origin.version = origin.version.or(source.origin.version);
    let taken = keras1::on_theano(&source.config, &source.origin);
    if origin.backend.is_some() && origin.is_theano() != taken.is_theano() {
        let model = keras1::upgrade_config(&source.config, &source.origin, &mut Report::default())?;
        if theano::differs(&model) {
            let backend = origin.backend.as_deref().unwrap_or_default();
            let expected =
                format!("`{backend}` already where the architecture is read (`LoadOptions::backend`)");
            let found = "an architecture that does not say it, with layers that Theano computes differently";
            return Err(Error::argument("backend", expected, found));
        }
    }
    if let Some(numbered) = keras1::numbered(&source.config, &layers)? {
        let upgraded = numbered.into_iter().map(|(name, old, arrays)| {
            Ok((name.clone(), keras1::upgrade_weights(&old, arrays, &origin, report).at(|| place(&name))?))
        });
        return upgraded.collect();
    }
    let old = keras1::layers_of(&source.config, layers.iter().map(|(name, arrays)| (&**name, arrays.len())))?;
    let upgraded = layers.into_iter().zip(old).map(|((name, arrays), old)| {
        let arrays = match old {
            Some(old) => keras1::upgrade_weights(&old, arrays, &origin, report).at(|| place(&name))?,
            None => arrays,
        };
        Ok((name, arrays))
    });
    upgraded.collect()
}
