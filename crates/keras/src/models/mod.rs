//! Models (`keras.models`, Keras 3.15.1): [`Sequential`] for a chain of layers, and functional ones of symbolic tensors,
//! in which layers are shared and models have several inputs and outputs.
//!
//! ```
//! use keras::prelude::*;
//!
//! let (left, right) = (Input::new([4]).name("left").tensor()?, Input::new([4]).name("right").tensor()?);
//! let shared = LayerRef::from(Dense::new(8).activation(Activation::Relu));
//! let both = Concatenate::new().apply([&shared.clone().apply(&left)?, &shared.apply(&right)?])?;
//! let same = Dense::new(1).activation(Activation::Sigmoid).name("same").apply(&both)?;
//! let model = Model::new(&[left, right], &[same])?;
//! assert_eq!(model.count_params(), (4 * 8 + 8) + (16 + 1));
//! # Ok::<(), keras::Error>(())
//! ```

mod config;
mod functional;
mod graph;
mod input;
mod model;
mod operation;
mod sequential;
mod symbolic;

pub(crate) use config::{Graph, Places};
pub use functional::{Functional, Structure};
pub use graph::{Apply, Arg, Inputs, KerasTensor, Node};
pub use input::{Input, InputLayer};
pub use model::Model;
pub use operation::Operation;
pub(crate) use operation::{class_of, is_operation};
pub use sequential::{Chain, Sequential};
pub use symbolic::operation;
