//! Models: [`Sequential`], and functional ones of symbolic tensors.

mod config;
mod functional;
mod graph;
mod input;
mod model;
mod sequential;

pub use functional::{Functional, Structure};
pub use graph::{Apply, Arg, Inputs, KerasTensor, Node};
pub use input::{Input, InputLayer};
pub use model::Model;
pub use sequential::{Chain, Sequential};
