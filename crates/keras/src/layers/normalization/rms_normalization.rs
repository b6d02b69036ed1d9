use keras_spec::{
    Builder, Call, Config, Error, Layer, LayerRef, PartialShape, Result, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::widened;
use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::{axis_length, keras_layer, one};

/// Each sample divided by its root mean square over one or several axes, then scaled; the shape stays
/// (`keras.layers.RMSNormalization`, Keras 3.15.1).
///
/// Weights: `scale`, of the lengths of the axes. Computes in float32 at least.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RMSNormalization {
    axis: Axes,
    epsilon: f64,
    #[serde(skip)]
    scale: Weight,
}

keras_layer!(RMSNormalization, check validate);

impl Default for RMSNormalization {
    fn default() -> Self {
        RMSNormalization { axis: Axes::One(-1), epsilon: 1e-6, scale: Weight::default() }
    }
}

impl RMSNormalization {
    /// Over the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axis, or axes, to normalise over. Default: the last.
        axis: Axes;
        /// Added to the mean square. Default: 1e-6.
        epsilon: f64;
    }

    fn validate(&self) -> Result<()> {
        if self.axis.as_slice().is_empty() {
            return Err(Error::argument("axis", "at least one axis", "none"));
        }
        Ok(())
    }

    fn sorted(&self) -> Vec<isize> {
        let mut axes = self.axis.as_slice().to_vec();
        axes.sort_unstable();
        axes
    }
}

impl Layer for RMSNormalization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = one(inputs)?;
        self.sorted().iter().try_for_each(|&axis| input.axis(axis).map(drop))?;
        let Some(weight) = self.scale.get() else { return Ok(()) };
        let lengths = weight.shape().iter();
        self.sorted().iter().zip(lengths).try_for_each(|(&axis, &length)| axis_length(input, axis, length))
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        let lengths = self.sorted().into_iter().map(|axis| builder.known_dim(input, axis));
        let shape: Vec<usize> = lengths.collect::<Result<_>>()?;
        builder.weight(&self.scale, WeightSpec::new("scale", shape).initializer("ones")?)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let input = one(inputs)?;
        let x = input.cast(widened(input.dtype()))?;
        let mean = x.square()?.mean(&self.sorted(), true)?;
        let y = ((&x * (mean + self.epsilon)?.rsqrt()?)? * self.scale.value()?.into_dtype(x.dtype())?)?;
        Ok(vec![y.into_dtype(input.dtype())?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        if layer.is_built() {
            config.insert("axis".to_owned(), json!(self.sorted()));
        }
    }
}
