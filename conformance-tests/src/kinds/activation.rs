//! `activation`: functions of `keras.activations`, with their arguments.

use std::collections::BTreeMap;

use keras::activations::{self, Activation};
use keras::constraints::Axes;
use keras_spec::{Device, Error, Tensor};
use serde_json::Value;

use super::{Check, Result, argument, leaves, sources, watched};
use crate::vectors::{Case, Tree, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let args = watched(leaves(&case.tree("args")?, device)?);
    let output = call(case.text("object")?, argument(&args, 0)?, &Keywords(case.dict("kwargs")?))?;
    check.tensors("outputs", [&output], &case.tree("outputs")?)?;
    let Some(cotangents) = case.optional("cotangents")? else { return Ok(()) };
    let cotangents = leaves(&cotangents, device)?;
    let expected = case.tree("input_grads")?;
    check.gradients("input_grads", &[output], Some(&cotangents), &sources(&args), &expected)
}

/// The keyword arguments of a function.
pub(super) struct Keywords(pub(super) BTreeMap<String, Tree>);

impl Keywords {
    fn value(&self, name: &str) -> &Value {
        match self.0.get(name) {
            Some(Tree::Value(v)) => v,
            _ => &Value::Null,
        }
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        self.value(name).as_f64().unwrap_or(default)
    }

    fn axis(&self) -> Result<isize> {
        match self.0.get("axis") {
            None => Ok(-1),
            Some(Tree::Value(Value::Number(n))) if n.is_i64() => Ok(n.as_i64().unwrap_or(-1) as isize),
            Some(Tree::List(axes)) => {
                Err(Error::argument("axis", "one axis", format!("{} of them", axes.len())).into())
            }
            Some(other) => {
                Err(VectorError::Key("axis".to_owned(), format!("{other:?} is no integer")).into())
            }
        }
    }
}

impl Keywords {
    /// One axis, or several.
    fn axes(&self) -> Result<Axes> {
        let Some(Tree::List(list)) = self.0.get("axis") else { return self.axis().map(Axes::One) };
        let axis = |v: &Tree| match v {
            Tree::Value(Value::Number(n)) => n.as_i64().map(|n| n as isize),
            _ => None,
        };
        let axes: Option<Vec<isize>> = list.iter().map(axis).collect();
        let wrong = || VectorError::Key("axis".to_owned(), format!("{list:?} are no integers"));
        Ok(Axes::Many(axes.ok_or_else(wrong)?))
    }
}

fn call(name: &str, x: &Tensor, k: &Keywords) -> Result<Tensor> {
    Ok(match name {
        _ if k.0.is_empty() && name != "threshold" => Activation::try_from(name)?.call(x)?,
        "celu" => activations::celu(x, k.number("alpha", 1.0))?,
        "elu" => activations::elu(x, k.number("alpha", 1.0))?,
        "gelu" => activations::gelu(x, k.value("approximate").as_bool().unwrap_or(false))?,
        "glu" => activations::glu(x, k.axis()?)?,
        "hard_shrink" => activations::hard_shrink(x, k.number("threshold", 0.5))?,
        "leaky_relu" => activations::leaky_relu(x, k.number("negative_slope", 0.2))?,
        "log_softmax" => activations::log_softmax(x, k.axes()?)?,
        "relu" => {
            let max = k.value("max_value").as_f64();
            activations::relu(x, k.number("negative_slope", 0.0), max, k.number("threshold", 0.0))?
        }
        "soft_shrink" => activations::soft_shrink(x, k.number("threshold", 0.5))?,
        "softmax" => activations::softmax(x, k.axes()?)?,
        "sparsemax" => activations::sparsemax(x, k.axis()?)?,
        "squareplus" => activations::squareplus(x, k.number("b", 4.0))?,
        "threshold" => activations::threshold(x, k.number("threshold", 0.0), k.number("default_value", 0.0))?,
        _ => return Err(VectorError::Key("kwargs".to_owned(), format!("`{name}` takes none")).into()),
    })
}
