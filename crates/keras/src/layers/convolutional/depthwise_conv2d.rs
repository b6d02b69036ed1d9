use keras_spec::{
    Builder, Call, Config, Constraint, Initializer, Layer, LayerRef, PartialShape, Regularizer, Result,
    Shared, Tensor, Weight,
};
use serde::{Deserialize, Serialize};

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::layers::common::{DataFormat, Lengths, data_format, keras_layer, one, positive, weight_spec};
use crate::layers::defaults::{glorot_uniform, one_each, yes, zeros};
use crate::layers::window::Padding;

/// Convolution of each channel of images by itself: `(batch, height, width, channels)` → `(batch, height', width',
/// channels · depth_multiplier)` (`keras.layers.DepthwiseConv2D`, Keras 3.15.1).
///
/// Weights: `kernel` `(rows, columns, channels, depth_multiplier)`, `bias` `(channels · depth_multiplier,)`.
///
/// ```
/// use keras::layers::{DepthwiseConv2D, Padding};
///
/// let layer = DepthwiseConv2D::new(3).depth_multiplier(2).padding(Padding::Same);
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv2D {
    kernel_size: Lengths<2>,
    #[serde(default = "one_each")]
    strides: Lengths<2>,
    #[serde(default)]
    padding: Padding,
    #[serde(default = "one_filter")]
    depth_multiplier: usize,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default = "one_each")]
    dilation_rate: Lengths<2>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    depthwise_initializer: Shared<dyn Initializer>,
    #[serde(default = "zeros")]
    bias_initializer: Shared<dyn Initializer>,
    #[serde(default)]
    depthwise_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    bias_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    depthwise_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    bias_constraint: Option<Shared<dyn Constraint>>,
    #[serde(skip)]
    kernel: Weight,
    #[serde(skip)]
    bias: Weight,
}

keras_layer!(DepthwiseConv2D, check validate);

pub(super) fn one_filter() -> usize {
    1
}

impl DepthwiseConv2D {
    /// Windows of `kernel_size` (one number, or rows and columns).
    pub fn new(kernel_size: impl Into<Lengths<2>>) -> Self {
        DepthwiseConv2D {
            kernel_size: kernel_size.into(),
            strides: one_each(),
            padding: Padding::Valid,
            depth_multiplier: 1,
            data_format: DataFormat::default(),
            dilation_rate: one_each(),
            activation: Activation::Linear,
            use_bias: true,
            depthwise_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            depthwise_regularizer: None,
            bias_regularizer: None,
            depthwise_constraint: None,
            bias_constraint: None,
            kernel: Weight::default(),
            bias: Weight::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides: Lengths<2>;
        /// What is put around the input. Default: nothing.
        padding: Padding;
        /// Output channels per input channel. Default: 1.
        depth_multiplier = usize;
        /// Where the channels are.
        data_format: DataFormat;
        /// Distances between the elements of the window. Default: 1.
        dilation_rate: Lengths<2>;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        depthwise_initializer: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some depthwise_regularizer: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some depthwise_constraint: Shared<dyn Constraint>;
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
        self.padding.not_causal()?;
        self.window().validate()
    }
}

impl Layer for DepthwiseConv2D {
    fn draw_seeds(&self) {
        self.depthwise_initializer.draw_seed();
        self.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        self.window().input(inputs, weight_axis(self.kernel.get(), 2)).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = builder.known_dim(one(inputs)?, self.data_format.signed_channel_axis())?;
        let [rows, columns] = self.kernel_size.0;
        let kernel = weight_spec(
            "kernel",
            [rows, columns, channels, self.depth_multiplier],
            &self.depthwise_initializer,
            self.depthwise_regularizer.as_ref(),
            self.depthwise_constraint.as_ref(),
        )?;
        builder.weight(&self.kernel, kernel)?;
        if self.use_bias {
            let bias = weight_spec(
                "bias",
                [channels * self.depth_multiplier],
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
        let (kernel, channels) = grouped(&self.kernel.value()?)?;
        let spec = self.window().spec(&x, channels);
        let bias = self.bias.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}

/// A depthwise kernel as that of a convolution in as many groups as there are channels.
pub(super) fn grouped(kernel: &Tensor) -> Result<(Tensor, usize)> {
    let mut shape = kernel.shape().clone();
    let multiplier = shape.remove(3);
    let channels = shape.remove(2);
    shape.push(1);
    shape.push(channels * multiplier);
    Ok((kernel.reshape(shape)?, channels))
}
