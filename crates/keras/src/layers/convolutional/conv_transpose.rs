use keras_spec::{
    Builder, Call, Config, Constraint, ConvSpec, Dims, Error, Initializer, Layer, LayerRef, Object,
    PartialShape, Regularizer, Result, Shared, Tensor,
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

/// Transposed convolution over `N` spatial axes, which makes them longer by `strides`: [`Conv1DTranspose`],
/// [`Conv2DTranspose`] and [`Conv3DTranspose`].
///
/// A length of the output is, with `s` the stride, `w = (kernel_size - 1) · dilation_rate + 1` and `p` the
/// `output_padding`:
///
/// | padding | `output_padding` is none | else |
/// |---|---|---|
/// | valid | `(length - 1) · s + max(w, s)` | `(length - 1) · s + w + p` |
/// | same | `length · s` | `(length - 1) · s + w % 2 + p` |
///
/// Weights: `kernel` `(window…, filters, channels)`, `bias` `(filters,)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose<const N: usize> {
    filters: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    window: Window<N>,
    #[serde(default)]
    output_padding: Option<Lengths<N>>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
}

/// Transposed convolution of sequences: `(batch, steps, channels)` → `(batch, steps', filters)`
/// (`keras.layers.Conv1DTranspose`, Keras 3.15.1).
pub type Conv1DTranspose = ConvTranspose<1>;

/// Transposed convolution of images: `(batch, height, width, channels)` → `(batch, height', width', filters)`
/// (`keras.layers.Conv2DTranspose`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{Conv2DTranspose, Padding};
///
/// let twice_as_large = Conv2DTranspose::new(8, 3).strides(2).padding(Padding::Same);
/// # let _ = twice_as_large;
/// ```
pub type Conv2DTranspose = ConvTranspose<2>;

/// Transposed convolution of volumes: `(batch, depth, height, width, channels)` → `(batch, depth', height', width',
/// filters)` (`keras.layers.Conv3DTranspose`, Keras 3.15.1).
pub type Conv3DTranspose = ConvTranspose<3>;

keras_layer!(Conv1DTranspose, aliases ["Convolution1DTranspose"], check validate);
keras_layer!(Conv2DTranspose, aliases ["Convolution2DTranspose"], check validate);
keras_layer!(Conv3DTranspose, aliases ["Convolution3DTranspose"], check validate);

impl<const N: usize> ConvTranspose<N> {
    /// `filters` output channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        ConvTranspose {
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
        strides in window: Lengths<N>;
        /// Which part of the full output is kept. Default: all.
        padding in window: Padding;
        /// Elements added at the ends, fewer than `strides`. Default: by the table above.
        some output_padding: Lengths<N>;
        /// Where the channels are.
        data_format in window: DataFormat;
        /// Distances between the elements of the window, 1 unless `strides` are. Default: 1.
        dilation_rate in window: Lengths<N>;
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
        self.window.padding.not_causal()?;
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
        self.window.padding.transposed_amounts(span, stride, self.output_padding.map(|p| p.0[i]))
    }
}

impl<const N: usize> Layer for ConvTranspose<N>
where
    Self: Object,
{
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, N + 2)?;
        match weight_axis(self.kernel.weight.get(), N + 1) {
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
            padding: (0..N).map(|i| self.amounts(i)).collect(),
            input_dilation: Dims::from_slice(&self.window.strides.0),
            filter_dilation: Dims::from_slice(&self.window.dilation_rate.0),
            ..ConvSpec::new(N)
        };
        let spatial: [isize; N] = std::array::from_fn(|i| i as isize);
        let kernel = self.kernel.weight.value()?.flip(&spatial)?.swap_axes(-2, -1)?;
        let bias = self.bias.weight.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.window.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}
