//! Functional models as configurations: Keras 3's `layers`, `inbound_nodes`, `input_layers` and `output_layers`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use keras_spec::{Config, Error, Layer, LayerRef, Result, ResultExt};
use serde_json::{Value, json};

use super::functional::{CLASS, Functional, Structure};
use super::graph::{Arg, KerasTensor, Node};
use super::input::{InputLayer, input_tensor};
use super::operation::Operation;

keras_spec::register!(dyn Layer, CLASS, |config| Ok(Box::new(from_config(config)?)));

/// The configuration of a functional model, without its name.
///
/// # Errors
/// If a layer's configuration cannot be written.
pub(crate) fn functional_config(model: &Functional) -> Result<Config> {
    let places = Places::new(model);
    let layers = model.operations().iter().map(|layer| {
        let mut value = layer.serialize()?.to_value();
        let calls = places.nodes_of(layer).iter().filter(|n| !n.is_input());
        let nodes = calls.map(|n| places.node(n));
        value["name"] = layer.name().into();
        value["inbound_nodes"] = nodes.collect::<Result<Vec<_>>>()?.into();
        Ok(value)
    });
    let mut config = Config::new();
    config.insert("layers".to_owned(), layers.collect::<Result<Vec<_>>>()?.into());
    config.insert("input_layers".to_owned(), places.structure(model.inputs(), model.input_structure())?);
    config.insert("output_layers".to_owned(), places.structure(model.outputs(), model.output_structure())?);
    Ok(config)
}

/// Which call of its layer each node is within a model.
pub(crate) struct Places<'a> {
    nodes: HashMap<usize, Vec<&'a Arc<Node>>>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(model: &'a Functional) -> Self {
        let mut nodes: HashMap<usize, Vec<_>> = HashMap::new();
        for node in model.nodes() {
            nodes.entry(node.layer().id()).or_default().push(node);
        }
        nodes.values_mut().for_each(|calls| calls.sort_by_key(|n| n.id()));
        Places { nodes }
    }

    /// The calls of a layer, in the order in which they were made.
    pub(crate) fn nodes_of(&self, layer: &LayerRef) -> &[&'a Arc<Node>] {
        self.nodes.get(&layer.id()).map_or(&[], Vec::as_slice)
    }

    /// Which call of its layer a tensor is of; `None` if it is not part of the model.
    pub(crate) fn call_of(&self, t: &KerasTensor) -> Option<usize> {
        self.nodes_of(t.node().layer()).binary_search_by_key(&t.node().id(), |n| n.id()).ok()
    }

    fn index(&self, t: &KerasTensor) -> Result<usize> {
        self.call_of(t).ok_or_else(|| Error::config(CLASS.name, format!("{t:?} is not part of the model")))
    }

    fn node(&self, node: &Node) -> Result<Value> {
        let args = node.arguments().iter().map(|a| self.argument(a)).collect::<Result<Vec<_>>>()?;
        let kwargs = node.keywords().iter().map(|(name, a)| Ok((name.clone(), self.argument(a)?)));
        Ok(json!({ "args": args, "kwargs": kwargs.collect::<Result<Config>>()? }))
    }

    fn argument(&self, arg: &Arg) -> Result<Value> {
        Ok(match arg {
            Arg::Value(v) => v.clone(),
            Arg::List(list) => list.iter().map(|a| self.argument(a)).collect::<Result<Vec<_>>>()?.into(),
            Arg::Tensor(t) => json!({
                "class_name": "__keras_tensor__",
                "config": {
                    "shape": t.shape(),
                    "dtype": t.dtype(),
                    "keras_history": [t.node().layer().name(), self.index(t)?, t.index()],
                },
            }),
        })
    }

    fn structure(&self, tensors: &[KerasTensor], structure: &Structure) -> Result<Value> {
        let triple = |t: &KerasTensor| {
            // Keras counts a nested functional model's own graph as its call number 0, here and nowhere else.
            let nested = usize::from(t.node().layer().downcast::<Functional>().is_some());
            Ok(json!([t.node().layer().name(), self.index(t)? + nested, t.index()]))
        };
        let all = tensors.iter().map(triple).collect::<Result<Vec<_>>>()?;
        Ok(match structure {
            Structure::One => all.into_iter().next().unwrap_or(Value::Null),
            Structure::List => all.into(),
            Structure::Dict(keys) => keys.iter().cloned().zip(all).collect::<Config>().into(),
        })
    }
}

