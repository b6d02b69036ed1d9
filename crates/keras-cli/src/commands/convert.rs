//! `keras convert`

use std::path::{Path, PathBuf};

use keras::Model;
use keras::export::ExportFormat;
use keras::saving::legacy::Version;
use keras::saving::{LoadOptions, SaveOptions};
use serde_json::json;

use crate::answer::{Answer, BAD, DIFFERENT, Failure, GOOD, Result, short};
use crate::data::{safetensors, save};
use crate::model::{Loaded, NewWeights, Reading, load_weights, weights};
use crate::random;

#[derive(Debug, clap::Args)]
pub(crate) struct Convert {
    /// The file to read, of any Keras
    old: PathBuf,
    /// The file to write; the end of its name says the format: .keras, .h5 or .hdf5 (whole models), .weights.h5,
    /// .weights.json (an index of several files) and .safetensors (weights alone), .json and .yaml (the architecture alone), .onnx
    new: PathBuf,
    /// Load the new file and compare its predictions on random inputs with those of the old one
    #[arg(long)]
    check: bool,
    /// Write a model so that this version of Keras reads it: 3.0 and later read .keras, tf-keras (2.11 and later) .h5, Keras
    /// 2.2 to TensorFlow 2.5 .yaml, all of these .json
    #[arg(long, value_name = "VERSION", value_parser = version)]
    readable_by: Option<Version>,
    /// Leave out what the model was compiled with, as where an optimizer or a loss is not known
    #[arg(long)]
    no_compile: bool,
    #[command(flatten)]
    reading: Reading,
}

/// How many samples `--check` predicts.
const SAMPLES: usize = 4;
/// How far predictions may be apart, relative to the largest. The arithmetic is the same, so they should not be at all.
const TOLERANCE: f64 = 1e-6;

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Whole,
    Weights,
    Safetensors,
    Json,
    Yaml,
    Onnx,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let ends = |suffix: &str| name.ends_with(suffix);
        match () {
            () if ends(".weights.h5") || ends(".weights.json") => Ok(Format::Weights),
            () if ends(".keras") || ends(".h5") || ends(".hdf5") => Ok(Format::Whole),
            () if ends(".safetensors") => Ok(Format::Safetensors),
            () if ends(".json") => Ok(Format::Json),
            () if ends(".yaml") || ends(".yml") => Ok(Format::Yaml),
            () if ends(".onnx") => Ok(Format::Onnx),
            () => {
                let expected =
                    "a name that ends in .keras, .h5, .hdf5, .weights.h5, .safetensors, .json or .onnx";
                Err(Failure::Usage(format!("{}: expected {expected}", path.display())))
            }
        }
    }

    /// Whether a file holds the architecture alone.
    fn is_architecture(self) -> bool {
        matches!(self, Format::Json | Format::Yaml)
    }
}

impl Convert {
    pub(crate) fn run(self) -> Result<Answer> {
        let format = Format::of(&self.new)?;
        if self.check && format == Format::Onnx {
            return Err(Failure::Usage(
                "ONNX files are not read here: --check cannot be had with them".to_owned(),
            ));
        }
        self.reading.choose_backend()?;
        let new = match format.is_architecture() && !self.check {
            true => NewWeights::Unused,
            false => NewWeights::Initialized,
        };
        let Loaded { model, report, .. } = self.reading.open(&self.old, !self.no_compile, new)?;
        if !model.is_built() && !format.is_architecture() {
            let why = "the file does not say the shape of the model's input; say it with `--input-shape 32,32,3`, of \
                       stateful layers with the batch size: `--input-shape batch=8,10,3`";
            return Err(Failure::Data(format!("{}: {why}", self.old.display())));
        }
        self.write(&model, format)?;
        let mut text = format!("{} → {}\n", self.old.display(), self.new.display());
        text += &format!("{report}\n");
        let mut answer = Answer::new(
            text,
            json!({ "old": self.old.to_string_lossy(), "new": self.new.to_string_lossy(), "report": report }),
        );
        if self.check {
            let error = self.compare(&model, format)?;
            let same = error <= TOLERANCE;
            let largest = "largest difference of predictions on random inputs";
            let error_text = short(error);
            answer.text += &match same {
                true => format!("{GOOD}checked{GOOD:#}: {largest} {error_text}\n"),
                false => format!("{BAD}different{BAD:#}: {largest} {error_text}\n"),
            };
            answer.json["check"] = json!({ "same": same, "largest_difference": error, "samples": SAMPLES });
            answer.code = if same { 0 } else { DIFFERENT };
        }
        Ok(answer)
    }

