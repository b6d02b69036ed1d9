//! Arguments of `fit` and its like, and generators that are counted in samples.

use keras_spec::{Callback, HostTensor, Logs, Result};

use super::arguments::python;
use super::warn_once;
use crate::models::Model;
use crate::training::callbacks::History;
use crate::training::{self, Batch, Data, Evaluate, append};

/// Methods of [`training::Fit`] that Keras 1 has, too.
macro_rules! unchanged {
    () => {
        /// What is printed: 0 nothing, 1 a progress bar, 2 a line per epoch.
        #[must_use]
        pub fn verbose(mut self, verbose: u8) -> Self {
            self.today = self.today.verbose(verbose);
            self
        }

        /// Adds a callback.
        #[must_use]
        pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
            self.today = self.today.callback(callback);
            self
        }

        /// Data to evaluate after each epoch.
        #[must_use]
        pub fn validation_data(mut self, x: impl Into<Data>, y: impl Into<Data>) -> Self {
            self.today = self.today.validation_data(x, y);
            self
        }

        /// How much the samples of each class count; 1 for classes that are not named.
        #[must_use]
        pub fn class_weight(mut self, weights: impl IntoIterator<Item = (usize, f32)>) -> Self {
            self.today = self.today.class_weight(weights);
            self
        }

        /// The epoch to begin with, where an earlier run left off.
        #[must_use]
        pub fn initial_epoch(mut self, epoch: usize) -> Self {
            self.today = self.today.initial_epoch(epoch);
            self
        }
    };
}

/// The arguments of Keras 1's `fit`, whose defaults differ from those of Keras 2: ten epochs (`keras.models.Model.fit`,
/// Keras 1.2.2).
///
/// ```
/// use keras::legacy::keras1::Fit;
///
/// let today: keras::training::Fit = Fit::new().nb_epoch(5).batch_size(64).into();
/// # let _ = today;
/// ```
pub struct Fit<'a> {
    today: training::Fit<'a>,
    nb_epoch: usize,
    batch_size: usize,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit { today: training::Fit::new(), nb_epoch: 10, batch_size: 32 }
    }
}

impl<'a> Fit<'a> {
    /// Keras 1's defaults: ten epochs of shuffled batches of 32 samples.
    pub fn new() -> Self {
        Self::default()
    }

    crate::class::builders! {
        /// How many epochs; `epochs` in Keras 2.
        nb_epoch = usize;
        /// Samples per update.
        batch_size = usize;
    }

    unchanged!();

    /// The share of the samples, the last ones, that is kept for validation.
    #[must_use]
    pub fn validation_split(mut self, share: f64) -> Self {
        self.today = self.today.validation_split(share);
        self
    }

    /// Whether the samples are shuffled before each epoch.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.today = self.today.shuffle(shuffle);
        self
    }

    /// How much each sample counts.
    #[must_use]
    pub fn sample_weight(mut self, weights: impl Into<Data>) -> Self {
        self.today = self.today.sample_weight(weights);
        self
    }
}

impl<'a> From<Fit<'a>> for training::Fit<'a> {
    fn from(old: Fit<'a>) -> Self {
        let Fit { today, nb_epoch, batch_size } = old;
        warn_once(format!(
            "Update your `fit` call to the Keras 2 API: `fit(x, y, epochs={nb_epoch}, batch_size={batch_size})`"
        ));
        today.epochs(nb_epoch).batch_size(batch_size)
    }
}

/// The arguments of Keras 1's `fit_generator`, which counts samples where Keras 2 counts batches
/// (`keras.models.Model.fit_generator`, Keras 1.2.2).
///
/// ```
/// use keras::legacy::keras1::FitGenerator;
///
/// // 2000 samples in batches of 32: 63 of them.
/// let today: keras::training::Fit = FitGenerator::new(2000, 5).batch_size(32).nb_val_samples(500).into();
/// # let _ = today;
/// ```
pub struct FitGenerator<'a> {
    today: training::Fit<'a>,
    samples_per_epoch: usize,
    nb_epoch: usize,
    batch_size: usize,
    nb_val_samples: Option<usize>,
    nb_worker: Option<usize>,
    max_q_size: Option<usize>,
    pickle_safe: Option<bool>,
}

impl<'a> FitGenerator<'a> {
    /// So many samples in each of so many epochs.
    pub fn new(samples_per_epoch: usize, nb_epoch: usize) -> Self {
        let today = training::Fit::new();
        FitGenerator {
            today,
            samples_per_epoch,
            nb_epoch,
            batch_size: 32,
            nb_val_samples: None,
            nb_worker: None,
            max_q_size: None,
            pickle_safe: None,
        }
    }

    crate::class::builders! {
        /// How many samples a batch of the generator has.
        batch_size = usize;
        /// How many samples are evaluated for validation.
        some nb_val_samples = usize;
        /// How many workers make batches; nothing here, where batches come from an iterator. `workers` in Keras 2.
        some nb_worker = usize;
        /// How many batches wait at most; nothing here. `max_queue_size` in Keras 2.
        some max_q_size = usize;
        /// Whether workers are processes; nothing here. `use_multiprocessing` in Keras 2.
        some pickle_safe = bool;
    }

    unchanged!();
}

