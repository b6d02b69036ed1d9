//! How files are loaded.

use std::path::Path;

use keras_spec::Result;

use super::container::Archive;
use super::legacy::{Origin, Report};
use super::model::no_model;
use super::sniff::{FileKind, sniff, sniff_bytes};
use super::{archive, h5, whole_h5};
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
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { compile: true, backend: None, data_format: None }
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

    /// The origin that a file tells, completed by what the caller knows.
    pub(super) fn origin(&self, version: Option<&str>, backend: Option<&str>) -> Origin {
        let mut origin = Origin::new(version, backend.or(self.backend.as_deref()));
        origin.data_format = self.data_format;
        origin
    }
}
