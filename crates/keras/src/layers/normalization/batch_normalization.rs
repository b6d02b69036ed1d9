use std::sync::OnceLock;

use keras_spec::{
    Builder, Call, Config, Constraint, DType, Error, Fused, Initializer, Layer, LayerRef, Op, PartialShape,
    Regularizer, Result, Shape, Shared, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{uncast, weight_or, widened};
use crate::class::builders;
use crate::layers::common::{axis_length, input_of_rank, keras_layer, not_negative, one, weight_spec};
use crate::layers::defaults::{ones, yes, zeros};

/// What keeps masked means from dividing by zero (`keras.config.epsilon()`).
const EPSILON: f64 = 1e-7;

/// The bounds of batch renormalisation's corrections; none where there is no number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenormClipping {
    /// The largest factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmax: Option<f64>,
    /// The smallest factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmin: Option<f64>,
    /// The largest offset, either way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dmax: Option<f64>,
}

/// Each channel with mean 0 and variance 1, then scaled by `gamma` and moved by `beta`; the shape stays
/// (`keras.layers.BatchNormalization`, Keras 3.15.1).
///
/// In training the mean and variance are the batch's (of the elements that a mask of one dimension less keeps), and the moving
/// ones follow: `moving · momentum + batch · (1 - momentum)`. In inference, and where the layer is frozen, they are the moving
/// ones. With `renorm` the batch's are corrected towards the moving ones in training, too (Ioffe 2017).
///
/// Weights, all `(channels,)`: `gamma`, `beta`, `moving_mean`, `moving_variance`, and with `renorm` `moving_stddev`,
/// `renorm_mean`, `renorm_stddev`. Computes in float32 at least.
///
/// ```
/// use keras::layers::BatchNormalization;
///
/// let layer = BatchNormalization::new().momentum(0.9);
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNormalization {
    axis: isize,
    momentum: f64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Shared<dyn Initializer>,
    gamma_initializer: Shared<dyn Initializer>,
    moving_mean_initializer: Shared<dyn Initializer>,
    moving_variance_initializer: Shared<dyn Initializer>,
    beta_regularizer: Option<Shared<dyn Regularizer>>,
    gamma_regularizer: Option<Shared<dyn Regularizer>>,
    beta_constraint: Option<Shared<dyn Constraint>>,
    gamma_constraint: Option<Shared<dyn Constraint>>,
    renorm: bool,
    renorm_clipping: Option<RenormClipping>,
    renorm_momentum: f64,
    synchronized: bool,
    #[serde(skip)]
    rank: OnceLock<usize>,
    #[serde(skip)]
    gamma: Weight,
    #[serde(skip)]
    beta: Weight,
    #[serde(skip)]
    moving_mean: Weight,
    #[serde(skip)]
    moving_variance: Weight,
    #[serde(skip)]
    moving_stddev: Weight,
    #[serde(skip)]
    renorm_mean: Weight,
    #[serde(skip)]
    renorm_stddev: Weight,
}

keras_layer!(BatchNormalization, check validate);

impl Default for BatchNormalization {
    fn default() -> Self {
        BatchNormalization {
            axis: -1,
            momentum: 0.99,
            epsilon: 1e-3,
            center: yes(),
            scale: yes(),
            beta_initializer: zeros(),
            gamma_initializer: ones(),
            moving_mean_initializer: zeros(),
            moving_variance_initializer: ones(),
            beta_regularizer: None,
            gamma_regularizer: None,
            beta_constraint: None,
            gamma_constraint: None,
            renorm: false,
            renorm_clipping: None,
            renorm_momentum: 0.99,
            synchronized: false,
            rank: OnceLock::new(),
            gamma: Weight::default(),
            beta: Weight::default(),
            moving_mean: Weight::default(),
            moving_variance: Weight::default(),
            moving_stddev: Weight::default(),
            renorm_mean: Weight::default(),
            renorm_stddev: Weight::default(),
        }
    }
}

