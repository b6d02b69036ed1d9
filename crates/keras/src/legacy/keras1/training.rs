//! Arguments of `fit` and `fit_generator`.

use super::warn_once;
use crate::training;

/// The arguments of Keras 1's `fit`, whose defaults differ from those of Keras 2: ten epochs (`keras.models.Model.fit`,
/// Keras 1.2.2).
///
/// ```
/// use keras::legacy::keras1::Fit;
///
/// let today: keras::training::Fit = Fit::new().nb_epoch(5).batch_size(64).into();
/// # let _ = today;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    nb_epoch: usize,
    batch_size: usize,
    verbose: u8,
    validation_split: f64,
    shuffle: bool,
}

impl Default for Fit {
    fn default() -> Self {
        Fit { nb_epoch: 10, batch_size: 32, verbose: 1, validation_split: 0.0, shuffle: true }
    }
}

impl Fit {
    /// Keras 1's defaults: ten epochs of shuffled batches of 32 samples.
    pub fn new() -> Self {
        Self::default()
    }

    crate::class::builders! {
        /// How many epochs; `epochs` in Keras 2.
        nb_epoch = usize;
        /// Samples per update.
        batch_size = usize;
        /// What is printed: 0 nothing, 1 a progress bar, 2 a line per epoch.
        verbose = u8;
        /// The share of the samples, the last ones, that is kept for validation.
        validation_split = f64;
        /// Whether the samples are shuffled before each epoch.
        shuffle = bool;
    }
}

impl From<Fit> for training::Fit<'_> {
    fn from(old: Fit) -> Self {
        let Fit { nb_epoch, batch_size, verbose, validation_split, shuffle } = old;
        warn_once(format!(
            "Update your `fit` call to the Keras 2 API: `fit(x, y, epochs={nb_epoch}, batch_size={batch_size})`"
        ));
        let fit = training::Fit::new().epochs(nb_epoch).batch_size(batch_size).verbose(verbose);
        fit.validation_split(validation_split).shuffle(shuffle)
    }
}

/// The arguments of Keras 1's `fit_generator`, which counts samples where Keras 2 counts batches
/// (`keras.models.Model.fit_generator`, Keras 1.2.2). `nb_worker`, `max_q_size` and `pickle_safe` say how Python makes batches
/// beside training; here batches come from an iterator.
///
/// ```
/// use keras::legacy::keras1::FitGenerator;
///
/// // 2000 samples in batches of 32: 63 of them.
/// let today: keras::training::Fit = FitGenerator::new(2000, 5).batch_size(32).nb_val_samples(500).into();
/// # let _ = today;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FitGenerator {
    samples_per_epoch: usize,
    nb_epoch: usize,
    batch_size: usize,
    nb_val_samples: Option<usize>,
    verbose: u8,
}

impl FitGenerator {
    /// So many samples in each of so many epochs.
    pub fn new(samples_per_epoch: usize, nb_epoch: usize) -> Self {
        FitGenerator { samples_per_epoch, nb_epoch, batch_size: 32, nb_val_samples: None, verbose: 1 }
    }

    crate::class::builders! {
        /// How many samples a batch of the generator has.
        batch_size = usize;
        /// How many samples are evaluated for validation.
        some nb_val_samples = usize;
        /// What is printed: 0 nothing, 1 a progress bar, 2 a line per epoch.
        verbose = u8;
    }
}

impl From<FitGenerator> for training::Fit<'_> {
    fn from(old: FitGenerator) -> Self {
        // Keras 1 takes batches until there are as many samples.
        let steps = |samples: usize| samples.div_ceil(old.batch_size.max(1));
        let (epochs, count) = (old.nb_epoch, steps(old.samples_per_epoch));
        warn_once(format!(
            "Update your `fit_generator` call to the Keras 2 API: \
             `fit_generator(generator, steps_per_epoch={count}, epochs={epochs})`"
        ));
        let fit = training::Fit::new().epochs(epochs).steps_per_epoch(count).verbose(old.verbose);
        match old.nb_val_samples {
            Some(samples) => fit.validation_steps(steps(samples)),
            None => fit,
        }
    }
}
