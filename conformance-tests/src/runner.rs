//! Runs the cases of a folder, each by itself.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use keras_spec::Device;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::kinds::{self, Failure};
use crate::report::{Outcome, Report, Status};
use crate::vectors::{Case, VectorError, VectorFile};

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The backend, as in `KERAS_BACKEND`.
    pub backend: String,
    /// The folder of vector files.
    pub vectors: PathBuf,
    /// Only cases whose id holds this.
    pub filter: Option<String>,
    /// How long a case may take before it counts as hung.
    pub time_limit: Duration,
    /// Cases that are known to fail: they are skipped, and fail if they pass.
    pub known_failures: Vec<KnownFailure>,
}

/// A case that is known to fail.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// The case's exact id.
    pub id: String,
    /// Why it fails.
    pub reason: String,
}

/// What is known to fail on the backends of this repository, with reasons.
const KNOWN: &str = include_str!("../known-failures.json");

impl Options {
    /// All of the specification's vectors on a backend.
    pub fn new(backend: impl Into<String>) -> Self {
        Options {
            backend: backend.into(),
            vectors: Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors"),
            filter: None,
            time_limit: Duration::from_secs(60),
            known_failures: serde_json::from_str(KNOWN).unwrap_or_default(),
        }
    }

    fn selects(&self, case: &Case) -> bool {
        self.filter.as_ref().is_none_or(|f| case.id.contains(f.as_str()))
    }
}

/// Why nothing could be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The backend is not there.
    #[error(transparent)]
    Backend(#[from] keras_spec::Error),
    /// The folder cannot be read.
    #[error(transparent)]
    Vectors(#[from] VectorError),
    /// There is nothing to run.
    #[error("no case of {0} is selected")]
    Nothing(String),
}

/// Runs every case that is selected. A file or case that cannot be read is a failure in the report, and the run goes on.
///
/// # Errors
/// If there is no such backend or folder, or no case is selected.
pub fn run(options: &Options) -> Result<Report, RunError> {
    let device = keras_spec::set_backend(&options.backend)?;
    let mut report = Report { backend: device.to_string(), cases: Vec::new() };
    for path in VectorFile::find(&options.vectors)? {
        report.cases.extend(run_file(&path, options, &device));
    }
    if report.cases.is_empty() {
        return Err(RunError::Nothing(options.vectors.display().to_string()));
    }
    Ok(report)
}

fn run_file(path: &Path, options: &Options, device: &Device) -> Vec<Outcome> {
    let place = path.strip_prefix(&options.vectors).unwrap_or(path).display().to_string();
    match VectorFile::read(path) {
        Ok(file) => {
            let chosen = file.cases.into_iter().filter(|c| options.selects(c));
            chosen.map(|case| run_case(case, &place, options, device)).collect()
        }
        Err(e) => vec![Outcome {
            id: place.clone(),
            file: place,
            kind: "file".to_owned(),
            class_name: String::new(),
            status: Status::Failed(e.to_string()),
            error: 0.0,
        }],
    }
}

fn run_case(case: Case, file: &str, options: &Options, device: &Device) -> Outcome {
    let known = options.known_failures.iter().find(|k| k.id == case.id);
    let (id, kind, class_name) = (case.id.clone(), case.kind.clone(), case.class.clone());
    let device = device.clone();
    let work = move || {
        catch_unwind(AssertUnwindSafe(|| kinds::run(&case, &device)))
            .unwrap_or_else(|panic| (Err(Failure::Panic(message(&*panic))), 0.0))
    };
    let (result, error) = limited(work, options.time_limit);
    let status = match result {
        Ok(()) if known.is_some() => {
            Status::Failed("passes, but is listed in known-failures.json".to_owned())
        }
        Ok(()) => Status::Passed,
        Err(_) if known.is_some() => Status::Known(known.map(|k| k.reason.clone()).unwrap_or_default()),
        Err(e) => match e.unsupported() {
            Some(why) => Status::Unsupported(why.to_owned()),
            None => Status::Failed(e.to_string()),
        },
    };
    Outcome { id, file: file.to_owned(), kind, class_name, status, error }
}

type Ran = (Result<(), Failure>, f64);

/// Runs `work` on a thread of its own, which is left behind if it does not end in time.
#[cfg(not(target_family = "wasm"))]
fn limited(work: impl FnOnce() -> Ran + Send + 'static, limit: Duration) -> Ran {
    let (send, receive) = std::sync::mpsc::channel();
    let spawned = std::thread::Builder::new().spawn(move || send.send(work()));
    match spawned {
        Ok(_detached) => receive.recv_timeout(limit).unwrap_or((Err(Failure::Hung(limit)), 0.0)),
        Err(e) => (Err(Failure::Panic(format!("no thread: {e}"))), 0.0),
    }
}

#[cfg(target_family = "wasm")]
fn limited(work: impl FnOnce() -> Ran, _limit: Duration) -> Ran {
    work()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// The suite as the `main` of a test with `harness = false`: one trial per vector file, with its failures in the message.
/// Takes the arguments of `cargo test`.
pub fn harness(options: &Options) -> ExitCode {
    let arguments = Arguments::from_args();
    match trials(options) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn trials(options: &Options) -> Result<Vec<Trial>, RunError> {
    let device = keras_spec::set_backend(&options.backend)?;
    let trial = |path: PathBuf| {
        let name = path.strip_prefix(&options.vectors).unwrap_or(&path).with_extension("");
        let (options, device) = (options.clone(), device.clone());
        Trial::test(name.display().to_string(), move || {
            let cases = run_file(&path, &options, &device);
            let report = Report { backend: device.to_string(), cases };
            let undeclared = report.cases.iter().any(|c| matches!(c.status, Status::Unsupported(_)));
            match report.failed() == 0 && !undeclared {
                true => Ok(()),
                false => Err(Failed::from(report.to_string())),
            }
        })
    };
    Ok(VectorFile::find(&options.vectors)?.into_iter().map(trial).collect())
}
