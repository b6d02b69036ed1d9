use keras_spec::{
    Builder, Call, Config, Constraint, ConvSpec, Dims, Error, Initializer, Layer, LayerRef, PartialShape,
    Regularizer, Result, Shared, Tensor, Weight,
};
use serde::{Deserialize, Serialize};

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::layers::common::{
    DataFormat, Lengths, axis_length, data_format, input_of_rank, keras_layer, one, positive, weight_spec,
};
use crate::layers::defaults::{glorot_uniform, one_each, yes, zeros};
use crate::layers::window::{Padding, span};

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
    kernel_size: Lengths<2>,
    #[serde(default = "one_each")]
    strides: Lengths<2>,
    #[serde(default)]
    padding: Padding,
    #[serde(default)]
    output_padding: Option<Lengths<2>>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default = "one_each")]
    dilation_rate: Lengths<2>,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(default = "glorot_uniform")]
    kernel_initializer: Shared<dyn Initializer>,
    #[serde(default = "zeros")]
    bias_initializer: Shared<dyn Initializer>,
    #[serde(default)]
    kernel_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    bias_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    kernel_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    bias_constraint: Option<Shared<dyn Constraint>>,
    #[serde(skip)]
    kernel: Weight,
    #[serde(skip)]
    bias: Weight,
}

keras_layer!(Conv2DTranspose, aliases ["Convolution2DTranspose"], check validate);

impl Conv2DTranspose {
    /// `filters` output channels by windows of `kernel_size` (one number, or rows and columns).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<2>>) -> Self {
        Conv2DTranspose {
            filters,
            kernel_size: kernel_size.into(),
            strides: one_each(),
            padding: Padding::Valid,
            output_padding: None,
            data_format: DataFormat::default(),
            dilation_rate: one_each(),
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            kernel: Weight::default(),
            bias: Weight::default(),
        }
    }

    builders! {
        /// By how much the output is larger. Default: 1.
        strides: Lengths<2>;
        /// Which part of the full output is kept. Default: all.
        padding: Padding;
        /// Rows and columns added at the ends, fewer than `strides`. Default: by the table above.
        some output_padding: Lengths<2>;
        /// Where the channels are.
        data_format: DataFormat;
        /// Distances between the elements of the window, 1 unless `strides` are. Default: 1.
        dilation_rate: Lengths<2>;
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        kernel_initializer: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some kernel_regularizer: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some kernel_constraint: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        positive("filters", self.filters)?;
        self.padding.not_causal()?;
        let window = Window {
            kernel_size: self.kernel_size.0,
            strides: self.strides.0,
            dilation_rate: self.dilation_rate.0,
            padding: self.padding,
            data_format: self.data_format,
        };
        window.validate()?;
        window.not_both()?;
        match self.output_padding {
            Some(Lengths(padding)) if padding.iter().zip(self.strides.0).any(|(&p, s)| p >= s) => {
                let expected = format!("less than strides {:?}", self.strides.0);
                Err(Error::argument("output_padding", expected, format!("{padding:?}")))
            }
            _ => Ok(()),
        }
    }

    /// What goes around spatial axis `i`, after zeros have been put between its elements.
    fn amounts(&self, i: usize) -> (isize, isize) {
        let (stride, span) = (self.strides.0[i], span(self.kernel_size.0[i], self.dilation_rate.0[i]));
        let output_padding = self.output_padding.map(|p| p.0[i]);
        let (low, high) = match self.padding {
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
        self.kernel_initializer.draw_seed();
        self.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, 4)?;
        match weight_axis(self.kernel.get(), 3) {
            Some(channels) => axis_length(input, self.data_format.signed_channel_axis(), channels),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = builder.known_dim(one(inputs)?, self.data_format.signed_channel_axis())?;
        let [rows, columns] = self.kernel_size.0;
        let kernel = weight_spec(
            "kernel",
            [rows, columns, self.filters, channels],
            &self.kernel_initializer,
            self.kernel_regularizer.as_ref(),
            self.kernel_constraint.as_ref(),
        )?;
        builder.weight(&self.kernel, kernel)?;
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
        let spec = ConvSpec {
            padding: (0..2).map(|i| self.amounts(i)).collect(),
            input_dilation: Dims::from_slice(&self.strides.0),
            filter_dilation: Dims::from_slice(&self.dilation_rate.0),
            ..ConvSpec::new(2)
        };
        let kernel = self.kernel.value()?.flip(&[0, 1])?.swap_axes(2, 3)?;
        let bias = self.bias.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
    }
}
