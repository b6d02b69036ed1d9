//! The models that commands are given.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use keras::Model;
use keras::layers::DataFormat;
use keras::saving::LoadOptions;
use keras::saving::legacy::Report;
use keras::saving::sniff::{FileKind, sniff};
use keras_spec::{Device, HostTensor, PartialShape, Tensor};

use crate::answer::{Failure, Result};
use crate::data::safetensors;

/// A model file and what it does not say itself.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ModelFile {
    /// The model: .keras, .h5, an architecture in JSON or YAML, or with --architecture weights alone (.weights.h5, .h5, .safetensors)
    file: PathBuf,
    #[command(flatten)]
    reading: Reading,
}

/// How files are read.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Reading {
    /// The model whose weights the file has: an architecture in JSON or YAML, or another model
    #[arg(long, value_name = "FILE")]
    architecture: Option<PathBuf>,
    /// The backend that wrote a file of Keras 1 that does not tell: theano or tensorflow
    #[arg(long, value_name = "BACKEND")]
    written_on: Option<String>,
    /// The order of dimensions where an old file does not tell
    #[arg(long, value_name = "ORDER")]
    data_format: Option<Order>,
    /// The shape of the input, where the file does not tell: 32,32,3; None,3 with any number of steps; batch=8,10,3 for
    /// stateful layers, which need the batch size
    #[arg(long, value_name = "SIZES")]
    input_shape: Option<InputShape>,
    /// Give weights to the layers of their names, and none to others (weights by layer, of Keras 1 and 2)
    #[arg(long, requires = "architecture")]
    by_name: bool,
    /// Leave layers as they are whose weights do not fit
    #[arg(long, requires = "architecture")]
    skip_mismatch: bool,
    /// The backend that computes, with a device if need be: ndarray, tch:cuda:0
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
}

/// A shape with the batch, which is not known unless it is said.
#[derive(Clone, Debug)]
struct InputShape(PartialShape);

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let sizes = |text: &str| text.split(',').map(size).collect::<std::result::Result<Vec<_>, _>>();
        let shape = match text.strip_prefix("batch=") {
            Some(rest) => sizes(rest)?,
            None => std::iter::once(None).chain(sizes(text)?).collect(),
        };
        Ok(InputShape(PartialShape(shape)))
    }
}

