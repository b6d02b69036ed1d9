//! Recurrent layers, and layers along time.

use keras_spec::{HostTensor, LayerRef, PartialShape, Result};

use super::activation::function_name;
use super::graph::{Graph, Value, permuted};
use super::proto::Attribute;
use super::site::Site;
use super::unsupported;
use crate::legacy::LEGACY_HARD_SIGMOID;

/// What tells the three kinds of layers apart.
struct Kind {
    op: &'static str,
    /// Where ONNX has Keras's gates.
    gates: &'static [usize],
    /// The arguments with the activation functions that ONNX lists.
    activations: &'static [&'static str],
}

const SIMPLE: Kind = Kind { op: "RNN", gates: &[0], activations: &["activation"] };
/// Keras has input, forget, cell, output; ONNX input, output, forget, cell.
const LSTM: Kind = Kind {
    op: "LSTM",
    gates: &[0, 3, 1, 2],
    activations: &["recurrent_activation", "activation", "activation"],
};
const GRU: Kind = Kind { op: "GRU", gates: &[0, 1, 2], activations: &["recurrent_activation", "activation"] };

/// `SimpleRNN`, `LSTM`, `GRU`: the result, then the states if the layer returns them.
///
/// # Errors
/// An argument has no counterpart.
pub(super) fn write(graph: &mut Graph, site: &Site) -> Result<Vec<String>> {
    let kind = match site.layer.class().name {
        "LSTM" => LSTM,
        "GRU" => GRU,
        _ => SIMPLE,
    };
    if site.flag("stateful") {
        return Err(site.unsupported("`stateful`"));
    }
    let units = site.sizes("units", 1)?[0];
    let x = &site.input()?.name;
    // ONNX has the steps first. Keras gives the results of a layer that goes backwards in the order in which it goes.
    let mut steps = graph.node("Transpose", &[x], vec![Attribute::ints("perm", &[1, 0, 2])]);
    if site.flag("go_backwards") {
        steps = reversed(graph, &steps, 0)?;
    }
    let kernel = weights(graph, "kernel", &site.weight("kernel")?, &kind)?;
    let recurrent = weights(graph, "recurrent_kernel", &site.weight("recurrent_kernel")?, &kind)?;
    let bias = site.optional_weight("bias")?.map(|bias| biases(&bias, &kind, units as usize)).transpose()?;
    let bias = bias.map_or_else(|| Ok(String::new()), |bias| graph.constant("bias", &bias))?;
    let mut attributes = vec![Attribute::int("hidden_size", units)];
    attributes.extend(functions(site, &kind)?);
    if kind.op == "GRU" {
        attributes.push(Attribute::int("linear_before_reset", site.flag("reset_after").into()));
    }
    let results = if kind.op == "LSTM" { 3 } else { 2 };
    let all = graph.nodes(kind.op, &[&steps, &kernel, &recurrent, &bias], results, attributes);
    let directions = graph.ints(&[0])?;
    let mut states = Vec::new();
    for state in &all[1..] {
        states.push(graph.node("Squeeze", &[state, &directions], Vec::new()));
    }
    let first = match site.flag("return_sequences") {
        // (steps, directions, batch, units)
        true => {
            let directions = graph.ints(&[1])?;
            let steps = graph.node("Squeeze", &[&all[0], &directions], Vec::new());
            graph.node("Transpose", &[&steps], vec![Attribute::ints("perm", &[1, 0, 2])])
        }
        false => states[0].clone(),
    };
    let states = if site.flag("return_state") { states } else { Vec::new() };
    Ok(std::iter::once(first).chain(states).collect())
}

/// `(inputs, gates · units)` → `(1, gates · units, inputs)` with the gates in ONNX's order.
fn weights(graph: &mut Graph, name: &str, kernel: &HostTensor, kind: &Kind) -> Result<String> {
    let (inputs, columns) = (kernel.shape()[0], kernel.shape()[1]);
    let turned = permuted(kernel, &[1, 0])?;
    let rows = turned.as_slice::<f32>()?;
    let gate = rows.len() / kind.gates.len();
    let sorted: Vec<f32> =
        kind.gates.iter().flat_map(|&g| &rows[g * gate..(g + 1) * gate]).copied().collect();
    graph.constant(name, &HostTensor::new([1, columns, inputs], sorted)?)
}

/// The bias of the inputs, then that of the states, which only a `GRU` has that resets after its product.
fn biases(bias: &HostTensor, kind: &Kind, units: usize) -> Result<HostTensor> {
    let (values, all) = (bias.as_slice::<f32>()?, kind.gates.len() * units);
    let sorted = |row: &[f32]| -> Vec<f32> {
        kind.gates.iter().flat_map(|&g| &row[g * units..(g + 1) * units]).copied().collect()
    };
    let of_inputs = sorted(&values[..all]);
    let of_states = if values.len() > all { sorted(&values[all..]) } else { vec![0.0; all] };
    HostTensor::new([1, 2 * all], [of_inputs, of_states].concat())
}

