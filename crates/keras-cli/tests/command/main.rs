//! The program: what it prints, writes and exits with, on files of the real Keras and on bad ones.

mod bad_input;
mod convert;
mod look;
mod predict;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the program left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The output of a run that must have gone well.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The error of a run that must have ended with `code` and printed nothing.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, &*self.out), (code, ""), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keras"));
    command.args(arguments).stdin(Stdio::null()).env_remove("KERAS_BACKEND").env_remove("NO_COLOR");
    command
}

pub(crate) fn keras(arguments: &[&str]) -> Ran {
    let ran = command(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
}

/// The answer as JSON.
pub(crate) fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&keras(&[arguments, &["--json"]].concat()).good()).unwrap()
}

fn inside(folder: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    assert!(path.exists(), "{}", path.display());
    path.to_str().unwrap().to_owned()
}

/// A file of this crate's fixtures.
pub(crate) fn fixture(name: &str) -> String {
    inside("tests/fixtures", name)
}

/// A model of the golden vectors.
pub(crate) fn golden(name: &str) -> String {
    inside("../../spec/vectors/models", name)
}

/// A file of one of the many programs that were called Keras.
pub(crate) fn old_file(name: &str) -> String {
    inside("../keras/tests/fixtures/files", name)
}

/// What the real Keras computes.
pub(crate) fn expected(key: &str) -> Value {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[key].take()
}

/// A folder that goes with the test, and the names of files in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.file(name)
    }
}

/// Numbers of nested JSON lists, in order.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap_or(f64::NAN)],
    }
}

pub(crate) fn assert_close(found: &Value, expected: &Value) {
    let (found, expected) = (numbers(found), numbers(expected));
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() <= 1e-5 + 1e-5 * e.abs(), "{f} where {e} is expected");
    }
}
