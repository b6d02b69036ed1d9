//! Model files: `.keras` archives, HDF5 and JSON, read and written without Python or a C library.
//!
//! [`load_model`], [`Model::save`](crate::Model::save) and their like are what programs use; the modules below deal in names,
//! groups, arrays and JSON. Files are untrusted: sizes are checked before memory is taken, nothing is executed, links
//! that leave the file are not followed, and whatever is wrong is an error.

mod architecture;
mod archive;
pub mod atomic;
pub mod container;
mod error;
mod graph_operations;
pub mod h5;
mod h5_config;
pub mod json;
mod layer_weights;
pub mod legacy;
mod model;
mod older;
mod optimizer_state;
mod options;
mod save_options;
mod shards;
mod since;
pub mod sniff;
mod tree;
mod whole_h5;
pub mod yaml;

use keras_spec::{HostTensor, Tensor, Variable};

pub use error::{FileError, Result};
pub use model::{load_model, load_model_from_bytes, model_from_json, model_from_yaml};
pub use options::LoadOptions;
pub use save_options::SaveOptions;
pub use shards::open as open_shards;

/// The version of Keras of which files are written.
const KERAS_VERSION: &str = "3.15.1";

/// Gives variables their values, of which the shapes have been checked.
fn assign(values: Vec<(Variable, HostTensor)>) -> keras_spec::Result<()> {
    let on_device = |(variable, value): (Variable, HostTensor)| {
        let value = Tensor::from_host(value, variable.get().device())?.into_dtype(variable.dtype())?;
        Ok((variable, value))
    };
    let values = values.into_iter().map(on_device).collect::<keras_spec::Result<Vec<_>>>()?;
    values.iter().try_for_each(|(variable, value)| variable.assign(value))
}
