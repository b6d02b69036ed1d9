//! `metric`: updates, then the result.

use keras_spec::object::make;
use keras_spec::{Device, Metric};
use serde_json::Value;

use super::{Check, Result, argument, leaves};
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let metric = make::<dyn Metric>(case.json("object"))?;
    let Value::Array(updates) = case.json("updates") else {
        return Err(VectorError::Key("updates".to_owned(), "is no list".to_owned()).into());
    };
    for update in updates {
        let args = leaves(&case.read(update.get("args").unwrap_or(&Value::Null))?, device)?;
        let first = argument(&args, 0)?;
        // These two take values in the place of targets and predictions.
        let (second, weights) = match metric.class().name {
            "Mean" | "Sum" => (first, args.get(1)),
            _ => (argument(&args, 1)?, args.get(2)),
        };
        metric.update_state(first, second, weights.and_then(Option::as_ref))?;
    }
    check.tensors("outputs", [&metric.result()?], &case.tree("outputs")?)
}
