//! `keras.initializers` of Keras 3.15.1: what gives weights their first values.
//!
//! A layer takes them as objects, `Dense::new(10).kernel_initializer(HeNormal::new())`. With the same seed they give the
//! numbers that Keras gives on JAX.

mod constant;
mod orthogonal;
mod random;
mod seed;
mod variance_scaling;

pub use constant::{Constant, Identity, Ones, Zeros};
pub use orthogonal::Orthogonal;
pub use random::{RandomNormal, RandomUniform, TruncatedNormal};
pub use variance_scaling::{
    Distribution, FanMode, GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform,
    VarianceScaling,
};

pub(crate) use seed::InitializerSeed;
