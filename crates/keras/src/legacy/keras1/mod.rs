//! The names and arguments of Keras 1 (1.0 to 1.2.2), for code that is moved here from it.
//!
//! Each call builds today's layer and says once, through `tracing::warn!`, which call of Keras 2 to write instead; of a class
//! that Keras 2 dropped, what takes its place. Arguments are what Keras 1 takes: numbers, `"same"`, `[2, 2]`, and for penalties
//! and constraints what [`regularizers`] and [`constraints`] give. What Keras 1 would refuse is an error when the layer is
//! built.
//!
//! ```
//! use keras::legacy::keras1::{Convolution2D, Dense, Flatten, MaxPooling2D, Sequential, regularizers::l2};
//!
//! let model = Sequential::new()
//!     .add(Convolution2D::new(8, 3, 3).border_mode("same").activation("relu").input_shape([28, 28, 1]).dim_ordering("tf"))
//!     .add(MaxPooling2D::new().pool_size([2, 2]).dim_ordering("tf"))
//!     .add(Flatten::new())
//!     .add(Dense::new(10).w_regularizer(l2(0.01)).activation("softmax"))
//!     .build()?;
//! assert_eq!(model.count_params(), 3 * 3 * 8 + 8 + 14 * 14 * 8 * 10 + 10);
//! # Ok::<(), keras::Error>(())
//! ```

mod arguments;
mod layers;
mod models;
pub mod optimizers;
mod training;
mod values;

pub use arguments::Arguments;
pub use layers::*;
pub use models::{Sequential, merge, model};
pub use training::{Fit, FitGenerator, Generators, ValSamples};
pub use values::{constraints, initializations, metrics, np_utils, objectives, regularizers};

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Says something once in the life of the program.
fn warn_once(text: String) {
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(text.clone()) {
        tracing::warn!("{text}");
    }
}
