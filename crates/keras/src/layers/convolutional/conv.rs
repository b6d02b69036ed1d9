use keras_spec::{
    Builder, Call, Config, Constraint, DType, Error, Initializer, Layer, LayerRef, Object, PartialShape,
    Regularizer, Result, Shared, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Window, convolve, weight_axis, with_activity_regularizer};
use crate::activations::Activation;
use crate::class::builders;
use crate::initializers::{HeUniform, Zeros};
use crate::layers::common::{DataFormat, Lengths, data_format, keras_layer, one, positive, weight_spec};
use crate::layers::defaults::{glorot_uniform, one_each, yes, zeros};
use crate::layers::window::Padding;

/// `activation(inputs ∗ kernel + bias)` over `N` spatial axes: [`Conv1D`] and [`Conv2D`].
///
/// Weights: `kernel` `(window…, channels / groups, filters)`, `bias` `(filters,)`; with `lora_rank` also `lora_kernel_a`
/// `(window…, channels / groups, rank)` and `lora_kernel_b` `(rank, filters)`, of which the product times
/// `lora_alpha / lora_rank` is added to the kernel, and the kernel itself is frozen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv<const N: usize> {
    filters: usize,
    kernel_size: Lengths<N>,
    #[serde(default = "one_each")]
    strides: Lengths<N>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default = "one_each")]
    dilation_rate: Lengths<N>,
    #[serde(default = "one_group")]
    groups: usize,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
    #[serde(skip)]
    kernel: Weight,
    #[serde(skip)]
    bias: Weight,
    #[serde(skip)]
    lora_kernel_a: Weight,
    #[serde(skip)]
    lora_kernel_b: Weight,
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

keras_layer!(Conv1D, aliases ["Convolution1D"], check validate);
keras_layer!(Conv2D, aliases ["Convolution2D"], check validate);

fn one_group() -> usize {
    1
}

impl<const N: usize> Conv<N> {
    /// `filters` output channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        Conv {
            filters,
            kernel_size: kernel_size.into(),
            strides: one_each(),
            padding: Padding::Valid,
            data_format: DataFormat::default(),
            dilation_rate: one_each(),
            groups: 1,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            lora_rank: None,
            lora_alpha: None,
            kernel: Weight::default(),
            bias: Weight::default(),
            lora_kernel_a: Weight::default(),
            lora_kernel_b: Weight::default(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides: Lengths<N>;
        /// What is put around the input; `Causal` over sequences only. Default: nothing.
        padding: Padding;
        /// Where the channels are.
        data_format: DataFormat;
        /// Distances between the elements of the window, 1 unless `strides` are. Default: 1.
        dilation_rate: Lengths<N>;
        /// The groups of channels that are convolved separately; a divisor of channels and filters. Default: 1.
        groups = usize;
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
        /// Trains a product of two matrices of this rank instead of the kernel.
        some lora_rank = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Default: the rank.
        some lora_alpha: f64;
    }

    fn window(&self) -> Window<N> {
        Window {
            kernel_size: self.kernel_size.0,
            strides: self.strides.0,
            dilation_rate: self.dilation_rate.0,
            padding: self.padding,
            data_format: self.data_format,
        }
    }

    fn validate(&self) -> Result<()> {
        positive("filters", self.filters)?;
        positive("groups", self.groups)?;
        if !self.filters.is_multiple_of(self.groups) {
            let expected = format!("a divisor of filters={}", self.filters);
            return Err(Error::argument("groups", expected, self.groups));
        }
        if N > 1 {
            self.padding.not_causal()?;
        }
        if let Some(rank) = self.lora_rank {
            positive("lora_rank", rank)?;
            if self.kernel_constraint.is_some() {
                let found = "both `lora_rank` and `kernel_constraint`";
                return Err(Error::argument("kernel_constraint", "none beside `lora_rank`", found));
            }
        }
        self.window().validate()?;
        self.window().not_both()
    }

    fn effective_kernel(&self, call: &Call) -> Result<Tensor> {
        let kernel = self.kernel.value()?;
        let (Some(a), Some(b)) = (self.lora_kernel_a.optional()?, self.lora_kernel_b.optional()?) else {
            return Ok(kernel);
        };
        let rank = b.shape()[0] as f64;
        let scale = self.lora_alpha.map_or(1.0, |alpha| alpha / rank);
        (kernel + (a.matmul(&b)? * scale)?)?.into_dtype(call.compute_dtype())
    }
}

impl<const N: usize> Layer for Conv<N>
where
    Conv<N>: Object,
{
    fn draw_seeds(&self) {
        self.kernel_initializer.draw_seed();
        self.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let channels = weight_axis(self.kernel.get(), N).map(|n| n * self.groups);
        self.window().input(inputs, channels).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let channels = builder.known_dim(one(inputs)?, self.data_format.signed_channel_axis())?;
        if !channels.is_multiple_of(self.groups) {
            let expected = format!("a divisor of the number of input channels, {channels}");
            return Err(Error::argument("groups", expected, self.groups));
        }
        let shape = |last: [usize; 2]| -> Vec<usize> { self.kernel_size.0.into_iter().chain(last).collect() };
        let regularizer = self.kernel_regularizer.as_ref();
        let kernel = weight_spec(
            "kernel",
            shape([channels / self.groups, self.filters]),
            &self.kernel_initializer,
            regularizer,
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
        if let Some(rank) = self.lora_rank {
            let lora = |name: &str, shape: Vec<usize>| {
                WeightSpec::new(name, shape).dtype(DType::F32).regularizer(regularizer)
            };
            let a = lora("lora_kernel_a", shape([channels / self.groups, rank]));
            builder.weight(&self.lora_kernel_a, a.initializer(HeUniform::new())?)?;
            let b = lora("lora_kernel_b", vec![rank, self.filters]);
            builder.weight(&self.lora_kernel_b, b.initializer(Zeros::new())?)?;
            self.kernel.variable()?.set_trainable(false);
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = self.data_format.to_channels_last(one(inputs)?)?;
        let spec = self.window().spec(&x, self.groups);
        let (kernel, bias) = (self.effective_kernel(call)?, self.bias.optional()?);
        Ok(vec![convolve(&x, &kernel, spec, bias, &self.activation, self.data_format)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        with_activity_regularizer(layer, config);
        if let Some(rank) = self.lora_rank {
            config.entry("lora_alpha").or_insert_with(|| Value::from(rank));
        }
    }
}
