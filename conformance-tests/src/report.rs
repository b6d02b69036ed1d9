//! What a run has found: a table, the failures, JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", content = "why", rename_all = "snake_case")]
pub enum Status {
    /// It agrees with Keras.
    Passed,
    /// It does not, or could not be run; why.
    Failed(String),
    /// The backend says that it cannot do this; its reason.
    Unsupported(String),
    /// It is known to fail; why.
    Known(String),
}

/// One case that was run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The case's name.
    pub id: String,
    /// The vector file.
    pub file: String,
    /// Its kind.
    pub kind: String,
    /// Its class.
    pub class_name: String,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// The largest error of what was compared and agreed, in units of the tolerance.
    pub error: f64,
}

/// All cases that were run, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// The cases.
    pub cases: Vec<Outcome>,
}

/// Cases of one kind and class.
#[derive(Clone, Copy, Default)]
struct Row {
    passed: usize,
    failed: usize,
    unsupported: usize,
    error: f64,
}

impl Row {
    fn add(&mut self, outcome: &Outcome) {
        match outcome.status {
            Status::Passed => self.passed += 1,
            Status::Failed(_) => self.failed += 1,
            Status::Unsupported(_) | Status::Known(_) => self.unsupported += 1,
        }
        self.error = self.error.max(outcome.error);
    }
}

impl Report {
    /// How many passed.
    pub fn passed(&self) -> usize {
        self.total().passed
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.total().failed
    }

    /// How many the backend says it cannot do.
    pub fn unsupported(&self) -> usize {
        self.total().unsupported
    }

    fn total(&self) -> Row {
        let mut total = Row::default();
        self.cases.iter().for_each(|c| total.add(c));
        total
    }

    /// Whether nothing failed and something passed.
    pub fn is_success(&self) -> bool {
        let total = self.total();
        total.failed == 0 && total.passed > 0
    }

    /// As JSON.
    ///
    /// # Errors
    /// If it cannot be written as such.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Report {
    /// The table by kind and class, the failures, and last the line `N passed, N failed, N skipped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<(&str, &str), Row> = BTreeMap::new();
        for c in &self.cases {
            rows.entry((&c.kind, &c.class_name)).or_default().add(c);
        }
        let width = |least: usize, of: fn(&Outcome) -> &str| {
            self.cases.iter().map(|c| of(c).chars().count()).max().unwrap_or(0).max(least)
        };
        let (kinds, classes) = (width(4, |c| &c.kind), width(5, |c| &c.class_name));
        writeln!(f, "{:kinds$}  {:classes$}  passed  failed  unsupported  largest error", "kind", "class")?;
        for ((kind, class), row) in &rows {
            let Row { passed, failed, unsupported, error } = row;
            writeln!(
                f,
                "{kind:kinds$}  {class:classes$}  {passed:6}  {failed:6}  {unsupported:11}  {error:13.3}"
            )?;
        }
        for c in &self.cases {
            match &c.status {
                Status::Passed => {}
                Status::Failed(why) => writeln!(f, "\nfailed: {} ({})\n  {why}", c.id, c.file)?,
                Status::Unsupported(why) => writeln!(f, "\nunsupported: {} ({})\n  {why}", c.id, c.file)?,
                Status::Known(why) => writeln!(f, "\nknown to fail: {} ({})\n  {why}", c.id, c.file)?,
            }
        }
        let total = self.total();
        write!(f, "\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let outcome = |status| Outcome {
            id: "a/b".to_owned(),
            file: "a.json".to_owned(),
            kind: "layer".to_owned(),
            class_name: "Dense".to_owned(),
            status,
            error: 0.5,
        };
        let cases = vec![outcome(Status::Passed), outcome(Status::Failed("no".to_owned()))];
        let report = Report { backend: "ndarray".to_owned(), cases };
        assert!(report.to_string().ends_with("\n1 passed, 1 failed, 0 skipped"));
        assert!(!report.is_success() && !Report::default().is_success());
        assert!(report.to_json().unwrap().contains(r#""status": "failed""#));
    }
}