    fn write(&self, model: &Model, format: Format) -> Result<()> {
        let path = &self.new;
        let named = |e: keras::Error| Failure::file(path, e);
        let text = |text: String| save(path, |out| std::io::Write::write_all(out, text.as_bytes()));
        let options = match self.readable_by {
            Some(_) if !(format == Format::Whole || format.is_architecture()) => {
                let why = "--readable-by is for whole models and architectures: .keras, .h5, .json and .yaml";
                return Err(Failure::Usage(why.to_owned()));
            }
            Some(version) => SaveOptions::new().readable_by(version),
            None => SaveOptions::new(),
        };
        match format {
            Format::Whole => options.save(model, path).map_err(named),
            Format::Weights => model.save_weights(path).map_err(named),
            Format::Onnx => model.export(path, ExportFormat::Onnx).map_err(named),
            Format::Json => text(options.to_json(model).map_err(named)?),
            Format::Yaml => text(options.to_yaml(model).map_err(named)?),
            Format::Safetensors => {
                let bytes =
                    safetensors::to_bytes(&weights(model)?).map_err(|why| Failure::file(path, why))?;
                save(path, |out| std::io::Write::write_all(out, &bytes))
            }
        }
    }

    /// The largest difference between predictions of the model and of what was written, relative to the largest number.
    fn compare(&self, old: &Model, format: Format) -> Result<f64> {
        let fail = |e: keras::Error| Failure::file(&self.new, e);
        let new = match format {
            Format::Whole => Reading::default().open(&self.new, false, NewWeights::Unused)?.model,
            Format::Json | Format::Yaml => {
                let new = Reading::default().open(&self.new, false, NewWeights::Unused)?.model;
                new.set_weights(&old.get_weights().map_err(Failure::compute)?).map_err(fail)?;
                new
            }
            _ => {
                let text = old.to_json().map_err(fail)?;
                let (new, _) = LoadOptions::new().initialize(false).report_json(&text).map_err(fail)?;
                load_weights(&new, &self.new, &LoadOptions::new())?;
                new
            }
        };
        let inputs = random::inputs(old, SAMPLES, 1).map_err(Failure::compute)?;
        let predict = |model: &Model| model.predict_on_batch(inputs.clone());
        let (a, b) = (predict(old).map_err(Failure::compute)?, predict(&new).map_err(fail)?);
        if a.len() != b.len() || a.iter().zip(&b).any(|(a, b)| a.shape() != b.shape()) {
            return Ok(f64::INFINITY);
        }
        let pairs = a.iter().zip(&b).flat_map(|(a, b)| a.to_f64_vec().into_iter().zip(b.to_f64_vec()));
        let (mut error, mut largest) = (0.0_f64, 1.0_f64);
        for (a, b) in pairs {
            let difference = if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() };
            error = error.max(if difference.is_nan() { f64::INFINITY } else { difference });
            largest = largest.max(if a.is_finite() { a.abs() } else { 0.0 });
        }
        Ok(error / largest)
    }
}

fn version(text: &str) -> std::result::Result<Version, String> {
    Version::parse(text).ok_or_else(|| "expected a version such as 3.0 or 2.15".to_owned())
}
