//! Callbacks: what is called while a model trains (`keras.callbacks`, Keras 3.15.1).
//!
//! [`Fit::callback`](crate::training::Fit::callback) adds one. Closures do for little ([`LambdaCallback`]); else implement
//! [`Callback`], all of whose methods do nothing unless written:
//!
//! ```
//! use keras_spec::{Callback, Logs, Model, Result};
//!
//! /// Ends training once the loss is low enough.
//! struct StopBelow(f64);
//!
//! impl Callback for StopBelow {
//!     fn on_epoch_end(&mut self, _epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
//!         if logs.get("loss").is_some_and(|loss| loss < self.0) {
//!             model.stop_training();
//!         }
//!         Ok(())
//!     }
//! }
//! # let _ = StopBelow(0.1);
//! ```

mod files;
mod history;
mod lambda;
mod learning_rate;
mod monitor;
mod progress;
mod stopping;

use keras_spec::{Callback, Logs, Model, Params, Result};

pub use files::{CSVLogger, ModelCheckpoint};
pub use history::History;
pub use lambda::LambdaCallback;
pub use learning_rate::{LearningRateScheduler, ReduceLROnPlateau};
pub use monitor::Mode;
pub use progress::ProgbarLogger;
pub use stopping::{EarlyStopping, TerminateOnNaN};

/// The callbacks of a run: the caller's, then the progress bar and the history, which see what the others add to logs.
pub(crate) struct CallbackList<'a> {
    callbacks: Vec<Box<dyn Callback + 'a>>,
    history: History,
}

impl<'a> CallbackList<'a> {
    pub(crate) fn new(mut callbacks: Vec<Box<dyn Callback + 'a>>, params: &Params) -> Self {
        if params.verbose > 0 {
            callbacks.push(Box::new(ProgbarLogger::default()));
        }
        for c in &mut callbacks {
            c.set_params(params);
        }
        CallbackList { callbacks, history: History::default() }
    }

    pub(crate) fn into_history(self) -> History {
        self.history
    }

    fn each(&mut self, mut call: impl FnMut(&mut dyn Callback) -> Result<()>) -> Result<()> {
        self.callbacks.iter_mut().try_for_each(|c| call(&mut **c))
    }

    pub(crate) fn on_train_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_train_begin(model))
    }

    pub(crate) fn on_train_end(&mut self, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        self.each(|c| c.on_train_end(model, logs))
    }

    pub(crate) fn on_epoch_begin(&mut self, epoch: usize, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_epoch_begin(epoch, model))
    }

    pub(crate) fn on_epoch_end(
        &mut self,
        epoch: usize,
        model: &mut dyn Model,
        logs: &mut Logs,
    ) -> Result<()> {
        self.each(|c| c.on_epoch_end(epoch, model, logs))?;
        self.history.add(epoch, logs);
        Ok(())
    }

    pub(crate) fn on_train_batch_begin(&mut self, batch: usize, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_train_batch_begin(batch, model))
    }

    pub(crate) fn on_train_batch_end(
        &mut self,
        batch: usize,
        model: &mut dyn Model,
        logs: &Logs,
    ) -> Result<()> {
        self.each(|c| c.on_train_batch_end(batch, model, logs))
    }

    pub(crate) fn on_test_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_test_begin(model))
    }

    pub(crate) fn on_test_end(&mut self, model: &mut dyn Model, logs: &Logs) -> Result<()> {
        self.each(|c| c.on_test_end(model, logs))
    }

    pub(crate) fn on_test_batch_end(
        &mut self,
        batch: usize,
        model: &mut dyn Model,
        logs: &Logs,
    ) -> Result<()> {
        self.each(|c| c.on_test_batch_end(batch, model, logs))
    }

    pub(crate) fn on_predict_begin(&mut self, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_predict_begin(model))
    }

    pub(crate) fn on_predict_end(&mut self, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_predict_end(model))
    }

    pub(crate) fn on_predict_batch_end(&mut self, batch: usize, model: &mut dyn Model) -> Result<()> {
        self.each(|c| c.on_predict_batch_end(batch, model))
    }
}
