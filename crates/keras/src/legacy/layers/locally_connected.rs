use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, Constraint, Error, HostTensor, Initializer, Layer, Object, PartialShape,
    Regularizer, Result, Shape, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{DataFormat, Lengths, all_positive, data_format, one, positive};
use crate::layers::defaults::{one_each, yes};
use crate::layers::parameters::{Bias, Kernel};
use crate::layers::window::{Padding, windowed_input};

/// A convolution with weights of its own at each place, over `N` spatial axes: [`LocallyConnected1D`] and
/// [`LocallyConnected2D`].
///
/// What `implementation` says is which elements the kernel has, of `k` elements of a window, `in` channels and the output's
/// places and `filters`; the results are the same:
///
/// | | kernel | padding |
/// |---|---|---|
/// | 1 | `(places, k · in, filters)`, with `channels_first` the channels before the window | valid |
/// | 2 | the input's shape and then the output's, of which what is in no window does not count | any |
/// | 3 | `(n,)`: of the matrix from the input to the output, row by row of the output, what is in a window | any |
///
/// The bias has one element for each of the output's, its axes always in the order places, filters; with `channels_first` it
/// is read in the output's order, as Keras does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocallyConnected<const N: usize> {
    filters: usize,
    kernel_size: Lengths<N>,
    #[serde(default = "one_each")]
    strides: Lengths<N>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(default = "first")]
    implementation: u8,
}

fn first() -> u8 {
    1
}

/// `(batch, steps, channels)` → `(batch, steps', filters)`, with weights of their own at each step
/// (`keras.layers.LocallyConnected1D`, Keras 1.0 to tf-keras 2.21).
pub type LocallyConnected1D = LocallyConnected<1>;

/// `(batch, height, width, channels)` → `(batch, height', width', filters)`, with weights of their own at each place
/// (`keras.layers.LocallyConnected2D`, Keras 1.0 to tf-keras 2.21).
pub type LocallyConnected2D = LocallyConnected<2>;

const CLASS_1D: Class = Class::of("keras.legacy", "LocallyConnected1D");
const CLASS_2D: Class = Class::of("keras.legacy", "LocallyConnected2D");

keras_spec::register!(dyn Layer, CLASS_1D, |config| {
    let layer: LocallyConnected1D = from_config(CLASS_1D, config)?;
    layer.validate()?;
    Ok(Box::new(layer))
});
keras_spec::register!(dyn Layer, CLASS_2D, |config| {
    let layer: LocallyConnected2D = from_config(CLASS_2D, config)?;
    layer.validate()?;
    Ok(Box::new(layer))
});

impl<const N: usize> Object for LocallyConnected<N> {
    fn class(&self) -> Class {
        if N == 1 { CLASS_1D } else { CLASS_2D }
    }

    fn config(&self) -> Result<Config> {
        to_config(self)
    }
}

impl<const N: usize> LocallyConnected<N> {
    /// `filters` output channels by windows of `kernel_size` (one number, or one per spatial axis).
    pub fn new(filters: usize, kernel_size: impl Into<Lengths<N>>) -> Self {
        LocallyConnected {
            filters,
            kernel_size: kernel_size.into(),
            strides: one_each(),
            padding: Padding::Valid,
            data_format: DataFormat::default(),
            activation: Activation::Linear,
            use_bias: true,
            kernel: Kernel::default(),
            bias: Bias::default(),
            implementation: first(),
        }
    }

    builders! {
        /// Steps of the window. Default: 1.
        strides: Lengths<N>;
        /// What is put around the input; with implementation 1 nothing. Default: nothing.
        padding: Padding;
        /// Where the channels are.
        data_format: DataFormat;
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
        /// Which elements the kernel has: 1, 2 or 3. Default: 1.
        implementation = u8;
    }

