//! Arguments that say between which numbers something is drawn.

use keras_spec::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Between which numbers a random layer draws: a pair, or one number for the pair of it and its negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Factor {
    /// From the negative of the number to the number.
    Around(f64),
    /// From one number to another.
    Between([f64; 2]),
}

impl From<f64> for Factor {
    fn from(factor: f64) -> Self {
        Factor::Around(factor)
    }
}

impl From<[f64; 2]> for Factor {
    fn from(factor: [f64; 2]) -> Self {
        Factor::Between(factor)
    }
}

impl Factor {
    /// Both numbers, the smaller one first.
    pub(super) fn range(self) -> [f64; 2] {
        match self {
            Factor::Around(f) => [-f.abs(), f.abs()],
            Factor::Between([a, b]) => [a.min(b), a.max(b)],
        }
    }

    /// As what lies within bounds.
    pub(super) fn bounded<const LOW: i8, const HIGH: i8>(self) -> FactorIn<LOW, HIGH> {
        match self {
            Factor::Around(f) => f.into(),
            Factor::Between(pair) => pair.into(),
        }
    }

    /// Refuses numbers that `fits` does not hold for.
    pub(super) fn check(self, argument: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<()> {
        let given = match self {
            Factor::Around(f) => vec![f],
            Factor::Between(pair) => pair.to_vec(),
        };
        if given.iter().all(|&f| fits(f)) {
            return Ok(());
        }
        Err(Error::argument(argument, format!("numbers {expected}"), format!("{given:?}")))
    }
}

/// A [`Factor`] whose numbers lie between `LOW` and `HIGH`; files have it as a pair. One number `f` is the pair of the larger
/// one of `-f` and `LOW`, and `f`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorIn<const LOW: i8, const HIGH: i8>(pub(super) [f64; 2]);

impl<const LOW: i8, const HIGH: i8> From<f64> for FactorIn<LOW, HIGH> {
    fn from(f: f64) -> Self {
        let (low, high) = (f64::from(LOW), f64::from(HIGH));
        // What is out of bounds stays so for `check`.
        if f < low || f > high {
            return FactorIn([f; 2]);
        }
        FactorIn([if -f.abs() > low { -f.abs() } else { low }, f.abs()])
    }
}

impl<const LOW: i8, const HIGH: i8> From<[f64; 2]> for FactorIn<LOW, HIGH> {
    fn from([a, b]: [f64; 2]) -> Self {
        FactorIn([a.min(b), a.max(b)])
    }
}

impl<const LOW: i8, const HIGH: i8> Serialize for FactorIn<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // Numbers of bits: Keras cannot draw between floats.
        if LOW > 0 { self.0.map(|f| f as i64).serialize(s) } else { self.0.serialize(s) }
    }
}

impl<'de, const LOW: i8, const HIGH: i8> Deserialize<'de> for FactorIn<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Factor::deserialize(d).map(Factor::bounded)
    }
}

impl<const LOW: i8, const HIGH: i8> FactorIn<LOW, HIGH> {
    /// Refuses numbers that lie outside of the bounds. Of a pair that reaches across a bound, Keras takes it all.
    pub(super) fn check(self, argument: &str) -> Result<()> {
        let [low, high] = self.0;
        if low <= f64::from(HIGH) && high >= f64::from(LOW) {
            return Ok(());
        }
        let expected = format!("a number, or two, in the range [{LOW}, {HIGH}]");
        Err(Error::argument(argument, expected, format!("{:?}", self.0)))
    }
}

/// The least and the largest number of an image: `value_range`. Default: 0 and 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ValueRange(pub(super) [f64; 2]);

impl Default for ValueRange {
    fn default() -> Self {
        ValueRange([0.0, 255.0])
    }
}

impl From<[f64; 2]> for ValueRange {
    fn from([a, b]: [f64; 2]) -> Self {
        ValueRange([a.min(b), a.max(b)])
    }
}

impl<'de> Deserialize<'de> for ValueRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <[f64; 2]>::deserialize(d).map(ValueRange::from)
    }
}
