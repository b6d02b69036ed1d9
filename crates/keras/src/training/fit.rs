//! `fit`, `evaluate` and `predict`.

use std::collections::BTreeMap;

use keras_spec::random::global_permutation;
use keras_spec::{Callback, Error, HostTensor, Logs, Params, Result};

use super::callbacks::{CallbackList, History};
use super::data::{Batch, Data, append};
use super::interrupt;
use crate::class::builders;
use crate::models::Model;

/// The arguments of `fit` (`keras.Model.fit`, Keras 3.15.1).
///
/// ```
/// use keras::prelude::*;
///
/// let fit = Fit::new().epochs(5).batch_size(128).validation_split(0.1).callback(EarlyStopping::new("val_loss"));
/// # let _ = fit;
/// ```
pub struct Fit<'a> {
    batch_size: usize,
    epochs: usize,
    verbose: u8,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    validation_split: f64,
    validation_data: Option<Batch>,
    shuffle: bool,
    class_weight: Option<BTreeMap<usize, f32>>,
    sample_weight: Data,
    initial_epoch: usize,
    steps_per_epoch: Option<usize>,
    validation_steps: Option<usize>,
    validation_batch_size: Option<usize>,
    validation_freq: usize,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit {
            batch_size: 32,
            epochs: 1,
            verbose: 1,
            callbacks: Vec::new(),
            validation_split: 0.0,
            validation_data: None,
            shuffle: true,
            class_weight: None,
            sample_weight: Data::None,
            initial_epoch: 0,
            steps_per_epoch: None,
            validation_steps: None,
            validation_batch_size: None,
            validation_freq: 1,
        }
    }
}

impl<'a> Fit<'a> {
    /// Keras's defaults: one epoch of shuffled batches of 32 samples with a progress bar.
    pub fn new() -> Self {
        Fit::default()
    }

    builders! {
        /// Samples per update.
        batch_size = usize;
        /// The number of the last epoch, counted from [`initial_epoch`](Fit::initial_epoch).
        epochs = usize;
        /// What is printed: 0 nothing, 1 a progress bar, 2 a line per epoch.
        verbose = u8;
        /// The share of the samples, the last ones, that is kept for validation.
        validation_split: f64;
        /// Whether the samples are shuffled before each epoch: in the same order as Keras on JAX with the same
        /// `set_random_seed`.
        shuffle = bool;
        /// How much each sample counts.
        sample_weight: Data;
        /// The epoch to begin with, where an earlier run left off.
        initial_epoch = usize;
        /// How many batches make an epoch; all there are unless given. The next epoch goes on where the one before ended,
        /// and begins anew (shuffled again) where nothing was left.
        some steps_per_epoch = usize;
        /// How many batches are evaluated for validation.
        some validation_steps = usize;
        /// Samples per batch of validation; [`batch_size`](Fit::batch_size) unless given.
        some validation_batch_size = usize;
        /// Validates every so many epochs.
        validation_freq = usize;
    }

    /// Adds a callback.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Data to evaluate after each epoch.
    #[must_use]
    pub fn validation_data(mut self, x: impl Into<Data>, y: impl Into<Data>) -> Self {
        self.validation_data = Some(Batch::new(x, y));
        self
    }

    /// Data with weights to evaluate after each epoch.
    #[must_use]
    pub fn validation_batch(mut self, data: Batch) -> Self {
        self.validation_data = Some(data);
        self
    }

    /// How much the samples of each class count; 1 for classes that are not named.
    #[must_use]
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (usize, f32)>) -> Self {
        self.class_weight = Some(weights.into_iter().collect());
        self
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("batch_size", Some(self.batch_size)),
            ("steps_per_epoch", self.steps_per_epoch),
            ("validation_steps", self.validation_steps),
            ("validation_batch_size", self.validation_batch_size),
            ("validation_freq", Some(self.validation_freq)),
        ] {
            if value == Some(0) {
                return Err(Error::argument(name, "a positive number", 0));
            }
        }
        if self.validation_split != 0.0 && !(self.validation_split > 0.0 && self.validation_split < 1.0) {
            return Err(Error::argument(
                "validation_split",
                "a share between 0 and 1",
                self.validation_split,
            ));
        }
        Ok(())
    }
}

/// Where the batches of an epoch come from.
trait Source {
    /// Begins an epoch; one that goes on takes what the epoch before has left, if anything.
    fn begin(&mut self, goes_on: bool);

    /// The next batch of the epoch.
    fn next(&mut self) -> Option<Batch>;

    /// How many batches an epoch has, if that is known.
    fn steps(&self) -> Option<usize>;
}

/// Arrays, cut into batches in a new order each epoch.
struct Arrays {
    data: Batch,
    samples: usize,
    batch_size: usize,
    shuffle: bool,
    order: Vec<usize>,
    at: usize,
}

