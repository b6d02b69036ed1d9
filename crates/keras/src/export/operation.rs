//! What stands between the layers of a graph: operations of `keras.ops` that have a node of their own.

use keras_spec::{DType, HostTensor, LayerRef, Result, TensorSpec};
use serde_json::Value as Json;

use super::graph::{Graph, Value};
use super::proto::Attribute;
use super::site::Site;
use super::unsupported;
use crate::models::Arg;

/// Writes an operation on these arguments, of which the tensors are `tensors` in order.
///
/// # Errors
/// The operation, or an argument, has no counterpart.
pub(super) fn write(
    graph: &mut Graph,
    operation: &LayerRef,
    arguments: &[Arg],
    tensors: &[Value],
    outputs: &[TensorSpec],
) -> Result<Vec<Value>> {
    let config = operation.serialize()?.config;
    let site = Site { layer: operation, config, inputs: tensors, outputs: outputs.to_vec() };
    // ONNX converts nothing by itself.
    if tensors.iter().map(|t| t.dtype).chain(outputs.iter().map(|o| o.dtype)).any(|d| d != DType::F32) {
        return Err(site.unsupported("other numbers than float32"));
    }
    let mut rest = tensors.iter();
    let mut operands = Vec::new();
    for argument in arguments {
        operands.push(match argument {
            Arg::Tensor(_) => rest.next().map(|v| v.name.clone()).unwrap_or_default(),
            Arg::Value(Json::Number(x)) => graph.number(x.as_f64().unwrap_or_default())?,
            _ => return Err(site.unsupported("an argument that is neither a tensor nor a number")),
        });
    }
    let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
    let name = match operation.class().name {
        "Reshape" | "Flatten" => super::reshaping::to_output(graph, &site, operands[0])?,
        "Sum" | "Mean" | "Max" | "Min" => reduction(graph, &site, operands[0])?,
        class => match node(class) {
            Some(op) => graph.node(op, &operands, Vec::new()),
            None => return Err(site.unsupported("the operation has no counterpart that is written here")),
        },
    };
    let spec = outputs.first().ok_or_else(|| unsupported(operation, "it has no result"))?;
    Ok(vec![Value { name, shape: spec.shape.clone(), dtype: spec.dtype }])
}

/// The node that computes what an operation without arguments of its own does.
fn node(class: &str) -> Option<&'static str> {
    Some(match class {
        "Absolute" => "Abs",
        "Add" => "Add",
        "Subtract" => "Sub",
        "Multiply" => "Mul",
        "Divide" | "TrueDivide" => "Div",
        "Power" => "Pow",
        "Maximum" => "Max",
        "Minimum" => "Min",
        "Matmul" => "MatMul",
        "Negative" => "Neg",
        "Exp" => "Exp",
        "Log" => "Log",
        "Sqrt" => "Sqrt",
        "Sin" => "Sin",
        "Cos" => "Cos",
        "Tanh" => "Tanh",
        "Sigmoid" => "Sigmoid",
        "Relu" => "Relu",
        "Softplus" => "Softplus",
        "Softsign" => "Softsign",
        "Floor" => "Floor",
        "Ceil" => "Ceil",
        _ => return None,
    })
}

fn reduction(graph: &mut Graph, site: &Site, x: &str) -> Result<String> {
    let rank = site.input()?.rank() as i64;
    let axes = match site.argument("axis") {
        Json::Null => (0..rank).collect(),
        Json::Array(list) => site.sizes("axis", list.len())?,
        _ => site.sizes("axis", 1)?,
    };
    if !site.argument("initial").is_null() {
        return Err(site.unsupported("an initial value"));
    }
    let keep = Attribute::int("keepdims", site.flag("keepdims").into());
    let op = match site.layer.class().name {
        "Sum" => {
            let axes = graph.constant("axes", &HostTensor::new([axes.len()], axes)?)?;
            return Ok(graph.node("ReduceSum", &[x, &axes], vec![keep]));
        }
        "Mean" => "ReduceMean",
        "Max" => "ReduceMax",
        _ => "ReduceMin",
    };
    Ok(graph.node(op, &[x], vec![Attribute::ints("axes", &axes), keep]))
}
