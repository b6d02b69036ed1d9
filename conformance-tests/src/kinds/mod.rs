//! How a case of each kind is run.

mod activation;
mod config;
mod layer;
mod loss;
mod metric;
mod model;
mod objects;
pub(crate) mod op;
mod optimizer;
mod seeded;

use std::time::Duration;

use keras_spec::{Device, Error, GradientOptions, HostTensor, Result as KerasResult, Tensor, gradients_with};
use serde_json::Value;

use crate::compare::{Tolerance, compare};
use crate::expected::FailureKind;
use crate::vectors::{Case, Tree, VectorError, is_varied, shown, shown_all};

/// Why a case did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The implementation gave an error.
    #[error("{0}")]
    Keras(#[from] Error),
    /// The case cannot be read.
    #[error("the vector is at fault: {0}")]
    Vector(#[from] VectorError),
    /// A result is not the expected one.
    #[error("{0}")]
    Mismatch(String),
    /// The implementation panicked.
    #[error("panicked: {0}")]
    Panic(String),
    /// The case did not end.
    #[error("did not end within {} s", .0.as_secs())]
    Hung(Duration),
}

impl Failure {
    /// What a `conformance.toml` may call this; nothing, if the vector is at fault.
    pub(crate) fn kind(&self) -> Option<FailureKind> {
        match self {
            Failure::Vector(_) => None,
            Failure::Keras(e) if matches!(e.root(), Error::Unsupported { .. }) => {
                Some(FailureKind::Unsupported)
            }
            _ => Some(FailureKind::Bug),
        }
    }
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

pub(crate) fn mismatch<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::Mismatch(message.into()))
}

/// Which part of a case is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but gradients.
    Results,
    /// Gradients.
    Gradients,
}

/// Whether a case has gradients to compare.
pub(crate) fn has_gradients(case: &Case) -> bool {
    ["input_grads", "weight_grads"].iter().any(|key| !case.json(key).is_null())
}

/// Runs a part of a case: whether it passes, and the largest error in units of the tolerance.
pub(crate) fn run(case: &Case, part: Part, device: &Device) -> (Result, f64) {
    let mut check = Check::new(part);
    let result = match case.json("expect_error") {
        Value::String(text) => refused(dispatch(case, device, &mut check), text),
        _ => proves_something(case)
            .and_then(|()| dispatch(case, device, &mut check))
            .map_err(|f| f.with_inputs(case)),
    };
    (result, check.error)
}

fn dispatch(case: &Case, device: &Device, check: &mut Check) -> Result {
    check.tolerance = tolerance(case)?;
    match case.kind.as_str() {
        "layer" => layer::run(case, device, check),
        "loss" => loss::run(case, device, check),
        "metric" => metric::run(case, device, check),
        "optimizer" => optimizer::run(case, device, check),
        "op" => op::run(case, device, check),
        "model" => model::run(case, check),
        "seeded_model" => seeded::run(case, check),
        "config" => config::run(case),
        "initializer" => objects::initializer(case, device, check),
        "regularizer" => objects::regularizer(case, device, check),
        "constraint" => objects::constraint(case, device, check),
        "activation" => activation::run(case, device, check),
        other => Err(VectorError::Key("kind".to_owned(), format!("`{other}` is not known")).into()),
    }
}

/// Whether the case failed as it must: with an error of the implementation that holds `text`.
fn refused(result: Result, text: &str) -> Result {
    match result {
        Err(Failure::Keras(e)) if e.to_string().contains(text) => Ok(()),
        Err(Failure::Keras(e)) => mismatch(format!("the error `{e}` does not hold `{text}`")),
        // Such a case has no results: all that could fail has passed once they are asked for.
        Ok(()) | Err(Failure::Vector(VectorError::Key(..))) => {
            mismatch(format!("no error, where one that holds `{text}` is expected"))
        }
        Err(other) => Err(other),
    }
}

