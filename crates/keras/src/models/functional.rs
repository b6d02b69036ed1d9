//! Models made of symbolic calls.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use keras_spec::layer::{Argument, Arguments, Child, Outputs};
use keras_spec::object::Class;
use keras_spec::{
    Builder, Call, Config, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor, TensorSpec,
};

use super::graph::{Arg, KerasTensor, Node, own_names};
use super::input::{Input, compatible, input_tensor};
use super::operation::{OPERANDS, Operation};

/// How a model's inputs or outputs are arranged.
#[derive(Clone, Debug, PartialEq)]
pub enum Structure {
    /// A single tensor.
    One,
    /// A list.
    List,
    /// A dictionary with these keys.
    Dict(Vec<String>),
}

/// A model that is a graph of layers (`keras.Model(inputs, outputs)`, Keras 3.15.1); as a layer, part of another model.
pub struct Functional {
    inputs: Vec<KerasTensor>,
    outputs: Vec<KerasTensor>,
    input_structure: Structure,
    output_structure: Structure,
    operations: Vec<LayerRef>,
    layers: Vec<LayerRef>,
    nodes: Vec<Arc<Node>>,
    steps: Vec<Step>,
    output_slots: Vec<usize>,
    slots: usize,
}

/// A node with its tensors as numbers of slots, so that a run looks nothing up.
struct Step {
    layer: LayerRef,
    inputs: Vec<Slot>,
    mask: Mask,
    keywords: Vec<(String, Keyword)>,
    outputs: std::ops::Range<usize>,
}

/// The argument `mask` of a call.
#[derive(Clone, Copy)]
enum Mask {
    /// There is none: what the inputs bear.
    Borne,
    /// A tensor, for the first input.
    Given(Slot),
}

enum Keyword {
    Tensors(Vec<Slot>),
    Value(serde_json::Value),
}

#[derive(Clone, Copy)]
struct Slot {
    index: usize,
    /// Nobody reads it after this.
    last: bool,
}

/// The name of the argument that masks are given by.
const MASK: &str = "mask";

type Value = (Tensor, Option<Tensor>);

pub(crate) const CLASS: Class =
    Class { module: "keras.src.models.functional", name: "Functional", built_in: true };

