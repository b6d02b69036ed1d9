//! Models that are a chain of layers.

use std::sync::{Mutex, OnceLock, PoisonError};

use keras_spec::layer::{Child, Outputs, auto_name};
use keras_spec::object::Class;
use keras_spec::{
    Builder, Call, Config, DTypePolicy, Error, Layer, LayerExt, LayerRef, Object, PartialShape, Result,
    ResultExt, Tensor, TensorSpec,
};
use serde_json::{Value, json};

use super::graph::own_names;
use super::input::{Input, InputLayer, compatible};
use super::model::Model;

/// Builds a model layer by layer (`keras.Sequential`, Keras 3.15.1).
///
/// ```
/// use keras::prelude::*;
///
/// let model = Sequential::new()
///     .add(Input::new([4]))
///     .add(Dense::new(8).activation(Activation::Relu))
///     .add(Dense::new(3))
///     .build()?;
/// assert_eq!(model.count_params(), 4 * 8 + 8 + 8 * 3 + 3);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    name: Option<String>,
    policy: Option<DTypePolicy>,
    layers: Vec<LayerRef>,
}

impl Sequential {
    /// A model without layers.
    pub fn new() -> Self {
        Sequential::default()
    }

    /// The model's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The model's dtype policy, which only its configuration records: layers have their own.
    #[must_use]
    pub fn dtype(mut self, policy: DTypePolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Adds a layer at the end. Without an [`Input`] at the beginning, weights are made when the model is first called.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl Into<LayerRef>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The model. Its weights exist if it begins with an [`Input`].
    ///
    /// # Errors
    /// If there are no layers, two have one name, or a layer does not fit the one before it.
    pub fn build(self) -> Result<Model> {
        let name = self.name.unwrap_or_else(|| auto_name("Sequential"));
        let chain = Chain::new(self.layers).at(|| format!("model `{name}`"))?;
        let shape = chain.batch_shape().cloned();
        let mut configured = chain.name(name);
        if let Some(policy) = self.policy {
            configured = configured.dtype(policy);
        }
        let layer: LayerRef = configured.into();
        if let Some(shape) = shape {
            layer.build(&[shape])?;
        }
        Ok(Model::from_layer(layer))
    }
}

/// The layer that a [`Sequential`] model is: its layers one after the other.
pub struct Chain {
    input: OnceLock<LayerRef>,
    layers: Vec<LayerRef>,
    /// What is to happen to the layers as soon as they have weights.
    pending: Mutex<Option<WhenBuilt>>,
}

/// What is done with the layers of a chain once they are built.
pub(crate) type WhenBuilt = Box<dyn FnOnce(&[LayerRef]) -> Result<()> + Send>;

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("input", &self.input)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

const CLASS: Class = Class::keras("keras", "Sequential");

keras_spec::register!(dyn Layer, CLASS, |config| {
    let Some(Value::Array(entries)) = config.get("layers") else {
        return Err(Error::config(CLASS.name, "`layers` must be a list"));
    };
    let chain = Chain::new(entries.iter().map(LayerRef::from_value).collect::<Result<_>>()?)?;
    if let (None, Some(shape)) = (chain.input.get(), config.get("build_input_shape").filter(|s| !s.is_null()))
    {
        let shape: PartialShape = serde_json::from_value(shape.clone())
            .map_err(|e| Error::config(CLASS.name, format!("`build_input_shape`: {e}")))?;
        chain.begin(&shape)?;
    }
    Ok(Box::new(chain))
});

impl Chain {
    fn new(mut layers: Vec<LayerRef>) -> Result<Self> {
        let is_input = |l: &LayerRef| l.downcast::<InputLayer>().is_some();
        let input = OnceLock::new();
        if layers.first().is_some_and(is_input) {
            input.get_or_init(|| layers.remove(0));
        }
        if layers.is_empty() && input.get().is_none() {
            return Err(Error::argument("layers", "at least one layer", "none"));
        }
        if let Some(second) = layers.iter().find(|l| is_input(l)) {
            return Err(Error::argument(
                "layers",
                "one input, at the beginning",
                format!("{second:?} behind others"),
            ));
        }
        own_names(&layers)?;
        Ok(Chain { input, layers, pending: Mutex::default() })
    }

