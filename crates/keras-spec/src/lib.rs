//! The contracts of Keras in Rust: what a backend computes, what a layer is, and how they find each other.
//!
//! An application depends on the crate `keras`; a backend or a crate of layers depends on this one.

pub mod backend;
mod compose;
pub mod contracts;
pub mod device;
pub mod dtype;
pub mod error;
pub mod fused;
pub mod host;
pub mod identifier;
pub mod infer;
pub mod layer;
mod logs;
mod memory;
pub mod object;
pub mod op;
pub mod places;
pub mod policy;
pub mod promotion;
pub mod random;
pub mod scope;
pub mod shape;
mod tape;
pub mod tensor;
pub mod variable;
mod vjp;

pub use backend::{AnyBuffer, Backend, DynBackend};
pub use contracts::{
    Callback, Constraint, Initializer, LearningRateSchedule, Loss, Metric, Model, Optimizer, Params,
    Reduction, Regularizer,
};
pub use device::{BackendEntry, Device, backends, register_backend, set_backend};
pub use dtype::DType;
pub use error::{Error, Result, ResultExt};
pub use fused::{Activ, AttentionSpec, Fused, RnnSpec};
pub use half;
pub use host::{Element, HostData, HostTensor};
pub use identifier::{Identifier, Nested};
pub use inventory;
pub use layer::{Builder, Call, Layer, LayerExt, LayerRef, WeightSpec};
pub use logs::Logs;
pub use object::{Class, Config, Object, Shared};
pub use op::{
    ArgReduceOp, BinaryOp, CompareOp, ConvSpec, Dims, Op, ReduceOp, ScatterOp, UnaryOp, WindowSpec,
};
pub use policy::{DTypePolicy, set_dtype_policy};
pub use promotion::result_type;
pub use shape::{PartialShape, Shape, TensorSpec};
pub use tape::{GradientOptions, gradients, gradients_with};
pub use tensor::Tensor;
pub use variable::{Variable, Weight};
