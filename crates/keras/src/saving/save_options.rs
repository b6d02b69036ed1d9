//! How models are saved for older programs.

use std::path::Path;

use keras_spec::{Error, Result, ResultExt};
use serde_json::Value;

use super::archive::Packed;
use super::legacy::Version;
use super::model::{Layout, layout, write_file};
use super::{architecture, json, older, whole_h5, yaml};
use crate::models::Model;

/// How a model is saved: for which program.
///
/// ```no_run
/// use keras::saving::SaveOptions;
/// use keras::saving::legacy::Version;
/// # let model = keras::load_model("model.keras")?;
///
/// SaveOptions::new().readable_by(Version::new(3, 0, 0)).save(&model, "model.keras")?;
/// SaveOptions::new().readable_by(Version::new(2, 21, 0)).save(&model, "model.h5")?; // tf-keras
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    version: Option<Version>,
}

impl SaveOptions {
    /// For Keras 3.15.1, as [`Model::save`].
    pub fn new() -> Self {
        SaveOptions::default()
    }

    /// For this version of Keras and later ones: 3.0 and later read `.keras`, tf-keras (2.11 to 2.21) `.h5`; architectures
    /// also go back to 2.2.
    #[must_use]
    pub fn readable_by(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Writes the model to a file, as [`Model::save`].
    ///
    /// # Errors
    /// Those of [`Model::save`]; the model has something that the version does not have.
    pub fn save(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match (layout(path, false)?, self.version) {
            (Layout::Archive, Some(version)) if version.major < 3 => {
                let expected = "a name that ends in .h5, which Keras 2 reads";
                Err(Error::argument("path", expected, format!("`{name}`")))
            }
            (Layout::Archive, version) => {
                let packed = Packed::new(model, version).at(|| &*name)?;
                write_file(path, |out| packed.write(&name, out).map(|_| ()))
            }
            (_, version) => {
                let file = whole_h5::pack(model, version).at(|| &*name)?;
                write_file(path, |out| file.finish_to(&name, out))
            }
        }
    }

    /// The model without its weights, as JSON ([`Model::to_json`]).
    ///
    /// # Errors
    /// Those of [`Model::to_json`]; the model has something that the version does not have.
    pub fn to_json(&self, model: &Model) -> Result<String> {
        self.architecture(model).map(|value| json::to_string(&value))
    }

    /// The model without its weights, as the YAML of Keras 2 (`keras.models.model_from_yaml`, up to TensorFlow 2.5). Without
    /// [`readable_by`](Self::readable_by) it may have what came with TensorFlow 2.5, but is in the form that all of Keras 2 reads.
    ///
    /// # Errors
    /// The model has something that the version does not have, or the version is one of those that read no YAML.
    pub fn to_yaml(&self, model: &Model) -> Result<String> {
        let version = self.version.unwrap_or(Version::new(2, 5, 0));
        if version >= older::YAML_ENDS {
            let expected = "a version up to 2.5: later ones read no YAML";
            return Err(Error::argument("version", expected, version.to_string()));
        }
        SaveOptions { version: Some(version) }.architecture(model).map(|value| yaml::to_string(&value))
    }

    fn architecture(&self, model: &Model) -> Result<Value> {
        let mut value = architecture::to_value(model)?;
        match self.version {
            Some(version) if version.major < 3 => older::architecture_for_keras_2(&value, version),
            Some(version) => older::for_keras_3(&mut value, version).map(|()| value),
            None => Ok(value),
        }
    }
}
