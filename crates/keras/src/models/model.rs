//! [`Model`]: a functional or sequential model that can be trained.

use std::fmt;
use std::path::Path;

use keras_spec::layer::{Outputs, auto_name};
use keras_spec::{
    Call, Error, HostTensor, LayerExt, LayerRef, Optimizer, PartialShape, Result, ResultExt, Shared, Tensor,
    TensorSpec, Variable,
};

use super::functional::{Functional, Structure};
use super::graph::KerasTensor;
use super::sequential::Chain;
use crate::saving::legacy::Source;
use crate::training::Compiled;

/// A model (`keras.Model`, Keras 3.15.1): layers from inputs to outputs, to be compiled, trained, saved, or used as a layer
/// of another model.
pub struct Model {
    layer: LayerRef,
    pub(crate) compiled: Option<Compiled>,
    /// Asks training to end.
    pub(crate) stop: bool,
    /// The file that the architecture was read from, if it is older than Keras 3: weights in other files follow it.
    pub(crate) source: Option<Source>,
}

impl Model {
    /// The functional model that leads from `inputs` to `outputs`.
    ///
    /// # Errors
    /// If an output depends on an input that is not given, or two layers have one name.
    pub fn new(inputs: &[KerasTensor], outputs: &[KerasTensor]) -> Result<Self> {
        Model::named(auto_name("Functional"), inputs, outputs)
    }

