//! `keras predict`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap_lex::OsStrExt;
use indicatif::{ProgressBar, ProgressStyle};
use keras::Model;
use keras::training::{Data, Evaluate};
use keras_spec::{Callback, Element, HostTensor, Params, Shape, TensorSpec, dispatch_dtype};
use serde_json::{Value, json};

use crate::answer::{Answer, DIM, Failure, Result, TITLE, short, table};
use crate::commands::top::{self, Top};
use crate::data::images::Pixels;
use crate::data::{self, Arrays};
use crate::model::{ModelFile, NewWeights};

#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    #[command(flatten)]
    model: ModelFile,
    /// The data: .npy, .npz, .csv, .safetensors, a picture or a folder of pictures; once for each input
    #[arg(long, short, required = true, value_name = "[NAME=]FILE", value_parser = OsStringValueParser::new().map(Input::from))]
    input: Vec<Input>,
    /// Where the outputs go: .npy, .npz, .csv, .safetensors or .json; a table without it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Samples per batch
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// How many samples the table has; 0 is all
    #[arg(long, default_value_t = 20, value_name = "SAMPLES")]
    rows: usize,
    #[command(flatten)]
    top: Top,
    #[command(flatten)]
    pixels: Pixels,
}

/// A file of data, with the input it is for.
#[derive(Clone, Debug)]
struct Input {
    name: Option<String>,
    path: PathBuf,
}

impl From<OsString> for Input {
    fn from(text: OsString) -> Self {
        let split = text.split_once("=").and_then(|(name, path)| Some((name.to_str()?, path)));
        // A file may have the sign in its name, but hardly in that of its folder.
        match split.filter(|(name, _)| !name.contains(['/', '\\'])) {
            Some((name, path)) => Input { name: Some(name.to_owned()), path: path.into() },
            None => Input { name: None, path: text.into() },
        }
    }
}

impl Predict {
    pub(crate) fn run(self, quiet: bool) -> Result<Answer> {
        let written = self.output.as_deref();
        match written {
            Some(path) if self.top.count().is_some() => top::check_writable(path)?,
            Some(path) => data::check_writable(path)?,
            None => {}
        }
        let labels = self.top.labels()?;
        let mut model = self.model.open(false, NewWeights::Initialized)?.model;
        // A model without a known input takes what it is given.
        let specs = model.inputs().unwrap_or_default();
        let (x, samples) = self.data(&specs)?;
        let mut evaluate = Evaluate::new().batch_size(self.batch_size as usize).verbose(0);
        if !quiet {
            evaluate = evaluate.callback(Progress(ProgressBar::hidden()));
        }
        let outputs = model.predict_with(x, evaluate);
        let outputs = outputs.map_err(|e| Failure::Data(format!("{}: {e}", self.model.path().display())))?;
        let outputs = named(&model, outputs);
        if let Some(count) = self.top.count() {
            return top::answer(&outputs, count, &labels, samples.as_deref(), written);
        }
        if let Some(path) = written {
            data::write(path, &outputs)?;
            let text: String =
                outputs.iter().map(|o| format!("{}  {}\n", path.display(), describe(o))).collect();
            let list: Vec<Value> = outputs
                .iter()
                .map(|(n, a)| json!({ "name": n, "shape": a.shape().dims(), "dtype": a.dtype().name() }))
                .collect();
            return Ok(Answer::new(text, json!({ "output": path.to_string_lossy(), "outputs": list })));
        }
        let text = outputs.iter().map(|o| self.table(o, samples.as_deref())).collect::<String>();
        let samples =
            samples.map(|all| all.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>());
        Ok(Answer::new(text, json!({ "outputs": data::to_json(&outputs), "samples": samples })))
    }

    /// The model's inputs, and the names of samples where they have names.
    fn data(&self, specs: &[(String, TensorSpec)]) -> Result<(Data, Option<Vec<PathBuf>>)> {
        let mut given: Vec<(Option<String>, HostTensor, &Input)> = Vec::new();
        let mut samples = None;
        for input in &self.input {
            let Arrays { arrays, samples: files } =
                data::read(&input.path, input.name.as_deref(), specs, self.pixels)?;
            samples = samples.or(files);
            match &input.name {
                None => given.extend(arrays.into_iter().map(|(name, array)| (name, array, input))),
                Some(name) => {
                    let count = arrays.len();
                    let [(_, array)] = <[_; 1]>::try_from(arrays).map_err(|_| {
                        Failure::file(
                            &input.path,
                            format!("one array is needed for `{name}`, there are {count}"),
                        )
                    })?;
                    given.push((Some(name.clone()), array, input));
                }
            }
        }
        let names: Vec<&str> = specs.iter().map(|(n, _)| n.as_str()).collect();
        let by_name = given.iter().all(|(n, ..)| n.as_deref().is_some_and(|n| names.contains(&n)));
        let fits = specs.is_empty() || given.len() == specs.len();
        let unknown = self.input.iter().filter_map(|i| i.name.as_deref()).find(|n| !names.contains(n));
        if let Some(unknown) = unknown.filter(|_| !specs.is_empty()) {
            let names = names.join(", ");
            return Err(Failure::Data(format!("the model has no input `{unknown}`; it has: {names}")));
        }
        if !fits {
            let found = given.iter().map(|(n, a, i)| {
                format!(
                    "{}{} {}",
                    i.path.display(),
                    n.as_ref().map(|n| format!(": {n}")).unwrap_or_default(),
                    a.shape()
                )
            });
            let found = found.collect::<Vec<_>>().join(", ");
            let why = format!(
                "the model has {} input{} ({}), the data {}",
                names.len(),
                if names.len() == 1 { "" } else { "s" },
                names.join(", "),
                given.len()
            );
            return Err(Failure::Data(format!("{why} ({found})")));
        }
        let mut arrays = Vec::new();
        if by_name && !specs.is_empty() {
            for (name, spec) in specs {
                let at = given.iter().position(|(n, ..)| n.as_ref() == Some(name));
                let at =
                    at.ok_or_else(|| Failure::Data(format!("there is no data for the input `{name}`")))?;
                let (_, array, input) = given.swap_remove(at);
                arrays.push(fit(array, name, spec, input)?);
            }
        } else {
            for (i, (_, array, input)) in given.into_iter().enumerate() {
                arrays.push(match specs.get(i) {
                    Some((name, spec)) => fit(array, name, spec, input)?,
                    None => array,
                });
            }
        }
        Ok((Data::List(arrays), samples))
    }

