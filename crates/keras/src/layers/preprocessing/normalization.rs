use keras_spec::{
    Builder, Call, Config, DType, Error, HostTensor, Layer, LayerRef, PartialShape, Result, Shape, Tensor,
    Weight, WeightSpec,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::array;
use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::{keras_layer, one};

/// `(x - mean) / sqrt(variance)` with statistics of data, given or learnt by [`adapt`](Normalization::adapt); the shape stays,
/// integers become floats (`keras.layers.Normalization`, Keras 3.15.1).
///
/// Weights, unless `mean` and `variance` are given: `mean` and `variance`, of the lengths of the axes, and `count`; none is
/// trained.
///
/// ```
/// use keras::layers::Normalization;
/// use keras::prelude::*;
/// use keras_spec::HostTensor;
///
/// let layer = LayerRef::from(Normalization::new());
/// Normalization::adapt(&layer, &HostTensor::new([3, 1], vec![1f32, 2.0, 6.0])?)?;
/// assert_eq!(layer.weights()[0].get().to_vec::<f32>()?, [3.0]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Normalization {
    #[serde(deserialize_with = "axes")]
    axis: Axes,
    mean: Value,
    variance: Value,
    invert: bool,
    #[serde(skip)]
    adapt_mean: Weight,
    #[serde(skip)]
    adapt_variance: Weight,
    #[serde(skip)]
    count: Weight,
}

keras_layer!(Normalization, check validate);

/// `null` is no axis: one mean for everything.
fn axes<'de, D: Deserializer<'de>>(d: D) -> Result<Axes, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or(Axes::Many(Vec::new())))
}

impl Default for Normalization {
    fn default() -> Self {
        Normalization {
            axis: Axes::One(-1),
            mean: Value::Null,
            variance: Value::Null,
            invert: false,
            adapt_mean: Weight::default(),
            adapt_variance: Weight::default(),
            count: Weight::default(),
        }
    }
}

impl Normalization {
    /// Statistics for each element of the last axis, which [`adapt`](Normalization::adapt) or a file gives.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axes whose elements have statistics of their own; none for one mean and variance. Default: the last.
        axis: Axes;
        /// The mean: a number, or lists of numbers. Needs `variance` too.
        mean: Value;
        /// The variance: a number, or lists of numbers. Needs `mean` too.
        variance: Value;
        /// Whether data is brought back instead. Default: no.
        invert = bool;
    }

    fn validate(&self) -> Result<()> {
        if self.mean.is_null() && self.variance.is_null() {
            return Ok(());
        }
        if self.mean.is_null() || self.variance.is_null() {
            return Err(Error::argument("mean", "both `mean` and `variance`, or neither", "one of them"));
        }
        let (mean, variance) = (array("mean", &self.mean)?, array("variance", &self.variance)?);
        if mean.shape() != variance.shape() {
            let expected = format!("the shape of `mean`, {}", mean.shape());
            return Err(Error::argument("variance", expected, variance.shape()));
        }
        let axes = self.axis.as_slice().len();
        if mean.shape().rank() > axes {
            let expected = format!("at most {axes} dimensions, as there are axes");
            return Err(Error::argument("mean", expected, format!("shape {}", mean.shape())));
        }
        Ok(())
    }

    /// The axes from the front, in order.
    fn kept(&self, input: &PartialShape) -> Result<Vec<usize>> {
        let mut kept = self.axis.as_slice().iter().map(|&a| input.axis(a)).collect::<Result<Vec<_>>>()?;
        kept.sort_unstable();
        kept.dedup();
        Ok(kept)
    }

    /// Learns mean and variance from data, which must fit what the layer is built for; builds it otherwise.
    ///
    /// # Errors
    /// If `layer` is another layer, has its statistics from arguments, or the data does not fit.
    pub fn adapt(layer: &LayerRef, data: &HostTensor) -> Result<()> {
        let Some(this) = layer.downcast::<Normalization>() else {
            return Err(Error::argument("layer", "a Normalization", layer.class().name));
        };
        if !this.mean.is_null() {
            return Err(Error::argument("mean", "none, to learn it", &this.mean));
        }
        let shape = PartialShape::from(data.shape());
        layer.build(std::slice::from_ref(&shape))?;
        this.check_inputs(std::slice::from_ref(&shape))?;
        let kept = this.kept(&shape)?;
        let (mean, variance) = (this.adapt_mean.variable()?, this.adapt_variance.variable()?);
        let data = Tensor::from_host(data.cast(DType::F32), mean.get().device())?;
        let axes: Vec<isize> = (0..shape.rank()).filter(|a| !kept.contains(a)).map(|a| a as isize).collect();
        if axes.is_empty() {
            mean.assign(&data)?;
            return variance.assign(&Tensor::full(data.shape().clone(), DType::F32, 0.0, data.device())?);
        }
        mean.assign(&data.mean(&axes, false)?)?;
        variance.assign(&data.variance(&axes, false)?)
    }

    /// Mean and variance in a shape that can be broadcast to the input.
    fn statistics(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let kept = self.kept(&x.shape().into())?;
        let mut shape: Shape = vec![1; x.rank()].into();
        if self.mean.is_null() {
            for &axis in &kept {
                shape.dims_mut()[axis] = x.shape()[axis];
            }
            let stored = |w: &Weight| w.variable()?.get().into_dtype(x.dtype())?.reshape(shape.clone());
            return Ok((stored(&self.adapt_mean)?, stored(&self.adapt_variance)?));
        }
        let (mean, variance) = (array("mean", &self.mean)?, array("variance", &self.variance)?);
        for (&axis, &length) in kept.iter().rev().zip(mean.shape().iter().rev()) {
            shape.dims_mut()[axis] = length;
        }
        let bring = |v: HostTensor| Tensor::from_host(v.reshape(shape.clone())?.cast(x.dtype()), x.device());
        Ok((bring(mean)?, bring(variance)?))
    }
}

impl Layer for Normalization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = one(inputs)?;
        let kept = self.kept(input)?;
        let Some(mean) = self.adapt_mean.get() else { return Ok(()) };
        let lengths = kept.iter().map(|&axis| input[axis]);
        if lengths.zip(mean.shape().iter()).any(|(found, &due)| found.is_some_and(|found| found != due)) {
            let found = format!("shape {input}, which is incompatible with the layer");
            return Err(Error::argument("inputs", format!("lengths {} of the axes", mean.shape()), found));
        }
        Ok(())
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        if !self.mean.is_null() {
            return Ok(());
        }
        let input = one(inputs)?;
        let lengths = self.kept(input)?.into_iter().map(|axis| builder.known_dim(input, axis as isize));
        let shape: Vec<usize> = lengths.collect::<Result<_>>()?;
        let fixed = |name: &str, shape: &[usize]| WeightSpec::new(name, shape).trainable(false);
        builder.weight(&self.adapt_mean, fixed("mean", &shape).initializer("zeros")?)?;
        builder.weight(&self.adapt_variance, fixed("variance", &shape).initializer("ones")?)?;
        builder.weight(&self.count, fixed("count", &[]).dtype(DType::I32).initializer("zeros")?)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?.cast(call.compute_dtype())?;
        let (mean, variance) = self.statistics(&x)?;
        let spread = variance.sqrt()?.at_least(1e-7)?;
        Ok(vec![if self.invert { (mean + (x * spread)?)? } else { ((x - mean)? / spread)? }])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.insert("axis".to_owned(), json!(self.axis.as_slice()));
    }
}
