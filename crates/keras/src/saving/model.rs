//! Placeholder for the high-level half.

use std::path::Path;

use keras_spec::{Error, Result};

use crate::models::Model;

impl Model {
    /// Writes the model to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Err(Error::other(format!("{}: not yet", path.as_ref().display())))
    }

    /// Writes the weights to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        Err(Error::other(format!("{}: not yet", path.as_ref().display())))
    }
}
