//! `op`: functions of `keras.ops` and `keras.random`, and operations of backends that none of these shows.

mod arguments;
mod backend;
mod functions;
mod random;
mod windows;

pub(crate) use functions::class_in_graphs;

use keras_spec::{Device, Tensor};

use self::arguments::{Arguments, Layout};
use super::{Check, Failure, Result, leaves, sources, watched};
use crate::spec;
use crate::vectors::{Case, VectorError};

pub(super) fn run(case: &Case, device: &Device, check: &mut Check) -> Result {
    let op = case.text("op")?;
    let call = arguments(case, device)?;
    let outputs = match op.split_once('.') {
        Some(("random", name)) => vec![call.random(name)?],
        Some(("backend", name)) => vec![call.backend(name)?],
        _ => call.function(op)?,
    };
    compared(case, &call, &outputs, check)
}

/// What a case calls its operation with.
fn arguments<'a>(case: &Case, device: &'a Device) -> Result<Arguments<'a>> {
    let op = case.text("op")?;
    let args = case.list("args")?;
    let layout = Layout::of(case)?;
    let arrange = |x: Option<Tensor>| x.map(|x| layout.arrange(&x)).transpose();
    // Random functions take plain shapes as arguments.
    let tensors = match op.starts_with("random.") {
        true => Vec::new(),
        false => leaves(&case.tree("args")?, device)?.into_iter().map(arrange).collect::<Result<_>>()?,
    };
    Ok(Arguments { args, kwargs: case.dict("kwargs")?, tensors: watched(tensors), device })
}

/// Compares the outputs and their gradients with a case's.
fn compared(case: &Case, call: &Arguments, outputs: &[Tensor], check: &mut Check) -> Result {
    let own = check.tolerance;
    let operation = |op: &str| spec::of_operation(op, outputs.first()?.dtype());
    check.tolerance = own.or_else(|| case.text("op").ok().and_then(operation));
    check.tensors("outputs", outputs, &case.tree("outputs")?)?;
    check.tolerance = own;
    let Some(cotangents) = case.optional("cotangents")? else { return Ok(()) };
    let cotangents = leaves(&cotangents, call.device)?;
    let expected = case.tree("input_grads")?;
    check.gradients("input_grads", outputs, Some(&cotangents), &sources(&call.tensors), &expected)
}

fn unknown(name: &str) -> Failure {
    VectorError::Key("op".to_owned(), format!("`{name}` is not known")).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use keras_spec::{BinaryOp, DType, UnaryOp};

    use super::*;
    use crate::vectors::VectorFile;

    /// What the vectors hold: operation, dtype of the first operand that is no condition.
    fn covered() -> HashSet<(String, DType)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/ops");
        let mut covered = HashSet::new();
        for path in VectorFile::find(&folder).unwrap() {
            for case in VectorFile::read(&path).unwrap().cases {
                // Constant results, of nothing say, prove too little.
                if !case.json("why").is_null() {
                    continue;
                }
                let op = case.text("op").unwrap();
                let inner = case.dict("kwargs").unwrap().remove("op").and_then(|v| v.to_value());
                let inner = inner.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
                let args = case.tree("args").unwrap().tensors().unwrap();
                let first = args.iter().flatten().nth(usize::from(op == "where"));
                let dtype = first.unwrap().dtype();
                let (unary, binary) = match op {
                    "backend.unary" => (functions::unary(inner), None),
                    name => (functions::unary(name), functions::binary(name)),
                };
                let name = match (unary, binary) {
                    (Some(op), _) => format!("{op:?}"),
                    (_, Some(op)) => format!("{op:?}"),
                    _ => format!("{op} {inner}").trim_end().to_owned(),
                };
                covered.insert((name, dtype));
            }
        }
        covered
    }

    /// What functional models do for a function of `keras.ops` is what the function does.
    #[test]
    fn operations_in_graphs_agree_with_the_functions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/ops");
        let device = Device::new("minimal").unwrap();
        let (mut ran, mut wrong) = (0, Vec::new());
        for path in VectorFile::find(&folder).unwrap() {
            for case in VectorFile::read(&path).unwrap().cases {
                let op = case.text("op").unwrap();
                if class_in_graphs(op).is_none() {
                    continue;
                }
                ran += 1;
                let mut check = Check::new(super::super::Part::Results);
                check.tolerance = super::super::tolerance(&case).unwrap();
                let done = arguments(&case, &device)
                    .and_then(|call| compared(&case, &call, &call.in_graphs(op)?, &mut check));
                wrong.extend(done.err().map(|why| format!("{}: {why}", case.id)));
            }
        }
        assert!(wrong.is_empty() && ran > 1000, "{ran} cases, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn the_vectors_hold_every_operation_for_every_dtype_that_it_accepts() {
        let covered = covered();
        let mut missing = Vec::new();
        let mut need = |name: String, accepts: &dyn Fn(DType) -> bool| {
            let lacks = |&dtype: &DType| accepts(dtype) && !covered.contains(&(name.clone(), dtype));
            missing.extend(DType::ALL.into_iter().filter(lacks).map(|dtype| format!("{name} {dtype}")));
        };
        for op in UnaryOp::ALL {
            need(format!("{op:?}"), &|dtype| op.accepts(dtype));
        }
        for op in BinaryOp::ALL {
            need(format!("{op:?}"), &|dtype| op.accepts(dtype));
        }
        for op in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "where", "cast"] {
            need(op.to_owned(), &|_| true);
        }
        for op in
            ["reshape", "transpose", "broadcast_to", "backend.slice", "flip", "concatenate", "backend.pad"]
        {
            need(op.to_owned(), &|_| true);
        }
        for op in ["backend.sort", "backend.argsort", "backend.gather", "backend.gather_elements"] {
            need(op.to_owned(), &|_| true);
        }
        for family in ["reduce", "cumulative", "reduce_window"] {
            for op in ["sum", "prod", "max", "min"] {
                let bools = ["max", "min"].contains(&op);
                need(format!("backend.{family} {op}"), &|dtype| bools || dtype != DType::Bool);
            }
        }
        for family in ["scatter", "scatter_elements"] {
            for op in ["set", "add", "max", "min"] {
                need(format!("backend.{family} {op}"), &|dtype| op != "add" || dtype != DType::Bool);
            }
        }
        for op in ["max", "min"] {
            need(format!("backend.arg_reduce {op}"), &|_| true);
        }
        need("matmul".to_owned(), &|dtype| dtype.is_float());
        need("backend.matmul".to_owned(), &|dtype| dtype.is_int());
        need("backend.convolution".to_owned(), &|dtype| dtype != DType::Bool);
        need("backend.select_and_scatter".to_owned(), &|dtype| dtype.is_float());
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
