//! What a run has found: a table, the failures, JSON; and what can be made of one or several of them.

mod badge;
mod markdown;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::expected::{ExpectedFailure, FailureKind};
use crate::tier::Tier;

pub use badge::badge;
pub use markdown::markdown;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", content = "why", rename_all = "snake_case")]
pub enum Status {
    /// It agrees with Keras.
    Passed,
    /// It does not, or could not be run; why.
    Failed(String),
    /// The backend says that it cannot do this, as its `conformance.toml` expects; the reason there.
    Unsupported(String),
    /// It fails as the backend's `conformance.toml` expects; the reason there.
    Bug(String),
}

impl Status {
    /// Why it did not pass.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Status::Passed => None,
            Status::Failed(why) | Status::Unsupported(why) | Status::Bug(why) => Some(why),
        }
    }
}

/// How a backend does an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// By itself.
    Native,
    /// A fused operation by itself.
    Fused,
    /// A fused operation as the composition of required ones.
    Composed,
    /// In host memory.
    ViaHost,
    /// By itself for some of its functions and dtypes, in host memory for the others.
    Partly {
        /// How many pairs of a function and a dtype it does by itself.
        native: usize,
        /// Of how many.
        of: usize,
    },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Native => f.write_str("native"),
            Route::Fused => f.write_str("fused"),
            Route::Composed => f.write_str("composed"),
            Route::ViaHost => f.write_str("via host"),
            Route::Partly { native, of } => write!(f, "native {native} of {of}, else via host"),
        }
    }
}

/// One test that was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The test's name.
    pub id: String,
    /// Its tier.
    pub tier: Tier,
    /// Its kind.
    pub kind: String,
    /// Its class.
    pub class_name: String,
    /// The vector file; empty for others.
    pub file: String,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// The largest error of what was compared and agreed, in units of the tolerance.
    pub error: f64,
    /// The fused operations that the backend did of its own meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fused: Vec<String>,
    /// The command that runs only this test, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun: Option<String>,
    /// The kind of its failure, if a backend can be the cause of it.
    #[serde(skip)]
    pub(crate) failure: Option<FailureKind>,
}

impl Outcome {
    /// Why it did not pass, and how to run it again; several lines.
    pub fn explained(&self) -> String {
        let (how, why) = match &self.status {
            Status::Passed => return format!("passed: {}", self.id),
            Status::Failed(why) => ("failed", why),
            Status::Unsupported(why) => ("unsupported", why),
            Status::Bug(why) => ("known bug", why),
        };
        let mut out = format!("{how}: {}", self.id);
        let mut line = |text: &str| out.extend(["\n  ", text]);
        why.lines().for_each(&mut line);
        if !self.file.is_empty() {
            line(&format!("vectors: {}", self.file));
        }
        if let Some(command) = &self.rerun {
            line(&format!("again: {command}"));
        }
        out
    }
}

/// All tests that were run, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// How it does each operation.
    pub routes: BTreeMap<String, Route>,
    /// The tests.
    pub cases: Vec<Outcome>,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Those that agree with Keras.
    pub passed: usize,
    /// Those that do not.
    pub failed: usize,
    /// Those that the backend cannot do, as expected.
    pub unsupported: usize,
    /// Those that fail as expected.
    pub bugs: usize,
    /// The largest error of what agreed, in units of the tolerance.
    pub error: f64,
}

impl Count {
    /// Of some tests.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut count = Count::default();
        outcomes.into_iter().for_each(|o| count.add(o));
        count
    }

    fn add(&mut self, outcome: &Outcome) {
        match outcome.status {
            Status::Passed => self.passed += 1,
            Status::Failed(_) => self.failed += 1,
            Status::Unsupported(_) => self.unsupported += 1,
            Status::Bug(_) => self.bugs += 1,
        }
        self.error = self.error.max(outcome.error);
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped()
    }

    /// Those that do not count as failed because they are expected to fail.
    pub fn skipped(&self) -> usize {
        self.unsupported + self.bugs
    }
}

impl Report {
    /// How the tests ended.
    pub fn count(&self) -> Count {
        Count::of(&self.cases)
    }

    /// Whether nothing failed and something passed.
    pub fn is_success(&self) -> bool {
        let count = self.count();
        count.failed == 0 && count.passed > 0
    }

    /// As JSON.
    ///
    /// # Errors
    /// If it cannot be written as such.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// What [`Report::to_json`] wrote to a file.
    ///
    /// # Errors
    /// If it cannot be read or is something else.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// What would have to be expected for these failures to be ones.
    pub(crate) fn failures(&self) -> Vec<ExpectedFailure> {
        let entry = |o: &Outcome| {
            let reason = o.status.reason()?.lines().next()?;
            let (id, reason) = (o.id.clone(), reason.to_owned());
            Some(ExpectedFailure { id, kind: o.failure?, reason, issue: None })
        };
        self.cases.iter().filter_map(entry).collect()
    }
}
