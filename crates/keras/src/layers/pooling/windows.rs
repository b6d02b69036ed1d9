use keras_spec::{
    Call, Config, DType, Dims, Fused, Layer, LayerRef, Object, Op, PartialShape, ReduceOp, Result, Tensor,
    WindowSpec,
};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{DataFormat, Lengths, all_positive, data_format, keras_layer, one};
use crate::layers::defaults::two_each;
use crate::layers::window::{Padding, windowed_input};

/// The largest element (`MAX`) or else the mean of each window over `N` spatial axes: [`MaxPooling1D`] to
/// [`MaxPooling3D`], [`AveragePooling1D`] to [`AveragePooling3D`].
///
/// Padding does not count: neither as an element nor in the number of elements.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooling<const N: usize, const MAX: bool> {
    #[serde(default = "two_each")]
    pool_size: Lengths<N>,
    #[serde(default)]
    strides: Option<Lengths<N>>,
    #[serde(default)]
    padding: Padding,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

/// The largest of neighbouring steps: `(batch, steps, channels)` → `(batch, steps', channels)`
/// (`keras.layers.MaxPooling1D`, Keras 3.15.1).
pub type MaxPooling1D = Pooling<1, true>;

/// The largest in each window of images: `(batch, height, width, channels)` → `(batch, height', width', channels)`
/// (`keras.layers.MaxPooling2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{MaxPooling2D, Padding};
///
/// let half = MaxPooling2D::new(2);
/// let overlapping = MaxPooling2D::new([3, 3]).strides(2).padding(Padding::Same);
/// # let _ = (half, overlapping);
/// ```
pub type MaxPooling2D = Pooling<2, true>;

/// The largest in each window of volumes: `(batch, depth, height, width, channels)` → `(batch, depth', height', width',
/// channels)` (`keras.layers.MaxPooling3D`, Keras 3.15.1).
pub type MaxPooling3D = Pooling<3, true>;

/// Means of neighbouring steps: `(batch, steps, channels)` → `(batch, steps', channels)` (`keras.layers.AveragePooling1D`,
/// Keras 3.15.1).
pub type AveragePooling1D = Pooling<1, false>;

/// Means over windows of images: `(batch, height, width, channels)` → `(batch, height', width', channels)`
/// (`keras.layers.AveragePooling2D`, Keras 3.15.1).
pub type AveragePooling2D = Pooling<2, false>;

/// Means over windows of volumes: `(batch, depth, height, width, channels)` → `(batch, depth', height', width', channels)`
/// (`keras.layers.AveragePooling3D`, Keras 3.15.1).
pub type AveragePooling3D = Pooling<3, false>;

keras_layer!(MaxPooling1D, aliases ["MaxPool1D"], check validate);
keras_layer!(MaxPooling2D, aliases ["MaxPool2D"], check validate);
keras_layer!(MaxPooling3D, aliases ["MaxPool3D"], check validate);
keras_layer!(AveragePooling1D, aliases ["AvgPool1D"], check validate);
keras_layer!(AveragePooling2D, aliases ["AvgPool2D"], check validate);
keras_layer!(AveragePooling3D, aliases ["AvgPool3D"], check validate);

impl<const N: usize, const MAX: bool> Default for Pooling<N, MAX> {
    fn default() -> Self {
        Self::new(two_each())
    }
}

impl<const N: usize, const MAX: bool> Pooling<N, MAX> {
    /// Windows of `pool_size` (one number, or one per spatial axis) side by side; Keras's default is 2.
    pub fn new(pool_size: impl Into<Lengths<N>>) -> Self {
        let (padding, data_format) = Default::default();
        Pooling { pool_size: pool_size.into(), strides: None, padding, data_format }
    }

    builders! {
        /// Steps of the window. Default: its size.
        some strides: Lengths<N>;
        /// What is put around the input. Default: nothing.
        padding: Padding;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn effective_strides(&self) -> Lengths<N> {
        self.strides.unwrap_or(self.pool_size)
    }

    fn validate(&self) -> Result<()> {
        all_positive("pool_size", &self.pool_size.0)?;
        all_positive("strides", &self.effective_strides().0)?;
        self.padding.not_causal()
    }
}

impl<const N: usize, const MAX: bool> Layer for Pooling<N, MAX>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        windowed_input(inputs, &self.pool_size.0, self.padding, self.data_format).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = self.data_format.to_channels_last(one(inputs)?)?;
        let (size, strides) = (self.pool_size.0, self.effective_strides().0);
        let padding = (0..N).map(|i| self.padding.amounts(x.shape()[i + 1], size[i], strides[i]));
        let mut window = WindowSpec {
            padding: padding.collect(),
            size: Dims::from_slice(&size),
            strides: Dims::from_slice(&strides),
        };
        let y = if MAX {
            x.reduce_window(ReduceOp::Max, window)?
        } else {
            let mut x = if x.dtype().is_float() { x } else { x.cast(DType::F32)? };
            if self.padding == Padding::HalfPoolCounted {
                let zeros = std::mem::replace(&mut window.padding, [(0, 0); N].into_iter().collect());
                let amounts: Vec<_> = [(0, 0)].into_iter().chain(zeros).chain([(0, 0)]).collect();
                x = x.pad(&amounts, 0.0)?;
            }
            Tensor::apply1(Op::Fused(Fused::AvgPool(window)), [x])?
        };
        Ok(vec![self.data_format.restore_channels(&y)?])
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.insert("strides".to_owned(), self.effective_strides().0.as_slice().into());
    }
}
