//! Defaults of constructor arguments that several layers have.

use keras_spec::{Initializer, Shared};

use crate::initializers::{GlorotUniform, Ones, RandomUniform, Zeros};
use crate::layers::common::Lengths;

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn glorot_uniform() -> Shared<dyn Initializer> {
    GlorotUniform::new().into()
}

pub(crate) fn zeros() -> Shared<dyn Initializer> {
    Zeros::new().into()
}

pub(crate) fn ones() -> Shared<dyn Initializer> {
    Ones::new().into()
}

pub(crate) fn one_each<const N: usize>() -> Lengths<N> {
    Lengths([1; N])
}

pub(crate) fn two_each<const N: usize>() -> Lengths<N> {
    Lengths([2; N])
}

pub(crate) fn random_uniform() -> Shared<dyn Initializer> {
    RandomUniform::new().into()
}