impl BatchNormalization {
    /// Of channels along the last axis, with scale and offset.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axis of the channels. Default: the last.
        axis = isize;
        /// How much of the moving mean and variance a batch leaves. Default: 0.99.
        momentum: f64;
        /// Added to the variance. Default: 0.001.
        epsilon: f64;
        /// Whether there is an offset `beta`. Default: yes.
        center = bool;
        /// Whether there is a factor `gamma`. Default: yes.
        scale = bool;
        /// First values of `beta`. Default: `Zeros`.
        beta_initializer: Shared<dyn Initializer>;
        /// First values of `gamma`. Default: `Ones`.
        gamma_initializer: Shared<dyn Initializer>;
        /// First values of the moving mean. Default: `Zeros`.
        moving_mean_initializer: Shared<dyn Initializer>;
        /// First values of the moving variance. Default: `Ones`.
        moving_variance_initializer: Shared<dyn Initializer>;
        /// A penalty on `beta`.
        some beta_regularizer: Shared<dyn Regularizer>;
        /// A penalty on `gamma`.
        some gamma_regularizer: Shared<dyn Regularizer>;
        /// Where `beta` is moved after each step.
        some beta_constraint: Shared<dyn Constraint>;
        /// Where `gamma` is moved after each step.
        some gamma_constraint: Shared<dyn Constraint>;
        /// Batch renormalisation. Default: no.
        renorm = bool;
        /// The bounds of its corrections. Default: none.
        some renorm_clipping = RenormClipping;
        /// How much of the mean and deviation that it corrects towards a batch leaves. Default: 0.99.
        renorm_momentum: f64;
    }

    fn validate(&self) -> Result<()> {
        if self.synchronized {
            return Err(Error::argument(
                "synchronized",
                "false: only TensorFlow synchronises statistics between replicas",
                self.synchronized,
            ));
        }
        let RenormClipping { rmax, rmin, dmax } = self.clipping();
        if let (true, Some(max), Some(min)) = (self.renorm, rmax, rmin)
            && max < min
        {
            let found = format!("rmax={max} and rmin={min}");
            return Err(Error::argument("renorm_clipping", "rmax greater than rmin", found));
        }
        match dmax {
            Some(dmax) if self.renorm => not_negative("renorm_clipping", dmax),
            _ => Ok(()),
        }
    }

    fn clipping(&self) -> RenormClipping {
        self.renorm_clipping.unwrap_or_default()
    }

    /// Mean and variance of each channel, of the elements that a mask of one dimension less keeps.
    fn moments(&self, x: &Tensor, axis: usize, mask: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let channels = x.shape()[axis];
        let rows = Shape::from([x.shape().size() / channels.max(1), channels]);
        let by_channel = |t: &Tensor| t.move_axis(axis as isize, -1)?.reshape(&rows);
        let values = by_channel(x)?;
        let Some(mask) = mask else {
            return Ok((values.mean(&[0], false)?, values.variance(&[0], false)?));
        };
        let kept = by_channel(&mask.cast(DType::Bool)?.expand_dims(-1)?.broadcast_to(x.shape())?)?;
        let zero = Tensor::full([], x.dtype(), 0.0, x.device())?;
        let count = (kept.cast(x.dtype())?.sum(&[0], false)? + EPSILON)?;
        let mean = (kept.select(&values, &zero)?.sum(&[0], false)? / &count)?;
        let distances = kept.select(&(values - &mean)?, &zero)?;
        let variance = (distances.square()?.sum(&[0], false)? / count)?;
        Ok((mean, variance))
    }

    /// Factor and offset of batch renormalisation, without a gradient. Then the moving statistics follow the batch's.
    fn renormalize(&self, mean: &Tensor, variance: &Tensor) -> Result<(Tensor, Tensor)> {
        let (mean, variance) = (mean.stop_gradient(), variance.stop_gradient());
        let deviation = (&variance + self.epsilon)?.sqrt()?;
        let moving = |weight: &Weight| weight.variable()?.get().into_dtype(mean.dtype());
        let target = moving(&self.renorm_stddev)?.at_least(self.epsilon.sqrt())?;
        let mut factor = (&deviation / &target)?;
        let mut offset = ((&mean - moving(&self.renorm_mean)?)? / target)?;
        let RenormClipping { rmax, rmin, dmax } = self.clipping();
        if let Some(min) = rmin {
            factor = factor.at_least(min)?;
        }
        if let Some(max) = rmax {
            factor = factor.at_most(max)?;
        }
        if let Some(max) = dmax {
            offset = offset.clip(-max, max)?;
        }
        follow(&self.renorm_mean, &mean, self.renorm_momentum)?;
        follow(&self.renorm_stddev, &deviation, self.renorm_momentum)?;
        follow(&self.moving_mean, &mean, self.momentum)?;
        let deviation = follow(&self.moving_stddev, &deviation, self.momentum)?;
        let variance = (deviation.square()? - self.epsilon)?.relu()?;
        self.moving_variance.variable()?.assign(&variance)?;
        Ok((factor, offset))
    }
}

/// Moves a moving statistic towards that of a batch, and gives where it is then.
fn follow(moving: &Weight, batch: &Tensor, momentum: f64) -> Result<Tensor> {
    let moving = moving.variable()?;
    let batch = batch.stop_gradient();
    let before = moving.get().into_dtype(batch.dtype())?;
    let after = ((before * momentum)? + (batch * (1.0 - momentum))?)?;
    moving.assign(&after)?;
    Ok(after)
}

/// `(x - mean) · gamma / sqrt(variance + epsilon) + beta`, in Keras's order of operations.
fn normalized(
    x: &Tensor,
    axis: usize,
    [mean, variance]: [&Tensor; 2],
    [gamma, beta]: [Option<Tensor>; 2],
    epsilon: f64,
) -> Result<Tensor> {
    let mut factor = (variance + epsilon)?.rsqrt()?;
    if let Some(gamma) = gamma {
        factor = (factor * gamma)?;
    }
    let mut offset = ((-mean)? * &factor)?;
    if let Some(beta) = beta {
        offset = (offset + beta)?;
    }
    let mut aligned = Shape::from(vec![1; x.rank()]);
    aligned.dims_mut()[axis] = x.shape()[axis];
    (x * factor.reshape(&aligned)?)? + offset.reshape(&aligned)?
}

