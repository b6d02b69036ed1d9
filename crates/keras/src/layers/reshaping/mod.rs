//! Layers that move elements without changing them.

mod flatten;
mod padding2d;
mod permute;
mod repeat_vector;
mod reshape;
mod up_sampling2d;

pub use flatten::Flatten;
pub use padding2d::{Cropping2D, Sides2D, ZeroPadding2D};
pub use permute::Permute;
pub use repeat_vector::RepeatVector;
pub use reshape::Reshape;
pub use up_sampling2d::{Interpolation, UpSampling2D};
