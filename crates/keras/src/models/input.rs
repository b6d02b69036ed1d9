//! Where data enters a model.

use keras_spec::object::{Class, from_config, to_config};
use keras_spec::{
    Call, Config, DType, DTypePolicy, Error, Layer, LayerExt, LayerRef, Object, PartialShape, Result, Tensor,
    TensorSpec,
};
use serde::{Deserialize, Serialize};

use super::graph::{KerasTensor, Node};
use crate::class::builders;

/// The layer that stands for an input (`keras.layers.InputLayer`, Keras 3.15.1). Programs write [`Input`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputLayer {
    batch_shape: PartialShape,
    #[serde(default)]
    sparse: bool,
    #[serde(default)]
    ragged: bool,
    #[serde(default)]
    optional: bool,
}

const CLASS: Class = Class::keras("keras.layers", "InputLayer");

keras_spec::register!(dyn Layer, CLASS, |config| {
    let layer: InputLayer = from_config(CLASS, config)?;
    if layer.sparse || layer.ragged {
        return Err(Error::argument("sparse", "dense inputs", "a sparse or ragged input"));
    }
    Ok(Box::new(layer))
});

impl Object for InputLayer {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        to_config(self)
    }
}

impl Layer for InputLayer {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        match inputs {
            [one] if compatible(&self.batch_shape, one) => Ok(()),
            _ => Err(Error::argument("inputs", format!("shape {}", self.batch_shape), format!("{inputs:?}"))),
        }
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(inputs.to_vec())
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.remove("trainable");
        config.insert("dtype".to_owned(), layer.policy().variable_dtype().name().into());
    }

    fn build_config(&self, _shapes: &[PartialShape]) -> Option<serde_json::Value> {
        None
    }
}

/// Whether a tensor described by `found` can be one described by `expected`.
pub(crate) fn compatible(expected: &PartialShape, found: &PartialShape) -> bool {
    expected.rank() == found.rank()
        && expected.iter().zip(found.iter()).all(|(e, f)| e.is_none() || f.is_none() || e == f)
}

impl InputLayer {
    /// The shape, with the batch dimension.
    pub fn batch_shape(&self) -> &PartialShape {
        &self.batch_shape
    }
}

/// A model's input (`keras.Input`, Keras 3.15.1).
///
/// ```
/// use keras::prelude::*;
///
/// let image = Input::new([28, 28, 1]).name("image").tensor()?;
/// assert_eq!(image.shape().to_string(), "(None, 28, 28, 1)");
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Input {
    batch_shape: PartialShape,
    dtype: DType,
    name: Option<String>,
    optional: bool,
}

impl Input {
    /// An input of samples of `shape`, in which dimensions may be unknown (`[None, Some(8)]`); the batch dimension is not
    /// part of it.
    pub fn new(shape: impl Into<PartialShape>) -> Self {
        Input::with_batch_shape(PartialShape::batch_of(&shape.into()))
    }

    /// An input of `shape` with the batch dimension.
    pub fn with_batch_shape(shape: impl Into<PartialShape>) -> Self {
        Input {
            batch_shape: shape.into(),
            dtype: DTypePolicy::global().compute_dtype(),
            name: None,
            optional: false,
        }
    }

    /// The number of samples in a batch, if it is always the same.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        if let Some(first) = self.batch_shape.0.first_mut() {
            *first = Some(batch_size);
        }
        self
    }

    builders! {
        /// The dtype; the global policy's unless given.
        dtype = DType;
        /// The name, by which data is given to models with several inputs.
        some name: String;
    }

    /// The symbolic tensor that layers are applied to.
    ///
    /// # Errors
    /// If there is no backend.
    pub fn tensor(self) -> Result<KerasTensor> {
        input_tensor(&self.into())
    }
}

/// The symbolic tensor of an input layer.
///
/// # Errors
/// If it is not an input layer.
pub(crate) fn input_tensor(layer: &LayerRef) -> Result<KerasTensor> {
    let Some(input) = layer.downcast::<InputLayer>() else {
        return Err(Error::argument("inputs", "an input layer", format!("{layer:?}")));
    };
    layer.build(std::slice::from_ref(&input.batch_shape))?;
    let spec = TensorSpec::new(input.batch_shape.clone(), layer.policy().variable_dtype());
    Ok(KerasTensor::new(&Node::input(layer, spec), 0))
}

impl From<Input> for LayerRef {
    fn from(input: Input) -> Self {
        let layer = InputLayer {
            batch_shape: input.batch_shape,
            sparse: false,
            ragged: false,
            optional: input.optional,
        };
        let configured = layer.dtype(DTypePolicy::uniform(input.dtype));
        match input.name {
            Some(name) => configured.name(name).into(),
            None => configured.into(),
        }
    }
}
