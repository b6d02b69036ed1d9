//! Watching one number of the logs (`keras.callbacks.MonitorCallback`, Keras 3.15.1).

use keras_spec::{Error, Logs, Result};

/// Which way a number should go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Decided by the number's name.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// The best value of a number so far.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) min_delta: f64,
    pub(super) best: Option<f64>,
}

/// Parts of names of metrics that grow as a model gets better.
const GROWING: [&str; 8] = ["acc", "auc", "precision", "recall", "true_", "similarity", "iou", "score"];

/// Parts of names of metrics that shrink.
const SHRINKING: [&str; 8] = ["loss", "error", "entropy", "hinge", "divergence", "poisson", "false_", "cosh"];

impl Monitor {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Monitor { name: name.into(), mode: Mode::Auto, min_delta: 0.0, best: None }
    }

    /// Decides [`Mode::Auto`].
    ///
    /// # Errors
    /// If the name does not tell.
    pub(super) fn resolve(&mut self) -> Result<()> {
        if self.mode != Mode::Auto {
            return Ok(());
        }
        let name = self.name.trim_start_matches("val_").to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|p| name.contains(p));
        let short = ["mse", "mae", "mape", "msle", "kld", "bce", "ce"].contains(&name.as_str());
        self.mode = if short || has(&SHRINKING) {
            Mode::Min
        } else if has(&GROWING) {
            Mode::Max
        } else {
            let expected = "`Mode::Min` or `Mode::Max`, because the name does not tell which is better";
            return Err(Error::argument("mode", expected, format!("Auto for `{}`", self.name)));
        };
        Ok(())
    }

    /// The number in the logs; a warning if it is not there.
    ///
    /// # Errors
    /// It is an array, of which none is better than another.
    pub(super) fn number(&self, logs: &Logs) -> Result<Option<f64>> {
        if let Some(array) = logs.array(&self.name) {
            let found = format!("`{}`, an array of shape {}", self.name, array.shape());
            return Err(Error::argument("monitor", "a result that is one number", found));
        }
        let number = logs.get(&self.name);
        if number.is_none() {
            let known = logs.names().collect::<Vec<_>>().join(", ");
            tracing::warn!("`{}` is monitored but not among {known}", self.name);
        }
        Ok(number)
    }

    /// Whether `value` is better than `reference` by at least the minimal difference.
    pub(super) fn improves(&self, value: f64, reference: Option<f64>) -> bool {
        let Some(reference) = reference else { return true };
        match self.mode {
            Mode::Max => value - self.min_delta.abs() > reference,
            _ => value + self.min_delta.abs() < reference,
        }
    }

    /// Takes `value` as the best if it is.
    pub(super) fn update(&mut self, value: f64) -> bool {
        let better = self.improves(value, self.best);
        if better {
            self.best = Some(value);
        }
        better
    }
}
