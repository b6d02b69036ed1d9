//! What happened in each epoch.

use std::collections::BTreeMap;

use keras_spec::{HostTensor, Logs};

/// The loss and metrics of every epoch (`keras.callbacks.History`, Keras 3.15.1): what `fit` returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The numbers of the epochs, counted from 0.
    pub epoch: Vec<usize>,
    /// By name (`loss`, `val_accuracy`), one number per epoch.
    pub history: BTreeMap<String, Vec<f64>>,
    /// Results with several numbers, as of a metric with several thresholds: one array per epoch.
    pub arrays: BTreeMap<String, Vec<HostTensor>>,
}

impl History {
    pub(super) fn add(&mut self, epoch: usize, logs: &Logs) {
        self.epoch.push(epoch);
        for (name, number) in &logs.numbers {
            self.history.entry(name.clone()).or_default().push(*number);
        }
        for (name, array) in &logs.arrays {
            self.arrays.entry(name.clone()).or_default().push(array.clone());
        }
    }

    /// The numbers of one name; empty if there are none.
    pub fn get(&self, name: &str) -> &[f64] {
        self.history.get(name).map_or(&[], Vec::as_slice)
    }

    /// The arrays of one name; empty if there are none.
    pub fn arrays(&self, name: &str) -> &[HostTensor] {
        self.arrays.get(name).map_or(&[], Vec::as_slice)
    }

    /// The number of the last epoch.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }
}
