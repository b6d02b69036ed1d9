//! Models, as Keras 1 makes them.

use keras_spec::{LayerRef, Result};
use serde::Serialize;

use super::arguments::Arguments;
use super::{Merge, warn_once};
use crate::models::{Apply, Inputs, KerasTensor, Model};

/// A layer of Keras 1, which may say what its inputs are (`input_shape`, `input_dim`) where it is a model's first.
pub trait First: Into<LayerRef> {
    /// What the layer was called with.
    fn arguments(&self) -> &Arguments;
}

/// A model of layers of Keras 1, of which the first says what the inputs are (`keras.models.Sequential`, Keras 1.2.2).
#[derive(Default)]
pub struct Sequential {
    inner: crate::models::Sequential,
    begun: bool,
}

impl Sequential {
    /// A model without layers.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// Adds a layer at the end.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl First) -> Self {
        if let Some(input) = layer.arguments().input().filter(|_| !self.begun) {
            self.inner = self.inner.add(input);
        }
        self.begun = true;
        self.inner = self.inner.add(layer);
        self
    }

    /// The model.
    ///
    /// # Errors
    /// As [`crate::models::Sequential::build`], and where an argument makes no sense.
    pub fn build(self) -> Result<Model> {
        self.inner.build()
    }
}

/// Several tensors as one by a mode of `Merge`: `sum`, `mul`, `concat`, `ave`, `max`, `dot` or `cos` (`keras.layers.merge`,
/// Keras 1.2.2).
///
/// # Errors
/// There is no such mode, or the tensors do not fit it.
pub fn merge(inputs: impl Inputs, mode: impl Serialize) -> Result<KerasTensor> {
    Merge::new(mode).apply(inputs)
}

/// A functional model: Keras 1's `Model(input=…, output=…)`.
///
/// # Errors
/// As [`Model::new`].
pub fn model(input: &[KerasTensor], output: &[KerasTensor]) -> Result<Model> {
    let call = "`Model(inputs=…, outputs=…)`";
    warn_once(format!("Update your `Model` call to the Keras 2 API: {call}"));
    Model::new(input, output)
}
