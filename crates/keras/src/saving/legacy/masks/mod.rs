//! Masks in the graphs of Keras 1 and 2, which go other ways than Keras 3's.
//!
//! - Merging layers of Keras 3 leave masked elements out of products and extremes, and let a step count that counts in any input
//!   if all have masks. Before, no value depended on a mask, and a step counted where it did in all inputs that have one.
//! - Keras 3 leaves a mask out beside an `initial_state`.
//! - At masked steps before the first that counts, and as the last output where no step counts, recurrent layers of Keras 2.3,
//!   tf.keras, tf-keras, and all Keras on Theano give zeros. Up to 2.2 Keras on TensorFlow gave the initial state, as Keras 3 does
//!   on JAX; Keras 3 on TensorFlow gives zeros. The states are the same everywhere. (Seen in Keras 2.2.4, 2.3.1 and tf-keras
//!   2.21, for `SimpleRNN`, `GRU` and `LSTM`, forwards and backwards; with `unroll` all of them give zeros. Theano: read from
//!   its `rnn`.)
//!
//! Where that makes a difference, the mask becomes operations of the graph, and is given to calls as an argument.

mod directions;

use std::collections::{BTreeSet, HashMap, HashSet};

use keras_spec::{Config, Error, Result};
use serde_json::{Value, json};

use super::Report;
use super::operations::{Operations, Place};
use crate::models::is_operation;

/// Layers of several inputs; `Concatenate` beside them.
const MERGING: [&str; 6] = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"];

/// Those of them whose values depend on masks in Keras 3, and `Concatenate`, which Keras 3.15.1 may not load on inputs with masks: it
/// names the operations for its own mask `concatenate` and so on, as old layers are named; and along steps it takes what a model
/// within a model gives for unmasked.
const BY_MASK: [&str; 4] = ["Multiply", "Maximum", "Minimum", "Concatenate"];

/// Layers that hand on the mask of their input if they return sequences.
const RECURRENT: [&str; 8] =
    ["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"];

/// Layers that hand on the mask of their input, in Keras 2 and 3.
const HAND_ON: [&str; 19] = [
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "LayerNormalization",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Softmax",
    "SpatialDropout1D",
    "ThresholdedReLU",
    "TimeDistributed",
    "UnitNormalization",
];

/// Layers whose outputs have no mask.
const END: [&str; 7] = ["Dot", "Flatten", "Lambda", "Permute", "RepeatVector", "Reshape", "InputLayer"];

/// Graphs in which more masks meet are refused: thousands of layers that all hand on the masks of all before.
const MAX_MEETING: usize = 1 << 18;

/// The tensors whose layers make the masks that meet in one: a step counts where it does in all.
type Sources = BTreeSet<Place>;

/// What the program that wrote a model made of masked steps.
#[derive(Clone, Copy)]
pub(super) struct Then {
    /// Outputs before the first step that counts were zeros, and not the initial state.
    pub(super) zeros: bool,
    /// `Bidirectional` layers repeated the last output, as before Keras 2.4.
    pub(super) repeated: bool,
}

