use keras_spec::{DType, Device, Initializer, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::InitializerSeed;
use crate::class::{builders, keras_class};
use crate::random;

/// Samples of a normal distribution (`keras.initializers.RandomNormal`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomNormal {
    seed: InitializerSeed,
    mean: f64,
    stddev: f64,
}

keras_class!(dyn Initializer, "keras.initializers", RandomNormal, aliases ["random_normal", "normal"]);

impl Default for RandomNormal {
    fn default() -> Self {
        RandomNormal { seed: InitializerSeed::default(), mean: 0.0, stddev: 0.05 }
    }
}

impl RandomNormal {
    /// Mean 0 and standard deviation 0.05.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The mean.
        mean: f64;
        /// The standard deviation.
        stddev: f64;
    }
}

impl Initializer for RandomNormal {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        random::normal(shape, self.mean, self.stddev, dtype, Some(&self.seed.get()), device)
    }

    fn draw_seed(&self) {
        self.seed.get();
    }
}

/// Samples of a normal distribution within two standard deviations (`keras.initializers.TruncatedNormal`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruncatedNormal {
    seed: InitializerSeed,
    mean: f64,
    stddev: f64,
}

keras_class!(dyn Initializer, "keras.initializers", TruncatedNormal, aliases["truncated_normal"]);

impl Default for TruncatedNormal {
    fn default() -> Self {
        TruncatedNormal { seed: InitializerSeed::default(), mean: 0.0, stddev: 0.05 }
    }
}

impl TruncatedNormal {
    /// Mean 0 and standard deviation 0.05 (before samples are cut off).
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The mean.
        mean: f64;
        /// The standard deviation of the distribution before samples are cut off.
        stddev: f64;
    }
}

impl Initializer for TruncatedNormal {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        random::truncated_normal(shape, self.mean, self.stddev, dtype, Some(&self.seed.get()), device)
    }

    fn draw_seed(&self) {
        self.seed.get();
    }
}

/// Samples of a uniform distribution (`keras.initializers.RandomUniform`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomUniform {
    seed: InitializerSeed,
    minval: f64,
    maxval: f64,
}

keras_class!(dyn Initializer, "keras.initializers", RandomUniform, aliases ["random_uniform", "uniform"]);

impl Default for RandomUniform {
    fn default() -> Self {
        RandomUniform { seed: InitializerSeed::default(), minval: -0.05, maxval: 0.05 }
    }
}

impl RandomUniform {
    /// Between -0.05 and 0.05.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The lower bound, included.
        minval: f64;
        /// The upper bound, excluded.
        maxval: f64;
    }
}

impl Initializer for RandomUniform {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        random::uniform(shape, self.minval, self.maxval, dtype, Some(&self.seed.get()), device)
    }

    fn draw_seed(&self) {
        self.seed.get();
    }
}

/// Gives initializers their `seed` argument.
macro_rules! seeded {
    ($($Initializer:ident)*) => {$(
        impl $Initializer {
            /// The seed: a number, for the same values each time, or a generator, for others. Without one, a number is
            /// drawn from what [`crate::random::set_random_seed`] seeds.
            #[must_use]
            pub fn seed(mut self, seed: impl Into<keras_spec::random::Seed>) -> Self {
                self.seed = seed.into().into();
                self
            }
        }
    )*};
}
pub(crate) use seeded;

seeded! { RandomNormal TruncatedNormal RandomUniform }
