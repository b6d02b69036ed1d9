//! `keras bench`

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use keras::Model;
use keras::training::{Batch, Nested};
use keras_spec::{DType, Device, HostTensor};
use serde_json::{Value, json};

use crate::answer::{Answer, DIM, Failure, Result, TITLE, table};
use crate::model::{ModelFile, NewWeights};
use crate::random;

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    model: ModelFile,
    /// Sizes of batches
    #[arg(long, value_delimiter = ',', default_value = "1,32", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Vec<u32>,
    /// How long each measurement takes
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Do not train
    #[arg(long)]
    no_train: bool,
}

/// How often a step is run at least.
const RUNS: usize = 3;

/// Seconds per step of one batch size.
struct Row {
    batch: usize,
    predict: f64,
    train: Option<f64>,
}

impl Bench {
    pub(crate) fn run(self, quiet: bool) -> Result<Answer> {
        let budget = Duration::try_from_secs_f64(self.seconds)
            .map_err(|e| Failure::Usage(format!("--seconds {}: {e}", self.seconds)))?;
        let mut model = self.model.open(!self.no_train, NewWeights::Initialized)?.model;
        let compiled = keras_spec::Model::optimizer(&model).is_some() && !self.no_train;
        let device = Device::default_device().map_err(Failure::compute)?;
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(self.batch_size.len() as u64) };
        let (mut rows, mut untrained) = (Vec::new(), None);
        for &batch in &self.batch_size {
            let batch = batch as usize;
            let x = random::inputs(&model, batch, 1).map_err(Failure::compute)?;
            let once = || model.predict_on_batch(x.clone()).map(drop);
            let predict = median(budget, once).map_err(Failure::compute)?;
            let mut row = Row { batch, predict, train: None };
            if compiled && untrained.is_none() {
                match train(&mut model, x, batch, budget) {
                    Ok(seconds) => row.train = Some(seconds),
                    Err(e) => untrained = Some(e.to_string()),
                }
            }
            rows.push(row);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(answer(&model, &device, &rows, untrained))
    }
}

fn answer(model: &Model, device: &Device, rows: &[Row], untrained: Option<String>) -> Answer {
    let milliseconds = |seconds: f64| format!("{:.3}", seconds * 1e3);
    let per_second = |row: &Row, seconds: f64| format!("{:.0}", row.batch as f64 / seconds);
    let trains = rows.iter().any(|r| r.train.is_some());
    let mut header = vec!["batch", "predict ms", "samples/s"];
    if trains {
        header.extend(["train ms", "samples/s"]);
    }
    let cells = |row: &Row| {
        let mut cells = vec![row.batch.to_string(), milliseconds(row.predict), per_second(row, row.predict)];
        if let Some(train) = row.train {
            cells.extend([milliseconds(train), per_second(row, train)]);
        }
        cells
    };
    let one = |row: &Row| {
        json!({
            "batch_size": row.batch,
            "predict_seconds": row.predict,
            "predict_samples_per_second": row.batch as f64 / row.predict,
            "train_seconds": row.train,
            "train_samples_per_second": row.train.map(|t| row.batch as f64 / t),
        })
    };
    let body = table(&header, &rows.iter().map(cells).collect::<Vec<_>>());
    let mut text = format!("{TITLE}{}{TITLE:#} on {device}, medians\n{body}", model.name());
    if let Some(why) = &untrained {
        text += &format!("{DIM}not trained: {why}{DIM:#}\n");
    }
    let rows: Vec<Value> = rows.iter().map(one).collect();
    let json = json!({
        "model": model.name(), "device": device.to_string(), "results": rows, "not_trained": untrained,
    });
    Answer::new(text, json)
}

/// The median of how long something takes, after once for warmth.
fn median(budget: Duration, mut once: impl FnMut() -> keras::Result<()>) -> keras::Result<f64> {
    once()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < RUNS || began.elapsed() < budget {
        let started = Instant::now();
        once()?;
        times.push(started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Seconds that a training step takes on random targets.
fn train(model: &mut Model, x: Vec<HostTensor>, batch: usize, budget: Duration) -> keras::Result<f64> {
    let batch = Batch::new(x, targets(model, batch)?);
    median(budget, || model.train_on_batch(&batch).map(drop))
}

/// Random targets: classes for losses of which the name says so, else numbers like the outputs.
fn targets(model: &Model, batch: usize) -> keras::Result<Vec<HostTensor>> {
    let architecture = keras::saving::json::parse(&model.to_json()?).map_err(keras::Error::other)?;
    let losses = Nested::from_value(&architecture["compile_config"]["loss"], &|v: &Value| Ok(v.clone()))?;
    let outputs = model.outputs()?;
    let mut targets = Vec::new();
    for (i, (name, spec)) in outputs.iter().enumerate() {
        let loss = match &losses {
            Nested::List(list) => list.get(i).map(Nested::flatten).unwrap_or_default(),
            Nested::Dict(map) => {
                map.iter().find(|(n, _)| n == name).map(|(_, v)| v.flatten()).unwrap_or_default()
            }
            other => other.flatten(),
        };
        let sparse = loss.iter().any(|v| v.to_string().to_ascii_lowercase().contains("sparse"));
        let shape = random::shape(&spec.shape, batch);
        targets.push(match &*shape {
            [outer @ .., classes] if sparse => random::array(outer, DType::I32, Some(*classes), 7)?,
            _ => random::array(&shape, DType::F32, None, 7)?,
        });
    }
    Ok(targets)
}
