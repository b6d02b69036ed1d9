//! The contract of a layer.

mod build;
mod call;
mod cell;
mod handle;
mod sharing;
mod size;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::host::HostTensor;
use crate::object::{Config, Object, family};
use crate::policy::DTypePolicy;
use crate::shape::{PartialShape, TensorSpec};
use crate::tensor::Tensor;
use crate::variable::Variable;

pub use build::{Builder, WeightSpec};
pub use call::{Argument, Arguments, Call, Outputs};
pub use cell::Cell;
pub use handle::{LayerExt, LayerRef, auto_name, reset_names, to_snake_case};
pub use sharing::{reading_shared, writing_shared};
pub use size::loading;

/// A computation with weights: what the author of a layer implements.
///
/// A layer is a struct with its constructor arguments as serde fields and [`crate::Weight`] slots for its weights; methods
/// take `&self`. What all layers have in common (name, `trainable`, dtype policy, activity regularizer) is kept by
/// [`LayerRef`], which is also what calls these methods, in the order `make_parts`, `draw_seeds`, `check_inputs`,
/// `build`, `check_inputs`, `call`.
///
/// ```
/// use keras_spec::{Builder, Call, Class, Layer, PartialShape, Result, Tensor, Weight, WeightSpec};
/// use serde::{Deserialize, Serialize};
///
/// /// Multiplies each feature by a number that is learnt.
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// struct Scale {
///     #[serde(skip)]
///     factor: Weight,
/// }
///
/// keras_spec::class!(dyn Layer, Class::of("my_layers", "Scale"), Scale);
///
/// impl Layer for Scale {
///     fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
///         let features = builder.known_dim(&inputs[0], -1)?;
///         builder.weight(&self.factor, WeightSpec::new("factor", [features]).initializer("ones")?)
///     }
///
///     fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
///         Ok(vec![(&inputs[0] * self.factor.value()?)?])
///     }
/// }
/// ```
pub trait Layer: Object {
    /// Makes the layers that this one consists of and that have its dtype policy, such as the cell of an `LSTM`; called once,
    /// when the layer becomes a [`LayerRef`].
    fn make_parts(&self, policy: DTypePolicy) {
        let _ = policy;
    }

    /// The dtype policy where none is given, for layers that have another than the global one.
    fn default_policy(&self) -> Option<DTypePolicy> {
        None
    }

    /// Draws the seeds that the layer's constructor draws in Keras, in that order.
    fn draw_seeds(&self) {}

    /// Refuses inputs that the layer cannot take (Keras's `input_spec`); called before building and before every call.
    ///
    /// # Errors
    /// An error that names the argument, what is expected and what was found.
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// The names of the call's arguments that are inputs, in order, where there are several (`query`, `value`, `key`): a call
    /// may give them by name.
    fn input_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the activity regularizer is for the outputs of layers inside, which [`build`](Layer::build) gives it to, and
    /// not for those of this one.
    fn regularizes_parts(&self) -> bool {
        false
    }

    /// Creates the weights for inputs of these shapes.
    ///
    /// # Errors
    /// If the shapes do not determine the weights.
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let _ = (builder, inputs);
        Ok(())
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// If the inputs do not fit.
    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>>;