impl Functional {
    /// The graph that leads from `inputs` to `outputs`.
    ///
    /// # Errors
    /// If an output depends on an input that is not given, or two layers have one name.
    pub fn new(
        inputs: Vec<KerasTensor>,
        input_structure: Structure,
        outputs: Vec<KerasTensor>,
        output_structure: Structure,
    ) -> Result<Self> {
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Error::argument("inputs", "at least one input and one output", "none"));
        }
        let (inputs, outputs) = begin_at_inputs(inputs, outputs)?;
        let (nodes, operations) = map_graph(&inputs, &outputs)?;
        let is_layer = |l: &&LayerRef| l.downcast::<Operation>().is_none();
        let layers = operations.iter().filter(is_layer).cloned().collect();
        let mut model = Functional {
            inputs,
            outputs,
            input_structure,
            output_structure,
            operations,
            layers,
            nodes,
            steps: Vec::new(),
            output_slots: Vec::new(),
            slots: 0,
        };
        model.plan();
        Ok(model)
    }

    /// The symbolic inputs.
    pub fn inputs(&self) -> &[KerasTensor] {
        &self.inputs
    }

    /// The symbolic outputs.
    pub fn outputs(&self) -> &[KerasTensor] {
        &self.outputs
    }

    /// How inputs are arranged.
    pub fn input_structure(&self) -> &Structure {
        &self.input_structure
    }

    /// How outputs are arranged.
    pub fn output_structure(&self) -> &Structure {
        &self.output_structure
    }

    /// The layers and the operations between them in Keras's order: by depth, then by the order in which a walk from the
    /// outputs meets them.
    pub fn operations(&self) -> &[LayerRef] {
        &self.operations
    }

    /// The layers in the order of [`operations`](Functional::operations).
    pub fn layers(&self) -> &[LayerRef] {
        &self.layers
    }

    /// The calls in an order in which each comes after those it depends on.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    fn plan(&mut self) {
        let mut slot_of: HashMap<(u64, usize), usize> = HashMap::new();
        for t in &self.inputs {
            let n = slot_of.len();
            slot_of.entry(t.key()).or_insert(n);
        }
        let mut slots = self.inputs.len();
        for node in self.nodes.iter().filter(|n| !n.is_input()) {
            let first = slots;
            for t in KerasTensor::all(node) {
                slot_of.insert(t.key(), slots);
                slots += 1;
            }
            let slot = |t: &&KerasTensor| Slot { index: slot_of[&t.key()], last: false };
            let is_layer = node.layer().downcast::<Operation>().is_none();
            let mask = match node.keywords().get(MASK).filter(|_| is_layer) {
                Some(Arg::Tensor(t)) => Mask::Given(slot(&t)),
                _ => Mask::Borne,
            };
            let keywords = node.keywords().iter().map(|(name, arg)| {
                let mut tensors = Vec::new();
                arg.collect(&mut tensors);
                let keyword = match arg {
                    Arg::Value(v) => Keyword::Value(v.clone()),
                    _ => Keyword::Tensors(tensors.iter().map(slot).collect()),
                };
                (name.clone(), keyword)
            });
            let form = node.form().map(|form| (OPERANDS.to_owned(), Keyword::Value(form)));
            self.steps.push(Step {
                layer: node.layer().clone(),
                inputs: node.positional().iter().map(slot).collect(),
                mask,
                keywords: keywords.chain(form).collect(),
                outputs: first..slots,
            });
        }
        self.slots = slots;
        self.output_slots = self.outputs.iter().map(|t| slot_of[&t.key()]).collect();
        let mut read: HashSet<usize> = self.output_slots.iter().copied().collect();
        for step in self.steps.iter_mut().rev() {
            let keywords = step.keywords.iter_mut().flat_map(|(_, k)| match k {
                Keyword::Tensors(slots) => slots.iter_mut(),
                Keyword::Value(_) => [].iter_mut(),
            });
            let mask = match &mut step.mask {
                Mask::Given(slot) => Some(slot),
                Mask::Borne => None,
            };
            let mut all: Vec<&mut Slot> = step.inputs.iter_mut().chain(mask).chain(keywords).collect();
            all.reverse();
            for slot in all {
                slot.last = read.insert(slot.index);
            }
        }
    }

    fn run(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let mut values: Vec<Option<Value>> = vec![None; self.slots];
        for (i, tensor) in self.fit_inputs(inputs)?.into_iter().enumerate() {
            values[i] = Some((tensor, call.mask(i).cloned()));
        }
        for step in &self.steps {
            let mut inner = call.inner();
            let mut tensors = Vec::with_capacity(step.inputs.len());
            for slot in &step.inputs {
                let (tensor, mask) = read(&mut values, *slot)?;
                tensors.push(tensor);
                inner.masks.push(mask);
            }
            inner.masks_borne = matches!(step.mask, Mask::Borne);
            if let (Mask::Given(slot), Some(first)) = (step.mask, inner.masks.first_mut()) {
                *first = Some(read(&mut values, slot)?.0);
            }
            inner.arguments = step.arguments(&mut values)?;
            // The layer casts what it reads, which would leave a second handle here.
            let outputs = step.layer.call(&tensors, &inner)?;
            drop(tensors);
            if outputs.tensors.len() != step.outputs.len() {
                let found = format!("{} outputs", outputs.tensors.len());
                return Err(Error::argument(step.layer.name(), format!("{}", step.outputs.len()), found));
            }
            for (slot, value) in step.outputs.clone().zip(outputs.tensors.into_iter().zip(outputs.masks)) {
                values[slot] = Some(value);
            }
        }
        let mut out = Outputs { tensors: Vec::new(), masks: Vec::new() };
        for &index in &self.output_slots {
            let (tensor, mask) = read(&mut values, Slot { index, last: false })?;
            out.tensors.push(tensor);
            out.masks.push(mask);
        }
        Ok(out)
    }

    /// Casts inputs to the dtypes and, where a dimension of length 1 is missing or too many, to the ranks of the model's
    /// own.
    fn fit_inputs(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        if inputs.len() != self.inputs.len() {
            let expected = format!("{} tensors", self.inputs.len());
            return Err(Error::argument("inputs", expected, format!("{} tensors", inputs.len())));
        }
        let fit = |(t, input): (&Tensor, &KerasTensor)| {
            let expected = input.shape();
            let last_is_one = |dims: Option<usize>| dims == Some(1);
            let t = if t.rank() == expected.rank() + 1 && last_is_one(t.shape().last().copied()) {
                t.squeeze(-1)?
            } else if t.rank() + 1 == expected.rank() && last_is_one(expected.last().copied().flatten()) {
                t.expand_dims(-1)?
            } else {
                t.clone()
            };
            if !compatible(expected, &t.shape().into()) {
                let name = format!("inputs (`{}`)", input.node().layer().name());
                return Err(Error::argument(
                    name,
                    format!("shape {expected}"),
                    format!("shape {}", t.shape()),
                ));
            }
            t.into_dtype(input.dtype())
        };
        inputs.iter().zip(&self.inputs).map(fit).collect()
    }
}

