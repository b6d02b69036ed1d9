//! `op`: functions of `keras.ops` and `keras.random`, and operations of backends that none of these shows.

mod arguments;
mod backend;
mod functions;
mod random;
mod windows;

use keras_spec::{Device, Tensor};

use self::arguments::{Arguments, Layout};
use super::{Check, Failure, Result, leaves, sources, watched};
use crate::spec;
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let op = case.text("op")?;
    let args = case.list("args")?;
    let layout = Layout::of(case)?;
    let arrange = |x: Option<Tensor>| x.map(|x| layout.arrange(&x)).transpose();
    // Random functions take plain shapes as arguments.
    let tensors = match op.starts_with("random.") {
        true => Vec::new(),
        false => leaves(&case.tree("args")?, device)?.into_iter().map(arrange).collect::<Result<_>>()?,
    };
    let call = Arguments { args, kwargs: case.dict("kwargs")?, tensors: watched(tensors), device };
    let outputs = match op.split_once('.') {
        Some(("random", name)) => vec![call.random(name)?],
        Some(("backend", name)) => vec![call.backend(name)?],
        _ => call.function(op)?,
    };
    let own = check.tolerance;
    check.tolerance = own.or_else(|| spec::of_operation(op, outputs.first()?.dtype()));
    check.tensors("outputs", &outputs, &case.tree("outputs")?)?;
    check.tolerance = own;
    let Some(cotangents) = case.optional("cotangents")? else { return Ok(()) };
    let cotangents = leaves(&cotangents, device)?;
    let expected = case.tree("input_grads")?;
    check.gradients("input_grads", &outputs, Some(&cotangents), &sources(&call.tensors), &expected)
}

fn unknown(name: &str) -> Failure {
    VectorError::Key("op".to_owned(), format!("`{name}` is not known")).into()
}
