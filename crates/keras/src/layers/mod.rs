//! The layers of `keras.layers`, all under one roof: `keras::layers::Dense`.

mod activations;
pub(crate) mod common;
mod core;
mod merging;
mod regularization;
mod reshaping;

pub use common::DataFormat;
