//! Keras in Rust: layers, models, training and model files, on a backend of your choice.

pub mod activations;
pub mod constraints;
pub mod initializers;
pub mod layers;
pub mod random;
pub mod regularizers;
pub mod saving;

#[cfg(feature = "ndarray")]
use backend_ndarray as _;
