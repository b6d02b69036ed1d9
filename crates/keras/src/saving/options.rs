//! How files are loaded.

use std::path::Path;

use keras_spec::{Error, Result};
use serde_json::Value;

use super::container::{Archive, WEIGHTS};
use super::layer_weights::{Incoming, SavedWeights};
use super::legacy::{Origin, Report, Source};
use super::model::no_model;
use super::sniff::{FileKind, sniff, sniff_bytes};
use super::tree::Tree;
use super::{FileError, architecture, archive, assign, h5, json, optimizer_state, shards, whole_h5, yaml};
use crate::layers::DataFormat;
use crate::models::Model;

/// How a file is loaded (the arguments of `keras.saving.load_model` and `Model.load_weights`, Keras 3.15.1, and what old
/// files do not say).
///
/// ```no_run
/// use keras::saving::LoadOptions;
///
/// let model = LoadOptions::new().compile(false).open("model.keras")?;
///
/// let (old, report) = LoadOptions::new().backend("theano").report("cnn_2016.h5")?;
/// println!("{report}");
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub(super) compile: bool,
    pub(super) backend: Option<String>,
    pub(super) data_format: Option<DataFormat>,
    pub(super) by_name: bool,
    pub(super) skip_mismatch: bool,
    pub(super) initialize: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            compile: true,
            backend: None,
            data_format: None,
            by_name: false,
            skip_mismatch: false,
            initialize: true,
        }
    }
}

impl LoadOptions {
    /// Everything that the file has.
    pub fn new() -> Self {
        LoadOptions::default()
    }

    /// Whether the model is compiled as it was, and its optimizer goes on where it was. Without, a file can be loaded
    /// whose losses, metrics or optimizer are not known here.
    #[must_use]
    pub fn compile(mut self, compile: bool) -> Self {
        self.compile = compile;
        self
    }

    /// Which backend wrote a file that does not tell (those of Keras 1): `theano` or `tensorflow`. Theano flips the
    /// kernels of convolutions.
    #[must_use]
    pub fn backend(mut self, backend: impl Into<String>) -> Self {
        self.backend = Some(backend.into().to_ascii_lowercase());
        self
    }

    /// The order of dimensions that a Keras took (its `image_dim_ordering` or `image_data_format`) for layers whose
    /// configuration in the file does not say it.
    #[must_use]
    pub fn data_format(mut self, data_format: DataFormat) -> Self {
        self.data_format = Some(data_format);
        self
    }

    /// Whether layers take the weights of the layers of their names, and all others none, instead of all layers in their
    /// order. Only for files that have weights by layer: those of Keras 1 and 2.
    #[must_use]
    pub fn by_name(mut self, by_name: bool) -> Self {
        self.by_name = by_name;
        self
    }

    /// Whether layers whose weights do not fit keep those that they have, instead of that being an error.
    #[must_use]
    pub fn skip_mismatch(mut self, skip_mismatch: bool) -> Self {
        self.skip_mismatch = skip_mismatch;
        self
    }

    /// Whether the weights of a model in JSON or YAML, which has none, get first values from their initializers. Without, they
    /// are zeros that take no memory until they are used: for a look at a model of any size, or where weights are read next.
    #[must_use]
    pub fn initialize(mut self, initialize: bool) -> Self {
        self.initialize = initialize;
        self
    }

