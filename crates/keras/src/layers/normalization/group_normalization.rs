use keras_spec::{
    Builder, Call, Config, Constraint, Error, Initializer, Layer, LayerRef, PartialShape, Regularizer,
    Result, Shape, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::{uncast, widened};
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{axis_length, keras_layer, one};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Beta, Gamma};

/// Each sample with mean 0 and variance 1 within groups of channels, then scaled by `gamma` and moved by `beta`; the shape
/// stays (`keras.layers.GroupNormalization`, Keras 3.15.1).
///
/// Weights: `gamma` and `beta`, one number per channel. Computes in float32 at least.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNormalization {
    #[serde(default = "groups")]
    groups: isize,
    #[serde(default = "last")]
    axis: isize,
    #[serde(default = "epsilon")]
    epsilon: f64,
    #[serde(default = "yes")]
    center: bool,
    #[serde(default = "yes")]
    scale: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    beta: Beta,
    #[serde(flatten, deserialize_with = "flattened")]
    gamma: Gamma,
}

keras_layer!(GroupNormalization, check validate);

fn groups() -> isize {
    32
}

fn last() -> isize {
    -1
}

fn epsilon() -> f64 {
    1e-3
}

impl Default for GroupNormalization {
    fn default() -> Self {
        GroupNormalization::new(groups())
    }
}

impl GroupNormalization {
    /// So many groups, which the number of channels is a multiple of; -1 for a group per channel. Keras's default is 32.
    pub fn new(groups: isize) -> Self {
        GroupNormalization {
            groups,
            axis: last(),
            epsilon: epsilon(),
            center: true,
            scale: true,
            beta: Beta::default(),
            gamma: Gamma::default(),
        }
    }

    builders! {
        /// The axis of the channels. Default: the last.
        axis = isize;
        /// Added to the variance. Default: 0.001.
        epsilon: f64;
        /// Whether there is an offset `beta`. Default: yes.
        center = bool;
        /// Whether there is a factor `gamma`. Default: yes.
        scale = bool;
        /// First values of `beta`. Default: `Zeros`.
        beta_initializer in beta: Shared<dyn Initializer>;
        /// First values of `gamma`. Default: `Ones`.
        gamma_initializer in gamma: Shared<dyn Initializer>;
        /// A penalty on `beta`.
        some beta_regularizer in beta: Shared<dyn Regularizer>;
        /// A penalty on `gamma`.
        some gamma_regularizer in gamma: Shared<dyn Regularizer>;
        /// Where `beta` is moved after each step.
        some beta_constraint in beta: Shared<dyn Constraint>;
        /// Where `gamma` is moved after each step.
        some gamma_constraint in gamma: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        if self.groups > 0 || self.groups == -1 {
            return Ok(());
        }
        Err(Error::argument("groups", "a positive integer, or -1", self.groups))
    }

    /// How many groups `channels` are divided into.
    fn count(&self, channels: usize) -> Result<usize> {
        let count = usize::try_from(self.groups).unwrap_or(channels);
        if count > channels || !channels.is_multiple_of(count.max(1)) {
            let expected = format!("a divisor of the number of channels ({channels})");
            return Err(Error::argument("groups", expected, count));
        }
        Ok(count)
    }
}

impl Layer for GroupNormalization {
    fn draw_seeds(&self) {
        self.beta.draw_seed();
        self.gamma.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = one(inputs)?;
        input.axis(self.axis)?;
        match self.gamma.weight.get().or(self.beta.weight.get()) {
            Some(weight) => axis_length(input, self.axis, weight.shape()[0]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = builder.known_dim(one(inputs)?, self.axis)?;
        self.count(channels)?;
        if self.scale {
            self.gamma.build(builder, "gamma", [channels])?;
        }
        if self.center {
            self.beta.build(builder, "beta", [channels])?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let input = one(inputs)?;
        let axis = input.shape().axis(self.axis)?;
        let channels = input.shape()[axis];
        let count = self.count(channels)?;
        let mut apart = input.shape().clone();
        apart.dims_mut()[axis] = channels / count.max(1);
        apart.insert(axis, count);
        let mut per_channel: Shape = vec![1; apart.rank()].into();
        per_channel.dims_mut()[axis] = count;
        per_channel.dims_mut()[axis + 1] = channels / count.max(1);
        let x = input.cast(widened(input.dtype()))?.reshape(apart.clone())?;
        let axes: Vec<isize> = (1..apart.rank()).filter(|&a| a != axis).map(|a| a as isize).collect();
        let mean = x.mean(&axes, true)?;
        let mut factor = (x.variance(&axes, true)? + self.epsilon)?.rsqrt()?;
        if let Some(gamma) = uncast(&self.gamma.weight, x.dtype())? {
            factor = (factor * gamma.reshape(per_channel.clone())?)?;
        }
        let mut offset = (-(mean * &factor)?)?;
        if let Some(beta) = uncast(&self.beta.weight, x.dtype())? {
            offset = (offset + beta.reshape(per_channel)?)?;
        }
        // Integers come back as integers, rounded towards zero, as in Keras.
        let y = ((x * factor)? + offset)?.into_dtype(input.dtype())?.reshape(input.shape().clone())?;
        Ok(vec![y.into_dtype(call.compute_dtype())?])
    }

    /// Inputs are not rounded to the compute dtype.
    fn autocast(&self) -> bool {
        false
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        if let (-1, Some([input])) = (self.groups, layer.build_shapes()) {
            let channels = input.axis(self.axis).ok().and_then(|axis| input[axis]);
            if let Some(channels) = channels {
                config.insert("groups".to_owned(), channels.into());
            }
        }
    }
}
