//! `initializer`, `regularizer`, `constraint`: objects that are called with one thing.

use keras_spec::object::make;
use keras_spec::{Constraint, DType, Device, Initializer, Regularizer, Shape};

use super::{Check, Result, argument, leaves, sources, watched};
use crate::vectors::{Case, VectorError};

pub(super) fn initializer(case: &Case, device: &Device, check: &mut Check) -> Result {
    let initializer = make::<dyn Initializer>(case.json("object"))?;
    let shape: Vec<usize> = serde_json::from_value(case.json("shape").clone())
        .map_err(|e| VectorError::Key("shape".to_owned(), e.to_string()))?;
    let dtype: DType = case.text("dtype")?.parse()?;
    let output = initializer.call(&Shape::from(shape), dtype, device)?;
    check.tensors("outputs", [&output], &case.tree("outputs")?)
}

pub(super) fn regularizer(case: &Case, device: &Device, check: &mut Check) -> Result {
    let regularizer = make::<dyn Regularizer>(case.json("object"))?;
    let args = watched(leaves(&case.tree("args")?, device)?);
    let output = regularizer.call(argument(&args, 0)?)?;
    check.tensors("outputs", [&output], &case.tree("outputs")?)?;
    match case.optional("input_grads")? {
        Some(expected) => check.gradients("input_grads", &[output], None, &sources(&args), &expected),
        None => Ok(()),
    }
}

pub(super) fn constraint(case: &Case, device: &Device, check: &mut Check) -> Result {
    let constraint = make::<dyn Constraint>(case.json("object"))?;
    let args = leaves(&case.tree("args")?, device)?;
    let output = constraint.call(argument(&args, 0)?)?;
    check.tensors("outputs", [&output], &case.tree("outputs")?)
}
