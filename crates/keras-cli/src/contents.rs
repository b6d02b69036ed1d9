//! What a file holds, without knowing its classes: JSON and arrays.

use std::fs;
use std::path::Path;

use keras::saving::container::{Archive, CONFIG, METADATA, WEIGHTS};
use keras::saving::legacy::Origin;
use keras::saving::sniff::{FileKind, sniff};
use keras::saving::{h5, json as python, open_shards, yaml};
use keras_spec::{DType, HostTensor};
use serde_json::Value;

use crate::answer::{Failure, Result};
use crate::data::safetensors;

/// An array in a file.
pub(crate) struct Array {
    /// Its path in the file, without a leading slash.
    pub(crate) path: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    source: Source,
}

enum Source {
    H5(Box<h5::Dataset>),
    Memory(HostTensor),
}

impl Array {
    pub(crate) fn read(&self) -> Result<HostTensor> {
        match &self.source {
            Source::H5(dataset) => dataset.read().map_err(Failure::named),
            Source::Memory(array) => Ok(array.clone()),
        }
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file, taken apart.
pub(crate) struct Contents {
    /// The format in a few words.
    pub(crate) format: &'static str,
    /// What in the file says so.
    pub(crate) reason: &'static str,
    /// Who wrote it; `None` where the format has no place for it.
    pub(crate) origin: Option<Origin>,
    /// When, if the file says it.
    pub(crate) saved: Option<String>,
    /// The model's class and configuration.
    pub(crate) model: Option<Value>,
    /// What it was compiled with.
    pub(crate) compiled: Option<Value>,
    /// Whether the format has a place for weights.
    pub(crate) has_weights: bool,
    pub(crate) arrays: Vec<Array>,
    /// Arrays that cannot be read, each with the reason.
    pub(crate) unreadable: Vec<String>,
}

/// Takes a file apart.
pub(crate) fn open(path: &Path) -> Result<Contents> {
    if safetensors::is(path) {
        let array = |(path, value): (String, HostTensor)| Array {
            path,
            shape: value.shape().to_vec(),
            dtype: value.dtype(),
            source: Source::Memory(value),
        };
        let arrays = safetensors::read(path)?.into_iter().map(array).collect();
        return Ok(Contents { arrays, ..Contents::new("safetensors", "a header of safetensors") });
    }
    let sniffed = sniff(path).map_err(Failure::named)?;
    let mut contents = Contents::new(name(sniffed.kind), sniffed.reason);
    match sniffed.kind {
        FileKind::Keras => contents.archive(path)?,
        FileKind::ShardedWeights => {
            open_shards(path).map_err(Failure::named)?.iter().try_for_each(|root| contents.collect(root))?;
        }
        FileKind::ArchitectureJson | FileKind::ArchitectureYaml => {
            let text = fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
            let value = match sniffed.kind {
                FileKind::ArchitectureJson => python::parse(&text).map_err(|e| format!("not JSON: {e}")),
                _ => yaml::parse(&text).map_err(|e| format!("not YAML: {e}")),
            };
            let value = value.map_err(|e| Failure::file(path, e))?;
            let text = |key: &str| value.get(key).and_then(Value::as_str);
            contents.origin = Some(Origin::new(text("keras_version"), text("backend")));
            contents.compiled = compile_config(&value);
            contents.has_weights = false;
            contents.model = Some(value);
        }
        _ => contents.h5(path)?,
    }
    Ok(contents)
}

fn name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Keras => "Keras archive",
        FileKind::WholeModelH5 => "whole model in HDF5",
        FileKind::LayerWeightsH5 => "weights in HDF5, by layer",
        FileKind::Keras0WeightsH5 => "weights in HDF5, as Keras 0 wrote them",
        FileKind::ObjectWeightsH5 => "weights in HDF5, by object",
        FileKind::ShardedWeights => "index of sharded weights",
        FileKind::ArchitectureJson => "architecture in JSON",
        FileKind::ArchitectureYaml => "architecture in YAML",
        _ => "file of Keras",
    }
}

/// What a model was compiled with; nothing where it was not.
fn compile_config(model: &Value) -> Option<Value> {
    let config = model.get("compile_config")?;
    config.get("optimizer").filter(|o| !o.is_null()).map(|_| config.clone())
}

