//! Training: `compile`, `fit`, `evaluate`, `predict`, and what is called on the way.
//!
//! ```
//! use keras::prelude::*;
//!
//! let x = HostTensor::new([6, 1], vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0])?;
//! let y = HostTensor::new([6, 1], vec![1.0f32, 3.0, 5.0, 7.0, 9.0, 11.0])?;
//!
//! let mut model = Sequential::new().add(Input::new([1])).add(Dense::new(1)).build()?;
//! model.compile(Compile::new(SGD::new(0.05), "mse").metrics(["mae"]))?;
//! let stop = EarlyStopping::new("loss").patience(3).restore_best_weights(true);
//! let history = model.fit(&x, &y, Fit::new().epochs(20).batch_size(2).verbose(0).callback(stop))?;
//! assert!(history.last("loss") < history.get("loss").first().copied());
//!
//! let logs = model.evaluate(&x, &y, Evaluate::new().verbose(0))?;
//! assert!(logs["mae"] < 2.0);
//! # Ok::<(), keras::Error>(())
//! ```

pub mod callbacks;
mod compile;
mod data;
mod fit;
mod interrupt;
mod step;

pub use compile::Compile;
pub(crate) use compile::Compiled;
pub(crate) use data::append;
pub use data::{Batch, Data, host};
pub use fit::{Evaluate, Fit};
pub use keras_spec::{Identifier, Nested};
