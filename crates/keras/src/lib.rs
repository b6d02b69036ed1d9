//! Keras in Rust: layers, models, training and model files, on a backend of your choice.

pub mod activations;
mod class;
pub mod constraints;
#[cfg(feature = "onnx")]
pub mod export;
mod flattened;
pub mod initializers;
pub mod layers;
pub mod legacy;
pub mod losses;
pub mod metrics;
pub mod models;
mod number;
pub mod optimizers;
pub mod prelude;
pub mod random;
pub mod regularizers;
pub mod saving;
pub mod training;
pub mod utils;
pub mod visual;

#[cfg(feature = "candle")]
use backend_candle as _;
#[cfg(feature = "ndarray")]
use backend_ndarray as _;
#[cfg(feature = "tch")]
use backend_tch as _;

pub use keras_spec::{Device, Error, Result, set_backend};
pub use models::{Input, Model, Sequential};
pub use number::Number;
pub use saving::{load_model, load_model_from_bytes, model_from_json, model_from_yaml};
pub use training::callbacks;
