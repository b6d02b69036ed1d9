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
pub use self::merging::{Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract};
pub use self::regularization::{Dropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D};
pub use self::reshaping::{
    Cropping2D, Flatten, Interpolation, Permute, RepeatVector, Reshape, Sides2D, UpSampling2D, ZeroPadding2D,
};
pub use crate::activations::Activation;
pub use crate::models::{Input, InputLayer};