    fn validate(&self) -> Result<()> {
        positive("filters", self.filters)?;
        all_positive("kernel_size", &self.kernel_size.0)?;
        all_positive("strides", &self.strides.0)?;
        self.padding.not_causal()?;
        match (self.implementation, self.padding) {
            (1, Padding::Valid) | (2 | 3, _) => Ok(()),
            (1, other) => {
                Err(Error::argument("padding", "`valid` with implementation 1", format!("{other:?}")))
            }
            (other, _) => Err(Error::argument("implementation", "1, 2 or 3", other)),
        }
    }

    /// What windows there are over inputs of this shape, whose lengths must be known.
    fn windows(&self, input: &PartialShape) -> Result<Windows<N>> {
        let known = |axis: usize| {
            input[axis].ok_or_else(|| {
                Error::argument("input_shape", format!("a known length of axis {axis}"), input)
            })
        };
        let first = self.data_format.first_spatial_axis();
        let mut windows = Windows {
            size: self.kernel_size.0,
            strides: self.strides.0,
            lengths: [0; N],
            low: [0; N],
            outputs: [0; N],
            channels: known(self.data_format.channel_axis(input.rank()))?,
        };
        for i in 0..N {
            let (length, size, stride) = (known(first + i)?, windows.size[i], windows.strides[i]);
            let (low, high) = self.padding.amounts(length, size, stride);
            windows.lengths[i] = length;
            // With `same` the middle of each window is at a multiple of the stride, where convolutions may begin later.
            windows.low[i] = if self.padding == Padding::Same { size / 2 } else { low };
            windows.outputs[i] = (length + low + high).saturating_sub(size) / stride + 1;
        }
        Ok(windows)
    }

    /// The shape of samples of `channels` channels, in the order of the data format.
    fn ordered(&self, lengths: &[usize], channels: usize) -> Vec<usize> {
        let mut shape = lengths.to_vec();
        let at = if self.data_format == DataFormat::ChannelsFirst { 0 } else { shape.len() };
        shape.insert(at, channels);
        shape
    }

    /// `(batch, places, filters)` by implementation 1.
    fn by_patches(&self, x: &Tensor, windows: &Windows<N>) -> Result<Tensor> {
        let channels_last = self.data_format.to_channels_last(x)?;
        let (batch, places) = (x.shape()[0], windows.outputs.iter().product::<usize>());
        let mut parts = Vec::new();
        for offset in offsets(&windows.size) {
            let (mut start, mut limit, mut stride) = (vec![0], vec![batch], vec![1]);
            for ((offset, outputs), step) in offset.into_iter().zip(windows.outputs).zip(windows.strides) {
                start.push(offset);
                limit.push(offset + (outputs - 1) * step + 1);
                stride.push(step);
            }
            start.push(0);
            limit.push(windows.channels);
            stride.push(1);
            let part = channels_last.slice(&start, &limit, &stride)?;
            parts.push(part.reshape([batch, places, windows.channels])?);
        }
        let axis = if self.data_format == DataFormat::ChannelsFirst { -1 } else { -2 };
        let patches = Tensor::stack(&parts, axis)?;
        let patches = patches.reshape([batch, places, parts.len() * windows.channels])?.swap_axes(0, 1)?;
        patches.matmul(&self.kernel.weight.value()?)?.swap_axes(0, 1)
    }

    /// `(batch, …)` in the order of the data format by implementations 2 and 3: a product with the whole matrix.
    fn by_matrix(&self, x: &Tensor, windows: &Windows<N>) -> Result<Tensor> {
        let inputs = self.ordered(&windows.lengths, windows.channels);
        let outputs = self.ordered(&windows.outputs, self.filters);
        let size = [inputs.iter().product::<usize>(), outputs.iter().product::<usize>()];
        let kernel = self.kernel.weight.value()?;
        let matrix = if self.implementation == 2 {
            let mut mask = vec![0.0; size[0] * size[1]];
            for (input, output) in self.pairs(windows) {
                mask[input * size[1] + output] = 1.0;
            }
            let mask = HostTensor::new(size, mask)?.cast(kernel.dtype());
            (kernel.reshape(size)? * Tensor::from_host(mask, x.device())?)?
        } else {
            // One more element, zero, stands for all that is in no window.
            let count = kernel.shape()[0];
            let mut places = vec![count as i32; size[0] * size[1]];
            for (i, (input, output)) in self.pairs(windows).into_iter().enumerate() {
                places[input * size[1] + output] = i as i32;
            }
            let places = Tensor::from_host(HostTensor::new(size, places)?, x.device())?;
            kernel.pad(&[(0, 1)], 0.0)?.take(&places, 0)?
        };
        let batch = x.shape()[0];
        let y = x.reshape([batch, size[0]])?.matmul(&matrix)?;
        y.reshape([vec![batch], outputs].concat())
    }

