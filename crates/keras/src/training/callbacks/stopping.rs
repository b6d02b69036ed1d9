//! Ending training early.

use keras_spec::{Callback, Error, Logs, Model, Result, Tensor};

use super::monitor::{Mode, Monitor};
use crate::class::builders;

/// Ends training when a number has stopped getting better (`keras.callbacks.EarlyStopping`, Keras 3.15.1).
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    verbose: u8,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    wait: usize,
    stopped_epoch: usize,
    best_epoch: usize,
    best_weights: Option<Vec<Tensor>>,
}

impl EarlyStopping {
    /// Watches `monitor`, usually `"val_loss"`; ends with the first epoch that is not better.
    pub fn new(monitor: impl Into<String>) -> Self {
        EarlyStopping {
            monitor: Monitor::new(monitor),
            patience: 0,
            verbose: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            wait: 0,
            stopped_epoch: 0,
            best_epoch: 0,
            best_weights: None,
        }
    }

    builders! {
        /// What counts as better at least.
        min_delta in monitor: f64;
        /// How many epochs may pass without getting better.
        patience = usize;
        /// Says on standard output when it ends training.
        verbose = u8;
        /// Which way the number should go.
        mode in monitor = Mode;
        /// The number must get better than this.
        some baseline: f64;
        /// Whether the model ends with the weights of the best epoch.
        restore_best_weights = bool;
        /// The first epoch that is looked at.
        start_from_epoch = usize;
    }

    fn keep(&mut self, model: &dyn Model) {
        if self.restore_best_weights {
            self.best_weights = Some(model.weights().iter().map(keras_spec::Variable::get).collect());
        }
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        self.monitor.resolve()?;
        self.monitor.best = None;
        (self.wait, self.stopped_epoch, self.best_epoch) = (0, 0, 0);
        self.best_weights = None;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        let Some(current) = self.monitor.number(logs)?.filter(|_| epoch >= self.start_from_epoch) else {
            return Ok(());
        };
        if self.best_weights.is_none() {
            self.keep(model);
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if self.monitor.update(current) {
            self.best_epoch = epoch;
            self.keep(model);
            if self.baseline.is_none() || self.monitor.improves(current, self.baseline) {
                self.wait = 0;
            }
        } else if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = epoch;
            model.stop_training();
        }
        Ok(())
    }

    fn on_train_end(&mut self, model: &mut dyn Model, _logs: &Logs) -> Result<()> {
        if self.stopped_epoch > 0 && self.verbose > 0 {
            println!("Epoch {}: early stopping", self.stopped_epoch + 1);
        }
        if let Some(best) = self.best_weights.take() {
            if self.verbose > 0 {
                println!("Restoring model weights from the end of the best epoch: {}.", self.best_epoch + 1);
            }
            model.weights().iter().zip(&best).try_for_each(|(w, value)| w.assign(value))?;
        }
        Ok(())
    }
}

/// Ends training when the loss is not a number (`keras.callbacks.TerminateOnNaN`, Keras 3.15.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNaN {
    raise_error: bool,
}

impl TerminateOnNaN {
    /// Ends training quietly.
    pub fn new() -> Self {
        TerminateOnNaN::default()
    }

    builders! {
        /// Whether `fit` returns an error.
        raise_error = bool;
    }
}

impl Callback for TerminateOnNaN {
    fn on_train_batch_end(&mut self, batch: usize, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        match logs.get("loss") {
            Some(loss) if !loss.is_finite() && self.raise_error => {
                Err(Error::other(format!("the loss is {loss} after batch {batch}")))
            }
            Some(loss) if !loss.is_finite() => {
                println!("Batch {batch}: Invalid loss, terminating training");
                model.stop_training();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
