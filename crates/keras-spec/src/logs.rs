//! What training tells of a batch or an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;

use crate::HostTensor;

/// Named results that callbacks are told: the loss, and what metrics say (Keras's `logs`).
///
/// Most are numbers. A metric with a result per threshold or class (`Recall(thresholds=[0.3, 0.5])`, `F1Score(average=None)`) has
/// an array; one of a single element counts as a number.
///
/// ```
/// use keras_spec::{HostTensor, Logs};
///
/// let mut logs = Logs::new();
/// logs.insert("loss", 0.25);
/// logs.insert_array("recall", HostTensor::new([2], vec![0.75_f32, 0.5])?);
/// assert_eq!(logs["loss"], 0.25);
/// assert_eq!(logs.get("recall"), None);
/// assert_eq!(logs.array("recall").map(HostTensor::to_f64_vec), Some(vec![0.75, 0.5]));
/// # Ok::<(), keras_spec::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    /// Results that are a number, by name.
    pub numbers: BTreeMap<String, f64>,
    /// Results that are several, by name.
    pub arrays: BTreeMap<String, HostTensor>,
}

impl Logs {
    /// No results.
    pub fn new() -> Self {
        Logs::default()
    }

    /// The number of that name; `None` where there is none, or an array.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }

    /// The array of that name; `None` where there is none, or a number.
    pub fn array(&self, name: &str) -> Option<&HostTensor> {
        self.arrays.get(name)
    }

    /// Adds a number, in the place of what had the name.
    pub fn insert(&mut self, name: impl Into<String>, number: f64) {
        let name = name.into();
        self.arrays.remove(&name);
        self.numbers.insert(name, number);
    }

    /// Adds an array, in the place of what had the name.
    pub fn insert_array(&mut self, name: impl Into<String>, array: HostTensor) {
        let name = name.into();
        self.numbers.remove(&name);
        self.arrays.insert(name, array);
    }

    /// The names of all results, in Keras's order, which is the alphabet's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> =
            self.numbers.keys().chain(self.arrays.keys()).map(String::as_str).collect();
        names.into_iter()
    }

    /// Adds all results of `other` with `prefix` before their names, as `fit` does with `val_`.
    pub fn extend_prefixed(&mut self, prefix: &str, other: Logs) {
        self.numbers
            .extend(other.numbers.into_iter().map(|(name, number)| (format!("{prefix}{name}"), number)));
        self.arrays.extend(other.arrays.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)));
    }
}

/// # Panics
/// There is no number of that name; [`Logs::get`] does not.
impl Index<&str> for Logs {
    type Output = f64;

    fn index(&self, name: &str) -> &f64 {
        &self.numbers[name]
    }
}

impl<N: Into<String>, const LEN: usize> From<[(N, f64); LEN]> for Logs {
    fn from(numbers: [(N, f64); LEN]) -> Self {
        Logs { numbers: numbers.map(|(name, number)| (name.into(), number)).into(), arrays: BTreeMap::new() }
    }
}