impl Step {
    fn arguments(&self, values: &mut [Option<Value>]) -> Result<Arguments> {
        let mut arguments = Arguments::new();
        for (name, keyword) in &self.keywords {
            let argument = match keyword {
                Keyword::Value(v) => Argument::Value(v.clone()),
                Keyword::Tensors(slots) => {
                    let tensors = slots.iter().map(|&s| read(values, s).map(|v| v.0));
                    Argument::Tensors(tensors.collect::<Result<_>>()?)
                }
            };
            arguments.insert(name.clone(), argument);
        }
        Ok(arguments)
    }
}

fn read(values: &mut [Option<Value>], slot: Slot) -> Result<Value> {
    let place = &mut values[slot.index];
    let value = if slot.last { place.take() } else { place.clone() };
    value.ok_or_else(|| Error::other("a graph is run in the wrong order"))
}

/// Replaces inputs that are not an [`Input`]'s by new ones, and everything computed from them by calls on those.
fn begin_at_inputs(
    inputs: Vec<KerasTensor>,
    outputs: Vec<KerasTensor>,
) -> Result<(Vec<KerasTensor>, Vec<KerasTensor>)> {
    if inputs.iter().all(|t| t.node().is_input()) {
        return Ok((inputs, outputs));
    }
    let mut replaced: HashMap<(u64, usize), KerasTensor> = HashMap::new();
    let mut begun = Vec::with_capacity(inputs.len());
    for t in &inputs {
        let new = if t.node().is_input() {
            t.clone()
        } else {
            let input = Input::with_batch_shape(t.shape().clone()).dtype(t.dtype());
            input_tensor(&input.into())?
        };
        replaced.insert(t.key(), new.clone());
        begun.push(new);
    }
    let nodes = in_order(&inputs, &outputs)?.0;
    for node in nodes.iter().filter(|n| !n.is_input()) {
        let mut swap = |t: &KerasTensor| replaced.get(&t.key()).unwrap_or(t).clone();
        let arguments = node.arguments().iter().map(|a| a.map(&mut swap)).collect();
        let keywords = node.keywords().iter().map(|(n, a)| (n.clone(), a.map(&mut swap))).collect();
        let new = Node::new(node.layer(), arguments, keywords)?;
        for (old, new) in KerasTensor::all(node).iter().zip(KerasTensor::all(&new)) {
            replaced.entry(old.key()).or_insert(new);
        }
    }
    let outputs = outputs.iter().map(|t| replaced.get(&t.key()).unwrap_or(t).clone()).collect();
    Ok((begun, outputs))
}