    /// Has `then` done with the layers when the shape of the inputs is known and they are built.
    pub(crate) fn when_built(&self, then: WhenBuilt) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
    }

    /// Whether a layer keeps states from batch to batch, which must be of one size then.
    fn is_stateful(&self) -> bool {
        let says =
            |l: &LayerRef| l.layer().config().is_ok_and(|c| c.get("stateful").is_some_and(|s| s == true));
        self.layers.iter().any(says)
    }

    /// The layers, without the input.
    pub fn layers(&self) -> &[LayerRef] {
        &self.layers
    }

    /// The input layer, once the input's shape is known.
    pub fn input(&self) -> Option<&LayerRef> {
        self.input.get()
    }

    /// The input's shape, once it is known.
    pub fn batch_shape(&self) -> Option<&PartialShape> {
        self.input.get()?.downcast::<InputLayer>().map(InputLayer::batch_shape)
    }

    /// The dtype of the input, once it is known.
    fn input_dtype(&self) -> Option<keras_spec::DType> {
        self.input.get().map(|l| l.policy().variable_dtype())
    }

    /// The input layer for a shape, made if there is none.
    fn begin(&self, shape: &PartialShape) -> Result<&LayerRef> {
        let dtype = self.layers.first().map_or(keras_spec::DType::F32, |l| l.policy().compute_dtype());
        let input = self.input.get_or_init(|| Input::with_batch_shape(shape.clone()).dtype(dtype).into());
        match self.batch_shape() {
            Some(own) if compatible(own, shape) => Ok(input),
            own => {
                let expected = own.map(ToString::to_string).unwrap_or_default();
                Err(Error::argument("input_shape", format!("shape {expected}"), format!("shape {shape}")))
            }
        }
    }

    fn run(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let mut inputs = inputs.to_vec();
        if let (Some(dtype), [x]) = (self.input_dtype(), inputs.as_mut_slice()) {
            *x = std::mem::replace(x, x.clone()).into_dtype(dtype)?;
        }
        let mut state = Outputs { tensors: inputs, masks: call.masks.clone() };
        for layer in &self.layers {
            let inner = call.inner().with_masks(std::mem::take(&mut state.masks));
            state = layer.call(&state.tensors, &inner)?;
        }
        Ok(state)
    }
}

impl Object for Chain {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let all = self.input.get().into_iter().chain(&self.layers);
        let layers = all.map(|l| Ok(l.serialize()?.to_value())).collect::<Result<Vec<_>>>()?;
        let mut config = Config::new();
        config.insert("layers".to_owned(), layers.into());
        if let Some(shape) = self.batch_shape() {
            config.insert("build_input_shape".to_owned(), json!(shape));
        }
        Ok(config)
    }
}

impl Layer for Chain {
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let [shape] = inputs else {
            return Err(Error::argument("inputs", "one tensor", format!("{} tensors", inputs.len())));
        };
        let mut any_batch = shape.clone();
        if let (None, Some(first), false) = (self.input.get(), any_batch.0.first_mut(), self.is_stateful()) {
            *first = None;
        }
        let input = self.begin(&any_batch)?;
        let mut specs = vec![TensorSpec::new(any_batch, input.policy().variable_dtype())];
        for layer in &self.layers {
            let shapes: Vec<PartialShape> = specs.iter().map(|s| s.shape.clone()).collect();
            builder.child(layer, &shapes)?;
            specs = layer.output_spec(&specs, &Call::inference())?;
        }
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        pending.map_or(Ok(()), |then| then(&self.layers))
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        self.run(inputs, call).map(|o| o.tensors)
    }

    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        self.run(inputs, call)
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let mut specs = inputs.to_vec();
        for layer in &self.layers {
            specs = layer.output_spec(&specs, &Call::inference())?;
        }
        Ok(Some(specs))
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::list("layers", &self.layers)]
    }

    fn autocast(&self) -> bool {
        false
    }

    fn build_config(&self, _shapes: &[PartialShape]) -> Option<Value> {
        self.batch_shape().map(|shape| json!({ "input_shape": shape }))
    }
}
