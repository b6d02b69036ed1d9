//! Nodes of TensorFlow's own graphs, as TensorFlow 2.0 to 2.3 kept them.

use keras_spec::{Error, Result};
use serde_json::{Map, Value, json};

/// The function of a `TensorFlowOpLayer`, and its call: the layer's inputs are the tensors, with the constants among them.
///
/// # Errors
/// The node cannot be read, or is of a kind that has no counterpart.
pub(super) fn call(layer: &Value, name: &str) -> Result<(&'static str, Value)> {
    let wrong = |why: &str| Error::config(name, format!("a node of TensorFlow {why}"));
    let definition = match layer.pointer("/config/node_def") {
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|e| wrong(&format!("that is not JSON: {e}")))?
        }
        Some(object) => object.clone(),
        None => return Err(wrong("without its definition")),
    };
    let op = definition.get("op").and_then(Value::as_str).unwrap_or_default();
    let constants =
        layer.pointer("/config/constants").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut constants: Vec<(usize, Value)> =
        constants.into_iter().filter_map(|(i, v)| Some((i.parse().ok()?, v))).collect();
    constants.sort_by_key(|(i, _)| *i);
    let call = layer.pointer("/inbound_nodes/0").cloned().ok_or_else(|| wrong("that is not called"))?;
    let mut operands = match call.get("args").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Array(list)]) => list.clone(),
        Some(list) => list.to_vec(),
        None => Vec::new(),
    };
    for (i, value) in constants {
        operands.insert(i.min(operands.len()), value);
    }
    let attribute = |key: &str| definition.pointer(&format!("/attr/{key}")).cloned().unwrap_or_default();
    let flag = |key: &str| attribute(key).get("b").cloned().unwrap_or(false.into());
    let mut keywords = Map::new();
    let mut keyword = |key: &str, value: Value| drop(keywords.insert(key.to_owned(), value));
    // What the function of the same name takes by position.
    let (function, parameters): (&'static str, &[&str]) = match op {
        "Add" | "AddV2" | "BiasAdd" => ("math.add", &["x", "y"]),
        "Sub" => ("math.subtract", &["x", "y"]),
        "Mul" => ("math.multiply", &["x", "y"]),
        "RealDiv" | "Div" => ("math.divide", &["x", "y"]),
        "Pow" => ("math.pow", &["x", "y"]),
        "Maximum" => ("math.maximum", &["x", "y"]),
        "Minimum" => ("math.minimum", &["x", "y"]),
        "Abs" => ("math.abs", &["x"]),
        "Neg" => ("math.negative", &["x"]),
        "Sqrt" => ("math.sqrt", &["x"]),
        "Rsqrt" => ("math.rsqrt", &["x"]),
        "Square" => ("math.square", &["x"]),
        "Exp" => ("math.exp", &["x"]),
        "Log" => ("math.log", &["x"]),
        "Tanh" => ("math.tanh", &["x"]),
        "Sigmoid" => ("math.sigmoid", &["x"]),
        "Relu" => ("nn.relu", &["features"]),
        "Relu6" => ("nn.relu6", &["features"]),
        "Elu" => ("nn.elu", &["features"]),
        "Softmax" => ("nn.softmax", &["logits"]),
        "Identity" => ("identity", &["input"]),
        "Reshape" => ("reshape", &["tensor", "shape"]),
        "ExpandDims" => ("expand_dims", &["input", "axis"]),
        "Transpose" => ("transpose", &["a", "perm"]),
        "Tile" => ("tile", &["input", "multiples"]),
        "Sum" | "Mean" | "Max" | "Min" | "Prod" => {
            keyword("keepdims", flag("keep_dims"));
            let function = match op {
                "Sum" => "math.reduce_sum",
                "Mean" => "math.reduce_mean",
                "Max" => "math.reduce_max",
                "Min" => "math.reduce_min",
                _ => "math.reduce_prod",
            };
            (function, &["input_tensor", "axis"])
        }
        "MatMul" | "BatchMatMul" | "BatchMatMulV2" => {
            for key in ["transpose_a", "transpose_b", "adj_x", "adj_y"] {
                keyword(key, flag(key));
            }
            ("linalg.matmul", &["a", "b"])
        }
        "ConcatV2" | "Pack" => {
            let axis = match op {
                "Pack" => attribute("axis").get("i").cloned().unwrap_or(0.into()),
                _ => operands.pop().unwrap_or(0.into()),
            };
            let axis = axis.as_str().and_then(|i| i.parse::<i64>().ok()).map_or(axis, Value::from);
            keyword("axis", axis);
            operands = vec![operands.into()];
            (if op == "Pack" { "stack" } else { "concat" }, &["values"])
        }
        other => return Err(wrong(&format!("of the kind `{other}`, which has no counterpart in Keras 3"))),
    };
    let tensors = operands.iter().take_while(|v| !is_setting(v, function)).count();
    for (key, value) in parameters.iter().zip(&operands).skip(tensors) {
        keyword(key, value.clone());
    }
    operands.truncate(tensors);
    Ok((function, json!({ "args": operands, "kwargs": keywords })))
}

/// Whether a constant says how to compute, instead of being computed with.
fn is_setting(operand: &Value, function: &str) -> bool {
    let tensor = operand.get("class_name").is_some()
        || operand.as_array().is_some_and(|l| l.iter().any(Value::is_object));
    let sets = function.starts_with("math.reduce")
        || ["reshape", "expand_dims", "transpose", "tile"].contains(&function);
    sets && !tensor
}
