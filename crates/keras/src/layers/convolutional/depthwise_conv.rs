use keras_spec::{
    Builder, Call, Config, Constraint, Initializer, Layer, LayerRef, Object, PartialShape, Regularizer,
    Result, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{DataFormat, Lengths, keras_layer, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, DepthwiseKernel};
use crate::layers::window::Padding;

/// Convolution of each channel by itself over `N` spatial axes: [`DepthwiseConv1D`] and [`DepthwiseConv2D`].
///
/// Weights: `kernel` `(window…, channels, depth_multiplier)`, `bias` `(channels · depth_multiplier,)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv<const N: usize> {
    #[serde(flatten, deserialize_with = "flattened")]
    window: Window<N>,
    #[serde(default = "one_filter")]
    depth_multiplier: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: DepthwiseKernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
}

/// Convolution of each channel of sequences by itself: `(batch, steps, channels)` → `(batch, steps', channels ·
/// depth_multiplier)` (`keras.layers.DepthwiseConv1D`, Keras 3.15.1).
pub type DepthwiseConv1D = DepthwiseConv<1>;

/// Convolution of each channel of images by itself: `(batch, height, width, channels)` → `(batch, height', width',
/// channels · depth_multiplier)` (`keras.layers.DepthwiseConv2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{DepthwiseConv2D, Padding};
///
/// let layer = DepthwiseConv2D::new(3).depth_multiplier(2).padding(Padding::Same);
/// # let _ = layer;
/// ```
pub type DepthwiseConv2D = DepthwiseConv<2>;

keras_layer!(DepthwiseConv1D, check validate);
keras_layer!(DepthwiseConv2D, check validate);

pub(super) fn one_filter() -> usize {
    1
}

impl<const N: usize> DepthwiseConv<N> {
    /// Windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(kernel_size: impl Into<Lengths<N>>) -> Self {
        DepthwiseConv {
            window: Window::new(kernel_size.into()),
            depth_multiplier: 1,
            activation: Activation::Linear,
            use_bias: true,
            kernel: DepthwiseKernel::default(),
            bias: Bias::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides in window: Lengths<N>;
        /// What is put around the input. Default: nothing.
        padding in window: Padding;
        /// Output channels per input channel. Default: 1.
        depth_multiplier = usize;
        /// Where the channels are.
        data_format in window: DataFormat;
        /// Distances between the elements of the window. Default: 1.
        dilation_rate in window: Lengths<N>;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        depthwise_initializer in kernel: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some depthwise_regularizer in kernel: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some depthwise_constraint in kernel: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        positive("depth_multiplier", self.depth_multiplier)?;
        self.window.padding.not_causal()?;
        self.window.validate()
    }
}

impl<const N: usize> Layer for DepthwiseConv<N>
where
    Self: Object,
{
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        self.window.input(inputs, weight_axis(self.kernel.weight.get(), N)).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = self.window.channels(builder, inputs)?;
        let shape = self.window.kernel_shape([channels, self.depth_multiplier]);
        self.kernel.build(builder, "kernel", shape)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [channels * self.depth_multiplier])?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = self.window.data_format.to_channels_last(one(inputs)?)?;
        let (kernel, channels) = grouped(&self.kernel.weight.value()?)?;
        let spec = self.window.spec(&x, channels);
        let bias = self.bias.weight.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.window.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}

/// A depthwise kernel as that of a convolution in as many groups as there are channels.
pub(super) fn grouped(kernel: &Tensor) -> Result<(Tensor, usize)> {
    let mut shape = kernel.shape().clone();
    let last = shape.rank() - 1;
    let multiplier = shape.remove(last);
    let channels = shape.remove(last - 1);
    shape.push(1);
    shape.push(channels * multiplier);
    Ok((kernel.reshape(shape)?, channels))
}
