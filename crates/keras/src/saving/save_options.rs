//! How models are saved for older programs.

use std::path::Path;

use keras_spec::{Error, Result, ResultExt};

use super::archive::Packed;
use super::legacy::Version;
use super::model::{Layout, layout, write_file};
use super::whole_h5;
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

    /// For this version of Keras and later ones: 3.0 and later read `.keras`, tf-keras (2.11 to 2.21) `.h5`.
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
}