/// Refuses a case whose results are all constant, unless it says why they are.
fn proves_something(case: &Case) -> Result {
    let Some(outputs) = case.optional("outputs")?.filter(|_| case.json("why").is_null()) else {
        return Ok(());
    };
    let arrays = outputs.tensors()?;
    match is_varied(arrays.iter().flatten()) {
        true => Ok(()),
        false => {
            Err(VectorError::Key("outputs".to_owned(), "are constant, which proves nothing".to_owned())
                .into())
        }
    }
}

fn tolerance(case: &Case) -> Result<Option<Tolerance>> {
    let own = case.json("tolerance");
    if own.is_null() {
        return Ok(None);
    }
    let number = |key: &str| {
        let value = own.get(key).and_then(Value::as_f64).filter(|x| *x >= 0.0);
        value.ok_or_else(|| VectorError::Key("tolerance".to_owned(), format!("`{key}` is no number")))
    };
    Ok(Some(Tolerance { rtol: number("rtol")?, atol: number("atol")? }))
}

/// Where the inputs of a case stand.
const INPUTS: [&str; 8] =
    ["args", "kwargs", "inputs", "updates", "variables", "grads", "weights", "cotangents"];

impl Failure {
    /// Adds at which stage of a test it happened.
    pub(crate) fn during(self, stage: &str) -> Self {
        match self {
            Failure::Mismatch(message) => Failure::Mismatch(format!("{stage}: {message}")),
            Failure::Keras(e) => Failure::Keras(e.context(stage)),
            other => other,
        }
    }

    /// Adds what the failure happened on.
    pub(crate) fn within(self, what: &str) -> Self {
        match self {
            Failure::Mismatch(message) => Failure::Mismatch(format!("{message}\n{what}")),
            Failure::Panic(message) => Failure::Panic(format!("{message}\n{what}")),
            Failure::Keras(e) => Failure::Keras(e.context(what)),
            other => other,
        }
    }

    /// Adds the inputs to the message of a wrong result, so that it can be reproduced.
    fn with_inputs(self, case: &Case) -> Self {
        let Failure::Mismatch(mut message) = self else { return self };
        for key in INPUTS {
            let arrays = case.arrays_in(case.json(key));
            if !arrays.is_empty() {
                message.push_str(&format!("\n{key}: {}", shown_all(&arrays)));
            }
        }
        Failure::Mismatch(message)
    }
}

/// Compares results with what a case expects.
pub(crate) struct Check {
    part: Part,
    tolerance: Option<Tolerance>,
    /// The largest error so far, in units of the tolerance.
    error: f64,
}

impl Check {
    fn new(part: Part) -> Self {
        Check { part, tolerance: None, error: 0.0 }
    }

    /// One array of the results.
    pub(crate) fn array(&mut self, what: &str, got: &HostTensor, expected: &HostTensor) -> Result {
        match self.part {
            Part::Results => self.agree(what, got, expected),
            Part::Gradients => Ok(()),
        }
    }

    fn agree(&mut self, what: &str, got: &HostTensor, expected: &HostTensor) -> Result {
        match compare(got, expected, self.tolerance) {
            Ok(error) => {
                self.error = self.error.max(error);
                Ok(())
            }
            Err(why) => mismatch(format!("{what}: {why}")),
        }
    }

