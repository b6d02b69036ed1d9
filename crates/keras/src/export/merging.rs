//! Layers of several inputs.

use keras_spec::{Error, Result};

use super::graph::Graph;
use super::proto::Attribute;
use super::site::Site;

/// `Add`, `Subtract`, `Multiply`, `Average`, `Maximum`, `Minimum`, `Concatenate`, `Dot`
///
/// # Errors
/// The inputs or the axes have no counterpart.
pub(super) fn write(graph: &mut Graph, site: &Site) -> Result<String> {
    let names: Vec<&str> = site.inputs.iter().map(|v| v.name.as_str()).collect();
    let class = site.layer.class().name;
    match class {
        "Dot" => return dot(graph, site),
        "Concatenate" => {
            let axis = site.sizes("axis", 1)?[0];
            return Ok(graph.node("Concat", &names, vec![Attribute::int("axis", axis)]));
        }
        _ => {}
    }
    // Keras aligns inputs of different ranks at the batch, ONNX at the last axis.
    if site.inputs.windows(2).any(|pair| pair[0].rank() != pair[1].rank()) {
        return Err(site.unsupported("inputs of different ranks"));
    }
    let chain = |graph: &mut Graph, op: &str| {
        let mut rest = names.iter().map(|n| (*n).to_owned());
        let first = rest.next().ok_or_else(|| Error::other("a merging layer without inputs"))?;
        Ok(rest.fold(first, |sum, next| graph.node(op, &[&sum, &next], Vec::new())))
    };
    match class {
        "Add" => chain(graph, "Add"),
        "Subtract" => chain(graph, "Sub"),
        "Multiply" => chain(graph, "Mul"),
        "Average" => Ok(graph.node("Mean", &names, Vec::new())),
        "Maximum" => Ok(graph.node("Max", &names, Vec::new())),
        _ => Ok(graph.node("Min", &names, Vec::new())),
    }
}

/// Products along one axis of each input, `(batch, features)` or `(batch, steps, features)`.
fn dot(graph: &mut Graph, site: &Site) -> Result<String> {
    let [a, b] = site.inputs else { return Err(site.unsupported("it has not two inputs")) };
    let axes = site.sizes("axes", 2)?;
    let axis = |i: usize, rank: usize| if axes[i] < 0 { axes[i] + rank as i64 } else { axes[i] };
    let (axis_a, axis_b) = (axis(0, a.rank()), axis(1, b.rank()));
    let (mut x, mut y) = (a.name.clone(), b.name.clone());
    if site.flag("normalize") {
        x = unit(graph, &x, axis_a)?;
        y = unit(graph, &y, axis_b)?;
    }
    match (a.rank(), b.rank()) {
        (2, 2) => {
            let product = graph.node("Mul", &[&x, &y], Vec::new());
            let axes = graph.ints(&[1])?;
            Ok(graph.node("ReduceSum", &[&product, &axes], vec![Attribute::int("keepdims", 1)]))
        }
        (3, 3) => {
            let swap = |graph: &mut Graph, v: String| {
                graph.node("Transpose", &[&v], vec![Attribute::ints("perm", &[0, 2, 1])])
            };
            let x = if axis_a == 1 { swap(graph, x) } else { x };
            let y = if axis_b == 2 { swap(graph, y) } else { y };
            Ok(graph.node("MatMul", &[&x, &y], Vec::new()))
        }
        _ => Err(site.unsupported("inputs of these ranks")),
    }
}

/// A tensor divided by its length along an axis.
fn unit(graph: &mut Graph, x: &str, axis: i64) -> Result<String> {
    let squared = graph.node("ReduceSumSquare", &[x], vec![Attribute::ints("axes", &[axis])]);
    let least = graph.number(1e-12)?;
    let squared = graph.node("Max", &[&squared, &least], Vec::new());
    let length = graph.node("Sqrt", &[&squared], Vec::new());
    Ok(graph.node("Div", &[x, &length], Vec::new()))
}