    /// Which element of the flat input meets which of the flat output, in the order of the output and then the input.
    fn pairs(&self, windows: &Windows<N>) -> Vec<(usize, usize)> {
        let inputs = self.ordered(&windows.lengths, windows.channels);
        let outputs = self.ordered(&windows.outputs, self.filters);
        let mut pairs = Vec::new();
        for output in offsets(&windows.outputs) {
            for offset in offsets(&windows.size) {
                let input: Option<Vec<usize>> = (0..N)
                    .map(|i| {
                        let place = output[i] * windows.strides[i] + offset[i];
                        place.checked_sub(windows.low[i]).filter(|&place| place < windows.lengths[i])
                    })
                    .collect();
                let Some(input) = input else { continue };
                for channel in 0..windows.channels {
                    for filter in 0..self.filters {
                        let from = flat(&self.ordered(&input, channel), &inputs);
                        pairs.push((from, flat(&self.ordered(&output, filter), &outputs)));
                    }
                }
            }
        }
        pairs.sort_unstable_by_key(|&(input, output)| (output, input));
        pairs
    }
}

/// The windows over an input.
struct Windows<const N: usize> {
    size: [usize; N],
    strides: [usize; N],
    lengths: [usize; N],
    low: [usize; N],
    outputs: [usize; N],
    channels: usize,
}

/// All indices of an array of this shape, the last running fastest.
fn offsets(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let shape = shape.to_vec();
    (0..shape.iter().product::<usize>()).map(move |mut flat| {
        let mut index = vec![0; shape.len()];
        for (i, &length) in index.iter_mut().zip(&shape).rev() {
            (*i, flat) = (flat % length, flat / length);
        }
        index
    })
}

fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (i, length)| flat * length + i)
}

impl<const N: usize> Layer for LocallyConnected<N> {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        windowed_input(inputs, &self.kernel_size.0, self.padding, self.data_format).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let windows = self.windows(one(inputs)?)?;
        let places: usize = windows.outputs.iter().product();
        let shape = match self.implementation {
            1 => vec![places, windows.size.iter().product::<usize>() * windows.channels, self.filters],
            2 => {
                let inputs = self.ordered(&windows.lengths, windows.channels);
                [inputs, self.ordered(&windows.outputs, self.filters)].concat()
            }
            _ => vec![self.pairs(&windows).len()],
        };
        self.kernel.build(builder, "kernel", shape)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [windows.outputs.as_slice(), &[self.filters]].concat())?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let windows = self.windows(&PartialShape::from(x.shape()))?;
        let outputs = self.ordered(&windows.outputs, self.filters);
        let mut y = if self.implementation == 1 {
            let y = self.by_patches(x, &windows)?;
            let mut shape = Shape::from([x.shape()[0]]);
            windows.outputs.iter().chain([&self.filters]).for_each(|&length| shape.push(length));
            self.data_format.restore_channels(&y.reshape(shape)?)?
        } else {
            self.by_matrix(x, &windows)?
        };
        if let Some(bias) = self.bias.weight.optional()? {
            y = (y + bias.reshape([vec![1], outputs].concat())?)?;
        }
        Ok(vec![self.activation.call(&y)?])
    }
}

#[cfg(test)]
mod tests {
    use keras_spec::{Device, LayerRef};
    use proptest::prelude::*;

    use super::*;

