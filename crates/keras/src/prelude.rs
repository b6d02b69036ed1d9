//! What most programs use: `use keras::prelude::*;`.
//!
//! Metrics are not in here because some have the names of losses: `keras::metrics::MeanSquaredError`.

pub use keras_spec::{
    DType, DTypePolicy, Device, Error, HostTensor, LayerExt, LayerRef, PartialShape, Result, Shape, Tensor,
};

pub use crate::activations::Activation;
pub use crate::callbacks::{
    CSVLogger, EarlyStopping, History, LambdaCallback, LearningRateScheduler, ModelCheckpoint,
    ReduceLROnPlateau, TerminateOnNaN,
};
pub use crate::layers::*;
pub use crate::losses::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    Huber, MeanAbsoluteError, MeanSquaredError, SparseCategoricalCrossentropy,
};
pub use crate::models::{Apply, Input, KerasTensor, Model, Sequential};
pub use crate::optimizers::{Adam, AdamW, RMSprop, SGD};
pub use crate::training::{Batch, Compile, Data, Evaluate, Fit, Nested};
