//! `bench`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use keras_spec::{Device, Result as KerasResult, Tensor};

use super::Program;
use crate::workloads::{WORKLOADS, Workload};

#[derive(clap::Args)]
pub(super) struct Bench {
    /// The backend that is measured.
    #[arg(long)]
    backend: Option<String>,
    /// The backend that it is compared with.
    #[arg(long, default_value = "ndarray")]
    against: String,
    /// Only operations whose name holds this text.
    #[arg(long)]
    filter: Option<String>,
}

/// How long an operation is repeated.
const BUDGET: Duration = Duration::from_millis(300);

/// How often it is run at least, and at most.
const RUNS: std::ops::Range<usize> = 5..1000;

impl Bench {
    pub(super) fn run(self, program: &Program) -> Result<ExitCode, String> {
        let name = program.backend_or(self.backend)?;
        let device = Device::new(&name).map_err(|e| e.to_string())?;
        let other = Device::new(&self.against).map_err(|e| e.to_string())?;
        let chosen =
            WORKLOADS.iter().filter(|w| self.filter.as_ref().is_none_or(|f| w.name.contains(f.as_str())));
        let mut rows = Vec::new();
        let mut failures = Vec::new();
        for workload in chosen {
            match (median(workload, &device), median(workload, &other)) {
                (Ok(a), Ok(b)) => rows.push((workload.name, a, b, a / b)),
                (Err(e), _) | (_, Err(e)) => failures.push(format!("{}: {e}", workload.name)),
            }
        }
        rows.sort_by(|a, b| b.3.total_cmp(&a.3));
        println!("{:22}  {:>12}  {:>12}  {:>6}", "operation", device.to_string(), other.to_string(), "ratio");
        for (name, a, b, ratio) in rows {
            println!("{name:22}  {:>9.1} µs  {:>9.1} µs  {ratio:6.2}", a * 1e6, b * 1e6);
        }
        failures.iter().for_each(|failure| println!("{failure}"));
        Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Seconds that a workload takes.
fn median(workload: &Workload, device: &Device) -> KerasResult<f64> {
    let operands = workload.operands(device)?;
    let once = || -> KerasResult<f64> {
        let started = Instant::now();
        let results = workload.run(&operands)?;
        results.iter().try_for_each(finished)?;
        Ok(started.elapsed().as_secs_f64())
    };
    once()?;
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < RUNS.start || began.elapsed() < BUDGET && times.len() < RUNS.end {
        times.push(once()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Waits for a result: devices that work in the background have to have an element ready to be read.
fn finished(t: &Tensor) -> KerasResult<()> {
    let first: Vec<usize> = t.shape().iter().map(|&n| n.min(1)).collect();
    let (start, stride) = (vec![0; t.rank()], vec![1; t.rank()]);
    t.slice(&start, &first, &stride)?.to_host().map(drop)
}
