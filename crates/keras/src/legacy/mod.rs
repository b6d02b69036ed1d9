//! What Keras 3 no longer has: the layers and functions of Keras 1 and 2 that old models are made of.
//!
//! Models loaded from old files use them by themselves; new models have no need of them. In files they are classes of the
//! package `keras.legacy`, which the real Keras knows only if a program registers such classes: a model with one of them is
//! refused there instead of computing something else.

pub mod keras1;
pub mod layers;

use keras_spec::{Result, Tensor};

/// `max(0, min(1, 0.2 · x + 0.5))`, of any shape: the `hard_sigmoid` of Keras 1 and 2 (`keras.activations.hard_sigmoid`,
/// Keras 0.3 to tf-keras 2.21). That of Keras 3 is [`activations::hard_sigmoid`](crate::activations::hard_sigmoid).
///
/// # Errors
/// If the dtype is not a float.
pub fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.2)? + 0.5)?.clip(0.0, 1.0)
}

/// The examples of the book's chapter on migration.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/src/migrating.md")]
struct Migrating;