impl Layer for BatchNormalization {
    fn draw_seeds(&self) {
        self.beta_initializer.draw_seed();
        self.gamma_initializer.draw_seed();
        self.moving_mean_initializer.draw_seed();
        self.moving_variance_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = one(inputs)?;
        input.axis(self.axis)?;
        let (Some(&rank), Some(mean)) = (self.rank.get(), self.moving_mean.get()) else { return Ok(()) };
        input_of_rank(inputs, rank)?;
        axis_length(input, self.axis, mean.shape()[0])
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        let shape = [builder.known_dim(input, self.axis)?];
        if self.scale {
            let (regularizer, constraint) = (self.gamma_regularizer.as_ref(), self.gamma_constraint.as_ref());
            let gamma = weight_spec("gamma", shape, &self.gamma_initializer, regularizer, constraint)?;
            builder.weight(&self.gamma, gamma)?;
        }
        if self.center {
            let (regularizer, constraint) = (self.beta_regularizer.as_ref(), self.beta_constraint.as_ref());
            let beta = weight_spec("beta", shape, &self.beta_initializer, regularizer, constraint)?;
            builder.weight(&self.beta, beta)?;
        }
        let mut statistic = |slot: &Weight, name: &str, initializer: &Shared<dyn Initializer>| {
            let spec = WeightSpec::new(name, shape).initializer(initializer.clone())?.trainable(false);
            builder.weight(slot, spec)
        };
        let (mean, variance) = (&self.moving_mean_initializer, &self.moving_variance_initializer);
        statistic(&self.moving_mean, "moving_mean", mean)?;
        statistic(&self.moving_variance, "moving_variance", variance)?;
        if self.renorm {
            statistic(&self.moving_stddev, "moving_stddev", variance)?;
            statistic(&self.renorm_mean, "renorm_mean", mean)?;
            statistic(&self.renorm_stddev, "renorm_stddev", variance)?;
            for deviation in [&self.moving_stddev, &self.renorm_stddev] {
                let deviation = deviation.variable()?;
                deviation.assign(&deviation.get().sqrt()?)?;
            }
        }
        self.rank.get_or_init(|| input.rank());
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let mask = call.mask(0);
        if let Some(mask) = mask
            && mask.rank() + 1 != x.rank()
        {
            let expected = format!("one dimension less than the inputs, of shape {}", x.shape());
            return Err(Error::argument("mask", expected, mask.shape()));
        }
        let x = x.cast(widened(x.dtype()))?;
        let (axis, dtype) = (x.shape().axis(self.axis)?, x.dtype());
        let (gamma, beta) = (uncast(&self.gamma, dtype)?, uncast(&self.beta, dtype)?);
        let statistic = |weight: &Weight| weight.variable()?.get().into_dtype(dtype);
        let y = if !call.training || call.is_frozen() {
            let (mean, variance) = (statistic(&self.moving_mean)?, statistic(&self.moving_variance)?);
            normalized(&x, axis, [&mean, &variance], [gamma, beta], self.epsilon)?
        } else if self.renorm {
            let (mean, variance) = self.moments(&x, axis, mask)?;
            let (mut factor, mut offset) = self.renormalize(&mean, &variance)?;
            if let Some(gamma) = gamma {
                (factor, offset) = ((factor * &gamma)?, (offset * gamma)?);
            }
            if let Some(beta) = beta {
                offset = (offset + beta)?;
            }
            normalized(&x, axis, [&mean, &variance], [Some(factor), Some(offset)], self.epsilon)?
        } else if mask.is_some() {
            let (mean, variance) = self.moments(&x, axis, mask)?;
            follow(&self.moving_mean, &mean, self.momentum)?;
            follow(&self.moving_variance, &variance, self.momentum)?;
            normalized(&x, axis, [&mean, &variance], [gamma, beta], self.epsilon)?
        } else {
            let channels = [x.shape()[axis]];
            let gamma = weight_or(gamma, &channels, 1.0, &x)?;
            let beta = weight_or(beta, &channels, 0.0, &x)?;
            let op = Op::Fused(Fused::BatchNorm { axis, epsilon: self.epsilon });
            let results = Tensor::apply(op, [x, gamma, beta])?;
            let [y, mean, variance] = <[Tensor; 3]>::try_from(results.into_vec())
                .map_err(|r| Error::other(format!("batch_norm gave {} results", r.len())))?;
            follow(&self.moving_mean, &mean, self.momentum)?;
            follow(&self.moving_variance, &variance, self.momentum)?;
            y
        };
        Ok(vec![y.into_dtype(call.compute_dtype())?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        if self.renorm {
            config.insert("renorm_clipping".to_owned(), json!(self.clipping()));
        }
    }
}
