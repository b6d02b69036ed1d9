//! HDF5 files, as far as Keras uses them: groups, attributes that are strings, lists of strings or
//! integers, and arrays of numbers.
//!
//! This is the only module that knows the HDF5 library.

mod element;
mod read;
pub(crate) mod source;
mod write;

pub use read::{Attributes, Dataset, File, Group};
pub use write::Writer;