/// Nodes from inputs to outputs, and the order in which a walk from the outputs first meets each layer.
fn in_order(inputs: &[KerasTensor], outputs: &[KerasTensor]) -> Result<(Vec<Arc<Node>>, Vec<LayerRef>)> {
    enum Visit {
        Enter(KerasTensor),
        Leave(Arc<Node>),
    }
    let given: HashSet<(u64, usize)> = inputs.iter().map(KerasTensor::key).collect();
    let mut seen: HashSet<u64> = HashSet::new();
    let mut order = Vec::new();
    let mut met: Vec<LayerRef> = Vec::new();
    let mut met_ids = HashSet::new();
    for output in outputs {
        let mut pending = vec![Visit::Enter(output.clone())];
        while let Some(visit) = pending.pop() {
            match visit {
                Visit::Leave(node) => order.push(node),
                Visit::Enter(t) => {
                    let node = t.node();
                    if seen.contains(&node.id()) || (!node.is_input() && given.contains(&t.key())) {
                        continue;
                    }
                    seen.insert(node.id());
                    if node.is_input() && !given.contains(&t.key()) {
                        let expected =
                            format!("all inputs that the outputs depend on, `{}` too", node.layer().name());
                        return Err(Error::argument("inputs", expected, format!("{inputs:?}")));
                    }
                    if met_ids.insert(node.layer().id()) {
                        met.push(node.layer().clone());
                    }
                    pending.push(Visit::Leave(node.clone()));
                    pending.extend(node.tensors().into_iter().rev().map(|t| Visit::Enter(t.clone())));
                }
            }
        }
    }
    Ok((order, met))
}

/// Nodes in the order of execution, and layers in the order of Keras (`map_graph`, Keras 3.15.1).
fn map_graph(inputs: &[KerasTensor], outputs: &[KerasTensor]) -> Result<(Vec<Arc<Node>>, Vec<LayerRef>)> {
    let (mut order, mut met) = in_order(inputs, outputs)?;
    let mut node_depth: HashMap<u64, usize> = HashMap::new();
    let mut layer_depth: Vec<(LayerRef, usize)> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    for node in order.iter().rev() {
        let own = node_depth.get(&node.id()).copied().unwrap_or(0);
        let place = *places.entry(node.layer().id()).or_insert_with(|| {
            layer_depth.push((node.layer().clone(), 0));
            layer_depth.len() - 1
        });
        let depth = own.max(layer_depth[place].1);
        layer_depth[place].1 = depth;
        node_depth.insert(node.id(), depth);
        for t in node.tensors() {
            let below = node_depth.entry(t.node().id()).or_insert(0);
            *below = (*below).max(depth + 1);
        }
    }
    // An input that nothing reads is still an input.
    let mut known: HashSet<u64> = order.iter().map(|n| n.id()).collect();
    let unread = inputs.iter().map(KerasTensor::node).filter(|node| known.insert(node.id()));
    let unread: Vec<Arc<Node>> = unread.rev().cloned().collect();
    layer_depth.extend(unread.iter().rev().map(|node| (node.layer().clone(), 0)));
    met.splice(0..0, unread.iter().map(|node| node.layer().clone()));
    order.splice(0..0, unread);
    let met_at: HashMap<usize, usize> = met.iter().enumerate().rev().map(|(at, l)| (l.id(), at)).collect();
    layer_depth.sort_by_key(|(layer, depth)| (std::cmp::Reverse(*depth), met_at.get(&layer.id()).copied()));
    let layers: Vec<LayerRef> = layer_depth.into_iter().map(|(l, _)| l).collect();
    own_names(&layers)?;
    Ok((order, layers))
}

impl fmt::Debug for Functional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Functional({:?} -> {:?})", self.inputs, self.outputs)
    }
}

impl Object for Functional {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        super::config::functional_config(self)
    }
}

impl Layer for Functional {
    fn build(&self, _builder: &mut Builder, _inputs: &[PartialShape]) -> Result<()> {
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        self.run(inputs, call).map(|o| o.tensors)
    }

    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        self.run(inputs, call)
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let same = inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).all(|(a, b)| a.shape == *b.shape());
        Ok(same.then(|| self.outputs.iter().map(|t| t.spec().clone()).collect()))
    }

    fn children(&self) -> Vec<Child> {
        vec![Child::list("layers", &self.layers)]
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.remove("dtype");
    }

    fn build_config(&self, _shapes: &[PartialShape]) -> Option<serde_json::Value> {
        None
    }
}