fn functions(site: &Site, kind: &Kind) -> Result<Vec<Attribute>> {
    let (mut names, mut alpha, mut beta) = (Vec::new(), Vec::new(), Vec::new());
    for argument in kind.activations {
        let given = site.argument(argument);
        let (name, a, b) = match function_name(given).as_deref().unwrap_or_default() {
            "tanh" => ("Tanh", 0.0, 0.0),
            "sigmoid" => ("Sigmoid", 0.0, 0.0),
            "relu" => ("Relu", 0.0, 0.0),
            "softsign" => ("Softsign", 0.0, 0.0),
            "softplus" => ("Softplus", 0.0, 0.0),
            "linear" => ("Affine", 1.0, 0.0),
            "elu" => ("Elu", 1.0, 0.0),
            "leaky_relu" => ("LeakyRelu", 0.2, 0.0),
            "hard_sigmoid" => ("HardSigmoid", 1.0 / 6.0, 0.5),
            LEGACY_HARD_SIGMOID => ("HardSigmoid", 0.2, 0.5),
            _ => return Err(site.unsupported(format!("`{argument}` is {given}"))),
        };
        names.push(name);
        // Only functions with parameters have them in these lists.
        if ["Affine", "Elu", "LeakyRelu", "HardSigmoid"].contains(&name) {
            alpha.push(a);
        }
        if ["Affine", "HardSigmoid"].contains(&name) {
            beta.push(b);
        }
    }
    let mut attributes = vec![Attribute::texts("activations", &names)];
    if !alpha.is_empty() {
        attributes.push(Attribute::floats("activation_alpha", &alpha));
    }
    if !beta.is_empty() {
        attributes.push(Attribute::floats("activation_beta", &beta));
    }
    Ok(attributes)
}

/// A tensor backwards along an axis.
fn reversed(graph: &mut Graph, x: &str, axis: i64) -> Result<String> {
    let [starts, ends, axes, steps] = [-1, i64::MIN, axis, -1].map(|n| graph.ints(&[n]));
    Ok(graph.node("Slice", &[x, &starts?, &ends?, &axes?, &steps?], Vec::new()))
}

/// The layer in an attribute of another.
fn child(layer: &LayerRef, attribute: &str) -> Result<LayerRef> {
    let found = layer
        .children()
        .into_iter()
        .find(|c| c.attribute == attribute)
        .and_then(|c| c.layers.into_iter().next());
    found.ok_or_else(|| unsupported(layer, format!("it has no `{attribute}`")))
}

/// `Bidirectional`
///
/// # Errors
/// A layer in it has no counterpart, or it returns states.
pub(super) fn bidirectional(graph: &mut Graph, site: &Site) -> Result<Vec<String>> {
    let (forward, backward) = (child(site.layer, "forward_layer")?, child(site.layer, "backward_layer")?);
    let mut both = Vec::new();
    for layer in [&forward, &backward] {
        let results = graph.inside(layer.name(), |graph| super::layer(graph, layer, site.inputs))?;
        let [result] = results.as_slice() else { return Err(site.unsupported("`return_state`")) };
        both.push(result.clone());
    }
    let [f, b] = both.as_slice() else { return Err(site.unsupported("it has not two directions")) };
    let b = match b.rank() == 3 {
        true => reversed(graph, &b.name, 1)?,
        false => b.name.clone(),
    };
    let pair = [f.name.as_str(), b.as_str()];
    let merged = match site.argument("merge_mode").as_str() {
        Some("concat") => graph.node("Concat", &pair, vec![Attribute::int("axis", -1)]),
        Some("sum") => graph.node("Add", &pair, Vec::new()),
        Some("mul") => graph.node("Mul", &pair, Vec::new()),
        Some("ave") => graph.node("Mean", &pair, Vec::new()),
        _ => return Ok(vec![f.name.clone(), b]),
    };
    Ok(vec![merged])
}

/// `TimeDistributed`: the steps become samples, and samples steps again.
///
/// # Errors
/// The layer in it has no counterpart, or a dimension beyond the steps is not known.
pub(super) fn time_distributed(graph: &mut Graph, site: &Site) -> Result<String> {
    let inner = child(site.layer, "layer")?;
    let x = site.input()?;
    let known = |dims: &[Option<usize>]| -> Result<Vec<i64>> {
        let all = dims.iter().map(|n| n.map(|n| n as i64)).collect::<Option<Vec<_>>>();
        all.ok_or_else(|| site.unsupported("a dimension beyond the steps is not known"))
    };
    let features = known(&x.shape.dims()[2..])?;
    let results = known(&site.output_shape()?.dims()[2..])?;
    let together = graph.ints(&[vec![-1], features].concat())?;
    let samples = graph.node("Reshape", &[&x.name, &together], Vec::new());
    let shape: Vec<Option<usize>> =
        std::iter::once(None).chain(x.shape.dims()[2..].iter().copied()).collect();
    let samples = Value { name: samples, shape: PartialShape(shape), dtype: x.dtype };
    let written = graph.inside(inner.name(), |graph| super::layer(graph, &inner, &[samples]))?;
    let [result] = written.as_slice() else { return Err(site.unsupported("a layer of several results")) };
    let shape = graph.node("Shape", &[&x.name], vec![Attribute::int("end", 2)]);
    let rest = graph.ints(&results)?;
    let shape = graph.node("Concat", &[&shape, &rest], vec![Attribute::int("axis", 0)]);
    Ok(graph.node("Reshape", &[&result.name, &shape], Vec::new()))
}
