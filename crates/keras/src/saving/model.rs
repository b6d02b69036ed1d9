//! Saving and loading models: the files that a user names.

use std::io::{Cursor, Write};
use std::path::Path;

use keras_spec::{Error, Result, ResultExt};

use super::archive::Packed;
use super::atomic::write_atomically;
use super::sniff::{FileKind, Sniffed};
use super::tree;
use super::{FileError, LoadOptions, SaveOptions, architecture, h5, json, shards, whole_h5};
use crate::models::Model;

pub(super) fn no_model(file: &str, found: Sniffed) -> Error {
    let found = match found.kind {
        FileKind::ArchitectureJson => format!("{}; use model_from_json", found.reason),
        FileKind::LayerWeightsH5 | FileKind::ObjectWeightsH5 => {
            format!("weights alone ({}); build the model and use load_weights", found.reason)
        }
        _ => found.reason.to_owned(),
    };
    FileError::unexpected(file, "", "a whole model: .keras, or .h5 with the attribute model_config", found)
        .into()
}

/// Loads a model from a file: the real Keras's `.keras` and whole-model `.h5` files, and those written here
/// (`keras.saving.load_model`, Keras 3.15.1). It is compiled if it was compiled when it was saved.
///
/// # Errors
/// The file is damaged or no model, a class is not registered, or weights do not fit; the message names the file and the
/// object in it.
pub fn load_model(path: impl AsRef<Path>) -> Result<Model> {
    LoadOptions::new().open(path)
}

/// [`load_model`] of the bytes of a file, for systems without files.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Model> {
    LoadOptions::new().from_bytes("the model", bytes.into())
}

/// A model from [`Model::to_json`] or Keras's (`keras.models.model_from_json`, Keras 3.15.1), of any version, with new
/// weights.
///
/// # Errors
/// The text is not JSON or no model, or a class is not registered.
pub fn model_from_json(text: &str) -> Result<Model> {
    Ok(LoadOptions::new().report_json(text)?.0)
}

/// A model with new weights from YAML of Keras 1, Keras 2 or tf.keras (`keras.models.model_from_yaml`, up to TensorFlow 2.5).
/// Tags, which name classes of Python, are passed over: nothing is made or run of them.
///
/// # Errors
/// The text is not YAML or no model, or a class is not registered.
pub fn model_from_yaml(text: &str) -> Result<Model> {
    Ok(LoadOptions::new().report_yaml(text)?.0)
}

/// The layouts of files, by the ends of their names.
pub(super) enum Layout {
    Archive,
    Tree,
    Shards,
    Layers,
}

pub(super) fn layout(path: &Path, weights: bool) -> Result<Layout> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_h5 = name.ends_with(".h5") || name.ends_with(".hdf5");
    match weights {
        true if name.ends_with(".weights.h5") => Ok(Layout::Tree),
        true if name.ends_with(".weights.json") => Ok(Layout::Shards),
        _ if is_h5 => Ok(Layout::Layers),
        false if name.ends_with(".keras") => Ok(Layout::Archive),
        _ => {
            let expected = match weights {
                true => {
                    "a name that ends in .weights.h5 or .weights.json (or .h5 or .hdf5, the layout of Keras 2)"
                }
                false => "a name that ends in .keras (or .h5 or .hdf5, the layout of Keras 2)",
            };
            Err(Error::argument("path", expected, format!("`{}`", path.display())))
        }
    }
}

pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn WriteSeek) -> super::Result<()>,
) -> Result<()> {
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        let why = "there are no files here; use `to_keras_bytes`";
        return Err(Error::other(format!("{}: {why}", path.display())));
    }
    Ok(write_atomically(path, |out| write(out))?)
}

pub(super) trait WriteSeek: Write + std::io::Seek {}

impl<T: Write + std::io::Seek> WriteSeek for T {}

impl Model {
    /// Writes the model to a file, with its weights, what it was compiled with, and the state of its optimizer
    /// (`Model.save`, Keras 3.15.1). The end of the name says in which format: `.keras`, or `.h5` and `.hdf5` for the
    /// layout of Keras 2. Keras 3 reads all of them. An older file of the name is replaced once the new one is
    /// complete.
    ///
    /// # Errors
    /// The name ends in something else, the file cannot be written, or a layer cannot be; an older file is left as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        SaveOptions::new().save(self, path)
    }

    /// The bytes of a `.keras` file: [`save`](Model::save) for systems without files.
    ///
    /// # Errors
    /// A layer cannot be written.
    pub fn to_keras_bytes(&self) -> Result<Vec<u8>> {
        let packed = Packed::new(self, None)?;
        Ok(packed.write("the model", Cursor::new(Vec::new()))?.into_inner())
    }

    /// Writes the weights to a file (`Model.save_weights`, Keras 3.15.1): by their way through the model with the
    /// optimizer's state if the name ends in `.weights.h5`, the same spread over files of at most 5 GiB beside the index
    /// of the name if it ends in `.weights.json`, by layer as in Keras 2 for another `.h5` or `.hdf5`.
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; the name ends in something else, or the file cannot be written; an older file is left as it
    /// was.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.display().to_string();
        self.check_built("saving its weights")?;
        let mut file = h5::Writer::new();
        match layout(path, true)? {
            Layout::Shards => return self.save_weights_sharded(path, shards::DEFAULT_SIZE),
            Layout::Layers => whole_h5::write_weights(self, &mut file),
            _ => tree::write(self, None, &mut file),
        }
        .at(|| &*name)?;
        write_file(path, |out| file.finish_to(&name, out))
    }

    /// Writes the weights to files of at most `max_shard_size` bytes of arrays, `NAME_00000.weights.h5` and so on, beside an
    /// index `NAME.weights.json` (`Model.save_weights` with `max_shard_size`, Keras 3.15.1, which counts in GiB).
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; the name does not end in `.weights.json`, a weight is larger than that, or a file cannot be
    /// written. The index comes last: without it the other files are of no use.
    pub fn save_weights_sharded(&self, path: impl AsRef<Path>, max_shard_size: u64) -> Result<()> {
        let path = path.as_ref();
        self.check_built("saving its weights")?;
        match layout(path, true)? {
            Layout::Shards => shards::save(self, path, max_shard_size),
            _ => Err(Error::argument(
                "path",
                "a name that ends in .weights.json",
                format!("`{}`", path.display()),
            )),
        }
    }

    /// Reads the weights from a file (`Model.load_weights`, Keras 3.15.1): `.weights.h5`, `.keras`, and HDF5 files of
    /// Keras 2, told by their content. The state of the optimizer is read if the optimizer has made a step and the file
    /// has one that fits.
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; the file is damaged, lacks a weight, has one too many or one of another shape. No weight is
    /// changed then.
    pub fn load_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        LoadOptions::new().load_weights(self, path).map(drop)
    }

    /// The model without its weights, as JSON (`Model.to_json`, Keras 3.15.1).
    ///
    /// # Errors
    /// A layer's configuration cannot be written.
    pub fn to_json(&self) -> Result<String> {
        Ok(json::to_string(&architecture::to_value(self)?))
    }

    pub(super) fn check_built(&self, action: &str) -> Result<()> {
        match self.is_built() {
            true => Ok(()),
            false => {
                Err(Error::NotBuilt { name: format!("model `{}`", self.name()), action: action.to_owned() })
            }
        }
    }
}
