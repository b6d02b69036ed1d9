//! Models: [`Sequential`], and functional ones of symbolic tensors.

mod config;
mod functional;
mod graph;
mod input;
mod model;
mod operation;
mod sequential;
mod symbolic;

pub use functional::{Functional, Structure};
pub use graph::{Apply, Arg, Inputs, KerasTensor, Node};
pub use input::{Input, InputLayer};
pub use model::Model;
pub use operation::Operation;
pub(crate) use operation::is_operation;
pub use sequential::{Chain, Sequential};
pub use symbolic::operation;
