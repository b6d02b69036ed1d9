//! `conformance.toml`: the failures that a backend's author knows of.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Why a test is expected to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The backend says with [`keras_spec::Error::Unsupported`] that it cannot do this.
    Unsupported,
    /// Anything else.
    Bug,
}

impl FailureKind {
    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Unsupported => "unsupported",
            FailureKind::Bug => "bug",
        }
    }
}

/// An entry of `conformance.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFailure {
    /// The test's exact id.
    pub id: String,
    /// How it fails.
    pub kind: FailureKind,
    /// Why, in words.
    pub reason: String,
    /// Where it is being worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
}

/// The content of a `conformance.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFailures {
    /// The entries, in order.
    #[serde(default, rename = "expected-failure", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<ExpectedFailure>,
}

/// Why a `conformance.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct ExpectedError {
    file: String,
    why: String,
}

/// What every written file begins with.
const HEADER: &str = "\
# Tests of the conformance suite that are expected to fail, by exact id. The suite is strict both ways: an entry whose
# test passes, fails in another way, or does not exist fails the run. `run --update` rewrites this file.
";

impl ExpectedFailures {
    /// Reads a file. One that is not there expects nothing.
    ///
    /// # Errors
    /// If it cannot be read or is malformed, an id stands in it twice, or a reason is empty.
    pub fn read(path: &Path) -> Result<Self, ExpectedError> {
        let fail = |why: String| ExpectedError { file: path.display().to_string(), why };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(ExpectedFailures::default()),
            Err(e) => return Err(fail(e.to_string())),
        };
        let read: Self = toml::from_str(&text).map_err(|e| fail(e.to_string()))?;
        let mut seen = BTreeSet::new();
        for entry in &read.entries {
            if !seen.insert(&entry.id) {
                return Err(fail(format!("`{}` is listed twice", entry.id)));
            }
            if entry.reason.trim().is_empty() {
                return Err(fail(format!("`{}` has no reason", entry.id)));
            }
        }
        Ok(read)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn write(&self, path: &Path) -> Result<(), ExpectedError> {
        let fail = |why: String| ExpectedError { file: path.display().to_string(), why };
        let entries = toml::to_string(self).map_err(|e| fail(e.to_string()))?;
        let between = if entries.is_empty() { "" } else { "\n" };
        std::fs::write(path, format!("{HEADER}{between}{entries}")).map_err(|e| fail(e.to_string()))
    }

    /// The entry of a test.
    pub fn find(&self, id: &str) -> Option<&ExpectedFailure> {
        self.entries.iter().find(|e| e.id == id)
    }

    /// The list after a run: entries of tests that were not run stay; of those that failed one stays if its kind is right
    /// (with its reason), and the others come in with the first line of what was wrong.
    pub(crate) fn updated(
        &self,
        known: &BTreeSet<String>,
        ran: &BTreeSet<&str>,
        failures: Vec<ExpectedFailure>,
    ) -> Self {
        let kept = |e: &&ExpectedFailure| {
            let failing = failures.iter().any(|f| f.id == e.id && f.kind == e.kind);
            known.contains(&e.id) && (failing || !ran.contains(e.id.as_str()))
        };
        let mut entries: Vec<ExpectedFailure> = self.entries.iter().filter(kept).cloned().collect();
        for failure in failures {
            if !entries.iter().any(|e| e.id == failure.id) {
                entries.push(failure);
            }
        }
        ExpectedFailures { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, kind: FailureKind, reason: &str) -> ExpectedFailure {
        ExpectedFailure { id: id.to_owned(), kind, reason: reason.to_owned(), issue: None }
    }

    fn read(text: &str) -> Result<ExpectedFailures, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ExpectedFailures::read(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut all = ExpectedFailures { entries: vec![entry("a/'b\"", FailureKind::Bug, "because\nof")] };
        all.entries[0].issue = Some("https://example.org/1".to_owned());
        for list in [all, ExpectedFailures::default()] {
            list.write(file.path()).unwrap();
            assert_eq!(ExpectedFailures::read(file.path()).unwrap(), list);
        }
        assert_eq!(ExpectedFailures::read(Path::new("/nonesuch")).unwrap(), ExpectedFailures::default());
    }

    #[test]
    fn malformed_files_are_errors() {
        let good = "[[expected-failure]]\nid = \"a\"\nkind = \"bug\"\nreason = \"why\"\n";
        assert_eq!(read(good).unwrap().entries.len(), 1);
        let bad = [
            ("[[expected-failure", "expected-failure"),
            ("[[expected-failures]]\nid = \"a\"\n", "expected-failures"),
            (&good.replace("bug", "flaky"), "flaky"),
            (&good.replace("why", " "), "no reason"),
            (&good.replace("reason = \"why\"\n", ""), "reason"),
            (&format!("{good}{good}"), "twice"),
            (&format!("{good}since = \"today\"\n"), "since"),
        ];
        for (text, reason) in bad {
            let why = read(text).unwrap_err();
            assert!(why.contains(reason), "{reason}: {why}");
        }
    }

    #[test]
    fn an_update_keeps_what_still_holds() {
        use FailureKind::{Bug, Unsupported};
        let old = ExpectedFailures {
            entries: vec![
                entry("fixed", Bug, "1"),
                entry("still", Bug, "2"),
                entry("changed", Bug, "3"),
                entry("not run", Bug, "4"),
                entry("gone", Bug, "5"),
            ],
        };
        let known = ["fixed", "still", "changed", "not run", "new"].map(str::to_owned).into();
        let ran = ["fixed", "still", "changed", "new"].into();
        let failed = ["still", "new"].map(|id| entry(id, Bug, "found"));
        let failed = failed.into_iter().chain([entry("changed", Unsupported, "found")]).collect();
        let updated = old.updated(&known, &ran, failed);
        let expected = [
            entry("still", Bug, "2"),
            entry("not run", Bug, "4"),
            entry("new", Bug, "found"),
            entry("changed", Unsupported, "found"),
        ];
        assert_eq!(updated.entries, expected);
    }
}
