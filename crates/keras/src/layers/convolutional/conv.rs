use keras_spec::{
    Builder, Call, Config, Constraint, Error, Initializer, Layer, LayerRef, Object, PartialShape,
    Regularizer, Result, Shared, Tensor, Variable,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{DataFormat, Lengths, keras_layer, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, Kernel, Lora};
use crate::layers::window::Padding;

/// `activation(inputs ∗ kernel + bias)` over `N` spatial axes: [`Conv1D`], [`Conv2D`] and [`Conv3D`].
///
/// Weights: `kernel` `(window…, channels / groups, filters)`, `bias` `(filters,)`; with `lora_rank` also `lora_kernel_a`
/// `(window…, channels / groups, rank)` and `lora_kernel_b` `(rank, filters)`, of which the product times
/// `lora_alpha / lora_rank` is added to the kernel, and the kernel itself is frozen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv<const N: usize> {
    filters: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    window: Window<N>,
    #[serde(default = "one_group")]
    groups: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(flatten, deserialize_with = "flattened")]
    lora: Lora,
}

/// Convolution over sequences: `(batch, steps, channels)` → `(batch, steps', filters)` (`keras.layers.Conv1D`, Keras
/// 3.15.1).
///
/// ```
/// use keras::layers::{Conv1D, Padding};
///
/// let layer = Conv1D::new(16, 3).padding(Padding::Causal).dilation_rate(2);
/// # let _ = layer;
/// ```
pub type Conv1D = Conv<1>;

/// Convolution over images: `(batch, height, width, channels)` → `(batch, height', width', filters)`
/// (`keras.layers.Conv2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{Activation, Conv2D, Padding};
///
/// let layer = Conv2D::new(32, 3).strides([2, 2]).padding(Padding::Same).activation(Activation::Relu);
/// # let _ = layer;
/// ```
pub type Conv2D = Conv<2>;

/// Convolution over volumes: `(batch, depth, height, width, channels)` → `(batch, depth', height', width', filters)`
/// (`keras.layers.Conv3D`, Keras 3.15.1).
pub type Conv3D = Conv<3>;

keras_layer!(Conv1D, aliases ["Convolution1D"], check validate);
keras_layer!(Conv2D, aliases ["Convolution2D"], check validate);
keras_layer!(Conv3D, aliases ["Convolution3D"], check validate);

fn one_group() -> usize {
    1
}

impl<const N: usize> Conv<N> {
    /// `filters` output channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        Conv {
            filters,
            window: Window::new(kernel_size.into()),
            groups: 1,
            activation: Activation::Linear,
            use_bias: true,
            kernel: Kernel::default(),
            bias: Bias::default(),
            lora: Lora::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides in window: Lengths<N>;
        /// What is put around the input; `Causal` over sequences only. Default: nothing.
        padding in window: Padding;
        /// Where the channels are.
        data_format in window: DataFormat;
        /// Distances between the elements of the window, 1 unless `strides` are. Default: 1.
        dilation_rate in window: Lengths<N>;
        /// The groups of channels that are convolved separately; a divisor of channels and filters. Default: 1.
        groups = usize;
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
        /// Trains a product of two matrices of this rank instead of the kernel.
        some lora_rank in lora = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Default: the rank.
        some lora_alpha in lora: f64;
    }

    fn validate(&self) -> Result<()> {
        positive("filters", self.filters)?;
        positive("groups", self.groups)?;
        if !self.filters.is_multiple_of(self.groups) {
            let expected = format!("a divisor of filters={}", self.filters);
            return Err(Error::argument("groups", expected, self.groups));
        }
        self.lora.validate("kernel_constraint", self.kernel.kernel_constraint.as_ref())?;
        if N > 1 {
            self.window.padding.not_causal()?;
        }
        self.window.validate()?;
        self.window.not_both()
    }

    /// What the product of the small matrices is multiplied with.
    fn lora_scale(&self) -> f64 {
        match (self.lora.lora_alpha, self.lora.lora_rank) {
            (Some(alpha), Some(rank)) => alpha / rank as f64,
            _ => 1.0,
        }
    }
}

impl<const N: usize> Layer for Conv<N>
where
    Conv<N>: Object,
{
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let channels = weight_axis(self.kernel.weight.get(), N).map(|n| n * self.groups);
        self.window.input(inputs, channels).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = self.window.channels(builder, inputs)?;
        if !channels.is_multiple_of(self.groups) {
            let expected = format!("a divisor of the number of input channels, {channels}");
            return Err(Error::argument("groups", expected, self.groups));
        }
        let shape = self.window.kernel_shape([channels / self.groups, self.filters]);
        self.kernel.build(builder, "kernel", shape)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [self.filters])?;
        }
        let Kernel { weight, kernel_regularizer, .. } = &self.kernel;
        self.lora.build(builder, "kernel", weight, kernel_regularizer.as_ref())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = self.window.data_format.to_channels_last(one(inputs)?)?;
        let spec = self.window.spec(&x, self.groups);
        let kernel =
            self.lora.merged(self.kernel.weight.value()?, self.lora_scale(), call.compute_dtype())?;
        let bias = self.bias.weight.optional()?;
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.window.data_format)?])
    }

    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        self.lora.saved(own, self.lora_scale())
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
        if let Some(rank) = self.lora.lora_rank {
            config.entry("lora_alpha").or_insert_with(|| Value::from(rank));
        }
    }
}
