//! The error type of the contracts.

use std::fmt;

use crate::dtype::DType;
use crate::shape::Shape;

/// What every fallible function of the contracts returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between an application, a layer and a backend.
///
/// Messages name what was asked of whom, what was expected and what was found. [`Error::context`] adds the layer
/// (or file, or model) in which it happened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has a value that its meaning does not allow.
    #[error("argument `{argument}`: expected {expected}, found {found}")]
    Argument {
        /// The argument's Keras name.
        argument: String,
        /// What would have been right.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Shapes do not fit an operation.
    #[error("`{op}`: {why}; shapes {shapes:?}")]
    Shape {
        /// The operation.
        op: String,
        /// Which rule is violated.
        why: String,
        /// The shapes of the operands.
        shapes: Vec<Shape>,
    },
    /// Element types do not fit an operation.
    #[error("`{op}`: {why}; dtypes {dtypes:?}")]
    DType {
        /// The operation.
        op: String,
        /// Which rule is violated.
        why: String,
        /// The dtypes of the operands.
        dtypes: Vec<DType>,
    },
    /// A backend cannot do an operation for a dtype.
    #[error("backend `{backend}` does not support `{op}` for {dtype}: {why}")]
    Unsupported {
        /// The backend.
        backend: String,
        /// The operation.
        op: String,
        /// The dtype asked for.
        dtype: DType,
        /// The reason.
        why: String,
    },
    /// A backend failed, or broke its contract.
    #[error("backend `{backend}` failed in `{op}`: {why}")]
    Backend {
        /// The backend.
        backend: String,
        /// The operation.
        op: String,
        /// What happened.
        why: String,
    },
    /// There is not the memory for a tensor.
    #[error("`{op}`: no memory for {what}, {bytes} bytes")]
    Memory {
        /// The operation, or what else makes the tensor.
        op: String,
        /// The tensor's dtype and shape.
        what: String,
        /// How much it takes; the largest number where none is large enough.
        bytes: usize,
    },
    /// Operands live on different devices.
    #[error(
        "`{op}`: operands on different devices, `{left}` and `{right}`; move one with `tensor.to(&device)`"
    )]
    DeviceMismatch {
        /// The operation.
        op: String,
        /// The first operand's device.
        left: String,
        /// The other's.
        right: String,
    },
    /// No backend answers to a name.
    #[error("no usable backend `{asked}`: {why}")]
    NoBackend {
        /// The name asked for (or `any`).
        asked: String,
        /// Which there are, which failed their check and why, and what to add.
        why: String,
    },
    /// An identifier that nothing is registered under.
    #[error("unknown {kind} `{name}`; known are {known}")]
    Unknown {
        /// What was looked for: "layer", "loss", "dtype" …
        kind: String,
        /// The identifier.
        name: String,
        /// What would have been found, comma separated.
        known: String,
    },
    /// A layer or model is used before it has weights.
    #[error("`{name}` is not built: call it on data, or give its input shape, before {action}")]
    NotBuilt {
        /// The layer, model or weight.
        name: String,
        /// What was tried.
        action: String,
    },
    /// A configuration (from a file or a caller) cannot be understood.
    #[error("configuration of `{class}`: {why}")]
    Config {
        /// The class whose configuration it is.
        class: String,
        /// What is wrong with it.
        why: String,
    },
    /// A gradient was asked of something that has none.
    #[error("no gradient: {0}")]
    Gradient(String),
    /// Anything else, said by code outside this crate.
    #[error("{0}")]
    Other(String),
    /// Where an error happened.
    #[error("{place}: {source}")]
    Context {
        /// The layer, model, file …
        place: String,
        /// What happened there.
        source: Box<Error>,
    },
}

/// Parts of messages are no longer than this many bytes.
const LONGEST: usize = 4000;

/// The beginning of a text, with how much is left out: what a message repeats from a file can be as long as that.
fn brief(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let left_out = text.len() - end;
        text.truncate(end);
        text += &format!("… ({left_out} bytes more)");
    }
    text
}

impl Error {
    /// An [`Error::Argument`].
    pub fn argument(
        argument: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Error::Argument {
            argument: argument.into(),
            expected: brief(expected.to_string()),
            found: brief(found.to_string()),
        }
    }

    /// An [`Error::Shape`].
    pub fn shape<'a>(
        op: impl Into<String>,
        why: impl fmt::Display,
        shapes: impl IntoIterator<Item = &'a Shape>,
    ) -> Self {
        Error::Shape { op: op.into(), why: why.to_string(), shapes: shapes.into_iter().cloned().collect() }
    }

    /// An [`Error::DType`].
    pub fn dtype(
        op: impl Into<String>,
        why: impl fmt::Display,
        dtypes: impl IntoIterator<Item = DType>,
    ) -> Self {
        Error::DType { op: op.into(), why: why.to_string(), dtypes: dtypes.into_iter().collect() }
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(
        backend: impl Into<String>,
        op: impl Into<String>,
        dtype: DType,
        why: impl fmt::Display,
    ) -> Self {
        Error::Unsupported { backend: backend.into(), op: op.into(), dtype, why: why.to_string() }
    }

    /// An [`Error::Unknown`] that lists what is known.
    pub fn unknown<S: AsRef<str>>(
        kind: impl Into<String>,
        name: impl Into<String>,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known: Vec<String> = known.into_iter().map(|s| s.as_ref().to_owned()).collect();
        Error::Unknown { kind: kind.into(), name: brief(name.into()), known: known.join(", ") }
    }

    /// An [`Error::Config`].
    pub fn config(class: impl Into<String>, why: impl fmt::Display) -> Self {
        Error::Config { class: class.into(), why: brief(why.to_string()) }
    }

    /// An [`Error::Other`].
    pub fn other(why: impl fmt::Display) -> Self {
        Error::Other(why.to_string())
    }

    /// This error, said to have happened in `place`.
    #[must_use]
    pub fn context(self, place: impl Into<String>) -> Self {
        Error::Context { place: brief(place.into()), source: Box::new(self) }
    }

    /// The error without the places added by [`Error::context`].
    pub fn root(&self) -> &Error {
        match self {
            Error::Context { source, .. } => source.root(),
            other => other,
        }
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Adds the place to the error of a `Result`.
pub trait ResultExt<T> {
    /// Says where an error happened; `place` is only evaluated if there is one.
    fn at<P: Into<String>>(self, place: impl FnOnce() -> P) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn at<P: Into<String>>(self, place: impl FnOnce() -> P) -> Result<T> {
        self.map_err(|e| e.context(place()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_not_as_long_as_files() {
        let long = "é".repeat(1 << 20);
        let errors = [
            Error::config("Dense", format_args!("found {long}")),
            Error::argument("units", &long, &long),
            Error::unknown("layer", &long, ["Dense"]),
            Error::other("?").context(&long),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.len() < 10_000 && text.contains("bytes more)"), "{}", text.len());
        }
        assert_eq!(brief("short".to_owned()), "short");
    }
}