    fn filled(shape: &[usize], seed: usize) -> Tensor {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| ((i * 7 + seed * 3) % 11) as f32 - 5.0).collect();
        let host = HostTensor::new(shape.to_vec(), values).unwrap();
        Tensor::from_host(host, &Device::default_device().unwrap()).unwrap()
    }

    fn called(layer: &LayerRef, x: &Tensor) -> Tensor {
        layer.call(std::slice::from_ref(x), &Call::inference()).unwrap().tensors.remove(0)
    }

    fn layer(implementation: u8, kernel: [usize; 2], strides: [usize; 2], first: bool) -> LayerRef {
        let format = if first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast };
        LocallyConnected2D::new(2, kernel)
            .strides(strides)
            .data_format(format)
            .implementation(implementation)
            .into()
    }

    proptest! {
        /// Implementations 1 and 3 agree where the elements of their kernels are the same.
        #[test]
        fn implementations_agree(
            kernel in [1usize..3, 1usize..3], strides in [1usize..3, 1usize..3], first: bool,
        ) {
            let shape = if first { vec![2, 3, 4, 5] } else { vec![2, 4, 5, 3] };
            let x = filled(&shape, 1);
            let (patches, sparse) = (layer(1, kernel, strides, first), layer(3, kernel, strides, first));
            let expected = called(&patches, &x);
            called(&sparse, &x);
            let weights = patches.weights();
            let values = filled(weights[0].shape(), 2);
            weights[0].assign(&values).unwrap();
            let bias = filled(weights[1].shape(), 3);
            weights[1].assign(&bias).unwrap();
            sparse.weights()[1].assign(&bias).unwrap();
            // Implementation 3 has (place, filter) by (window, channel), sorted by the flat output and input.
            let own: &LocallyConnected2D = sparse.downcast().unwrap();
            let windows = own.windows(&PartialShape::from(x.shape())).unwrap();
            let flat_kernel = values.to_vec::<f32>().unwrap();
            let (inputs, outputs) =
                (own.ordered(&windows.lengths, windows.channels), own.ordered(&windows.outputs, 2));
            let unflat = |flat: usize, shape: &[usize]| offsets(shape).nth(flat).unwrap();
            let split = |index: Vec<usize>| match first {
                true => (index[0], [index[1], index[2]]),
                false => (index[2], [index[0], index[1]]),
            };
            let kernel_of = |&(input, output): &(usize, usize)| {
                let (channel, from) = split(unflat(input, &inputs));
                let (filter, to) = split(unflat(output, &outputs));
                let offset = [from[0] - to[0] * strides[0], from[1] - to[1] * strides[1]];
                let window = offset[0] * kernel[1] + offset[1];
                let size = kernel[0] * kernel[1];
                let feature = if first { channel * size + window } else { window * 3 + channel };
                let place = to[0] * windows.outputs[1] + to[1];
                flat_kernel[(place * size * 3 + feature) * 2 + filter]
            };
            let values: Vec<f32> = own.pairs(&windows).iter().map(kernel_of).collect();
            let count = values.len();
            let values = HostTensor::new([count], values).unwrap();
            sparse.weights()[0].assign(&Tensor::from_host(values, x.device()).unwrap()).unwrap();
            let (found, again) = (called(&sparse, &x), called(&patches, &x));
            prop_assert_eq!(expected.shape(), again.shape());
            prop_assert_eq!(found.to_vec::<f32>().unwrap(), again.to_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn same_padding_needs_another_implementation() {
        let same = LocallyConnected1D::new(2, 3).padding(Padding::Same);
        assert!(same.validate().unwrap_err().to_string().contains("`padding`"));
        let same: LayerRef = same.implementation(2).into();
        let y = same.call(&[filled(&[1, 4, 2], 0)], &Call::inference()).unwrap();
        assert_eq!(y.tensors[0].shape().as_ref(), [1, 4, 2]);
        assert_eq!(same.weights()[0].shape().as_ref(), [4, 2, 4, 2]);
    }
}
