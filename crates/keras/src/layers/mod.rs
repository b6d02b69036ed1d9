//! The layers of `keras.layers`, all under one roof: `keras::layers::Dense`.

mod activations;
pub(crate) mod common;
mod core;
mod merging;
mod regularization;
mod reshaping;

pub use self::activations::{ELU, LeakyReLU, PReLU, ReLU, Softmax};
pub use self::common::{DataFormat, Lengths};
pub use self::core::{Dense, Embedding, Masking};
pub use self::regularization::{Dropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D};
pub use crate::activations::Activation;
pub use crate::models::{Input, InputLayer};