impl Arrays {
    fn new(data: Batch, batch_size: usize, shuffle: bool) -> Result<Self> {
        let samples = data.samples()?;
        if samples == 0 {
            return Err(Error::argument("x", "at least one sample", "none"));
        }
        Ok(Arrays { data, samples, batch_size, shuffle, order: Vec::new(), at: 0 })
    }
}

impl Source for Arrays {
    fn begin(&mut self, goes_on: bool) {
        if goes_on && self.at < self.order.len() {
            return;
        }
        self.order = match self.shuffle {
            true => global_permutation(self.samples),
            false => (0..self.samples).collect(),
        };
        self.at = 0;
    }

    fn next(&mut self) -> Option<Batch> {
        let end = (self.at + self.batch_size).min(self.samples);
        let indices = self.order.get(self.at..end).filter(|i| !i.is_empty())?;
        self.at = end;
        Some(self.data.rows(indices))
    }

    fn steps(&self) -> Option<usize> {
        Some(self.samples.div_ceil(self.batch_size))
    }
}

/// Any iterator; an epoch goes on where the one before stopped.
struct Stream<I>(I);

impl<I: Iterator<Item = Batch>> Source for Stream<I> {
    fn begin(&mut self, _: bool) {}

    fn next(&mut self) -> Option<Batch> {
        self.0.next()
    }

    fn steps(&self) -> Option<usize> {
        None
    }
}

impl Model {
    /// Trains on arrays (`Model.fit`, Keras 3.15.1).
    ///
    /// Ctrl-C ends training after the running batch and keeps the weights.
    ///
    /// # Errors
    /// If the model is not compiled, the data does not fit, or a callback fails. The weights stay as the last finished
    /// batch left them.
    pub fn fit(&mut self, x: impl Into<Data>, y: impl Into<Data>, mut fit: Fit<'_>) -> Result<History> {
        fit.check()?;
        let mut data =
            Batch { x: x.into(), y: y.into(), sample_weight: std::mem::take(&mut fit.sample_weight) };
        data.samples()?;
        if fit.validation_split > 0.0 && fit.validation_data.is_none() {
            let (train, validation) = data.split(fit.validation_split)?;
            data = train;
            fit.validation_data = Some(validation);
        }
        let source = Arrays::new(data, fit.batch_size, fit.shuffle)?;
        self.train(source, fit)
    }

    /// Trains on any iterator of batches (`fit_generator`'s place). Without
    /// [`steps_per_epoch`](Fit::steps_per_epoch) the first epoch takes all there are.
    ///
    /// # Errors
    /// As [`fit`](Model::fit); and if `validation_split`, which needs arrays, is given.
    pub fn fit_batches(&mut self, batches: impl IntoIterator<Item = Batch>, fit: Fit<'_>) -> Result<History> {
        fit.check()?;
        if fit.validation_split > 0.0 {
            return Err(Error::argument("validation_split", "arrays to split", "an iterator"));
        }
        self.train(Stream(batches.into_iter()), fit)
    }