impl Contents {
    fn new(format: &'static str, reason: &'static str) -> Self {
        Contents {
            format,
            reason,
            origin: None,
            saved: None,
            model: None,
            compiled: None,
            has_weights: true,
            arrays: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn archive(&mut self, path: &Path) -> Result<()> {
        let mut archive = Archive::open(path).map_err(Failure::named)?;
        let metadata = archive.json(METADATA).map_err(Failure::named)?;
        let text = |key: &str| metadata.get(key).and_then(Value::as_str);
        self.origin = Some(Origin::new(text("keras_version"), None));
        self.saved = text("date_saved").map(str::to_owned);
        let config = archive.json(CONFIG).map_err(Failure::named)?;
        self.compiled = compile_config(&config);
        self.model = Some(config);
        self.collect(&archive.h5(WEIGHTS).map_err(Failure::named)?.root())
    }

    fn h5(&mut self, path: &Path) -> Result<()> {
        let file = h5::File::open(path).map_err(Failure::named)?;
        let attributes = file.root().attributes().map_err(Failure::named)?;
        let text = |key: &str| attributes.text(key).map_err(Failure::named);
        let parse = |key: &str| -> Result<Option<Value>> {
            let parsed = text(key)?.map(python::parse).transpose();
            parsed.map_err(|e| Failure::file(path, format!("/@{key}: not JSON: {e}")))
        };
        self.origin = Some(Origin::new(text("keras_version")?, text("backend")?));
        self.model = parse("model_config")?;
        self.compiled = parse("training_config")?;
        self.collect(&file.root())
    }

    /// Adds the arrays of an HDF5 file.
    fn collect(&mut self, root: &h5::Group) -> Result<()> {
        for path in root.dataset_paths().map_err(Failure::named)? {
            match root.dataset(&path) {
                Ok(dataset) => self.arrays.push(Array {
                    path: path.trim_start_matches('/').to_owned(),
                    shape: dataset.shape().to_vec(),
                    dtype: dataset.dtype(),
                    source: Source::H5(Box::new(dataset)),
                }),
                Err(e) => self.unreadable.push(e.to_string()),
            }
        }
        Ok(())
    }

    /// The layers of the model, each with those inside it.
    pub(crate) fn layers(&self) -> Vec<LayerEntry> {
        self.model.as_ref().map(layers).unwrap_or_default()
    }
}

/// What a configuration says of a layer.
pub(crate) struct LayerEntry {
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) layers: Vec<LayerEntry>,
}

/// The class of a serialized object, and its name.
pub(crate) fn identity(object: &Value) -> (String, String) {
    let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_owned();
    let config = object.get("config");
    let name = object.get("name").or_else(|| config.and_then(|c| c.get("name")));
    (text(object.get("class_name")), text(name))
}

/// The layers in a model's configuration, in any era's form: a list under `layers`, the list itself (`Sequential` of Keras
/// 1 and 2), or the dictionary `nodes` (`Graph` of Keras 0 and 1).
fn layers(model: &Value) -> Vec<LayerEntry> {
    let Some(config) = model.get("config") else { return Vec::new() };
    let entry = |(key, object): (Option<&String>, &Value)| {
        let (class, name) = identity(object);
        let class = if class.is_empty() { None } else { Some(class) };
        let name = if name.is_empty() { key.cloned().unwrap_or(name) } else { name };
        class.map(|class| LayerEntry { name, class, layers: layers(object) })
    };
    let list = config.as_array().or_else(|| config.get("layers").and_then(Value::as_array));
    if let Some(list) = list {
        return list.iter().map(|object| (None, object)).filter_map(entry).collect();
    }
    if let Some(nodes) = config.get("nodes").and_then(Value::as_object) {
        return nodes.iter().map(|(key, object)| (Some(key), object)).filter_map(entry).collect();
    }
    // Wrappers: TimeDistributed, Bidirectional.
    let inside = config.get("layer").filter(|l| l.get("class_name").is_some());
    inside.map(|object| (None, object)).and_then(entry).into_iter().collect()
}
