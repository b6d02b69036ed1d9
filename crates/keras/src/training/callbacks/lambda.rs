//! Callbacks made of closures.

use keras_spec::{Callback, Logs, Model, Result};

type OnEnd<'a> = Box<dyn FnMut(&Logs) + 'a>;
type OnEpoch<'a> = Box<dyn FnMut(usize, &Logs) + 'a>;

/// Calls closures (`keras.callbacks.LambdaCallback`, Keras 3.15.1).
///
/// ```
/// use keras::callbacks::LambdaCallback;
///
/// let mut losses = Vec::new();
/// let callback = LambdaCallback::new().on_epoch_end(|_epoch, logs| losses.push(logs["loss"]));
/// # drop(callback);
/// ```
#[derive(Default)]
pub struct LambdaCallback<'a> {
    train_begin: Option<Box<dyn FnMut() + 'a>>,
    train_end: Option<OnEnd<'a>>,
    epoch_begin: Option<Box<dyn FnMut(usize) + 'a>>,
    epoch_end: Option<OnEpoch<'a>>,
    batch_begin: Option<Box<dyn FnMut(usize) + 'a>>,
    batch_end: Option<OnEpoch<'a>>,
}

impl<'a> LambdaCallback<'a> {
    /// Calls nothing yet.
    pub fn new() -> Self {
        LambdaCallback::default()
    }

    /// Called when training begins.
    #[must_use]
    pub fn on_train_begin(mut self, f: impl FnMut() + 'a) -> Self {
        self.train_begin = Some(Box::new(f));
        self
    }

    /// Called when training has ended.
    #[must_use]
    pub fn on_train_end(mut self, f: impl FnMut(&Logs) + 'a) -> Self {
        self.train_end = Some(Box::new(f));
        self
    }

    /// Called when an epoch begins.
    #[must_use]
    pub fn on_epoch_begin(mut self, f: impl FnMut(usize) + 'a) -> Self {
        self.epoch_begin = Some(Box::new(f));
        self
    }

    /// Called when an epoch has ended.
    #[must_use]
    pub fn on_epoch_end(mut self, f: impl FnMut(usize, &Logs) + 'a) -> Self {
        self.epoch_end = Some(Box::new(f));
        self
    }

    /// Called when a training batch begins.
    #[must_use]
    pub fn on_train_batch_begin(mut self, f: impl FnMut(usize) + 'a) -> Self {
        self.batch_begin = Some(Box::new(f));
        self
    }

    /// Called when a training batch has ended.
    #[must_use]
    pub fn on_train_batch_end(mut self, f: impl FnMut(usize, &Logs) + 'a) -> Self {
        self.batch_end = Some(Box::new(f));
        self
    }
}

impl Callback for LambdaCallback<'_> {
    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        if let Some(f) = &mut self.train_begin {
            f();
        }
        Ok(())
    }

    fn on_train_end(&mut self, _model: &mut dyn Model, logs: &Logs) -> Result<()> {
        if let Some(f) = &mut self.train_end {
            f(logs);
        }
        Ok(())
    }

    fn on_epoch_begin(&mut self, epoch: usize, _model: &mut dyn Model) -> Result<()> {
        if let Some(f) = &mut self.epoch_begin {
            f(epoch);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, _model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        if let Some(f) = &mut self.epoch_end {
            f(epoch, logs);
        }
        Ok(())
    }

    fn on_train_batch_begin(&mut self, batch: usize, _model: &mut dyn Model) -> Result<()> {
        if let Some(f) = &mut self.batch_begin {
            f(batch);
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, batch: usize, _model: &mut dyn Model, logs: &Logs) -> Result<()> {
        if let Some(f) = &mut self.batch_end {
            f(batch, logs);
        }
        Ok(())
    }
}