fn size(text: &str) -> std::result::Result<Option<usize>, String> {
    match text.trim() {
        "None" => Ok(None),
        number => {
            number.parse().map(Some).map_err(|_| format!("`{number}` is no size; a size or None is expected"))
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Order {
    ChannelsFirst,
    ChannelsLast,
}

/// A model with what its reading took.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) report: Report,
    /// Whether its weights are from a file.
    pub(crate) has_weights: bool,
}

/// What a command does with weights that no file has, those of an architecture alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NewWeights {
    /// They get first values.
    Initialized,
    /// Nobody looks at them: a model of any size takes no time and no memory.
    Unused,
}

impl ModelFile {
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Loads the model; `compile` says whether it is compiled as it was.
    pub(crate) fn open(&self, compile: bool, new: NewWeights) -> Result<Loaded> {
        self.reading.choose_backend()?;
        self.reading.open(&self.file, compile, new)
    }
}

impl Reading {
    /// Chooses the backend that is asked for, here or by the environment.
    pub(crate) fn choose_backend(&self) -> Result<()> {
        let device = match &self.backend {
            Some(name) => keras::set_backend(name),
            None => Device::default_device(),
        };
        device.map(drop).map_err(Failure::compute)
    }

    fn options(&self, compile: bool) -> LoadOptions {
        let options = LoadOptions::new().compile(compile);
        let mut options = options.by_name(self.by_name).skip_mismatch(self.skip_mismatch);
        if let Some(backend) = &self.written_on {
            options = options.backend(backend);
        }
        match self.data_format {
            Some(Order::ChannelsFirst) => options.data_format(DataFormat::ChannelsFirst),
            Some(Order::ChannelsLast) => options.data_format(DataFormat::ChannelsLast),
            None => options,
        }
    }

    pub(crate) fn open(&self, path: &Path, compile: bool, new: NewWeights) -> Result<Loaded> {
        let loaded = self.load(path, compile, new)?;
        if let (Some(InputShape(shape)), false) = (&self.input_shape, loaded.model.is_built()) {
            let built = loaded.model.build(shape.clone());
            built.map_err(|e| Failure::Data(format!("{}: {e}{}", path.display(), batch_hint(shape, &e))))?;
        }
        Ok(loaded)
    }

    fn load(&self, path: &Path, compile: bool, new: NewWeights) -> Result<Loaded> {
        if let Some(architecture) = &self.architecture {
            let kept = self.by_name || self.skip_mismatch;
            let before = if kept { new } else { NewWeights::Unused };
            let Loaded { model, mut report, .. } = self.whole(architecture, compile, before)?;
            if let Some(weights) = load_weights(&model, path, &self.options(compile))? {
                // What happened to the architecture was first, but the weights' writer is who the file is from.
                report.entries.extend(weights.entries);
                report.origin = weights.origin;
            }
            return Ok(Loaded { model, report, has_weights: true });
        }
        if safetensors::is(path) {
            let why = "safetensors have weights alone; `--architecture FILE` says of which model";
            return Err(Failure::file(path, why));
        }
        self.whole(path, compile, new)
    }

    /// The model in a file that says what it consists of.
    fn whole(&self, path: &Path, compile: bool, new: NewWeights) -> Result<Loaded> {
        let options = self.options(compile).initialize(new == NewWeights::Initialized);
        let sniffed = sniff(path).map_err(Failure::named)?;
        let kind = sniffed.kind;
        let text = || std::fs::read_to_string(path).map_err(|e| Failure::file(path, e));
        let fail = |e: keras::Error| match e.root() {
            keras::Error::Unknown { kind, .. } if kind == "layer" => {
                let hint = "`keras inspect` shows what the file holds without knowing its classes";
                Failure::file(path, format!("{e}; {hint}"))
            }
            _ => Failure::file(path, e),
        };
        let (model, report) = match kind {
            FileKind::ArchitectureJson => options.report_json(&text()?).map_err(fail),
            FileKind::ArchitectureYaml => options.report_yaml(&text()?).map_err(fail),
            FileKind::Keras | FileKind::WholeModelH5 => options.report(path).map_err(fail),
            _ => {
                let why = "weights alone, without a model; `--architecture FILE` says of which model";
                Err(Failure::file(path, format!("{why} ({})", sniffed.reason)))
            }
        }?;
        let has_weights = !matches!(kind, FileKind::ArchitectureJson | FileKind::ArchitectureYaml);
        Ok(Loaded { model, report, has_weights })
    }
}

/// What to say if a model cannot be built for lack of a batch size.
fn batch_hint(shape: &PartialShape, error: &keras::Error) -> String {
    if !error.to_string().contains("batch size") || shape.0.first().is_some_and(Option::is_some) {
        return String::new();
    }
    let sizes = shape.0.iter().skip(1).map(|d| d.map_or("None".to_owned(), |d| d.to_string()));
    format!("; say it with `--input-shape batch=N,{}`", sizes.collect::<Vec<_>>().join(","))
}

/// Gives a model the weights in a file; what that took, where the format has a writer.
pub(crate) fn load_weights(model: &Model, path: &Path, options: &LoadOptions) -> Result<Option<Report>> {
    if !safetensors::is(path) {
        return options.load_weights(model, path).map(Some).map_err(|e| Failure::file(path, e));
    }
    let mut arrays = safetensors::read(path)?;
    let weights = model.weights();
    if arrays.len() != weights.len() {
        let why = format!("{} arrays where the model has {} weights", arrays.len(), weights.len());
        return Err(Failure::file(path, why));
    }
    let mut values: Vec<HostTensor> = Vec::new();
    for weight in &weights {
        let Some(at) = arrays.iter().position(|(name, _)| name == weight.path()) else {
            return Err(Failure::file(path, format!("no array for the weight `{}`", weight.path())));
        };
        let (_, value) = arrays.swap_remove(at);
        if value.shape() != weight.shape() {
            let why =
                format!("`{}`: expected shape {}, found {}", weight.path(), weight.shape(), value.shape());
            return Err(Failure::file(path, why));
        }
        values.push(value);
    }
    for (weight, value) in weights.iter().zip(values) {
        let assigned = Tensor::from_host(value, weight.get().device())
            .and_then(|t| t.into_dtype(weight.dtype()))
            .and_then(|t| weight.assign(&t));
        assigned.map_err(|e| Failure::file(path, e))?;
    }
    Ok(None)
}

/// The weights by their paths.
pub(crate) fn weights(model: &Model) -> Result<Vec<(String, HostTensor)>> {
    let read = |w: &keras_spec::Variable| Ok((w.path().to_owned(), w.get().to_host()?));
    model.weights().iter().map(read).collect::<keras_spec::Result<_>>().map_err(Failure::compute)
}
