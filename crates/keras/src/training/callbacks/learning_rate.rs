//! Changing the learning rate between epochs.

use keras_spec::{Callback, Error, Logs, Model, Optimizer, Result, Shared};

use super::monitor::{Mode, Monitor};
use crate::class::builders;

fn optimizer(model: &dyn Model) -> Result<Shared<dyn Optimizer>> {
    model.optimizer().cloned().ok_or_else(|| Error::NotBuilt {
        name: format!("model `{}`", model.name()),
        action: "changing its learning rate".to_owned(),
    })
}

fn log_rate(model: &dyn Model, logs: &mut Logs) -> Result<()> {
    logs.insert("learning_rate", f64::from(optimizer(model)?.learning_rate()));
    Ok(())
}

/// Sets the learning rate of each epoch (`keras.callbacks.LearningRateScheduler`, Keras 3.15.1).
pub struct LearningRateScheduler<F> {
    schedule: F,
    verbose: u8,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// `schedule` makes the rate of an epoch, counted from 0, from the rate before.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler { schedule, verbose: 0 }
    }

    builders! {
        /// Says each rate on standard output.
        verbose = u8;
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn on_epoch_begin(&mut self, epoch: usize, model: &mut dyn Model) -> Result<()> {
        let optimizer = optimizer(model)?;
        let rate = (self.schedule)(epoch, f64::from(optimizer.learning_rate()));
        optimizer.set_learning_rate(rate as f32)?;
        if self.verbose > 0 {
            println!("\nEpoch {}: LearningRateScheduler setting learning rate to {rate}.", epoch + 1);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, _epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        log_rate(model, logs)
    }
}

/// Lowers the learning rate when a number has stopped getting better (`keras.callbacks.ReduceLROnPlateau`, Keras 3.15.1).
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    verbose: u8,
    cooldown: usize,
    min_lr: f64,
    cooldown_counter: usize,
    wait: usize,
}

impl ReduceLROnPlateau {
    /// Watches `monitor`, usually `"val_loss"`; divides the rate by 10 after 10 epochs without getting better by 0.0001.
    pub fn new(monitor: impl Into<String>) -> Self {
        let mut monitor = Monitor::new(monitor);
        monitor.min_delta = 1e-4;
        ReduceLROnPlateau {
            monitor,
            factor: 0.1,
            patience: 10,
            verbose: 0,
            cooldown: 0,
            min_lr: 0.0,
            cooldown_counter: 0,
            wait: 0,
        }
    }

    builders! {
        /// What the rate is multiplied with, less than 1.
        factor: f64;
        /// How many epochs may pass without getting better.
        patience = usize;
        /// Says each change on standard output.
        verbose = u8;
        /// Which way the number should go.
        mode in monitor = Mode;
        /// What counts as better at least.
        min_delta in monitor: f64;
        /// How many epochs after a change are not counted.
        cooldown = usize;
        /// The lowest rate.
        min_lr: f64;
    }
}

impl Callback for ReduceLROnPlateau {
    fn on_train_begin(&mut self, _model: &mut dyn Model) -> Result<()> {
        if self.factor >= 1.0 {
            return Err(Error::argument("factor", "a number below 1", self.factor));
        }
        self.monitor.resolve()?;
        self.monitor.best = None;
        (self.cooldown_counter, self.wait) = (0, 0);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, model: &mut dyn Model, logs: &mut Logs) -> Result<()> {
        log_rate(model, logs)?;
        let Some(current) = self.monitor.number(logs)? else { return Ok(()) };
        if self.cooldown_counter > 0 {
            self.cooldown_counter -= 1;
            self.wait = 0;
        }
        if self.monitor.update(current) {
            self.wait = 0;
        } else if self.cooldown_counter == 0 {
            self.wait += 1;
            let optimizer = optimizer(model)?;
            let old = optimizer.learning_rate();
            if self.wait >= self.patience && old > self.min_lr as f32 {
                let new = (f64::from(old) * self.factor).max(self.min_lr);
                optimizer.set_learning_rate(new as f32)?;
                if self.verbose > 0 {
                    println!("\nEpoch {}: ReduceLROnPlateau reducing learning rate to {new}.", epoch + 1);
                }
                self.cooldown_counter = self.cooldown;
                self.wait = 0;
            }
        }
        Ok(())
    }
}
