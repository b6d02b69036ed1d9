use keras_spec::{
    Call, DType, Dims, Fused, HostTensor, Layer, Object, Op, PartialShape, ReduceOp, Result, Tensor,
    WindowSpec,
};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{
    DataFormat, Lengths, all_positive, data_format, input_of_rank, keras_layer, one,
};

/// The largest element (`MAX`) or else the mean of windows over `N` spatial axes, as many as are wanted:
/// [`AdaptiveMaxPooling1D`] to [`AdaptiveMaxPooling3D`], [`AdaptiveAveragePooling1D`] to [`AdaptiveAveragePooling3D`].
///
/// Of `n` windows on an axis, number `i` reaches from `⌊i · length / n⌋` to `⌈(i + 1) · length / n⌉`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptivePooling<const N: usize, const MAX: bool> {
    output_size: Lengths<N>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

/// The largest of neighbouring steps: `(batch, steps, channels)` → `(batch, output_size, channels)`
/// (`keras.layers.AdaptiveMaxPooling1D`, Keras 3.15.1).
pub type AdaptiveMaxPooling1D = AdaptivePooling<1, true>;

/// The largest in windows of images: `(batch, height, width, channels)` → `(batch, output_size…, channels)`
/// (`keras.layers.AdaptiveMaxPooling2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::AdaptiveMaxPooling2D;
///
/// let layer = AdaptiveMaxPooling2D::new([4, 6]);
/// # let _ = layer;
/// ```
pub type AdaptiveMaxPooling2D = AdaptivePooling<2, true>;

/// The largest in windows of volumes: `(batch, depth, height, width, channels)` → `(batch, output_size…, channels)`
/// (`keras.layers.AdaptiveMaxPooling3D`, Keras 3.15.1).
pub type AdaptiveMaxPooling3D = AdaptivePooling<3, true>;

/// Means of neighbouring steps: `(batch, steps, channels)` → `(batch, output_size, channels)`
/// (`keras.layers.AdaptiveAveragePooling1D`, Keras 3.15.1).
pub type AdaptiveAveragePooling1D = AdaptivePooling<1, false>;

/// Means over windows of images: `(batch, height, width, channels)` → `(batch, output_size…, channels)`
/// (`keras.layers.AdaptiveAveragePooling2D`, Keras 3.15.1).
pub type AdaptiveAveragePooling2D = AdaptivePooling<2, false>;

/// Means over windows of volumes: `(batch, depth, height, width, channels)` → `(batch, output_size…, channels)`
/// (`keras.layers.AdaptiveAveragePooling3D`, Keras 3.15.1).
pub type AdaptiveAveragePooling3D = AdaptivePooling<3, false>;

keras_layer!(AdaptiveMaxPooling1D, check validate);
keras_layer!(AdaptiveMaxPooling2D, check validate);
keras_layer!(AdaptiveMaxPooling3D, check validate);
keras_layer!(AdaptiveAveragePooling1D, check validate);
keras_layer!(AdaptiveAveragePooling2D, check validate);
keras_layer!(AdaptiveAveragePooling3D, check validate);

impl<const N: usize, const MAX: bool> AdaptivePooling<N, MAX> {
    /// As many windows along the spatial axes (one number, or one per axis).
    pub fn new(output_size: impl Into<Lengths<N>>) -> Self {
        AdaptivePooling { output_size: output_size.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        all_positive("output_size", &self.output_size.0)
    }

    /// Pools along one axis. Windows have one of two lengths: all windows of either are pooled, and then chosen from.
    fn pooled(&self, x: &Tensor, axis: usize, count: usize) -> Result<Tensor> {
        let length = x.shape()[axis];
        let short = length.div_ceil(count);
        let starts = (0..count).map(|i| i * length / count);
        let is_long = |i: usize| ((i + 1) * length).div_ceil(count) - i * length / count > short;
        let mut pools = vec![windows(x, axis, short, MAX)?];
        if (0..count).any(is_long) {
            pools.push(windows(x, axis, short + 1, MAX)?);
        }
        let behind = pools[0].shape()[axis];
        let chosen: Vec<i32> =
            starts.enumerate().map(|(i, s)| (if is_long(i) { behind + s } else { s }) as i32).collect();
        let chosen = Tensor::from_host(HostTensor::new([count], chosen)?, x.device())?;
        Tensor::concatenate(&pools, axis as isize)?.take(&chosen, axis as isize)
    }
}

/// All windows of `size` elements along one axis.
fn windows(x: &Tensor, axis: usize, size: usize, max: bool) -> Result<Tensor> {
    let spatial = x.rank() - 2;
    let mut window = WindowSpec {
        padding: (0..spatial).map(|_| (0, 0)).collect(),
        size: Dims::from_elem(1, spatial),
        strides: Dims::from_elem(1, spatial),
    };
    window.size[axis - 1] = size;
    match max {
        true => x.reduce_window(ReduceOp::Max, window),
        false => Tensor::apply1(Op::Fused(Fused::AvgPool(window)), [x.clone()]),
    }
}

impl<const N: usize, const MAX: bool> Layer for AdaptivePooling<N, MAX>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, N + 2)?;
        let first = self.data_format.first_spatial_axis();
        match input[first..first + N].contains(&Some(0)) {
            true => Err(keras_spec::Error::argument("inputs", "spatial axes that are not empty", input)),
            false => Ok(()),
        }
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut x = self.data_format.to_channels_last(one(inputs)?)?;
        if !MAX && !x.dtype().is_float() {
            x = x.cast(DType::F32)?;
        }
        for (i, count) in self.output_size.0.into_iter().enumerate() {
            x = self.pooled(&x, i + 1, count)?;
        }
        Ok(vec![self.data_format.restore_channels(&x)?])
    }
}
