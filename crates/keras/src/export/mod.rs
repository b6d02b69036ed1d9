//! Models for other programs (`Model.export`, Keras 3.15.1): ONNX.
//!
//! The graph has one node or a few for each layer, of operator set 17, in float32. Convolutions and pooling, which ONNX has
//! with the channels first only, stand between transpositions where the model has them last; runtimes cancel those between
//! neighbours. Layers that only act in training are left out.

mod activation;
mod convolution;
mod graph;
mod layer;
mod merging;
mod normalization;
mod operation;
mod pooling;
mod proto;
mod recurrent;
mod reshaping;
mod site;

use std::collections::HashMap;
use std::path::Path;

use keras_spec::{Error, LayerRef, Result, TensorSpec};
use prost::Message;

use crate::models::{Arg, Chain, Functional, KerasTensor, Model, Operation};
use crate::saving::atomic::write_atomically;
use graph::{Graph, Value};
use proto::OperatorSet;

/// The operator set that is written.
const OPSET: i64 = 17;
/// The version of the file format that has this operator set.
const IR_VERSION: i64 = 8;

/// A format for [`Model::export`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// Open Neural Network Exchange, operator set 17.
    Onnx,
}

impl Model {
    /// Writes the model for other programs, to predict with (`Model.export`, Keras 3.15.1, `format="onnx"`). Inputs have
    /// the names of the model's inputs, outputs those of the layers that give them.
    ///
    /// ```no_run
    /// use keras::export::ExportFormat;
    ///
    /// keras::load_model("model.keras")?.export("model.onnx", ExportFormat::Onnx)?;
    /// # Ok::<(), keras::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; a layer has no counterpart in the format, which the message names; the file cannot be written.
    pub fn export(&self, path: impl AsRef<Path>, format: ExportFormat) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.export_bytes(format)?;
        Ok(write_atomically(path, |out| {
            let io = |source| crate::saving::FileError::Io { file: path.display().to_string(), source };
            std::io::Write::write_all(out, &bytes).map_err(io)
        })?)
    }

    /// The bytes that [`export`](Model::export) writes, for systems without files.
    ///
    /// # Errors
    /// As [`export`](Model::export).
    pub fn export_bytes(&self, format: ExportFormat) -> Result<Vec<u8>> {
        match format {
            ExportFormat::Onnx => onnx(self),
        }
    }
}

fn onnx(model: &Model) -> Result<Vec<u8>> {
    let value = |(name, spec): (String, TensorSpec)| Value { name, shape: spec.shape, dtype: spec.dtype };
    let inputs: Vec<Value> = model.inputs()?.into_iter().map(value).collect();
    let mut graph = Graph::default();
    let results = layer(&mut graph, model.as_layer(), &inputs)?;
    let names: Vec<String> = model.outputs()?.into_iter().map(|(name, _)| name).collect();
    let mut outputs: Vec<Value> = Vec::new();
    for (i, (name, result)) in names.iter().zip(results).enumerate() {
        let taken = names.iter().filter(|n| *n == name).count() > 1 || inputs.iter().any(|v| v.name == *name);
        let name = if taken { format!("{name}_{i}") } else { name.clone() };
        graph.rename(&result.name, &name);
        outputs.push(Value { name, ..result });
    }
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph.finish(model.name(), &inputs, &outputs)),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    Ok(model.encode_to_vec())
}

/// Writes a layer, which may be a model.
///
/// # Errors
/// It, or a layer in it, has no counterpart.
fn layer(graph: &mut Graph, layer: &LayerRef, inputs: &[Value]) -> Result<Vec<Value>> {
    if let Some(chain) = layer.downcast::<Chain>() {
        let mut values = inputs.to_vec();
        for inner in chain.layers() {
            values = graph.inside(inner.name(), |graph| self::layer(graph, inner, &values))?;
        }
        return Ok(values);
    }
    match layer.downcast::<Functional>() {
        Some(model) => functional(graph, model, inputs),
        None => layer::write(graph, layer, inputs),
    }
}

fn functional(graph: &mut Graph, model: &Functional, inputs: &[Value]) -> Result<Vec<Value>> {
    let mut values: HashMap<(u64, usize), Value> = HashMap::new();
    for (tensor, value) in model.inputs().iter().zip(inputs) {
        values.insert(tensor.key(), value.clone());
    }
    let find = |values: &HashMap<_, Value>, t: &KerasTensor| {
        values.get(&t.key()).cloned().ok_or_else(|| Error::other("a tensor that no layer gives"))
    };
    for node in model.nodes().iter().filter(|n| !n.is_input()) {
        let inner = node.layer();
        let has_tensors = |arg: &Arg| {
            let mut tensors = Vec::new();
            arg.collect(&mut tensors);
            !tensors.is_empty()
        };
        if let Some((name, _)) = node.keywords().iter().find(|(_, arg)| has_tensors(arg)) {
            return Err(unsupported(inner, format!("a tensor for the argument `{name}`")));
        }
        let given = node.positional().into_iter().map(|t| find(&values, t)).collect::<Result<Vec<_>>>()?;
        let results = graph.inside(inner.name(), |graph| match inner.downcast::<Operation>() {
            Some(_) => operation::write(graph, inner, node.arguments(), &given, node.outputs()),
            None => self::layer(graph, inner, &given),
        })?;
        for (tensor, result) in KerasTensor::all(node).iter().zip(results) {
            values.insert(tensor.key(), result);
        }
    }
    model.outputs().iter().map(|t| find(&values, t)).collect()
}

/// The error of a layer that cannot be exported.
fn unsupported(layer: &LayerRef, what: impl std::fmt::Display) -> Error {
    let class = layer.class().name;
    Error::other(format!("layer `{}` ({class}) cannot be exported to ONNX: {what}", layer.name()))
}

#[cfg(test)]
mod tests;