    /// Arrays, in the order of the leaves of `expected`; null stands for none.
    pub(crate) fn arrays(&mut self, what: &str, got: &[Option<HostTensor>], expected: &Tree) -> Result {
        if self.part == Part::Gradients {
            return Ok(());
        }
        let expected = expected.tensors()?;
        if got.len() != expected.len() {
            return mismatch(format!("{what}: {} of them where {} are expected", got.len(), expected.len()));
        }
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            match (got, expected) {
                (Some(got), Some(expected)) => self.array(&format!("{what}[{i}]"), got, expected)?,
                (None, None) => {}
                (Some(got), None) => {
                    return mismatch(format!("{what}[{i}]: {} where none is expected", shown(got)));
                }
                (None, Some(expected)) => {
                    return mismatch(format!("{what}[{i}]: none where {} is expected", shown(expected)));
                }
            }
        }
        Ok(())
    }

    /// Tensors on a device.
    pub(crate) fn tensors<'a>(
        &mut self,
        what: &str,
        got: impl IntoIterator<Item = &'a Tensor>,
        expected: &Tree,
    ) -> Result {
        if self.part == Part::Gradients {
            return Ok(());
        }
        let got = got.into_iter().map(|t| t.to_host().map(Some)).collect::<KerasResult<Vec<_>>>()?;
        self.arrays(what, &got, expected)
    }

    /// The vector-Jacobian products of `targets` with `cotangents` (ones if there are none), for each source that has an
    /// expected one. Where a target does not depend on a source, the product is zero.
    pub(crate) fn gradients(
        &mut self,
        what: &str,
        targets: &[Tensor],
        cotangents: Option<&[Option<Tensor>]>,
        sources: &[Option<Tensor>],
        expected: &Tree,
    ) -> Result {
        if self.part == Part::Results {
            return Ok(());
        }
        let expected = expected.tensors()?;
        if expected.len() != sources.len() {
            return mismatch(format!(
                "{what}: {} of them where {} are expected",
                sources.len(),
                expected.len()
            ));
        }
        let wanted: Vec<(usize, &Tensor, &HostTensor)> = sources
            .iter()
            .zip(&expected)
            .enumerate()
            .filter_map(|(i, (s, e))| Some((i, s.as_ref()?, e.as_ref()?)))
            .collect();
        let floats = |i: &usize| {
            cotangents.map_or(targets[*i].dtype().is_float(), |c| c.get(*i).is_some_and(Option::is_some))
        };
        let which: Vec<usize> = (0..targets.len()).filter(floats).collect();
        let seeds = cotangents.map(|c| which.iter().filter_map(|&i| c[i].clone()).collect());
        let options = GradientOptions { cotangents: seeds, create_graph: false };
        let targets: Vec<&Tensor> = which.iter().map(|&i| &targets[i]).collect();
        let sources: Vec<&Tensor> = wanted.iter().map(|(_, s, _)| *s).collect();
        let grads = gradients_with(&targets, &sources, &options)?;
        for ((i, source, expected), grad) in wanted.into_iter().zip(grads) {
            let got = match grad {
                Some(g) => g.to_host()?,
                None => HostTensor::full(source.shape().clone(), source.dtype(), 0.0),
            };
            self.agree(&format!("{what}[{i}]"), &got, expected)?;
        }
        Ok(())
    }
}

/// Arrays brought to the device.
pub(crate) fn to_device(arrays: Vec<Option<HostTensor>>, device: &Device) -> Result<Vec<Option<Tensor>>> {
    let bring = |a: Option<HostTensor>| a.map(|a| Tensor::from_host(a, device)).transpose();
    Ok(arrays.into_iter().map(bring).collect::<KerasResult<_>>()?)
}

/// The leaves of a value on the device.
pub(crate) fn leaves(value: &Tree, device: &Device) -> Result<Vec<Option<Tensor>>> {
    to_device(value.tensors()?, device)
}

/// Floats as the start of a history.
pub(crate) fn watched(tensors: Vec<Option<Tensor>>) -> Vec<Option<Tensor>> {
    let watch = |t: Tensor| if t.dtype().is_float() { t.watch() } else { t };
    tensors.into_iter().map(|t| t.map(watch)).collect()
}

/// Argument `i` of a call, which must be an array.
pub(crate) fn argument(args: &[Option<Tensor>], i: usize) -> Result<&Tensor> {
    let missing = || VectorError::Key("args".to_owned(), format!("array {i} is missing"));
    Ok(args.get(i).and_then(Option::as_ref).ok_or_else(missing)?)
}

/// The sources among the tensors of which gradients can be asked.
pub(crate) fn sources(tensors: &[Option<Tensor>]) -> Vec<Option<Tensor>> {
    tensors.iter().map(|t| t.clone().filter(Tensor::is_watched)).collect()
}
