//! Training: `compile`, `fit`, `evaluate`, `predict`, and what is called on the way.

pub mod callbacks;
mod compile;
mod data;
mod fit;
mod interrupt;
mod step;

pub use compile::Compile;
pub(crate) use compile::Compiled;
pub use data::{Batch, Data, host};
pub use fit::{Evaluate, Fit};
pub use keras_spec::{Identifier, Nested};
