use keras_spec::{
    Builder, Call, Config, Constraint, ConvSpec, Initializer, Layer, LayerRef, Object, PartialShape,
    Regularizer, Result, Shape, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::depthwise_conv::{grouped, one_filter};
use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{DataFormat, Lengths, keras_layer, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, DepthwiseKernel, PointwiseKernel};
use crate::layers::window::Padding;

/// Convolution of each channel by itself over `N` spatial axes, and then of the channels at each place:
/// [`SeparableConv1D`] and [`SeparableConv2D`].
///
/// Weights: `depthwise_kernel` `(window…, channels, depth_multiplier)`, `pointwise_kernel` `(1…, channels ·
/// depth_multiplier, filters)`, `bias` `(filters,)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableConv<const N: usize> {
    filters: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    window: Window<N>,
    #[serde(default = "one_filter")]
    depth_multiplier: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    depthwise_kernel: DepthwiseKernel,
    #[serde(flatten, deserialize_with = "flattened")]
    pointwise_kernel: PointwiseKernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
}

/// Separable convolution of sequences: `(batch, steps, channels)` → `(batch, steps', filters)`
/// (`keras.layers.SeparableConv1D`, Keras 3.15.1).
pub type SeparableConv1D = SeparableConv<1>;

/// Separable convolution of images: `(batch, height, width, channels)` → `(batch, height', width', filters)`
/// (`keras.layers.SeparableConv2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::SeparableConv2D;
///
/// let layer = SeparableConv2D::new(64, [3, 3]).depth_multiplier(2);
/// # let _ = layer;
/// ```
pub type SeparableConv2D = SeparableConv<2>;

keras_layer!(SeparableConv1D, aliases ["SeparableConvolution1D"], check validate);
keras_layer!(SeparableConv2D, aliases ["SeparableConvolution2D"], check validate);

impl<const N: usize> SeparableConv<N> {
    /// `filters` output channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        SeparableConv {
            filters,
            window: Window::new(kernel_size.into()),
            depth_multiplier: 1,
            activation: Activation::Linear,
            use_bias: true,
            depthwise_kernel: DepthwiseKernel::default(),
            pointwise_kernel: PointwiseKernel::default(),
            bias: Bias::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides in window: Lengths<N>;
        /// What is put around the input. Default: nothing.
        padding in window: Padding;
        /// Where the channels are.
        data_format in window: DataFormat;
        /// Distances between the elements of the window. Default: 1.
        dilation_rate in window: Lengths<N>;
        /// Channels between the two convolutions per input channel. Default: 1.
        depth_multiplier = usize;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the first kernel. Default: `GlorotUniform`.
        depthwise_initializer in depthwise_kernel: Shared<dyn Initializer>;
        /// First values of the second kernel. Default: `GlorotUniform`.
        pointwise_initializer in pointwise_kernel: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the first kernel.
        some depthwise_regularizer in depthwise_kernel: Shared<dyn Regularizer>;
        /// A penalty on the second kernel.
        some pointwise_regularizer in pointwise_kernel: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the first kernel is moved after each step.
        some depthwise_constraint in depthwise_kernel: Shared<dyn Constraint>;
        /// Where the second kernel is moved after each step.
        some pointwise_constraint in pointwise_kernel: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        positive("depth_multiplier", self.depth_multiplier)?;
        positive("filters", self.filters)?;
        self.window.padding.not_causal()?;
        self.window.validate()
    }
}

impl<const N: usize> Layer for SeparableConv<N>
where
    Self: Object,
{
    fn draw_seeds(&self) {
        self.depthwise_kernel.draw_seed();
        self.pointwise_kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        self.window.input(inputs, weight_axis(self.depthwise_kernel.weight.get(), N)).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = self.window.channels(builder, inputs)?;
        let shape = self.window.kernel_shape([channels, self.depth_multiplier]);
        self.depthwise_kernel.build(builder, "depthwise_kernel", shape)?;
        let shape: Shape =
            [1; N].into_iter().chain([channels * self.depth_multiplier, self.filters]).collect();
        self.pointwise_kernel.build(builder, "pointwise_kernel", shape)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [self.filters])?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = self.window.data_format.to_channels_last(one(inputs)?)?;
        let (kernel, channels) = grouped(&self.depthwise_kernel.weight.value()?)?;
        let spec = self.window.spec(&x, channels);
        let x = x.cast(kernel.dtype())?.convolution(&kernel, spec)?;
        let (kernel, bias) = (self.pointwise_kernel.weight.value()?, self.bias.weight.optional()?);
        Ok(vec![convolve(&x, &kernel, ConvSpec::new(N), bias, &self.activation, self.window.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}
