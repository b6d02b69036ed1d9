use keras_spec::{
    Builder, Call, Config, Constraint, ConvSpec, Initializer, Layer, LayerRef, PartialShape, Regularizer,
    Result, Shared, Tensor, Weight,
};
use serde::{Deserialize, Serialize};

use super::depthwise_conv2d::{grouped, one_filter};
use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::layers::common::{DataFormat, Lengths, data_format, keras_layer, one, positive, weight_spec};
use crate::layers::defaults::{glorot_uniform, one_each, yes, zeros};
use crate::layers::window::Padding;

/// Convolution of each channel of images by itself, and then of the channels at each place: `(batch, height, width, channels)`
/// → `(batch, height', width', filters)` (`keras.layers.SeparableConv2D`, Keras 3.15.1).
///
/// Weights: `depthwise_kernel` `(rows, columns, channels, depth_multiplier)`, `pointwise_kernel` `(1, 1, channels ·
/// depth_multiplier, filters)`, `bias` `(filters,)`.
///
/// ```
/// use keras::layers::SeparableConv2D;
///
/// let layer = SeparableConv2D::new(64, [3, 3]).depth_multiplier(2);
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparableConv2D {
    filters: usize,
    kernel_size: Lengths<2>,
    #[serde(default = "one_each")]
    strides: Lengths<2>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default = "one_each")]
    dilation_rate: Lengths<2>,
    #[serde(default = "one_filter")]
    depth_multiplier: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    depthwise_initializer: Shared<dyn Initializer>,
    #[serde(default = "glorot_uniform")]
    pointwise_initializer: Shared<dyn Initializer>,
    #[serde(default = "zeros")]
    bias_initializer: Shared<dyn Initializer>,
    #[serde(default)]
    depthwise_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    pointwise_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    bias_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    depthwise_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    pointwise_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    bias_constraint: Option<Shared<dyn Constraint>>,
    #[serde(skip)]
    depthwise_kernel: Weight,
    #[serde(skip)]
    pointwise_kernel: Weight,
    #[serde(skip)]
    bias: Weight,
}

keras_layer!(SeparableConv2D, aliases ["SeparableConvolution2D"], check validate);

impl SeparableConv2D {
    /// `filters` output channels by windows of `kernel_size` (one number, or rows and columns).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<2>>) -> Self {
        SeparableConv2D {
            filters,
            kernel_size: kernel_size.into(),
            strides: one_each(),
            padding: Padding::Valid,
            data_format: DataFormat::default(),
            dilation_rate: one_each(),
            depth_multiplier: 1,
            activation: Activation::Linear,
            use_bias: true,
            depthwise_initializer: glorot_uniform(),
            pointwise_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            depthwise_regularizer: None,
            pointwise_regularizer: None,
            bias_regularizer: None,
            depthwise_constraint: None,
            pointwise_constraint: None,
            bias_constraint: None,
            depthwise_kernel: Weight::default(),
            pointwise_kernel: Weight::default(),
            bias: Weight::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides: Lengths<2>;
        /// What is put around the input. Default: nothing.
        padding: Padding;
        /// Where the channels are.
        data_format: DataFormat;
        /// Distances between the elements of the window. Default: 1.
        dilation_rate: Lengths<2>;
        /// Channels between the two convolutions per input channel. Default: 1.
        depth_multiplier = usize;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the first kernel. Default: `GlorotUniform`.
        depthwise_initializer: Shared<dyn Initializer>;
        /// First values of the second kernel. Default: `GlorotUniform`.
        pointwise_initializer: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer: Shared<dyn Initializer>;
        /// A penalty on the first kernel.
        some depthwise_regularizer: Shared<dyn Regularizer>;
        /// A penalty on the second kernel.
        some pointwise_regularizer: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer: Shared<dyn Regularizer>;
        /// Where the first kernel is moved after each step.
        some depthwise_constraint: Shared<dyn Constraint>;
        /// Where the second kernel is moved after each step.
        some pointwise_constraint: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint: Shared<dyn Constraint>;
    }

    fn window(&self) -> Window<2> {
        Window {
            kernel_size: self.kernel_size.0,
            strides: self.strides.0,
            dilation_rate: self.dilation_rate.0,
            padding: self.padding,
            data_format: self.data_format,
        }
    }

    fn validate(&self) -> Result<()> {
        positive("depth_multiplier", self.depth_multiplier)?;
        positive("filters", self.filters)?;
        self.padding.not_causal()?;
        self.window().validate()
    }
}

impl Layer for SeparableConv2D {
    fn draw_seeds(&self) {
        self.depthwise_initializer.draw_seed();
        self.pointwise_initializer.draw_seed();
        self.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        self.window().input(inputs, weight_axis(self.depthwise_kernel.get(), 2)).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = builder.known_dim(one(inputs)?, self.data_format.signed_channel_axis())?;
        let [rows, columns] = self.kernel_size.0;
        let depthwise = weight_spec(
            "depthwise_kernel",
            [rows, columns, channels, self.depth_multiplier],
            &self.depthwise_initializer,
            self.depthwise_regularizer.as_ref(),
            self.depthwise_constraint.as_ref(),
        )?;
        builder.weight(&self.depthwise_kernel, depthwise)?;
        let pointwise = weight_spec(
            "pointwise_kernel",
            [1, 1, channels * self.depth_multiplier, self.filters],
            &self.pointwise_initializer,
            self.pointwise_regularizer.as_ref(),
            self.pointwise_constraint.as_ref(),
        )?;
        builder.weight(&self.pointwise_kernel, pointwise)?;
        if self.use_bias {
            let bias = weight_spec(
                "bias",
                [self.filters],
                &self.bias_initializer,
                self.bias_regularizer.as_ref(),
                self.bias_constraint.as_ref(),
            )?;
            builder.weight(&self.bias, bias)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = self.data_format.to_channels_last(one(inputs)?)?;
        let (kernel, channels) = grouped(&self.depthwise_kernel.value()?)?;
        let spec = self.window().spec(&x, channels);
        let x = x.cast(kernel.dtype())?.convolution(&kernel, spec)?;
        let (kernel, bias) = (self.pointwise_kernel.value()?, self.bias.optional()?);
        Ok(vec![convolve(&x, &kernel, ConvSpec::new(2), bias, &self.activation, self.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}
