//! What a layer is told in a call beside its inputs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::dtype::DType;
use crate::tensor::Tensor;

/// A keyword argument of a call.
#[derive(Clone, Debug)]
pub enum Argument {
    /// Tensors (`initial_state`).
    Tensors(Vec<Tensor>),
    /// Anything else, as JSON.
    Value(Value),
}

/// Keyword arguments of a call by name.
pub type Arguments = BTreeMap<String, Argument>;

/// The context of a call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Whether the model trains: dropout drops, batch normalisation uses the batch.
    pub training: bool,
    /// One per input: which time steps (or elements) count.
    pub masks: Vec<Option<Tensor>>,
    /// Whether the masks are only what the inputs of a model's graph bear, and were not given for this call: recurrent layers
    /// that are given states do without such a mask, as in Keras 3.
    pub masks_borne: bool,
    /// Further arguments.
    pub arguments: Arguments,
    pub(super) compute_dtype: Option<DType>,
    pub(super) frozen: bool,
    losses: Rc<RefCell<Vec<Tensor>>>,
}

impl Call {
    /// A call for inference.
    pub fn inference() -> Self {
        Call::default()
    }

    /// A call for training.
    pub fn training() -> Self {
        Call { training: true, ..Call::default() }
    }

    /// The mask of input `i`.
    pub fn mask(&self, i: usize) -> Option<&Tensor> {
        self.masks.get(i).and_then(Option::as_ref)
    }

    /// The dtype that the layer computes in: that of its policy.
    pub fn compute_dtype(&self) -> DType {
        self.compute_dtype.unwrap_or(DType::F32)
    }

    /// Whether the layer that is called is not to be trained (`trainable=False`).
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The tensors of a keyword argument; none if it was not given.
    pub fn tensors(&self, name: &str) -> &[Tensor] {
        match self.arguments.get(name) {
            Some(Argument::Tensors(t)) => t,
            _ => &[],
        }
    }

    /// A keyword argument that is not a tensor.
    pub fn value(&self, name: &str) -> Option<&Value> {
        match self.arguments.get(name) {
            Some(Argument::Value(v)) => Some(v),
            _ => None,
        }
    }

    /// This call with tensors as a keyword argument.
    #[must_use]
    pub fn with_tensors(mut self, name: &str, tensors: Vec<Tensor>) -> Self {
        self.arguments.insert(name.to_owned(), Argument::Tensors(tensors));
        self
    }

    /// This call with masks for the inputs.
    #[must_use]
    pub fn with_masks(mut self, masks: Vec<Option<Tensor>>) -> Self {
        self.masks = masks;
        self
    }

    /// A call of a layer inside this one: the same mode and losses, no masks or arguments.
    #[must_use]
    pub fn inner(&self) -> Self {
        Call { training: self.training, losses: self.losses.clone(), ..Call::default() }
    }

    /// Adds a scalar to what training minimises (`Layer.add_loss`).
    pub fn add_loss(&self, loss: Tensor) {
        self.losses.borrow_mut().push(loss);
    }

    /// How many losses there are so far.
    pub(crate) fn loss_count(&self) -> usize {
        self.losses.borrow().len()
    }

    /// Adds losses before those that were added since there were `count`.
    pub(crate) fn add_losses_before(&self, count: usize, losses: Vec<Tensor>) {
        self.losses.borrow_mut().splice(count..count, losses);
    }

    /// Everything added by [`add_loss`](Call::add_loss) in this call and calls inside it. What an activity regularizer
    /// gives stands before the losses of layers inside, as in Keras's `Layer.losses`.
    pub fn losses(&self) -> Vec<Tensor> {
        self.losses.borrow().clone()
    }
}

/// What a layer gives back.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// A mask for each.
    pub masks: Vec<Option<Tensor>>,
}