/// Makes a model's masks what they were before Keras 3. `value` is a model in the form of Keras 3, `masked` whether it is called
/// on a tensor with a mask.
///
/// # Errors
/// More masks meet than in any model, or one that is needed cannot be had as a tensor.
pub(super) fn keep(model: &mut Value, masked: bool, then: Then, report: &mut Report) -> Result<()> {
    match model["class_name"].as_str() {
        Some("Functional") => {
            let Some(config) = model.get_mut("config").and_then(Value::as_object_mut) else { return Ok(()) };
            Pass::new(config, masked, then).run(config, report)
        }
        Some("Sequential") => {
            let layers = model.pointer_mut("/config/layers").and_then(Value::as_array_mut);
            let mut masked = masked;
            for layer in layers.into_iter().flatten() {
                keep(layer, masked, then, report)?;
                masked = match effect(layer) {
                    Effect::Makes => true,
                    Effect::HandsOn => masked,
                    Effect::Ends => false,
                    Effect::Unknown => masked || makes_masks(layer),
                };
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a layer of one input does with its mask.
enum Effect {
    Makes,
    HandsOn,
    Ends,
    /// Perhaps it makes another one.
    Unknown,
}

/// Whether an argument of a layer, or of one that it wraps, is true.
pub(super) fn says(layer: &Value, argument: &str) -> bool {
    let at = |place: &str| layer.pointer(&format!("{place}/{argument}")).is_some_and(|v| v == true);
    at("/config") || at("/config/layer/config")
}

fn effect(layer: &Value) -> Effect {
    let class = class(layer);
    match class {
        "Masking" => Effect::Makes,
        "Embedding" if says(layer, "mask_zero") => Effect::Makes,
        _ if RECURRENT.contains(&class) && says(layer, "return_sequences") => Effect::HandsOn,
        _ if HAND_ON.contains(&class) => Effect::HandsOn,
        _ if END.contains(&class) || RECURRENT.contains(&class) => Effect::Ends,
        _ if class.contains("Pooling") || class.starts_with("Conv") || is_operation(layer) => Effect::Ends,
        _ => Effect::Unknown,
    }
}

/// Whether there is a layer in a model that masks steps.
pub(super) fn makes_masks(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(makes_masks),
        Value::Object(map) => {
            map.get("class_name").is_some_and(|c| c == "Masking")
                || map.get("mask_zero").is_some_and(|m| m == true)
                || map.values().any(makes_masks)
        }
        _ => false,
    }
}

/// The way of the masks through one graph.
struct Pass {
    graph: Operations,
    masked: bool,
    then: Then,
    sources: HashMap<Place, Sources>,
    meeting: usize,
    /// Masks that there are as tensors.
    tensors: HashMap<Sources, Value>,
    /// What takes the place of a tensor.
    replaced: HashMap<Place, Value>,
    /// What takes the place of tensors among the outputs, where calls read it already.
    ends: HashMap<Place, Value>,
    /// How `Bidirectional` layers merged their directions which now give both.
    merge_modes: HashMap<usize, Option<String>>,
    /// The layers that replace tensors, and themselves read them.
    readers: HashSet<String>,
    /// Models in the graph that are called on tensors with masks.
    called_on_masks: HashSet<usize>,
}

impl Pass {
    fn new(config: &mut Config, masked: bool, then: Then) -> Self {
        let layers = match config.get_mut("layers") {
            Some(Value::Array(layers)) => std::mem::take(layers),
            _ => Vec::new(),
        };
        Pass {
            graph: Operations::of(layers),
            masked,
            then,
            sources: HashMap::new(),
            meeting: 0,
            tensors: HashMap::new(),
            replaced: HashMap::new(),
            ends: HashMap::new(),
            merge_modes: HashMap::new(),
            readers: HashSet::new(),
            called_on_masks: HashSet::new(),
        }
    }

    fn run(mut self, config: &mut Config, report: &mut Report) -> Result<()> {
        self.part(report);
        for (layer, call) in in_order(self.graph.layers_mut()) {
            self.pass(layer, call, report)?;
        }
        for (index, layer) in self.graph.layers_mut().iter_mut().enumerate() {
            keep(layer, self.called_on_masks.contains(&index), self.then, report)?;
        }
        let mut layers = self.graph.finish();
        if !self.replaced.is_empty() {
            for layer in layers.iter_mut().filter(|l| !self.readers.contains(name(l))) {
                replace(&mut layer["inbound_nodes"], &self.replaced);
            }
            config.get_mut("output_layers").into_iter().for_each(|ends| replace(ends, &self.replaced));
        }
        config.get_mut("output_layers").into_iter().for_each(|ends| replace(ends, &self.ends));
        config.insert("layers".to_owned(), layers.into());
        Ok(())
    }

    /// Follows the masks through one call.
    fn pass(&mut self, index: usize, call: usize, report: &mut Report) -> Result<()> {
        let layer = &self.graph.layers_mut()[index];
        let (class, name) = (class(layer).to_owned(), name(layer).to_owned());
        let node = layer.pointer(&format!("/inbound_nodes/{call}")).cloned().unwrap_or_default();
        let mut inputs = Vec::new();
        places(&node["args"], &mut inputs);
        let none = Sources::new();
        let masks: Vec<Sources> =
            inputs.iter().map(|i| self.sources.get(i).unwrap_or(&none).clone()).collect();
        let place: Place = (name.clone(), call, 0);
        let masked = masks.iter().any(|sources| !sources.is_empty());
        let makes = makes_masks(layer);
        if class == "InputLayer" {
            if self.masked && self.graph.rank(&place)? == 3 {
                self.bear(place.clone(), Sources::from([place]), &class)?;
            }
            return Ok(());
        }
        let merges = MERGING.contains(&&*class) || class == "Concatenate";
        // An operation of that name says its module; what `Merge` of Keras 1 became may say nothing that tells it from one.
        let operation = layer.get("module").is_some() && is_operation(layer);
        if merges && masked && !operation {
            self.graph.layers_mut()[index]["module"] = "keras.layers".into();
        }
        let layer = &self.graph.layers_mut()[index];
        if merges && !operation && (class != "Concatenate" || along_features(layer)) {
            return if masked { self.merge(index, call, &masks, report) } else { Ok(()) };
        }
        // Along steps: without a mask for each input old programs failed.
        if class == "Concatenate" && !operation && masks.iter().all(|sources| !sources.is_empty()) {
            let parts = masks.iter().map(|sources| {
                let mask = self.mask(sources)?;
                mask.ok_or_else(|| Error::config(&*class, format!("`{name}`: an input without a mask")))
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let joined = self.graph.one_after_the_other(format!("{name}.mask.{call}"), parts);
            let sources = Sources::from([place]);
            self.tensors.insert(sources.clone(), joined);
            return self.wrap(index, call, &masks, sources, report);
        }
        if self.merge_modes.contains_key(&index) {
            return self.repeat(index, call, masks.first().unwrap_or(&none), report);
        }
        let layer = &self.graph.layers_mut()[index];
        match effect(layer) {
            Effect::Makes => self.bear(place.clone(), Sources::from([place]), &class),
            Effect::Ends if RECURRENT.contains(&&*class) => self.heed(index, call, masks.first(), report),
            Effect::Ends => Ok(()),
            Effect::HandsOn => {
                if RECURRENT.contains(&&*class) {
                    self.heed(index, call, masks.first(), report)?;
                }
                self.bear(place, masks.first().cloned().unwrap_or_default(), &class)
            }
            Effect::Unknown => {
                if ["Functional", "Sequential"].contains(&&*class) && masked {
                    self.called_on_masks.insert(index);
                }
                if !masked && !makes {
                    return Ok(());
                }
                for result in 0..results(&self.graph.layers_mut()[index]) {
                    let place = (name.clone(), call, result);
                    if self.graph.rank(&place)? > 2 {
                        self.bear(place.clone(), Sources::from([place]), &class)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Notes from where the mask of a tensor comes.
    fn bear(&mut self, place: Place, sources: Sources, class: &str) -> Result<()> {
        self.meeting += sources.len();
        if self.meeting > MAX_MEETING {
            return Err(Error::config(class, format!("`{}`: masks of too many layers meet", place.0)));
        }
        self.sources.insert(place, sources);
        Ok(())
    }

    /// The mask of a tensor as a tensor. Where several meet, [`Pass::meet`] has made it.
    fn mask(&mut self, sources: &Sources) -> Result<Option<Value>> {
        if let (None, Some(source)) = (self.tensors.get(sources), sources.first()) {
            let mask = self.graph.mask(source)?;
            self.tensors.insert(sources.clone(), mask);
        }
        Ok(self.tensors.get(sources).cloned())
    }

    /// The mask of what counts in all inputs that have one.
    fn meet(&mut self, name: &str, call: usize, masks: &[Sources], all: &Sources) -> Result<()> {
        if self.tensors.contains_key(all) {
            return Ok(());
        }
        let distinct: BTreeSet<&Sources> = masks.iter().filter(|sources| !sources.is_empty()).collect();
        let mut met = None;
        for (i, sources) in distinct.into_iter().enumerate() {
            let Some(mask) = self.mask(sources)? else { continue };
            met = Some(match met {
                None => mask,
                Some(met) => self.graph.both(format!("{name}.mask.{call}.{i}"), met, mask),
            });
        }
        self.tensors.extend(met.map(|met| (all.clone(), met)));
        Ok(())
    }

    /// A merging layer of inputs with masks.
    fn merge(&mut self, index: usize, call: usize, masks: &[Sources], report: &mut Report) -> Result<()> {
        let layer = &self.graph.layers_mut()[index];
        let (class, name) = (class(layer).to_owned(), name(layer).to_owned());
        let sources: Sources = masks.iter().flatten().cloned().collect();
        if BY_MASK.contains(&&*class) || masks.windows(2).any(|pair| pair[0] != pair[1]) {
            self.meet(&name, call, masks, &sources)?;
            return self.wrap(index, call, masks, sources, report);
        }
        self.bear((name, call, 0), sources, &class)
    }

    /// Gives the result of a merging layer the mask of `sources` instead of that which Keras 3 would.
    fn wrap(
        &mut self,
        index: usize,
        call: usize,
        masks: &[Sources],
        sources: Sources,
        report: &mut Report,
    ) -> Result<()> {
        let layer = &self.graph.layers_mut()[index];
        let (class, name) = (class(layer).to_owned(), name(layer).to_owned());
        let dtype = layer.pointer("/config/dtype").cloned();
        let Some(mask) = self.mask(&sources)? else { return Ok(()) };
        if BY_MASK.contains(&&*class) {
            self.unmask(index, call, masks);
        }
        let place: Place = (name.clone(), call, 0);
        let history = json!([name, call, 0]);
        let merged = json!({ "class_name": "__keras_tensor__", "config": { "keras_history": history } });
        let named = format!("{name}.masked.{call}");
        let masked = self.graph.masked(named.clone(), merged, mask, dtype);
        self.readers.insert(named);
        self.replaced.insert(place.clone(), masked);
        report.converted(name, format!("`{class}` of inputs with masks as before Keras 3"));
        self.bear(place, sources, &class)
    }

    /// Takes the masks off the inputs of a call.
    fn unmask(&mut self, index: usize, call: usize, masks: &[Sources]) {
        let layers = self.graph.layers_mut();
        let name = name(&layers[index]).to_owned();
        let pointer = format!("/inbound_nodes/{call}/args/0");
        let mut inputs = layers[index].pointer(&pointer).cloned().unwrap_or_default();
        for (i, (input, sources)) in inputs.as_array_mut().into_iter().flatten().zip(masks).enumerate() {
            if !sources.is_empty() {
                *input = self.graph.unmasked(format!("{name}.unmasked.{call}.{i}"), input.take());
            }
        }
        if let Some(args) = self.graph.layers_mut()[index].pointer_mut(&pointer) {
            *args = inputs;
        }
    }

    /// Lets the call of a recurrent layer use the mask that its input bears beside states, unless it is given one.
    fn heed(
        &mut self,
        index: usize,
        call: usize,
        sources: Option<&Sources>,
        report: &mut Report,
    ) -> Result<()> {
        let pointer = format!("/inbound_nodes/{call}/kwargs");
        let layer = &self.graph.layers_mut()[index];
        let keywords = layer.pointer(&pointer).unwrap_or(&Value::Null);
        let states = keywords.get("initial_state").is_some_and(|state| !state.is_null());
        let given = keywords.get("mask").filter(|mask| !mask.is_null()).cloned();
        let is = |at: &str| layer["config"].pointer(at).is_some_and(|v| v == true);
        let stateful = is("/stateful") || is("/layer/config/stateful");
        if !states && !stateful {
            return Ok(());
        }
        let mask = match (given, sources.filter(|s| !s.is_empty())) {
            (Some(mask), _) => mask,
            (None, Some(sources)) => {
                let Some(mask) = self.mask(sources)? else { return Ok(()) };
                if states && let Some(keywords) = self.graph.layers_mut()[index].pointer_mut(&pointer) {
                    keywords["mask"] = mask.clone();
                }
                mask
            }
            (None, None) => return Ok(()),
        };
        self.zero(index, call, mask, sources, report)
    }

    /// Makes outputs zeros before the first step that counts, of a layer that begins with states.
    fn zero(
        &mut self,
        index: usize,
        call: usize,
        mask: Value,
        sources: Option<&Sources>,
        report: &mut Report,
    ) -> Result<()> {
        let layer = &self.graph.layers_mut()[index];
        let is = |key: &str| layer["config"].get(key).is_some_and(|v| v == true);
        let both = class(layer) == "Bidirectional";
        let in_both = |key: &str| layer["config"]["layer"]["config"].get(key).is_some_and(|v| v == true);
        // Unrolled layers, and `Bidirectional` ones that return sequences, do so by themselves.
        let done = is("unroll")
            || is("zero_output_for_mask")
            || (both && (in_both("return_sequences") || in_both("unroll")));
        if done || class(layer).starts_with("Conv") {
            return Ok(());
        }
        // Up to 2.2 the state was there: as Keras 3 has it on JAX, but not on TensorFlow.
        let states = layer.pointer(&format!("/inbound_nodes/{call}/kwargs/initial_state"));
        let state =
            states.map(|states| states.get(0).unwrap_or(states)).filter(|_| !self.then.zeros).cloned();
        if !self.then.zeros && (both || state.is_none() || class(layer) == "RNN") {
            return Ok(());
        }
        let (sequences, backwards) = (is("return_sequences"), is("go_backwards"));
        let name = name(layer).to_owned();
        let dtype = layer.pointer("/config/dtype").cloned();
        let place: Place = (name.clone(), call, 0);
        let history = json!([name, call, 0]);
        let y = json!({ "class_name": "__keras_tensor__", "config": { "keras_history": history } });
        let named = format!("{name}.begun.{call}");
        let mut new = self.graph.begun(&named, y, mask.clone(), (sequences, backwards), state);
        self.readers.insert(named);
        if sequences && sources.is_some_and(|s| !s.is_empty()) {
            new = self.graph.masked(format!("{name}.masked.{call}"), new, mask, dtype);
        }
        self.replaced.insert(place, new);
        report.converted(name, "outputs before the first step that counts as before Keras 3");
        Ok(())
    }
}

/// Whether a layer joins its inputs along their last axis, and not their steps.
fn along_features(layer: &Value) -> bool {
    let axis = layer.pointer("/config/axis").and_then(Value::as_i64).unwrap_or(-1);
    axis == -1 || axis > 1
}

/// How many results a layer has, so far as it is known.
fn results(layer: &Value) -> usize {
    match layer.pointer("/config/output_layers") {
        Some(Value::Array(ends)) if ends.iter().all(Value::is_array) => ends.len().max(1),
        Some(Value::Object(ends)) => ends.len().max(1),
        _ => 1,
    }
}

fn class(layer: &Value) -> &str {
    layer.get("class_name").and_then(Value::as_str).unwrap_or_default()
}

fn name(layer: &Value) -> &str {
    layer.get("name").or_else(|| layer.pointer("/config/name")).and_then(Value::as_str).unwrap_or_default()
}

fn calls(layer: &Value) -> &[Value] {
    layer.get("inbound_nodes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Layer, call, result: as they stand in graphs.
fn place(history: &Value) -> Option<Place> {
    let [Value::String(name), call, result, ..] = history.as_array()?.as_slice() else { return None };
    let number = |v: &Value| usize::try_from(v.as_u64()?).ok();
    Some((name.clone(), number(call)?, number(result)?))
}

/// Adds the tensors in a value.
fn places(value: &Value, out: &mut Vec<Place>) {
    match value {
        Value::Array(list) => list.iter().for_each(|v| places(v, out)),
        Value::Object(map) => match map.get("config").and_then(|c| c.get("keras_history")) {
            Some(history) => out.extend(place(history)),
            None => map.values().for_each(|v| places(v, out)),
        },
        _ => {}
    }
}

/// Puts other tensors in the places of some.
fn replace(value: &mut Value, by: &HashMap<Place, Value>) {
    if let Some(new) = value.pointer("/config/keras_history").and_then(place).and_then(|p| by.get(&p)) {
        *value = new.clone();
        return;
    }
    if let Some(new) = place(value).and_then(|p| by.get(&p)) {
        *value = new["config"]["keras_history"].clone();
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|v| replace(v, by)),
        Value::Object(map) => map.values_mut().for_each(|v| replace(v, by)),
        _ => {}
    }
}

/// The calls of a graph, layer and call, each behind those whose results it reads. A layer without calls is an input.
fn in_order(layers: &[Value]) -> Vec<(usize, usize)> {
    let indices: HashMap<&str, usize> = layers.iter().enumerate().map(|(i, l)| (name(l), i)).collect();
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for (index, layer) in layers.iter().enumerate() {
        for call in 0..calls(layer).len().max(1) {
            let mut pending = vec![((index, call), false)];
            while let Some((node, done)) = pending.pop() {
                if done {
                    order.push(node);
                    continue;
                }
                if !seen.insert(node) {
                    continue;
                }
                pending.push((node, true));
                let mut read = Vec::new();
                calls(&layers[node.0]).get(node.1).into_iter().for_each(|call| places(call, &mut read));
                let known = read.iter().filter_map(|(name, call, _)| Some((*indices.get(&**name)?, *call)));
                pending.extend(known.rev().map(|node| (node, false)));
            }
        }
    }
    order
}
