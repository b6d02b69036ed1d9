//! Optimizers: how gradients change variables (`keras.optimizers`, Keras 3.15.1).

mod base;
mod rules;
pub mod schedules;

pub use base::{Base, LearningRate};
pub use rules::{Adam, AdamW, RMSprop, SGD};