    /// [`Model::new`] with a name.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn named(name: impl Into<String>, inputs: &[KerasTensor], outputs: &[KerasTensor]) -> Result<Self> {
        let name = name.into();
        let structure = |n: usize| if n == 1 { Structure::One } else { Structure::List };
        let (given, wanted) = (structure(inputs.len()), structure(outputs.len()));
        let graph = Functional::new(inputs.to_vec(), given, outputs.to_vec(), wanted)
            .at(|| format!("model `{name}`"))?;
        Ok(Model::from_layer(graph.name(name).into()))
    }

    /// A model that is this layer.
    pub fn from_layer(layer: LayerRef) -> Self {
        if let Some(shapes) = layer
            .downcast::<Functional>()
            .map(|g| g.inputs().iter().map(|t| t.shape().clone()).collect::<Vec<_>>())
        {
            // A graph's layers were built as they were called: there is nothing left that could fail.
            let _ = layer.build(&shapes);
        }
        Model { layer, compiled: None, stop: false, source: None }
    }

    /// The model as a layer.
    pub fn as_layer(&self) -> &LayerRef {
        &self.layer
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        self.layer.name()
    }

    /// The layers in Keras's order; those of a sequential model without its input.
    pub fn layers(&self) -> Vec<LayerRef> {
        if let Some(graph) = self.layer.downcast::<Functional>() {
            graph.layers().to_vec()
        } else if let Some(chain) = self.layer.downcast::<Chain>() {
            chain.layers().to_vec()
        } else {
            self.layer.children().into_iter().flat_map(|c| c.layers).collect()
        }
    }

    /// The layer of a name.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none.
    pub fn get_layer(&self, name: &str) -> Result<LayerRef> {
        let layers = self.layers();
        let found = layers.iter().find(|l| l.name() == name).cloned();
        found.ok_or_else(|| Error::unknown("layer", name, layers.iter().map(LayerRef::name)))
    }

    /// Names, shapes and dtypes of the inputs.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] for a sequential model whose input shape is not known yet.
    pub fn inputs(&self) -> Result<Vec<(String, TensorSpec)>> {
        if let Some(graph) = self.layer.downcast::<Functional>() {
            let name = |t: &KerasTensor| (t.node().layer().name().to_owned(), t.spec().clone());
            return Ok(graph.inputs().iter().map(name).collect());
        }
        let chain = self.layer.downcast::<Chain>();
        match chain.and_then(|c| Some((c.input()?, c.batch_shape()?))) {
            Some((input, shape)) => {
                let spec = TensorSpec::new(shape.clone(), input.policy().variable_dtype());
                Ok(vec![(input.name().to_owned(), spec)])
            }
            None => Err(self.not_built("asking for its inputs")),
        }
    }

    /// Names of the layers that give the outputs, with shapes and dtypes. Losses, metrics and targets may go by these
    /// names.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] for a sequential model whose input shape is not known yet.
    pub fn outputs(&self) -> Result<Vec<(String, TensorSpec)>> {
        if let Some(graph) = self.layer.downcast::<Functional>() {
            let name = |t: &KerasTensor| (t.node().layer().name().to_owned(), t.spec().clone());
            return Ok(graph.outputs().iter().map(name).collect());
        }
        let specs: Vec<TensorSpec> = self.inputs()?.into_iter().map(|(_, s)| s).collect();
        let name = self.layers().last().map_or_else(String::new, |l| l.name().to_owned());
        Ok(self
            .layer
            .output_spec(&specs, &Call::inference())?
            .into_iter()
            .map(|s| (name.clone(), s))
            .collect())
    }

    /// Makes the weights of a sequential model without an input; `shape` has the batch dimension.
    ///
    /// # Errors
    /// If a layer does not fit the one before it.
    pub fn build(&self, shape: impl Into<PartialShape>) -> Result<()> {
        self.layer.build(&[shape.into()])
    }

    /// Whether the weights exist.
    pub fn is_built(&self) -> bool {
        self.layer.is_built()
    }

    fn not_built(&self, action: &str) -> Error {
        Error::NotBuilt { name: format!("model `{}`", self.name()), action: action.to_owned() }
    }

    /// Runs the model on tensors: outputs and their masks.
    ///
    /// # Errors
    /// If the inputs do not fit.
    pub fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        self.layer.call(inputs, call)
    }

    /// All weights in Keras's order (`Model.weights`).
    pub fn weights(&self) -> Vec<Variable> {
        self.layer.weights()
    }

    /// How many numbers the weights have.
    pub fn count_params(&self) -> usize {
        self.layer.count_params()
    }

    /// The values of all weights (`Model.get_weights`).
    ///
    /// # Errors
    /// If a device fails.
    pub fn get_weights(&self) -> Result<Vec<HostTensor>> {
        self.weights().iter().map(|w| w.get().to_host()).collect()
    }

    /// Sets all weights (`Model.set_weights`); none is changed if one does not fit.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], or [`Error::Argument`] if their number or a shape differs.
    pub fn set_weights(&self, values: &[HostTensor]) -> Result<()> {
        if !self.is_built() {
            return Err(self.not_built("setting its weights"));
        }
        let weights = self.weights();
        if weights.len() != values.len() {
            let found = format!("{} arrays", values.len());
            return Err(Error::argument("weights", format!("{} arrays", weights.len()), found));
        }
        for (w, v) in weights.iter().zip(values) {
            if w.shape() != v.shape() {
                return Err(Error::argument(
                    w.path(),
                    format!("shape {}", w.shape()),
                    format!("shape {}", v.shape()),
                ));
            }
        }
        for (w, v) in weights.iter().zip(values) {
            w.assign(&Tensor::from_host(v.clone(), w.get().device())?)?;
        }
        Ok(())
    }
}

impl From<&Model> for LayerRef {
    fn from(model: &Model) -> Self {
        model.layer.clone()
    }
}

impl From<Model> for LayerRef {
    fn from(model: Model) -> Self {
        model.layer
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({:?}, {} parameters)", self.layer, self.count_params())
    }
}

impl keras_spec::Model for Model {
    fn name(&self) -> &str {
        Model::name(self)
    }

    fn weights(&self) -> Vec<Variable> {
        Model::weights(self)
    }

    fn optimizer(&self) -> Option<&Shared<dyn Optimizer>> {
        self.compiled.as_ref().map(|c| &c.optimizer)
    }

    fn stop_training(&mut self) {
        self.stop = true;
    }

    fn save(&self, path: &Path) -> Result<()> {
        Model::save(self, path)
    }

    fn save_weights(&self, path: &Path) -> Result<()> {
        Model::save_weights(self, path)
    }
}