    /// Computes the outputs and their masks. Only layers that are made of others, whose masks come from inside, override
    /// this.
    ///
    /// # Errors
    /// If the inputs do not fit.
    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let tensors = self.call(inputs, call)?;
        let mut masks = match self.supports_masking() {
            true => self.compute_mask(inputs, &call.masks)?,
            false => Vec::new(),
        };
        masks.resize(tensors.len(), None);
        Ok(Outputs { tensors, masks })
    }

    /// The shapes and dtypes of the outputs. The default runs [`call`](Layer::call) on shapes only, twice with different
    /// numbers in the place of unknown dimensions: what differs is unknown. (`None` asks for that.)
    ///
    /// # Errors
    /// If the inputs do not fit.
    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let _ = (inputs, call);
        Ok(None)
    }

    /// Whether masks of the inputs reach the outputs (Keras's `supports_masking`).
    fn supports_masking(&self) -> bool {
        false
    }

    /// The masks of the outputs, where [`supports_masking`](Layer::supports_masking). The default passes the inputs' on.
    ///
    /// # Errors
    /// If a mask cannot be computed.
    fn compute_mask(&self, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let _ = inputs;
        Ok(masks.to_vec())
    }

    /// Layers inside this one, as the attributes in which Keras's class has them: what weights, seeds and files are
    /// found by. In the order in which Keras's constructor creates them.
    fn children(&self) -> Vec<Child> {
        Vec::new()
    }

    /// This layer as a cell, if recurrent layers can be made of it.
    fn as_cell(&self) -> Option<&dyn Cell> {
        None
    }

    /// Generators of random numbers that the layer itself has.
    fn seed_generators(&self) -> Vec<crate::random::SeedGenerator> {
        Vec::new()
    }

    /// What files of Keras 3 have in the place of the layer's `own` weights (`save_own_variables`): for each array the weight
    /// that it is loaded into and the value to write. Weights that are not among them are zero once a file is loaded.
    /// `None`, the default, means all as they are.
    ///
    /// # Errors
    /// If a value cannot be computed.
    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        let _ = own;
        Ok(None)
    }

    /// Whether inputs and keyword tensors are cast to the compute dtype (Keras's `autocast`). `Embedding` and `InputLayer`
    /// keep integers anyhow; only floats are cast.
    fn autocast(&self) -> bool {
        true
    }

    /// Changes the complete configuration of `layer` (this one's handle) before it is written, for classes that lack what
    /// all others have, such as `trainable` in `InputLayer`.
    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        let _ = (layer, config);
    }

    /// Arrays that files of Keras 3 have beside the weights, by names that are no numbers (`save_own_variables`), such as
    /// `idf_weights`: what the layer learnt that is no weight.
    ///
    /// # Errors
    /// If an array cannot be computed.
    fn saved_arrays(&self) -> Result<BTreeMap<String, HostTensor>> {
        Ok(BTreeMap::new())
    }

    /// Takes the arrays that a file has beside the weights, as [`saved_arrays`](Layer::saved_arrays) gave them. It is called
    /// for files without any too, once the model has its configuration and its [assets](Layer::load_assets).
    ///
    /// # Errors
    /// If one is missing, or is not what the layer keeps; by default, where there is any.
    fn load_arrays(&self, arrays: &BTreeMap<String, HostTensor>) -> Result<()> {
        match arrays.keys().next() {
            None => Ok(()),
            Some(name) => {
                let why = format!("no arrays beside its weights, found `{name}`");
                Err(Error::config(self.class().name, why))
            }
        }
    }

    /// Takes what Keras keeps beside the configuration in the archive (`load_assets`): files by their names, such as
    /// `vocabulary.txt`.
    ///
    /// # Errors
    /// If the files are not what the layer keeps; by default, since it keeps none.
    fn load_assets(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        Err(Error::config(self.class().name, format!("no files beside the configuration, found {names:?}")))
    }

    /// What files record of the shapes that the layer was built for (`get_build_config`); none where it is not built.
    fn build_config(&self, shapes: &[PartialShape]) -> Option<serde_json::Value> {
        match shapes {
            [] => None,
            [one] => Some(serde_json::json!({ "input_shape": one })),
            _ => Some(serde_json::json!({ "input_shape": shapes })),
        }
    }
}
family!(Layer, "layer");

/// A layer, or several, held in an attribute of another layer.
#[derive(Clone, Debug)]
pub struct Child {
    /// The attribute's name in Keras's class.
    pub attribute: &'static str,
    /// The layers.
    pub layers: Vec<LayerRef>,
    /// Whether the attribute is a list in Keras.
    pub list: bool,
}

impl Child {
    /// A single layer.
    pub fn one(attribute: &'static str, layer: &LayerRef) -> Self {
        Child { attribute, layers: vec![layer.clone()], list: false }
    }

    /// A list of layers.
    pub fn list(attribute: &'static str, layers: &[LayerRef]) -> Self {
        Child { attribute, layers: layers.to_vec(), list: true }
    }
}
