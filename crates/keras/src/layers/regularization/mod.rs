//! Layers that draw random numbers while a model trains.

mod dropout;
mod gaussian_noise;
mod spatial_dropout;

pub use dropout::Dropout;
pub use gaussian_noise::GaussianNoise;
pub use spatial_dropout::{SpatialDropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D};