impl<'a> From<FitGenerator<'a>> for training::Fit<'a> {
    fn from(old: FitGenerator<'a>) -> Self {
        // Keras 1 takes batches until there are as many samples.
        let steps = |samples: usize| samples.div_ceil(old.batch_size.max(1));
        let (epochs, count) = (old.nb_epoch, steps(old.samples_per_epoch));
        let validation = old.nb_val_samples.map(steps);
        let mut last = validation.map_or_else(String::new, |n| format!(", validation_steps={n}"));
        last += &workers(old.nb_worker, old.max_q_size, old.pickle_safe);
        warn_once(format!(
            "Update your `fit_generator` call to the Keras 2 API: \
             `fit_generator(generator, steps_per_epoch={count}, epochs={epochs}{last})`"
        ));
        let fit = old.today.epochs(epochs).steps_per_epoch(count).batch_size(old.batch_size);
        match validation {
            Some(steps) => fit.validation_steps(steps),
            None => fit,
        }
    }
}

/// The arguments about workers, in the words of Keras 2.
fn workers(nb_worker: Option<usize>, max_q_size: Option<usize>, pickle_safe: Option<bool>) -> String {
    let said = [
        ("workers", nb_worker.map(|n| n.to_string())),
        ("max_queue_size", max_q_size.map(|n| n.to_string())),
        ("use_multiprocessing", pickle_safe.map(|is| python(&is.into()))),
    ];
    said.into_iter().filter_map(|(name, value)| Some(format!(", {name}={}", value?))).collect()
}

/// The arguments of Keras 1's `evaluate_generator` and `predict_generator`; a number is one of samples alone
/// (`keras.models.Model.evaluate_generator`, Keras 1.2.2).
///
/// ```
/// use keras::legacy::keras1::ValSamples;
///
/// let arguments = ValSamples::new(500).nb_worker(2).max_q_size(20);
/// # let _ = arguments;
/// ```
#[derive(Clone, Debug)]
pub struct ValSamples {
    val_samples: usize,
    nb_worker: Option<usize>,
    max_q_size: Option<usize>,
    pickle_safe: Option<bool>,
}

impl ValSamples {
    /// At least so many samples, in whole batches; `steps` in Keras 2, which counts batches.
    pub fn new(val_samples: usize) -> Self {
        ValSamples { val_samples, nb_worker: None, max_q_size: None, pickle_safe: None }
    }

    crate::class::builders! {
        /// How many workers make batches; nothing here, where batches come from an iterator. `workers` in Keras 2.
        some nb_worker = usize;
        /// How many batches wait at most; nothing here. `max_queue_size` in Keras 2.
        some max_q_size = usize;
        /// Whether workers are processes; nothing here. `use_multiprocessing` in Keras 2.
        some pickle_safe = bool;
    }

    /// The batches of a generator; says what to call in Keras 2.
    fn take(&self, method: &str, generator: impl IntoIterator<Item = Batch>) -> Result<Vec<Batch>> {
        let batches = take(generator, self.val_samples)?;
        let last = workers(self.nb_worker, self.max_q_size, self.pickle_safe);
        let call = format!("{method}(generator, steps={}{last})", batches.len());
        warn_once(format!("Update your `{method}` call to the Keras 2 API: `{call}`"));
        Ok(batches)
    }
}

impl From<usize> for ValSamples {
    fn from(val_samples: usize) -> Self {
        ValSamples::new(val_samples)
    }
}

/// The methods of Keras 1's models that take generators, which here are iterators of batches. All are `fit`, `evaluate` and
/// `predict` since Keras 3.
pub trait Generators {
    /// Trains on a generator (`Model.fit_generator`, Keras 1.2.2).
    ///
    /// # Errors
    /// As [`Model::fit_batches`].
    fn fit_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        fit: FitGenerator<'_>,
    ) -> Result<History>;

    /// The loss and metrics on at least `val_samples` samples of a generator, in whole batches
    /// (`Model.evaluate_generator`, Keras 1.2.2).
    ///
    /// # Errors
    /// As [`Model::evaluate_batches`].
    fn evaluate_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        val_samples: impl Into<ValSamples>,
    ) -> Result<Logs>;

    /// The outputs for at least `val_samples` samples of a generator, in whole batches, whose targets are not looked at
    /// (`Model.predict_generator`, Keras 1.2.2).
    ///
    /// # Errors
    /// As [`Model::predict`]; the generator gives no batch.
    fn predict_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        val_samples: impl Into<ValSamples>,
    ) -> Result<Vec<HostTensor>>;
}

impl Generators for Model {
    fn fit_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        fit: FitGenerator<'_>,
    ) -> Result<History> {
        self.fit_batches(generator, fit.into())
    }

    fn evaluate_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        val_samples: impl Into<ValSamples>,
    ) -> Result<Logs> {
        let batches = val_samples.into().take("evaluate_generator", generator)?;
        self.evaluate_batches(batches, Evaluate::new().verbose(0))
    }

    fn predict_generator(
        &mut self,
        generator: impl IntoIterator<Item = Batch>,
        val_samples: impl Into<ValSamples>,
    ) -> Result<Vec<HostTensor>> {
        let batches = val_samples.into().take("predict_generator", generator)?;
        let mut outputs: Vec<Vec<HostTensor>> = Vec::new();
        for batch in batches {
            let samples = batch.samples()?;
            let found = self.predict_with(batch.x, Evaluate::new().verbose(0).batch_size(samples))?;
            outputs.resize_with(found.len(), Vec::new);
            outputs.iter_mut().zip(found).for_each(|(all, one)| all.push(one));
        }
        outputs.iter().map(|parts| append(parts)).collect()
    }
}

/// Batches until there are as many samples.
fn take(generator: impl IntoIterator<Item = Batch>, samples: usize) -> Result<Vec<Batch>> {
    let (mut seen, mut batches) = (0, Vec::new());
    let mut generator = generator.into_iter();
    while seen < samples
        && let Some(batch) = generator.next()
    {
        seen += batch.samples()?;
        batches.push(batch);
    }
    Ok(batches)
}
