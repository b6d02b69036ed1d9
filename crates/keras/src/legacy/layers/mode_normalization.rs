use keras_spec::{
    Builder, Call, Error, Initializer, Layer, PartialShape, Regularizer, Result, Shape, Shared, Tensor,
    Weight, WeightSpec,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::legacy_layer;
use crate::class::builders;
use crate::layers::common::{axis_length, one, weight_spec};
use crate::layers::defaults::{ones, zeros};

/// What [`ModeNormalization`] normalises over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalizationMode {
    /// `mode=1`: the last axis of each sample.
    Sample,
    /// `mode=2`: the batch, in inference too.
    Batch,
}

impl Serialize for NormalizationMode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            NormalizationMode::Sample => 1u8.serialize(s),
            NormalizationMode::Batch => 2u8.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for NormalizationMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match u8::deserialize(d)? {
            1 => Ok(NormalizationMode::Sample),
            2 => Ok(NormalizationMode::Batch),
            other => Err(serde::de::Error::custom(format!("expected 1 or 2, found {other}"))),
        }
    }
}

/// Normalises by statistics of the inputs alone; the shape stays (`keras.layers.BatchNormalization` with `mode=1` or
/// `mode=2`, Keras 0.3 to 1.2.2).
///
/// Mode 1 is `gamma · (x - m) / (sqrt(v + epsilon) + epsilon) + beta` with the mean `m` and variance `v` of each sample along
/// the last axis; mode 2 is `gamma · (x - m) / sqrt(v + epsilon) + beta` with those of the batch.
///
/// Weights, all `(channels,)`: `gamma`, `beta`, and `moving_mean`, `moving_variance`, which files have and nothing uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeNormalization {
    mode: NormalizationMode,
    #[serde(default = "last")]
    axis: isize,
    #[serde(default = "thousandth")]
    epsilon: f64,
    #[serde(default)]
    gamma_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    beta_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default = "ones")]
    gamma_initializer: Shared<dyn Initializer>,
    #[serde(default = "zeros")]
    beta_initializer: Shared<dyn Initializer>,
    #[serde(skip)]
    gamma: Weight,
    #[serde(skip)]
    beta: Weight,
    #[serde(skip)]
    moving_mean: Weight,
    #[serde(skip)]
    moving_variance: Weight,
}

legacy_layer!(ModeNormalization);

fn last() -> isize {
    -1
}

fn thousandth() -> f64 {
    1e-3
}

impl ModeNormalization {
    /// Of channels along the last axis.
    pub fn new(mode: NormalizationMode) -> Self {
        ModeNormalization {
            mode,
            axis: last(),
            epsilon: thousandth(),
            gamma_regularizer: None,
            beta_regularizer: None,
            gamma_initializer: ones(),
            beta_initializer: zeros(),
            gamma: Weight::default(),
            beta: Weight::default(),
            moving_mean: Weight::default(),
            moving_variance: Weight::default(),
        }
    }

    builders! {
        /// The axis of the channels. Default: the last.
        axis = isize;
        /// Added to the variance. Default: 0.001.
        epsilon: f64;
        /// First values of `gamma`. Default: `Ones`.
        gamma_initializer: Shared<dyn Initializer>;
        /// First values of `beta`. Default: `Zeros`.
        beta_initializer: Shared<dyn Initializer>;
        /// A penalty on `gamma`.
        some gamma_regularizer: Shared<dyn Regularizer>;
        /// A penalty on `beta`.
        some beta_regularizer: Shared<dyn Regularizer>;
    }
}

impl Layer for ModeNormalization {
    fn draw_seeds(&self) {
        self.gamma_initializer.draw_seed();
        self.beta_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        let axis = input.axis(self.axis)?;
        if self.mode == NormalizationMode::Sample && axis + 1 != input.rank() {
            return Err(Error::argument("axis", "the last axis with mode=1", self.axis));
        }
        match self.gamma.get() {
            Some(gamma) => axis_length(input, self.axis, gamma.shape()[0]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let shape = [builder.known_dim(one(inputs)?, self.axis)?];
        let gamma =
            weight_spec("gamma", shape, &self.gamma_initializer, self.gamma_regularizer.as_ref(), None)?;
        builder.weight(&self.gamma, gamma)?;
        let beta = weight_spec("beta", shape, &self.beta_initializer, self.beta_regularizer.as_ref(), None)?;
        builder.weight(&self.beta, beta)?;
        let unused = |name: &str, initializer: Shared<dyn Initializer>| {
            Ok::<_, Error>(WeightSpec::new(name, shape).initializer(initializer)?.trainable(false))
        };
        builder.weight(&self.moving_mean, unused("moving_mean", zeros())?)?;
        builder.weight(&self.moving_variance, unused("moving_variance", ones())?)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let axis = x.shape().axis(self.axis)?;
        let (axes, extra) = match self.mode {
            NormalizationMode::Sample => (vec![-1], self.epsilon),
            NormalizationMode::Batch => {
                ((0..x.rank()).filter(|&a| a != axis).map(|a| a as isize).collect(), 0.0)
            }
        };
        let deviation = (x.variance(&axes, true)? + self.epsilon)?.sqrt()?;
        let normalized = ((x - x.mean(&axes, true)?)? / (deviation + extra)?)?;
        let mut aligned = Shape::from(vec![1; x.rank()]);
        aligned.dims_mut()[axis] = x.shape()[axis];
        let scaled = (normalized * self.gamma.value()?.reshape(&aligned)?)?;
        Ok(vec![(scaled + self.beta.value()?.reshape(&aligned)?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
