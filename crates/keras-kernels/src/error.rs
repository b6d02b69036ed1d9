//! What a kernel says about operands that do not fit together.

use std::fmt;

/// Why a kernel refused its operands. Nothing has been written to the output when one is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A slice holds another number of elements than its shape or strides ask for.
    Length {
        /// Which operand.
        operand: &'static str,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements that the slice holds.
        found: usize,
    },
    /// Two shapes, or a shape and a parameter, contradict each other.
    Shape {
        /// What was expected and what was found.
        message: String,
    },
    /// A parameter has a value that the kernel cannot work with, such as a stride of zero.
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// What was expected and what was found.
        message: String,
    },
}

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Fails unless `found == expected` for the number of elements of `operand`.
    pub fn check_len(operand: &'static str, expected: usize, found: usize) -> Result<()> {
        if expected == found { Ok(()) } else { Err(Self::Length { operand, expected, found }) }
    }

    /// A [`Error::Shape`] with this message.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::Shape { message: message.into() }
    }

    /// A [`Error::Parameter`] with this message.
    pub fn parameter(name: &'static str, message: impl Into<String>) -> Self {
        Self::Parameter { name, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { operand, expected, found } => {
                write!(f, "{operand}: the shape asks for {expected} elements, the slice holds {found}")
            }
            Self::Shape { message } => f.write_str(message),
            Self::Parameter { name, message } => write!(f, "{name}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
