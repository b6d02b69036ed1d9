//! Model files: HDF5, `.keras` archives and JSON, read and written without Python or a C library.
//!
//! Everything here deals in names, groups, arrays and JSON; what they mean to a model is decided
//! elsewhere. Files are untrusted: sizes are checked before memory is taken, nothing is executed, links
//! that leave the file are not followed, and whatever is wrong is a [`FileError`].

pub mod atomic;
pub mod container;
mod error;
pub mod h5;
pub mod json;
#[cfg(not(target_family = "wasm"))]
mod model;
pub mod sniff;

pub use error::{FileError, Result};
