//! Symbolic tensors: calling layers before there are numbers.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keras_spec::layer::Argument;
use keras_spec::{Call, DType, Error, LayerRef, PartialShape, Result, Tensor, TensorSpec};
use serde_json::Value;

use super::operation::{OPERANDS, Operation};

/// A tensor of which only shape, dtype and origin are known (`keras.KerasTensor`): what functional models are made of.
#[derive(Clone)]
pub struct KerasTensor {
    node: Arc<Node>,
    index: usize,
}

/// One call of a layer on symbolic tensors.
pub struct Node {
    id: u64,
    layer: LayerRef,
    arguments: Vec<Arg>,
    keywords: BTreeMap<String, Arg>,
    outputs: Vec<TensorSpec>,
}

/// An argument of a symbolic call.
#[derive(Clone, Debug)]
pub enum Arg {
    /// A symbolic tensor.
    Tensor(KerasTensor),
    /// A list of arguments.
    List(Vec<Arg>),
    /// Anything else, as JSON.
    Value(Value),
}

impl Arg {
    /// Adds the tensors in it to `out`, in order.
    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a KerasTensor>) {
        match self {
            Arg::Tensor(t) => out.push(t),
            Arg::List(list) => list.iter().for_each(|a| a.collect(out)),
            Arg::Value(_) => {}
        }
    }

    /// The same argument with each tensor replaced.
    pub(crate) fn map(&self, replace: &mut impl FnMut(&KerasTensor) -> KerasTensor) -> Arg {
        match self {
            Arg::Tensor(t) => Arg::Tensor(replace(t)),
            Arg::List(list) => Arg::List(list.iter().map(|a| a.map(replace)).collect()),
            Arg::Value(v) => Arg::Value(v.clone()),
        }
    }
}

impl Drop for Node {
    /// Drops the calls that only this one needs one after the other: a long chain would take a stack as deep as it is long.
    fn drop(&mut self) {
        fn take(node: &mut Node, out: &mut Vec<Arg>) {
            out.append(&mut node.arguments);
            out.extend(std::mem::take(&mut node.keywords).into_values());
        }
        let mut pending = Vec::new();
        take(self, &mut pending);
        while let Some(argument) = pending.pop() {
            match argument {
                Arg::Tensor(tensor) => {
                    if let Some(mut node) = Arc::into_inner(tensor.node) {
                        take(&mut node, &mut pending);
                    }
                }
                Arg::List(list) => pending.extend(list),
                Arg::Value(_) => {}
            }
        }
    }
}

/// Refuses two layers of one name.
pub(super) fn own_names(layers: &[LayerRef]) -> Result<()> {
    let mut names = HashSet::new();
    match layers.iter().find(|l| !names.insert(l.name())) {
        None => Ok(()),
        Some(twice) => {
            let found = format!("`{}` twice", twice.name());
            Err(Error::argument("name", "a name of its own for each layer", found))
        }
    }
}

impl Node {
    /// Records the call of `layer` and infers the outputs' shapes.
    ///
    /// # Errors
    /// If the inputs do not fit the layer.
    pub(crate) fn new(
        layer: &LayerRef,
        mut arguments: Vec<Arg>,
        mut keywords: BTreeMap<String, Arg>,
    ) -> Result<Arc<Self>> {
        let names = layer.layer().input_names();
        if let ([Arg::List(inputs)], false) = (&arguments[..], names.is_empty()) {
            arguments = inputs.clone();
        }
        for &name in names.iter().skip(arguments.len()) {
            match keywords.remove(name) {
                Some(input @ (Arg::Tensor(_) | Arg::List(_))) => arguments.push(input),
                _ => break,
            }
        }
        let mut node = Node { id: next_id(), layer: layer.clone(), arguments, keywords, outputs: Vec::new() };
        let inputs: Vec<TensorSpec> = node.positional().iter().map(|t| t.spec().clone()).collect();
        let mut call = Call::inference();
        for (name, argument) in &node.keywords {
            let mut tensors = Vec::new();
            argument.collect(&mut tensors);
            let value = match argument {
                Arg::Value(v) => Argument::Value(v.clone()),
                _ => Argument::Tensors(placeholders(&tensors)?),
            };
            call.arguments.insert(name.clone(), value);
        }
        if let Some(form) = node.form() {
            call.arguments.insert(OPERANDS.to_owned(), Argument::Value(form));
        }
        node.outputs = layer.output_spec(&inputs, &call)?;
        Ok(Arc::new(node))
    }

    /// The call of an input layer, which has no inputs.
    pub(crate) fn input(layer: &LayerRef, spec: TensorSpec) -> Arc<Self> {
        Arc::new(Node {
            id: next_id(),
            layer: layer.clone(),
            arguments: Vec::new(),
            keywords: BTreeMap::new(),
            outputs: vec![spec],
        })
    }

    /// Greater than that of every node made before.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The layer that is called.
    pub fn layer(&self) -> &LayerRef {
        &self.layer
    }

