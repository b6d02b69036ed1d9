//! `loss`: a loss of a batch and its gradients.

use keras_spec::object::make;
use keras_spec::{Device, Loss, scope};

use super::{Check, Result, argument, leaves, sources, watched};
use crate::vectors::Case;

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let loss = make::<dyn Loss>(case.json("object"))?;
    let args = watched(leaves(&case.tree("args")?, device)?);
    let mask = match case.optional("mask")? {
        Some(mask) => leaves(&mask, device)?.pop().flatten(),
        None => None,
    };
    let weights = args.get(2).and_then(Option::as_ref);
    let (y_true, y_pred) = (argument(&args, 0)?, argument(&args, 1)?);
    let output = scope::recorded(|| keras::losses::compute(&*loss, y_true, y_pred, weights, mask.as_ref()))?;
    check.tensors("outputs", [&output], &case.tree("outputs")?)?;
    match case.optional("input_grads")? {
        Some(expected) => check.gradients("input_grads", &[output], None, &sources(&args), &expected),
        None => Ok(()),
    }
}
