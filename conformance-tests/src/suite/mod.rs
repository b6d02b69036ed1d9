//! The tests of the suite: which there are, and how they are run.

mod execute;
mod harness;
mod list;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keras_spec::Device;

use crate::expected::{ExpectedError, ExpectedFailures};
use crate::kinds;
use crate::report::Report;
use crate::tier::Tier;
use crate::vectors::VectorError;

pub(crate) use execute::{caught, quiet_panics};
pub(crate) use harness::harness;

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The backend, as in `KERAS_BACKEND`.
    pub backend: String,
    /// The folder of vector files.
    pub vectors: PathBuf,
    /// Only this tier.
    pub tier: Option<Tier>,
    /// Only tests whose id holds this.
    pub filter: Option<String>,
    /// Only the test with exactly this id.
    pub id: Option<String>,
    /// How long a test may take before it counts as hung.
    pub time_limit: Duration,
    /// The `conformance.toml` with the failures that are expected.
    pub expected: Option<PathBuf>,
    /// The command that failures name for running one of them again; ` --id ID` is added.
    pub rerun: String,
    /// The program itself, if it understands the command line of this suite: tests of thread counts start it anew.
    pub program: Option<PathBuf>,
}

impl Options {
    /// The whole suite on a backend, with the specification's vectors and no failure expected.
    pub fn new(backend: impl Into<String>) -> Self {
        let backend = backend.into();
        Options {
            vectors: specification(),
            tier: None,
            filter: None,
            id: None,
            time_limit: Duration::from_secs(60),
            expected: None,
            rerun: rerun(&backend),
            program: None,
            backend,
        }
    }

    fn selects(&self, test: &Test) -> bool {
        self.tier.is_none_or(|t| t == test.tier) && self.names(&test.id)
    }

    fn names(&self, id: &str) -> bool {
        self.filter.as_ref().is_none_or(|f| id.contains(f.as_str()))
            && self.id.as_ref().is_none_or(|i| i == id)
    }

    /// Whether the vectors are the specification's. Other folders are run by themselves, without properties, and do not hold
    /// all that a list of expected failures may name.
    fn is_whole(&self) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        real(&self.vectors).is_some_and(|path| real(&specification()) == Some(path))
    }

    /// The command that runs one test.
    pub(crate) fn rerun(&self, id: &str) -> String {
        let quoted = |s: &str| format!("'{}'", s.replace('\'', r"'\''"));
        let vectors = match self.is_whole() {
            true => String::new(),
            false => format!(" --vectors {}", quoted(&self.vectors.display().to_string())),
        };
        format!("{}{vectors} --id {}", self.rerun, quoted(id))
    }
}

/// The command of this repository that runs the suite on a backend; which of them the program has, features say.
fn rerun(backend: &str) -> String {
    let feature = match backend.split(':').next() {
        Some(name @ ("candle" | "tch")) => format!(" --features {name}"),
        _ => String::new(),
    };
    format!("cargo run --release -p conformance-tests{feature} -- run --backend {backend}")
}

/// The folder of the specification's vectors.
fn specification() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
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
    /// The expected failures cannot be read or written.
    #[error(transparent)]
    Expected(#[from] ExpectedError),
    /// There is nothing to run.
    #[error("no test is selected")]
    Nothing,
}

/// A result, and the largest error in units of the tolerance.
pub(crate) type Ran = (kinds::Result, f64);

/// What a test does on a backend.
pub(crate) type Work = Box<dyn FnOnce(&Device) -> Ran + Send>;

/// One test.
pub(crate) struct Test {
    pub(crate) id: String,
    pub(crate) tier: Tier,
    /// What is compared: the kind of a vector, or the family of a property.
    pub(crate) kind: String,
    /// The class, function or operation.
    pub(crate) class_name: String,
    /// Where a vector lies; empty for others.
    pub(crate) file: String,
    /// Whether it sets the global seed, so that no other test may run beside it.
    pub(crate) exclusive: bool,
    pub(crate) work: Work,
}

impl Test {
    /// A test that is no vector.
    pub(crate) fn new(
        id: String,
        tier: Tier,
        kind: &str,
        class_name: &str,
        work: impl FnOnce(&Device) -> Ran + Send + 'static,
    ) -> Self {
        let (kind, class_name) = (kind.to_owned(), class_name.to_owned());
        Test { id, tier, kind, class_name, file: String::new(), exclusive: false, work: Box::new(work) }
    }
}

/// A backend with the tests that are selected.
pub(crate) struct Suite {
    pub(crate) options: Options,
    pub(crate) device: Device,
    pub(crate) expected: ExpectedFailures,
    /// The ids of all tests, selected or not.
    pub(crate) known: BTreeSet<String>,
    pub(crate) tests: Vec<Test>,
}

impl Suite {
    /// Opens the backend and lists its tests.
    pub(crate) fn open(options: &Options) -> Result<Self, RunError> {
        let device = keras_spec::set_backend(&options.backend)?;
        let expected = match &options.expected {
            Some(path) => ExpectedFailures::read(path)?,
            None => ExpectedFailures::default(),
        };
        let mut tests = list::tests(options, &device)?;
        let known: BTreeSet<String> = tests.iter().map(|t| t.id.clone()).collect();
        tests.retain(|t| options.selects(t));
        if options.is_whole() {
            let gone = expected.entries.iter().filter(|e| !known.contains(&e.id) && options.names(&e.id));
            tests.extend(gone.map(|e| list::unknown(&e.id)));
        }
        match tests.is_empty() {
            true => Err(RunError::Nothing),
            false => Ok(Suite { options: options.clone(), device, expected, known, tests }),
        }
    }
}

/// Runs every test that is selected. A file or case that cannot be read is a failure in the report, and the run goes on.
///
/// # Errors
/// If there is no such backend or folder, the list of expected failures is malformed, or no test is selected.
pub fn run(options: &Options) -> Result<Report, RunError> {
    let suite = Suite::open(options)?;
    Ok(suite.run())
}

/// [`run`], then rewrites the list of expected failures, so that the same run would pass.
///
/// # Errors
/// As [`run`], and if the list cannot be written.
pub fn update(options: &Options) -> Result<Report, RunError> {
    let suite = Suite::open(options)?;
    let (known, expected) = (suite.known.clone(), suite.expected.clone());
    let report = suite.run();
    if let Some(path) = &options.expected {
        let ran = report.cases.iter().map(|c| c.id.as_str()).collect();
        expected.updated(&known, &ran, report.failures()).write(path)?;
    }
    Ok(report)
}
