//! Models, as Keras 1 makes them.

use keras_spec::{LayerRef, Result};
use serde::Serialize;

use super::arguments::Arguments;
use super::{Merge, warn_once};
use crate::models::{Apply, Input, InputLayer, Inputs, KerasTensor, Model};

/// A layer of Keras 1, which may say what its inputs are (`input_shape`, `input_dim`) where it is a model's first.
pub trait First: Into<LayerRef> {
    /// What the layer was called with.
    fn arguments(&self) -> &Arguments;
}

/// A model of layers of Keras 1, of which the first says what the inputs are (`keras.models.Sequential`, Keras 1.2.2).
#[derive(Default)]
pub struct Sequential {
    input: Option<Input>,
    branches: Option<(Vec<Sequential>, Merge)>,
    layers: Vec<LayerRef>,
}

impl Sequential {
    /// A model without layers.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// A model that begins with what several models give, merged: Keras 1's `model.add(Merge([left, right], mode=…))`.
    ///
    /// ```
    /// use keras::legacy::keras1::{Dense, Merge, Sequential};
    ///
    /// let branch = |units: usize| Sequential::new().add(Dense::new(units).input_dim(4));
    /// let model = Sequential::merging([branch(2), branch(3)], Merge::new("concat")).add(Dense::new(1)).build()?;
    /// assert_eq!(model.inputs()?.len(), 2);
    /// # Ok::<(), keras::Error>(())
    /// ```
    pub fn merging(branches: impl IntoIterator<Item = Sequential>, merge: Merge) -> Self {
        Sequential { branches: Some((branches.into_iter().collect(), merge)), ..Self::default() }
    }

    /// Adds a layer at the end.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl First) -> Self {
        if self.layers.is_empty() && self.input.is_none() && self.branches.is_none() {
            self.input = layer.arguments().input();
        }
        let layer: LayerRef = layer.into();
        // Which inputs there are is known by now.
        if layer.downcast::<InputLayer>().is_none() {
            self.layers.push(layer);
        }
        self
    }

    /// The model.
    ///
    /// # Errors
    /// As [`crate::models::Sequential::build`], and where an argument makes no sense.
    pub fn build(self) -> Result<Model> {
        let Some((branches, merge)) = self.branches else {
            let mut model = crate::models::Sequential::new();
            if let Some(input) = self.input {
                model = model.add(input);
            }
            return self.layers.into_iter().fold(model, crate::models::Sequential::add).build();
        };
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for branch in branches {
            let branch = branch.build()?;
            let own = branch
                .inputs()?
                .into_iter()
                .map(|(_, input)| Input::with_batch_shape(input.shape.clone()).dtype(input.dtype).tensor());
            let own = own.collect::<Result<Vec<_>>>()?;
            let branch = branch.as_layer().clone();
            outputs.push(match own.as_slice() {
                [one] => branch.apply(one)?,
                several => branch.apply(several)?,
            });
            inputs.extend(own);
        }
        let first = merge.apply(&outputs)?;
        let last = self.layers.into_iter().try_fold(first, |tensor, layer| layer.apply(&tensor))?;
        Model::new(&inputs, &[last])
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
    warn_once("Update your `Model` call to the Keras 2 API: `Model(inputs=…, outputs=…)`".to_owned());
    Model::new(input, output)
}
