//! HDF5 files, as far as Keras uses them: groups, attributes that are strings, lists of strings or
//! integers, and arrays of numbers.
//!
//! This is the only module that knows the HDF5 library.

mod dataset;
mod element;
mod links;
mod read;
pub(crate) mod source;
mod write;

pub use dataset::Dataset;
pub(crate) use dataset::Once;
pub use read::{Attributes, File, Group};
pub use write::Writer;