    /// Loads the model in a file: `.keras` (or the same as a directory) or whole-model HDF5, told by its content.
    ///
    /// # Errors
    /// The file is damaged or no model, a class is not registered, or weights do not fit; the message names the file and
    /// the object in it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        Ok(self.report(path)?.0)
    }

    /// [`open`](LoadOptions::open) with an account of who wrote the file and what was changed to read it.
    ///
    /// # Errors
    /// As [`open`](LoadOptions::open).
    pub fn report(&self, path: impl AsRef<Path>) -> Result<(Model, Report)> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let kind = sniff(path)?;
        let mut report = Report::default();
        let model = match kind.kind {
            FileKind::Keras => archive::load(&file, Archive::open(path)?, self, &mut report),
            FileKind::WholeModelH5 => whole_h5::load(&file, &h5::File::open(path)?.root(), self, &mut report),
            _ => Err(no_model(&file, kind)),
        };
        Ok((model?, report))
    }

    /// Loads the model in the bytes of a file; messages call it `name`.
    ///
    /// # Errors
    /// As [`open`](LoadOptions::open).
    pub fn from_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<Model> {
        Ok(self.report_bytes(name, bytes)?.0)
    }

    /// [`from_bytes`](LoadOptions::from_bytes) with an account of who wrote the file and what was changed to read it.
    ///
    /// # Errors
    /// As [`open`](LoadOptions::open).
    pub fn report_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<(Model, Report)> {
        let kind = sniff_bytes(name, &bytes)?;
        let mut report = Report::default();
        let model = match kind.kind {
            FileKind::Keras => archive::load(name, Archive::from_bytes(name, bytes)?, self, &mut report),
            FileKind::WholeModelH5 => {
                whole_h5::load(name, &h5::File::from_bytes(name, bytes)?.root(), self, &mut report)
            }
            _ => Err(no_model(name, kind)),
        };
        Ok((model?, report))
    }

    /// A model with new weights from YAML (`keras.models.model_from_yaml`, Keras 1 to TensorFlow 2.5), and the account of
    /// it. Tags are passed over: nothing is made or run of them.
    ///
    /// # Errors
    /// The text is not YAML or no model, or a class is not registered.
    pub fn report_yaml(&self, text: &str) -> Result<(Model, Report)> {
        let value = yaml::parse(text).map_err(|e| Error::config("model", format!("not YAML: {e}")))?;
        self.architecture(value)
    }

    /// A model with new weights from the JSON of [`Model::to_json`] or of any Keras (`keras.models.model_from_json`), and
    /// the account of it.
    ///
    /// # Errors
    /// The text is not JSON or no model, or a class is not registered.
    pub fn report_json(&self, text: &str) -> Result<(Model, Report)> {
        let value = json::parse(text).map_err(|e| Error::config("model", format!("not JSON: {e}")))?;
        self.architecture(value)
    }

    fn architecture(&self, value: Value) -> Result<(Model, Report)> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let origin = self.origin(text("keras_version"), text("backend"));
        let mut report = Report::new(origin.clone());
        let compiled = value.get("compile_config").cloned();
        let mut model = architecture::without_file(value, &origin, self.initialize, &mut report)?;
        if self.compile && model.source.is_none() {
            architecture::compile(&mut model, compiled.as_ref())?;
        }
        Ok((model, report))
    }

    /// Reads the weights of a model from a file (`Model.load_weights`, Keras 3.15.1): `.weights.h5`, `.keras`, and HDF5
    /// files of Keras 1 and 2, told by their content. The state of the optimizer is read if the optimizer has made a step
    /// and the file has one that fits. What was changed on the way is returned.
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; the file is damaged, lacks a weight, has one too many or one of another shape. No weight is
    /// changed then.
    pub fn load_weights(&self, model: &Model, path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let file = path.display().to_string();
        let found = sniff(path)?;
        let source = model.source.as_ref();
        let by_layer = matches!(
            found.kind,
            FileKind::WholeModelH5 | FileKind::LayerWeightsH5 | FileKind::Keras0WeightsH5
        );
        if !(by_layer && source.is_some()) {
            model.check_built("loading its weights")?;
        }
        if self.by_name && !by_layer {
            let expected = "a file that has weights by the names of layers";
            return Err(FileError::unexpected(file, "", expected, found.reason).into());
        }
        let mut report = Report::default();
        let (name, roots) = match found.kind {
            FileKind::Keras => (format!("{file}: {WEIGHTS}"), vec![Archive::open(path)?.h5(WEIGHTS)?.root()]),
            FileKind::ObjectWeightsH5 => (file.clone(), vec![h5::File::open(path)?.root()]),
            FileKind::ShardedWeights => (file.clone(), shards::open(path)?),
            _ if by_layer => {
                let root = h5::File::open(path)?.root();
                let attributes = root.attributes()?;
                let version = attributes.text("keras_version")?;
                let mut origin = match (version, source) {
                    (None, Some(source)) => source.origin.clone(),
                    _ => self.origin(version, attributes.text("backend")?),
                };
                if self.backend.is_some() && origin.backend.is_none() {
                    origin.backend.clone_from(&self.backend);
                }
                let group = match found.kind {
                    FileKind::WholeModelH5 => root.group(whole_h5::WEIGHTS)?,
                    _ => root,
                };
                let weights = SavedWeights::read(&file, &group, &origin, self, source, &mut report)?;
                report.origin = weights.origin.clone();
                Incoming { weights, optimizer: None, options: self.clone() }
                    .into_model(model, &mut report)?;
                return Ok(report);
            }
            _ => return Err(FileError::unexpected(file, "", "weights of Keras", found.reason).into()),
        };
        let groups = model.source.as_ref().map(Source::groups).unwrap_or_default();
        let tree = Tree { file: &name, roots, groups };
        let weights = tree.weights(model.as_layer(), self, &mut report)?;
        let optimizer = model.compiled.as_ref().map(|c| &c.optimizer);
        let optimizer = optimizer.filter(|o| !o.variables().is_empty());
        let state = optimizer.map(|_| tree.optimizer()).transpose()?.flatten();
        assign(weights)?;
        if let (Some(optimizer), Some(state)) = (optimizer, state) {
            optimizer_state::restore(&**optimizer, state, &mut report)?;
        }
        Ok(report)
    }

    /// The origin that a file tells, completed by what the caller knows.
    pub(super) fn origin(&self, version: Option<&str>, backend: Option<&str>) -> Origin {
        let mut origin = Origin::new(version, backend.or(self.backend.as_deref()));
        origin.data_format = self.data_format;
        origin
    }
}