/// A functional model from its configuration.
///
/// # Errors
/// If the configuration is not one, a layer's class is not registered, or the graph has a loop or a gap.
pub(crate) fn from_config(config: &Config) -> Result<Functional> {
    let field =
        |key: &str| config.get(key).ok_or_else(|| Error::config(CLASS.name, format!("`{key}` is missing")));
    let Value::Array(entries) = field("layers")? else {
        return Err(Error::config(CLASS.name, "`layers` must be a list"));
    };
    let mut graph = Graph::default();
    for entry in entries {
        graph.add_layer(entry)?;
    }
    graph.connect()?;
    let (inputs, input_structure) = graph.tensors(field("input_layers")?)?;
    let (outputs, output_structure) = graph.tensors(field("output_layers")?)?;
    Functional::new(inputs, input_structure, outputs, output_structure)
}

/// A graph that is being read.
#[derive(Default)]
pub(crate) struct Graph {
    layers: HashMap<String, LayerRef>,
    nodes: HashMap<String, Vec<Arc<Node>>>,
    pending: Vec<(String, Vec<Value>)>,
}

/// The call of a layer that a tensor comes from: the layer's name, the number of the call.
type Source = (String, usize);

impl Graph {
    pub(crate) fn add_layer(&mut self, entry: &Value) -> Result<()> {
        let Some(name) =
            entry.get("name").or_else(|| entry.get("config")?.get("name")).and_then(Value::as_str)
        else {
            return Err(Error::config(CLASS.name, format!("a layer has no name: {entry}")));
        };
        let layer = match Operation::from_entry(entry)? {
            Some(operation) => operation,
            None => LayerRef::from_value(entry)?,
        };
        if layer.downcast::<InputLayer>().is_some() {
            self.nodes.insert(name.to_owned(), vec![input_tensor(&layer)?.node().clone()]);
        }
        let calls = match entry.get("inbound_nodes") {
            Some(Value::Array(calls)) => calls.clone(),
            _ => Vec::new(),
        };
        if self.layers.insert(name.to_owned(), layer).is_some() {
            return Err(Error::config(CLASS.name, format!("two layers are named `{name}`")));
        }
        self.pending.push((name.to_owned(), calls));
        Ok(())
    }

