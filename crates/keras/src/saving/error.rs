//! What can go wrong with a model file.

use std::io;

/// A result whose error is a [`FileError`].
pub type Result<T> = std::result::Result<T, FileError>;

/// Why a model file could not be read or written.
///
/// Every variant names the file (its path, or the name given with in-memory bytes) and, where one is
/// concerned, the object inside it: an HDF5 path such as `/model_weights/dense/kernel`, a member of a
/// `.keras` archive, or an attribute `/model_weights@layer_names`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file, or an object in it, is not what it must be.
    #[error("{}: expected {expected}, found {found}", place(.file, .object))]
    Unexpected {
        /// The file.
        file: String,
        /// The object inside it; empty for the file as a whole.
        object: String,
        /// What a file written by Keras holds here.
        expected: String,
        /// What this file holds.
        found: String,
    },
    /// The file has no object or attribute of this name.
    #[error("{}: there is no such object, or it is a link to one that is not followed", place(.file, .object))]
    Missing {
        /// The file.
        file: String,
        /// The object that was looked for.
        object: String,
    },
    /// The file can be read, but following it would be unsafe: links out of the file, arrays or
    /// archive members far larger than what is stored, endless nesting.
    #[error("{}: refused: {why}", place(.file, .object))]
    Refused {
        /// The file.
        file: String,
        /// The object inside it; empty for the file as a whole.
        object: String,
        /// What is unsafe.
        why: String,
    },
    /// The file is damaged or truncated, or uses a feature of its format that no Keras writes.
    #[error("{}: damaged or unsupported: {why}", place(.file, .object))]
    Damaged {
        /// The file.
        file: String,
        /// The object inside it; empty for the file as a whole.
        object: String,
        /// What the parser met.
        why: String,
    },
    /// What was to be written cannot be expressed in the file format.
    #[error("cannot write {object}: {why}")]
    Unwritable {
        /// The object to be written.
        object: String,
        /// Why it cannot be.
        why: String,
    },
}

fn place(file: &str, object: &str) -> String {
    if object.is_empty() { file.to_owned() } else { format!("{file}: {object}") }
}

impl FileError {
    pub(crate) fn io(file: impl Into<String>, source: io::Error) -> Self {
        FileError::Io { file: file.into(), source }
    }

    pub(crate) fn unexpected(
        file: impl Into<String>,
        object: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        FileError::Unexpected {
            file: file.into(),
            object: object.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn refused(
        file: impl Into<String>,
        object: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        FileError::Refused { file: file.into(), object: object.into(), why: why.into() }
    }

    pub(crate) fn damaged(
        file: impl Into<String>,
        object: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        FileError::Damaged { file: file.into(), object: object.into(), why: why.into() }
    }
}

impl From<FileError> for keras_spec::Error {
    fn from(error: FileError) -> Self {
        keras_spec::Error::other(error)
    }
}
