//! Convolutions over any number of spatial axes: ordinary, transposed, depthwise, separable.

mod conv;
mod conv_transpose;
mod depthwise_conv;
mod separable_conv;

pub use conv::{Conv, Conv1D, Conv2D, Conv3D};
pub use conv_transpose::{Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, ConvTranspose};
pub use depthwise_conv::{DepthwiseConv, DepthwiseConv1D, DepthwiseConv2D};
pub use separable_conv::{SeparableConv, SeparableConv1D, SeparableConv2D};

use keras_spec::{
    Activ, Builder, Config, ConvSpec, Dims, Error, Fused, LayerRef, Op, PartialShape, Result, Shape, Tensor,
    Variable,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::activations::Activation;
use crate::layers::common::{DataFormat, Lengths, all_positive, axis_length, data_format, one};
use crate::layers::defaults::one_each;
use crate::layers::window::{Padding, span, windowed_input};

/// The arguments of a convolution that say which elements meet; a part of each layer, whose arguments they are in files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Window<const N: usize> {
    pub(super) kernel_size: Lengths<N>,
    #[serde(default = "one_each")]
    pub(super) strides: Lengths<N>,
    #[serde(default)]
    pub(super) padding: Padding,
    #[serde(default, deserialize_with = "data_format")]
    pub(super) data_format: DataFormat,
    #[serde(default = "one_each")]
    pub(super) dilation_rate: Lengths<N>,
}

impl<const N: usize> Window<N> {
    pub(super) fn new(kernel_size: Lengths<N>) -> Self {
        Window {
            kernel_size,
            strides: one_each(),
            padding: Padding::Valid,
            data_format: DataFormat::default(),
            dilation_rate: one_each(),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        all_positive("kernel_size", &self.kernel_size.0)?;
        all_positive("strides", &self.strides.0)?;
        all_positive("dilation_rate", &self.dilation_rate.0)
    }

    /// Refuses steps and gaps together, where Keras does.
    pub(super) fn not_both(&self) -> Result<()> {
        let above_one = |v: &[usize]| v.iter().any(|&n| n > 1);
        if above_one(&self.strides.0) && above_one(&self.dilation_rate.0) {
            let found = format!("strides {:?} and dilation_rate {:?}", self.strides.0, self.dilation_rate.0);
            return Err(Error::argument("strides", "1 where `dilation_rate > 1`", found));
        }
        Ok(())
    }

    pub(super) fn spans(&self) -> [usize; N] {
        std::array::from_fn(|i| span(self.kernel_size.0[i], self.dilation_rate.0[i]))
    }

    /// The input shape, if the layer can take it; `channels` are those that the weights were made for.
    pub(super) fn input<'a>(
        &self,
        inputs: &'a [PartialShape],
        channels: Option<usize>,
    ) -> Result<&'a PartialShape> {
        let input = windowed_input(inputs, &self.spans(), self.padding, self.data_format)?;
        if let Some(channels) = channels {
            axis_length(input, self.data_format.signed_channel_axis(), channels)?;
        }
        Ok(input)
    }

    /// How many channels the inputs have.
    pub(super) fn channels(&self, builder: &Builder, inputs: &[PartialShape]) -> Result<usize> {
        builder.known_dim(one(inputs)?, self.data_format.signed_channel_axis())
    }

    /// The shape of a kernel that ends with these axes.
    pub(super) fn kernel_shape(&self, last: [usize; 2]) -> Shape {
        self.kernel_size.0.into_iter().chain(last).collect::<Vec<_>>().into()
    }

    /// The convolution of `x`, whose channels are last.
    pub(super) fn spec(&self, x: &Tensor, groups: usize) -> ConvSpec {
        let spans = self.spans();
        let padding = (0..N).map(|i| {
            let (low, high) = self.padding.amounts(x.shape()[i + 1], spans[i], self.strides.0[i]);
            (low as isize, high as isize)
        });
        ConvSpec {
            strides: Dims::from_slice(&self.strides.0),
            padding: padding.collect(),
            input_dilation: Dims::from_elem(1, N),
            filter_dilation: Dims::from_slice(&self.dilation_rate.0),
            groups,
        }
    }
}

/// The length of an axis of a weight, once there is one.
fn weight_axis(weight: Option<&Variable>, axis: usize) -> Option<usize> {
    weight.map(|w| w.shape()[axis])
}

/// `activation(x ∗ kernel + bias)` of `x` whose channels are last; the result has the layer's data format.
fn convolve(
    x: &Tensor,
    kernel: &Tensor,
    spec: ConvSpec,
    bias: Option<Tensor>,
    activation: &Activation,
    format: DataFormat,
) -> Result<Tensor> {
    let x = x.cast(kernel.dtype())?;
    let fused = activation.fused().filter(|_| bias.is_some());
    let y = match bias {
        Some(bias) => {
            let op = Fused::ConvBias { spec, activation: fused.unwrap_or(Activ::Linear) };
            Tensor::apply1(Op::Fused(op), [x, kernel.clone(), bias.into_dtype(kernel.dtype())?])?
        }
        None => x.convolution(kernel, spec)?,
    };
    let y = format.restore_channels(&y)?;
    // Softmax and its like look at the last axis, whichever that is: the activation comes after the permutation.
    if fused.is_some() { Ok(y) } else { activation.call(&y) }
}

/// Keras's convolutions write `activity_regularizer` even where there is none.
fn with_activity_regularizer(_layer: &LayerRef, config: &mut Config) {
    config.entry("activity_regularizer").or_insert(Value::Null);
}