    fn train(&mut self, mut source: impl Source, fit: Fit<'_>) -> Result<History> {
        self.compiled()?;
        let steps = match (fit.steps_per_epoch, source.steps()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let params = Params { epochs: fit.epochs, steps, verbose: fit.verbose };
        let mut callbacks = CallbackList::new(fit.callbacks, &params);
        let mut validation = match fit.validation_data {
            Some(data) => {
                Some(Arrays::new(data, fit.validation_batch_size.unwrap_or(fit.batch_size), false)?)
            }
            None => None,
        };
        let interrupted = interrupt::Guard::new();
        self.stop = false;
        callbacks.on_train_begin(self)?;
        let mut logs = Logs::new();
        for epoch in fit.initial_epoch..fit.epochs {
            self.compiled()?.reset_metrics()?;
            callbacks.on_epoch_begin(epoch, self)?;
            source.begin(fit.steps_per_epoch.is_some());
            let mut done = 0;
            while fit.steps_per_epoch.is_none_or(|n| done < n) {
                let Some(mut batch) = source.next() else { break };
                if let Some(weights) = &fit.class_weight {
                    batch.weigh_classes(weights)?;
                }
                callbacks.on_train_batch_begin(done, self)?;
                self.train_step(&batch)?;
                let batch_logs = self.compiled()?.results()?;
                callbacks.on_train_batch_end(done, self, &batch_logs)?;
                done += 1;
                if self.stop || interrupted.requested() {
                    self.stop = true;
                    break;
                }
            }
            if done == 0 {
                tracing::warn!("epoch {} has no batches left: training ends", epoch + 1);
                break;
            }
            let mut epoch_logs = self.compiled()?.results()?;
            if let Some(data) = validation.as_mut().filter(|_| (epoch + 1) % fit.validation_freq == 0) {
                let results = self.test(data, fit.validation_steps, &mut callbacks)?;
                epoch_logs.extend_prefixed("val_", results);
            }
            callbacks.on_epoch_end(epoch, self, &mut epoch_logs)?;
            logs = epoch_logs;
            if self.stop {
                break;
            }
        }
        let optimizer = self.compiled()?.optimizer.clone();
        if optimizer.iterations() > 0 {
            optimizer.finalize(&self.as_layer().trainable_weights())?;
        }
        callbacks.on_train_end(self, &logs)?;
        Ok(callbacks.into_history())
    }

    fn test(
        &mut self,
        source: &mut impl Source,
        steps: Option<usize>,
        callbacks: &mut CallbackList<'_>,
    ) -> Result<Logs> {
        self.compiled()?.reset_metrics()?;
        callbacks.on_test_begin(self)?;
        source.begin(false);
        let mut done = 0;
        while steps.is_none_or(|n| done < n) {
            let Some(batch) = source.next() else { break };
            self.test_step(&batch)?;
            let logs = self.compiled()?.results()?;
            callbacks.on_test_batch_end(done, self, &logs)?;
            done += 1;
        }
        let logs = self.compiled()?.results()?;
        callbacks.on_test_end(self, &logs)?;
        Ok(logs)
    }

    /// The loss and metrics on arrays (`Model.evaluate`, Keras 3.15.1, as a dictionary).
    ///
    /// # Errors
    /// If the model is not compiled or the data does not fit.
    pub fn evaluate(
        &mut self,
        x: impl Into<Data>,
        y: impl Into<Data>,
        evaluate: Evaluate<'_>,
    ) -> Result<Logs> {
        let data = Batch { x: x.into(), y: y.into(), sample_weight: evaluate.sample_weight };
        let mut source = Arrays::new(data, evaluate.batch_size.max(1), false)?;
        let params = Params { epochs: 1, steps: source.steps(), verbose: evaluate.verbose };
        let mut callbacks = CallbackList::new(evaluate.callbacks, &params);
        self.test(&mut source, evaluate.steps, &mut callbacks)
    }

    /// The loss and metrics on any iterator of batches.
    ///
    /// # Errors
    /// If the model is not compiled or the data does not fit.
    pub fn evaluate_batches(
        &mut self,
        batches: impl IntoIterator<Item = Batch>,
        evaluate: Evaluate<'_>,
    ) -> Result<Logs> {
        let params = Params { epochs: 1, steps: evaluate.steps, verbose: evaluate.verbose };
        let mut callbacks = CallbackList::new(evaluate.callbacks, &params);
        self.test(&mut Stream(batches.into_iter()), evaluate.steps, &mut callbacks)
    }

    /// The outputs for arrays, in batches of 32 samples without a progress bar (`Model.predict`, Keras 3.15.1): one array
    /// per output.
    ///
    /// # Errors
    /// If the data does not fit.
    pub fn predict(&mut self, x: impl Into<Data>) -> Result<Vec<HostTensor>> {
        self.predict_with(x, Evaluate::new().verbose(0))
    }

    /// [`predict`](Model::predict) with a batch size, callbacks or a progress bar.
    ///
    /// # Errors
    /// If the data does not fit.
    pub fn predict_with(&mut self, x: impl Into<Data>, options: Evaluate<'_>) -> Result<Vec<HostTensor>> {
        let mut source = Arrays::new(Batch::new(x, Data::None), options.batch_size.max(1), false)?;
        let params = Params { epochs: 1, steps: source.steps(), verbose: options.verbose };
        let mut callbacks = CallbackList::new(options.callbacks, &params);
        callbacks.on_predict_begin(self)?;
        source.begin(false);
        let mut parts: Vec<Vec<HostTensor>> = Vec::new();
        let mut done = 0;
        while options.steps.is_none_or(|n| done < n) {
            let Some(batch) = source.next() else { break };
            for (i, output) in self.predict_step(&batch.x)?.into_iter().enumerate() {
                if parts.len() <= i {
                    parts.push(Vec::new());
                }
                parts[i].push(output);
            }
            callbacks.on_predict_batch_end(done, self)?;
            done += 1;
        }
        callbacks.on_predict_end(self)?;
        parts.iter().map(|p| append(p)).collect()
    }
}

/// The arguments of `evaluate` and `predict`.
pub struct Evaluate<'a> {
    batch_size: usize,
    verbose: u8,
    sample_weight: Data,
    steps: Option<usize>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
}

impl Default for Evaluate<'_> {
    fn default() -> Self {
        Evaluate { batch_size: 32, verbose: 1, sample_weight: Data::None, steps: None, callbacks: Vec::new() }
    }
}

impl<'a> Evaluate<'a> {
    /// Keras's defaults: batches of 32 samples with a progress bar.
    pub fn new() -> Self {
        Evaluate::default()
    }

    builders! {
        /// Samples per batch.
        batch_size = usize;
        /// What is printed: 0 nothing, 1 a progress bar, 2 a line.
        verbose = u8;
        /// How much each sample counts.
        sample_weight: Data;
        /// How many batches are taken.
        some steps = usize;
    }

    /// Adds a callback.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }
}