    fn table(&self, output: &(String, HostTensor), samples: Option<&[PathBuf]>) -> String {
        let (_, array) = output;
        let count = array.shape().first().copied().unwrap_or(1);
        let width = array.data().len() / count.max(1);
        let shown = if self.rows == 0 { count } else { self.rows.min(count) };
        let row = |i: usize| {
            let sample =
                samples.and_then(|s| s.get(i)).map_or_else(|| i.to_string(), |p| p.display().to_string());
            let numbers = (i * width..(i + 1) * width).take(COLUMNS).map(|at| short(element(array, at)));
            let more = (width > COLUMNS).then(|| "…".to_owned());
            std::iter::once(sample).chain(numbers).chain(more).collect()
        };
        let rows: Vec<Vec<String>> = (0..shown).map(row).collect();
        let more = match count - shown {
            0 => String::new(),
            n => format!("{DIM}… and {n} more (--rows 0 shows all){DIM:#}\n"),
        };
        format!("{TITLE}{}{TITLE:#}\n{}{more}", describe(output), table(&[], &rows))
    }
}

/// An element by its place in row-major order.
fn element(array: &HostTensor, at: usize) -> f64 {
    dispatch_dtype!(array.dtype(), T => array.as_slice::<T>().map_or(f64::NAN, |all| all[at].to_f64()))
}

/// How many numbers of a sample a table has.
const COLUMNS: usize = 12;

fn describe((name, array): &(String, HostTensor)) -> String {
    format!("{name} {} {}", array.shape(), array.dtype())
}

/// Brings an array to the shape of an input where only the arrangement differs: rows of a table, or an axis of length 1
/// at the end that is there or not.
fn fit(array: HostTensor, name: &str, spec: &TensorSpec, input: &Input) -> Result<HostTensor> {
    let shape = array.shape().clone();
    if spec.shape.matches(&shape) {
        return Ok(array);
    }
    let wrong = || {
        let path = input.path.display();
        Failure::Data(format!("{path}: the input `{name}` takes shape {}, found {shape}", spec.shape))
    };
    let dims = spec.shape.dims();
    let ([_, rest @ ..], [n, own @ ..]) = (dims, &*shape) else { return Err(wrong()) };
    let target: Vec<usize> = match (rest, own) {
        ([inner @ .., Some(1)], _) if inner.len() == own.len() => [own, &[1]].concat(),
        (_, [inner @ .., 1]) if inner.len() == rest.len() => inner.to_vec(),
        (_, [_]) => rest.iter().copied().collect::<Option<_>>().ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let target: Shape = std::iter::once(*n).chain(target).collect();
    if !spec.shape.matches(&target) {
        return Err(wrong());
    }
    array.reshape(target).map_err(|_| wrong())
}

/// Outputs with the names of the layers that give them; with a number where a layer gives several.
fn named(model: &Model, outputs: Vec<HostTensor>) -> Vec<(String, HostTensor)> {
    let names: Vec<String> =
        model.outputs().map(|all| all.into_iter().map(|(n, _)| n).collect()).unwrap_or_default();
    let name = |i: usize| match names.get(i) {
        Some(name) if names.iter().filter(|n| *n == name).count() == 1 => name.clone(),
        Some(name) => format!("{name}_{i}"),
        None => format!("output_{i}"),
    };
    outputs.into_iter().enumerate().map(|(i, array)| (name(i), array)).collect()
}

/// A bar on standard error, where that is a terminal.
struct Progress(ProgressBar);

impl Callback for Progress {
    fn set_params(&mut self, params: &Params) {
        self.0 = params.steps.map_or_else(ProgressBar::no_length, |n| ProgressBar::new(n as u64));
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {bar:20.green/white} {elapsed} {eta}") {
            self.0.set_style(style.progress_chars("━━━"));
        }
    }

    fn on_predict_batch_end(
        &mut self,
        batch: usize,
        _: &mut dyn keras_spec::Model,
    ) -> keras_spec::Result<()> {
        self.0.set_position(batch as u64 + 1);
        Ok(())
    }

    fn on_predict_end(&mut self, _: &mut dyn keras_spec::Model) -> keras_spec::Result<()> {
        self.0.finish_and_clear();
        Ok(())
    }
}