    /// The positional arguments.
    pub(crate) fn arguments(&self) -> &[Arg] {
        &self.arguments
    }

    /// The keyword arguments.
    pub(crate) fn keywords(&self) -> &BTreeMap<String, Arg> {
        &self.keywords
    }

    /// What an operation is given beside tensors, as an argument of the call.
    pub(super) fn form(&self) -> Option<Value> {
        self.layer.downcast::<Operation>().and_then(|_| Operation::form(&self.arguments))
    }

    /// Shapes and dtypes of the results.
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// The tensors among the positional arguments: the layer's inputs.
    pub fn positional(&self) -> Vec<&KerasTensor> {
        let mut out = Vec::new();
        self.arguments.iter().for_each(|a| a.collect(&mut out));
        out
    }

    /// All tensors that the call reads.
    pub fn tensors(&self) -> Vec<&KerasTensor> {
        let mut out = self.positional();
        self.keywords.values().for_each(|a| a.collect(&mut out));
        out
    }

    /// Whether this is the call of an input layer.
    pub(crate) fn is_input(&self) -> bool {
        self.arguments.is_empty() && self.keywords.is_empty()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Tensors without elements for keyword tensors while shapes are inferred.
fn placeholders(tensors: &[&KerasTensor]) -> Result<Vec<Tensor>> {
    let device = keras_spec::Device::default_device()?;
    keras_spec::scope::abstractly(|| {
        tensors.iter().map(|t| Tensor::full(t.shape().filled(1), t.dtype(), 0.0, &device)).collect()
    })
}

impl KerasTensor {
    /// Result `index` of a call.
    pub(crate) fn new(node: &Arc<Node>, index: usize) -> Self {
        KerasTensor { node: node.clone(), index }
    }

    /// Every result of a call.
    pub(crate) fn all(node: &Arc<Node>) -> Vec<Self> {
        (0..node.outputs.len()).map(|i| KerasTensor::new(node, i)).collect()
    }

    /// The shape and dtype.
    pub fn spec(&self) -> &TensorSpec {
        &self.node.outputs[self.index]
    }

    /// The shape, with the batch dimension.
    pub fn shape(&self) -> &PartialShape {
        &self.spec().shape
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        self.spec().dtype
    }

    /// The call that it is a result of.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Which result of the call it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What tells it from all others.
    pub(crate) fn key(&self) -> (u64, usize) {
        (self.node.id, self.index)
    }
}

impl fmt::Debug for KerasTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KerasTensor({}, {}, {:?})", self.shape(), self.dtype(), self.node.layer)
    }
}

/// What a layer can be applied to: one symbolic tensor, or a list of them.
pub trait Inputs {
    /// The first argument of the call.
    fn argument(self) -> Arg;
}

impl Inputs for &KerasTensor {
    fn argument(self) -> Arg {
        Arg::Tensor(self.clone())
    }
}

impl Inputs for KerasTensor {
    fn argument(self) -> Arg {
        Arg::Tensor(self)
    }
}

impl<const N: usize> Inputs for [&KerasTensor; N] {
    fn argument(self) -> Arg {
        Arg::List(self.into_iter().map(Inputs::argument).collect())
    }
}

impl Inputs for &[KerasTensor] {
    fn argument(self) -> Arg {
        Arg::List(self.iter().map(Inputs::argument).collect())
    }
}

impl Inputs for &Vec<KerasTensor> {
    fn argument(self) -> Arg {
        self.as_slice().argument()
    }
}

/// Applying layers to symbolic tensors: Keras's `layer(x)`.
///
/// ```
/// use keras::prelude::*;
///
/// let x = Input::new([8]).tensor()?;
/// let shared = LayerRef::from(Dense::new(4));
/// let a = shared.apply(&x)?;
/// let y = Add::new().apply([&a, &Dense::new(4).apply(&x)?])?;
/// let model = keras::Model::new(&[x], &[y])?;
/// # Ok::<(), keras::Error>(())
/// ```
pub trait Apply: Into<LayerRef> {
    /// The only (or first) output of the layer on `inputs`.
    ///
    /// # Errors
    /// If the inputs do not fit the layer.
    fn apply(self, inputs: impl Inputs) -> Result<KerasTensor> {
        self.apply_all(inputs, [])?.into_iter().next().ok_or_else(|| Error::other("the layer has no output"))
    }

    /// Every output of the layer on `inputs`, with keyword arguments (`initial_state`).
    ///
    /// # Errors
    /// If the inputs do not fit the layer.
    fn apply_all<'a>(
        self,
        inputs: impl Inputs,
        keywords: impl IntoIterator<Item = (&'a str, Arg)>,
    ) -> Result<Vec<KerasTensor>> {
        let layer: LayerRef = self.into();
        let keywords = keywords.into_iter().map(|(name, arg)| (name.to_owned(), arg)).collect();
        Ok(KerasTensor::all(&Node::new(&layer, vec![inputs.argument()], keywords)?))
    }
}

impl<L: Into<LayerRef>> Apply for L {}
