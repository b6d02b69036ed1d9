//! Arguments that say between which numbers something is drawn.

use keras_spec::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Number;

/// Between which numbers a random layer draws: a pair, or one number for the pair of it and its negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Factor {
    /// From the negative of the number to the number.
    Around(Number),
    /// From one number to another.
    Between([Number; 2]),
}

/// One number or two, integers or floats, convert into the type by way of `$one` and `$two`.
macro_rules! from_numbers {
    ([$($bounds:tt)*] $Type:ty, $two:expr $(, $one:expr)?) => {
        from_numbers! { @each [$($bounds)*] $Type, $two $(, $one)?; i32, i64, f64, Number }
    };
    (@each $bounds:tt $Type:ty, $two:expr; $($N:ty),+) => {
        $(from_numbers! { @impl $bounds $Type, [$N; 2], |pair: [$N; 2]| $two(pair.map(Number::from)) })+
    };
    (@each $bounds:tt $Type:ty, $two:expr, $one:expr; $($N:ty),+) => {
        from_numbers! { @each $bounds $Type, $two; $($N),+ }
        $(from_numbers! { @impl $bounds $Type, $N, |one: $N| $one(Number::from(one)) })+
    };
    (@impl [$($bounds:tt)*] $Type:ty, $From:ty, $make:expr) => {
        impl<$($bounds)*> From<$From> for $Type {
            fn from(given: $From) -> Self {
                $make(given)
            }
        }
    };
}

from_numbers! { [] Factor, Factor::Between, Factor::Around }

impl Factor {
    /// Both numbers, the smaller one first.
    pub(super) fn range(self) -> [f64; 2] {
        match self {
            Factor::Around(f) => [-f.value().abs(), f.value().abs()],
            Factor::Between(pair) => ascending(pair).map(Number::value),
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
            Factor::Around(f) => vec![f.value()],
            Factor::Between(pair) => pair.map(Number::value).to_vec(),
        };
        if given.iter().all(|&f| fits(f)) {
            return Ok(());
        }
        Err(Error::argument(argument, format!("numbers {expected}"), format!("{given:?}")))
    }
}

fn ascending([a, b]: [Number; 2]) -> [Number; 2] {
    if b.value() < a.value() { [b, a] } else { [a, b] }
}

/// A [`Factor`] whose numbers lie between `LOW` and `HIGH`; files have it as a pair. One number `f` is the pair of the larger
/// one of `-f` and `LOW`, and `f`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorIn<const LOW: i8, const HIGH: i8>([Number; 2]);

from_numbers! {
    [const LOW: i8, const HIGH: i8] FactorIn<LOW, HIGH>, |pair| FactorIn(ascending(pair)), FactorIn::<LOW, HIGH>::around
}

impl<const LOW: i8, const HIGH: i8> Serialize for FactorIn<LOW, HIGH> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // Numbers of bits: Keras cannot draw between floats.
        if LOW > 0 { self.range().map(|f| f as i64).serialize(s) } else { self.0.serialize(s) }
    }
}

impl<'de, const LOW: i8, const HIGH: i8> Deserialize<'de> for FactorIn<LOW, HIGH> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Factor::deserialize(d).map(Factor::bounded)
    }
}

impl<const LOW: i8, const HIGH: i8> FactorIn<LOW, HIGH> {
    fn around(f: Number) -> Self {
        // What is out of bounds stays so for `check`.
        if f.value() < f64::from(LOW) || f.value() > f64::from(HIGH) {
            return FactorIn([f; 2]);
        }
        let (negative, positive) = match f {
            Number::Int(n) => (Number::Int(-n.abs()), Number::Int(n.abs())),
            Number::Float(x) => (Number::Float(-x.abs()), Number::Float(x.abs())),
        };
        let bounded = negative.value() > f64::from(LOW);
        FactorIn([if bounded { negative } else { Number::Int(LOW.into()) }, positive])
    }

    /// Both numbers, the smaller one first.
    pub(super) fn range(self) -> [f64; 2] {
        self.0.map(Number::value)
    }

    /// Refuses numbers that lie outside of the bounds. Of a pair that reaches across a bound, Keras takes it all.
    pub(super) fn check(self, argument: &str) -> Result<()> {
        let [low, high] = self.range();
        if low <= f64::from(HIGH) && high >= f64::from(LOW) {
            return Ok(());
        }
        let expected = format!("a number, or two, in the range [{LOW}, {HIGH}]");
        Err(Error::argument(argument, expected, format!("{:?}", self.range())))
    }
}

/// The least and the largest number of an image: `value_range`. Default: 0 and 255.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ValueRange([Number; 2]);

impl Default for ValueRange {
    fn default() -> Self {
        [0, 255].into()
    }
}

from_numbers! { [] ValueRange, |pair| ValueRange(ascending(pair)) }

impl<'de> Deserialize<'de> for ValueRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <[Number; 2]>::deserialize(d).map(ValueRange::from)
    }
}

impl ValueRange {
    /// Both numbers, the smaller one first.
    pub(super) fn range(self) -> [f64; 2] {
        self.0.map(Number::value)
    }
}
