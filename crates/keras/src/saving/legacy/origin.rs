//! Which program wrote a file.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::layers::DataFormat;

/// A program that writes files of Keras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub enum Program {
    /// Keras as a package of its own: 0.x to 2.3 on several backends, and Keras 3.
    #[default]
    #[serde(rename = "Keras")]
    Keras,
    /// The Keras inside TensorFlow, up to 2.15.
    #[serde(rename = "tf.keras")]
    TfKeras,
    /// Keras 2 kept alive beside Keras 3, from 2.16 on.
    #[serde(rename = "tf-keras")]
    TfDashKeras,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Program::Keras => "Keras",
            Program::TfKeras => "tf.keras",
            Program::TfDashKeras => "tf-keras",
        })
    }
}

/// A version of Keras, of which files tell up to three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Version { major, minor, patch }
    }

    /// The version in a text such as `1.2.2`, `2.2.4-tf` or `3.0.0.dev2023`: numbers that are missing are 0, and what
    /// follows them does not count. `None` if the text does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let mut parts = text.split('.');
        let major = digits(parts.next()?)?;
        let mut next = || parts.next().and_then(digits).unwrap_or(0);
        Some(Version { major, minor: next(), patch: next() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who wrote a file, as far as the file, or the caller, says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The program.
    pub program: Program,
    /// The program's version; `None` if the file does not tell.
    pub version: Option<Version>,
    /// The backend it ran on, in lower case: `theano`, `tensorflow`, `cntk`, `jax`, `torch`.
    pub backend: Option<String>,
    /// What the program took for the order of dimensions where a layer's configuration does not say it.
    pub data_format: Option<DataFormat>,
}

impl Origin {
    /// The program whose `keras_version` is `version`, on `backend`.
    pub fn new(version: Option<&str>, backend: Option<&str>) -> Self {
        let number = version.and_then(Version::parse);
        let program = match number {
            Some(v) if v.major == 2 && v >= Version::new(2, 16, 0) => Program::TfDashKeras,
            Some(v) if v.major == 2 && v >= Version::new(2, 4, 0) => Program::TfKeras,
            _ if version.is_some_and(|v| v.ends_with("-tf")) => Program::TfKeras,
            _ => Program::Keras,
        };
        Origin { program, version: number, backend: backend.map(str::to_ascii_lowercase), data_format: None }
    }

    /// Whether it is known to be older than `version`.
    pub fn is_before(&self, version: Version) -> bool {
        self.version.is_some_and(|v| v < version)
    }

    /// Whether Keras ran on Theano, whose convolutions flip their kernels.
    pub fn is_theano(&self) -> bool {
        self.backend.as_deref() == Some("theano")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{} {version}", self.program)?,
            None => write!(f, "{} of an unknown version", self.program)?,
        }
        match &self.backend {
            Some(backend) => write!(f, " on {backend}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_era_are_told_apart() {
        for (text, program, version) in [
            ("1.2.2", Program::Keras, Version::new(1, 2, 2)),
            ("2.2.4", Program::Keras, Version::new(2, 2, 4)),
            ("2.2.4-tf", Program::TfKeras, Version::new(2, 2, 4)),
            ("2.3.0-tf", Program::TfKeras, Version::new(2, 3, 0)),
            ("2.4.0", Program::TfKeras, Version::new(2, 4, 0)),
            ("2.21.0", Program::TfDashKeras, Version::new(2, 21, 0)),
            ("3.0.0.dev2023100103", Program::Keras, Version::new(3, 0, 0)),
            ("3.15", Program::Keras, Version::new(3, 15, 0)),
        ] {
            let origin = Origin::new(Some(text), None);
            assert_eq!((origin.program, origin.version), (program, Some(version)), "{text}");
        }
        assert_eq!(Version::parse("unknown"), None);
        assert!(Origin::new(Some("1.0.5"), None).is_before(Version::new(1, 0, 6)));
        assert!(!Origin::default().is_before(Version::new(9, 0, 0)));
    }
}
