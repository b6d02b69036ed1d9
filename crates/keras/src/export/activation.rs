//! Activation functions.

use keras_spec::Result;
use serde_json::Value as Json;

use super::graph::Graph;
use super::proto::Attribute;
use super::site::Site;
use crate::legacy::{LEGACY_HARD_SIGMOID, is_hard_sigmoid};

/// Applies the activation function in an argument of a layer to a value.
///
/// # Errors
/// The function has no counterpart.
pub(super) fn argument(graph: &mut Graph, site: &Site, name: &str, x: String) -> Result<String> {
    match function_name(site.argument(name)) {
        Some(function) => apply(graph, site, &function, x),
        None => Err(site.unsupported(format!("`{name}` is {}", site.argument(name)))),
    }
}

/// The name of a function as configurations have it: a string, null, or an object of Keras's functions, and
/// [`LEGACY_HARD_SIGMOID`] of its form.
pub(super) fn function_name(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some("linear".to_owned()),
        Json::String(name) => Some(name.clone()),
        Json::Object(map) if map.get("class_name").is_some_and(|c| c == "function") => {
            map.get("config").and_then(Json::as_str).map(str::to_owned)
        }
        _ if is_hard_sigmoid(value) => Some(LEGACY_HARD_SIGMOID.to_owned()),
        _ => None,
    }
}

fn apply(graph: &mut Graph, site: &Site, function: &str, x: String) -> Result<String> {
    let x = x.as_str();
    let last_axis = || vec![Attribute::int("axis", -1)];
    Ok(match function {
        "linear" => x.to_owned(),
        "relu" => graph.node("Relu", &[x], Vec::new()),
        "relu6" => clip(graph, x, 0.0, 6.0)?,
        "hard_tanh" => clip(graph, x, -1.0, 1.0)?,
        "sigmoid" => graph.node("Sigmoid", &[x], Vec::new()),
        "tanh" => graph.node("Tanh", &[x], Vec::new()),
        "softplus" => graph.node("Softplus", &[x], Vec::new()),
        "softsign" => graph.node("Softsign", &[x], Vec::new()),
        "exponential" => graph.node("Exp", &[x], Vec::new()),
        "elu" => graph.node("Elu", &[x], vec![Attribute::float("alpha", 1.0)]),
        "selu" => graph.node("Selu", &[x], Vec::new()),
        "leaky_relu" => graph.node("LeakyRelu", &[x], vec![Attribute::float("alpha", 0.2)]),
        "hard_sigmoid" => hard_sigmoid(graph, x, 1.0 / 6.0),
        LEGACY_HARD_SIGMOID => hard_sigmoid(graph, x, 0.2),
        "softmax" => graph.node("Softmax", &[x], last_axis()),
        "log_softmax" => graph.node("LogSoftmax", &[x], last_axis()),
        "hard_silu" | "hard_swish" => {
            let gate = hard_sigmoid(graph, x, 1.0 / 6.0);
            graph.node("Mul", &[x, &gate], Vec::new())
        }
        "silu" | "swish" => {
            let gate = graph.node("Sigmoid", &[x], Vec::new());
            graph.node("Mul", &[x, &gate], Vec::new())
        }
        "mish" => {
            let soft = graph.node("Softplus", &[x], Vec::new());
            let gate = graph.node("Tanh", &[&soft], Vec::new());
            graph.node("Mul", &[x, &gate], Vec::new())
        }
        "log_sigmoid" => {
            let negative = graph.node("Neg", &[x], Vec::new());
            let soft = graph.node("Softplus", &[&negative], Vec::new());
            graph.node("Neg", &[&soft], Vec::new())
        }
        "gelu" => {
            let root = graph.number(std::f64::consts::SQRT_2)?;
            let scaled = graph.node("Div", &[x, &root], Vec::new());
            let erf = graph.node("Erf", &[&scaled], Vec::new());
            let (one, half) = (graph.number(1.0)?, graph.number(0.5)?);
            let gate = graph.node("Add", &[&erf, &one], Vec::new());
            let product = graph.node("Mul", &[x, &gate], Vec::new());
            graph.node("Mul", &[&product, &half], Vec::new())
        }
        other => return Err(site.unsupported(format!("the activation `{other}`"))),
    })
}

fn clip(graph: &mut Graph, x: &str, low: f64, high: f64) -> Result<String> {
    let (low, high) = (graph.number(low)?, graph.number(high)?);
    Ok(graph.node("Clip", &[x, &low, &high], Vec::new()))
}

fn hard_sigmoid(graph: &mut Graph, x: &str, slope: f32) -> String {
    graph.node("HardSigmoid", &[x], vec![Attribute::float("alpha", slope), Attribute::float("beta", 0.5)])
}

/// A layer that is an activation function.
///
/// # Errors
/// The function has no counterpart.
pub(super) fn layer(graph: &mut Graph, site: &Site) -> Result<String> {
    let x = site.input()?;
    match site.layer.class().name {
        "ReLU" => relu(graph, site),
        "LeakyReLU" => {
            let alpha = Attribute::float("alpha", site.number("negative_slope")? as f32);
            Ok(graph.node("LeakyRelu", &[&x.name], vec![alpha]))
        }
        "ELU" => {
            let alpha = Attribute::float("alpha", site.number("alpha")? as f32);
            Ok(graph.node("Elu", &[&x.name], vec![alpha]))
        }
        "PReLU" => {
            let slope = graph.constant("alpha", &site.weight("alpha")?)?;
            Ok(graph.node("PRelu", &[&x.name, &slope], Vec::new()))
        }
        "Softmax" => {
            let Some(axis) = site.argument("axis").as_i64() else {
                return Err(site.unsupported("softmax over several axes"));
            };
            Ok(graph.node("Softmax", &[&x.name], vec![Attribute::int("axis", axis)]))
        }
        _ => argument(graph, site, "activation", x.name.clone()),
    }
}

/// `ReLU`: above the threshold what it is, at most `max_value`; below a slope.
fn relu(graph: &mut Graph, site: &Site) -> Result<String> {
    let x = site.input()?.name.as_str();
    let (threshold, slope) = (site.number("threshold")?, site.number("negative_slope")?);
    let above = match threshold == 0.0 {
        true => graph.node("Relu", &[x], Vec::new()),
        false => {
            let (threshold, zero) = (graph.number(threshold)?, graph.number(0.0)?);
            let is_above = graph.node("Greater", &[x, &threshold], Vec::new());
            graph.node("Where", &[&is_above, x, &zero], Vec::new())
        }
    };
    let limited = match site.argument("max_value").is_null() {
        true => above,
        false => {
            let (zero, most) = (graph.number(0.0)?, graph.number(site.number("max_value")?)?);
            graph.node("Clip", &[&above, &zero, &most], Vec::new())
        }
    };
    if slope == 0.0 {
        return Ok(limited);
    }
    let (threshold, slope) = (graph.number(threshold)?, graph.number(slope)?);
    let missing = graph.node("Sub", &[&threshold, x], Vec::new());
    let below = graph.node("Relu", &[&missing], Vec::new());
    let below = graph.node("Mul", &[&below, &slope], Vec::new());
    Ok(graph.node("Sub", &[&limited, &below], Vec::new()))
}
