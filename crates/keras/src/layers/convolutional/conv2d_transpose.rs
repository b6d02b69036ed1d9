use keras_spec::{
    Builder, Call, Config, Constraint, ConvSpec, Dims, Error, Initializer, Layer, LayerRef, PartialShape,
    Regularizer, Result, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{DataFormat, Lengths, axis_length, input_of_rank, keras_layer, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, Kernel};
use crate::layers::window::Padding;

/// Transposed convolution of images, which makes them larger by `strides`: `(batch, height, width, channels)` → `(batch,
/// height', width', filters)` (`keras.layers.Conv2DTranspose`, Keras 3.15.1).
///
/// The output's height is, with `s` the stride, `w = (kernel_size - 1) · dilation_rate + 1` and `p` the `output_padding`:
///
/// | padding | `output_padding` is none | else |
/// |---|---|---|
/// | valid | `(height - 1) · s + max(w, s)` | `(height - 1) · s + w + p` |
/// | same | `height · s` | `(height - 1) · s + w % 2 + p` |
///
/// Weights: `kernel` `(rows, columns, filters, channels)`, `bias` `(filters,)`.
///
/// ```
/// use keras::layers::{Conv2DTranspose, Padding};
///
/// let twice_as_large = Conv2DTranspose::new(8, 3).strides(2).padding(Padding::Same);
/// # let _ = twice_as_large;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2DTranspose {
    filters: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    window: Window<2>,
    #[serde(default)]
    output_padding: Option<Lengths<2>>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
}

keras_layer!(Conv2DTranspose, aliases ["Convolution2DTranspose"], check validate);

impl Conv2DTranspose {
    /// `filters` output channels by windows of `kernel_size` (one number, or rows and columns).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<2>>) -> Self {
        Conv2DTranspose {
            filters,
            window: Window::new(kernel_size.into()),
            output_padding: None,
            activation: Activation::Linear,
            use_bias: true,
            kernel: Kernel::default(),
            bias: Bias::default(),
        }
    }

    builders! {
        /// By how much the output is larger. Default: 1.
        strides in window: Lengths<2>;
        /// Which part of the full output is kept. Default: all.
        padding in window: Padding;
        /// Rows and columns added at the ends, fewer than `strides`. Default: by the table above.
        some output_padding: Lengths<2>;
        /// Where the channels are.
        data_format in window: DataFormat;
        /// Distances between the elements of the window, 1 unless `strides` are. Default: 1.
        dilation_rate in window: Lengths<2>;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        kernel_initializer in kernel: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some kernel_regularizer in kernel: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some kernel_constraint in kernel: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        positive("filters", self.filters)?;
        self.window.validate()?;
        self.window.not_both()?;
        match self.output_padding {
            Some(Lengths(padding)) if padding.iter().zip(self.window.strides.0).any(|(&p, s)| p >= s) => {
                let expected = format!("less than strides {:?}", self.window.strides.0);
                Err(Error::argument("output_padding", expected, format!("{padding:?}")))
            }
            _ => Ok(()),
        }
    }

    /// What goes around spatial axis `i`, after zeros have been put between its elements.
    fn amounts(&self, i: usize) -> (isize, isize) {
        let (stride, span) = (self.window.strides.0[i], self.window.spans()[i]);
        let output_padding = self.output_padding.map(|p| p.0[i]);
        let (low, high) = match self.window.padding {
            Padding::Same => {
                let total = match output_padding {
                    None => stride.saturating_add(span) - 2,
                    Some(more) => (span + span % 2).saturating_add(more) - 2,
                };
                let low = total.div_ceil(2).min(span - 1);
                (low, total - low)
            }
            _ => (span - 1, span - 1 + output_padding.unwrap_or(stride.saturating_sub(span))),
        };
        (low as isize, high as isize)
    }
}

impl Layer for Conv2DTranspose {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, 4)?;
        match weight_axis(self.kernel.weight.get(), 3) {
            Some(channels) => axis_length(input, self.window.data_format.signed_channel_axis(), channels),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = self.window.channels(builder, inputs)?;
        let shape = self.window.kernel_shape([self.filters, channels]);
        self.kernel.build(builder, "kernel", shape)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [self.filters])?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = self.window.data_format.to_channels_last(one(inputs)?)?;
        let spec = ConvSpec {
            padding: (0..2).map(|i| self.amounts(i)).collect(),
            input_dilation: Dims::from_slice(&self.window.strides.0),
            filter_dilation: Dims::from_slice(&self.window.dilation_rate.0),
            ..ConvSpec::new(2)
        };
        let kernel = self.kernel.weight.value()?.flip(&[0, 1])?.swap_axes(2, 3)?;
        let bias = self.bias.weight.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.window.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}