    /// Makes all calls.
    fn connect(&mut self) -> Result<()> {
        self.advance()?;
        let left: Vec<&str> = self.pending.iter().map(|(name, _)| name.as_str()).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::config(CLASS.name, format!("the graph has a loop or a gap at {}", left.join(", "))))
    }

    /// Makes the calls that can be made, in the order in which Keras makes them: in rounds through the list, since a layer may
    /// be called on what a later one gives. A layer whose next call lacks something is looked at again when that is there.
    fn advance(&mut self) -> Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut next = vec![0; pending.len()];
        let mut missing = vec![0; pending.len()];
        let mut waiting: HashMap<Source, Vec<usize>> = HashMap::new();
        let mut turns: BinaryHeap<Reverse<(usize, usize)>> =
            (0..pending.len()).map(|i| Reverse((0, i))).collect();
        while let Some(Reverse((round, i))) = turns.pop() {
            let (name, calls) = &pending[i];
            while let Some(call) = calls.get(next[i]) {
                if !self.make_call(name, call)? {
                    let sources = self.missing(call);
                    missing[i] = sources.len();
                    sources.into_iter().for_each(|source| waiting.entry(source).or_default().push(i));
                    break;
                }
                next[i] += 1;
                let made = self.nodes.get(name).map_or(0, Vec::len);
                for waits in waiting.remove(&(name.clone(), made - 1)).into_iter().flatten() {
                    missing[waits] -= 1;
                    if missing[waits] == 0 {
                        turns.push(Reverse((round + usize::from(waits < i), waits)));
                    }
                }
            }
        }
        pending.iter_mut().zip(next).for_each(|((_, calls), next)| drop(calls.drain(..next)));
        pending.retain(|(_, calls)| !calls.is_empty());
        self.pending = pending;
        Ok(())
    }

    /// The calls that are not made yet, of which a call needs results.
    fn missing(&self, call: &Value) -> HashSet<Source> {
        let mut sources = HashSet::new();
        let arguments = call.get("args").and_then(Value::as_array).into_iter().flatten();
        let keywords = call.get("kwargs").and_then(Value::as_object).into_iter().flat_map(Config::values);
        let mut pending: Vec<&Value> = arguments.chain(keywords).collect();
        while let Some(value) = pending.pop() {
            match value {
                Value::Object(o) if o.get("class_name").is_some_and(|c| c == "__keras_tensor__") => {
                    let history = value.pointer("/config/keras_history").and_then(Value::as_array);
                    let Some([Value::String(name), call, _]) = history.map(Vec::as_slice) else { continue };
                    let call = call.as_u64().and_then(|n| usize::try_from(n).ok());
                    let made = self.nodes.get(name).map_or(0, Vec::len);
                    sources.extend(call.filter(|call| *call >= made).map(|call| (name.clone(), call)));
                }
                Value::Array(list) => pending.extend(list),
                _ => {}
            }
        }
        sources
    }

    /// The tensor `[layer, call, result]`, once the layers that it comes from are there.
    ///
    /// # Errors
    /// A call fails, or leads to a layer that is not there yet.
    pub(crate) fn trace(&mut self, history: &Value) -> Result<KerasTensor> {
        self.advance()?;
        let missing = || Error::config(CLASS.name, format!("not a tensor of the graph so far: {history}"));
        self.tensor(history, false)?.ok_or_else(missing)
    }

    /// Makes one call, if everything that it reads is there.
    fn make_call(&mut self, name: &str, call: &Value) -> Result<bool> {
        let wrong =
            || Error::config(CLASS.name, format!("layer `{name}` has a call that cannot be read: {call}"));
        let (Some(Value::Array(args)), Some(Value::Object(kwargs))) = (call.get("args"), call.get("kwargs"))
        else {
            return Err(wrong());
        };
        let mut arguments = Vec::with_capacity(args.len());
        for value in args {
            match self.argument(value)? {
                Some(a) => arguments.push(a),
                None => return Ok(false),
            }
        }
        let mut keywords = BTreeMap::new();
        for (key, value) in kwargs {
            match self.argument(value)? {
                Some(a) => keywords.insert(key.clone(), a),
                None => return Ok(false),
            };
        }
        let layer = self.layers.get(name).ok_or_else(wrong)?;
        let node = Node::new(layer, arguments, keywords).at(|| format!("call of layer `{name}`"))?;
        self.nodes.entry(name.to_owned()).or_default().push(node);
        Ok(true)
    }

    /// An argument; `None` if it needs a tensor that is not there yet.
    fn argument(&self, value: &Value) -> Result<Option<Arg>> {
        match value {
            Value::Object(o) if o.get("class_name").is_some_and(|c| c == "__keras_tensor__") => {
                let history = o.get("config").and_then(|c| c.get("keras_history")).unwrap_or(&Value::Null);
                Ok(self.tensor(history, false)?.map(Arg::Tensor))
            }
            Value::Array(list) => {
                let parts = list.iter().map(|v| self.argument(v)).collect::<Result<Option<Vec<_>>>>()?;
                Ok(parts.map(|parts| {
                    let plain = parts.iter().all(|a| matches!(a, Arg::Value(_)));
                    if plain && !parts.is_empty() { Arg::Value(value.clone()) } else { Arg::List(parts) }
                }))
            }
            other => Ok(Some(Arg::Value(other.clone()))),
        }
    }

    /// The tensor `[layer, call, result]`; `None` if the call has not been made yet.
    fn tensor(&self, history: &Value, counts_nested: bool) -> Result<Option<KerasTensor>> {
        let wrong = || Error::config(CLASS.name, format!("not a tensor of the graph: {history}"));
        let Some([Value::String(name), call, result]) = history.as_array().map(Vec::as_slice) else {
            return Err(wrong());
        };
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(wrong);
        let layer = self.layers.get(name).ok_or_else(wrong)?;
        let nested = usize::from(counts_nested && layer.downcast::<Functional>().is_some());
        let call = number(call)?.checked_sub(nested).ok_or_else(wrong)?;
        let Some(node) = self.nodes.get(name).and_then(|n| n.get(call)) else {
            return Ok(None);
        };
        let result = number(result)?;
        if result >= node.outputs().len() {
            return Err(wrong());
        }
        Ok(Some(KerasTensor::new(node, result)))
    }

    fn tensors(&self, value: &Value) -> Result<(Vec<KerasTensor>, Structure)> {
        let one = |v: &Value| {
            let missing = || Error::config(CLASS.name, format!("not a tensor of the graph: {v}"));
            self.tensor(v, true)?.ok_or_else(missing)
        };
        match value {
            Value::Array(list) if list.first().is_some_and(Value::is_string) => {
                Ok((vec![one(value)?], Structure::One))
            }
            Value::Array(list) => Ok((list.iter().map(one).collect::<Result<_>>()?, Structure::List)),
            Value::Object(map) => {
                let keys = map.keys().cloned().collect();
                Ok((map.values().map(one).collect::<Result<_>>()?, Structure::Dict(keys)))
            }
            other => Err(Error::config(CLASS.name, format!("expected tensors of the graph, found {other}"))),
        }
    }
}
