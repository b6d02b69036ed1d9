use keras_spec::{Call, DType, Error, Layer, Object, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_rank, keras_layer, one, scalar_like};

/// The largest element (`MAX`) or else the mean of each channel over `N` spatial axes: [`GlobalMaxPooling1D`] to
/// [`GlobalMaxPooling3D`], [`GlobalAveragePooling1D`] to [`GlobalAveragePooling3D`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalPooling<const N: usize, const MAX: bool> {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default)]
    keepdims: bool,
}

/// The largest of all steps: `(batch, steps, channels)` → `(batch, channels)` (`keras.layers.GlobalMaxPooling1D`, Keras
/// 3.15.1).
pub type GlobalMaxPooling1D = GlobalPooling<1, true>;

/// The largest of all places: `(batch, height, width, channels)` → `(batch, channels)`
/// (`keras.layers.GlobalMaxPooling2D`, Keras 3.15.1).
pub type GlobalMaxPooling2D = GlobalPooling<2, true>;

/// The largest of all places: `(batch, depth, height, width, channels)` → `(batch, channels)`
/// (`keras.layers.GlobalMaxPooling3D`, Keras 3.15.1).
pub type GlobalMaxPooling3D = GlobalPooling<3, true>;

/// The mean of all steps: `(batch, steps, channels)` → `(batch, channels)` (`keras.layers.GlobalAveragePooling1D`, Keras
/// 3.15.1). Where there is a mask, only the steps that it keeps count.
pub type GlobalAveragePooling1D = GlobalPooling<1, false>;

/// The mean of all places: `(batch, height, width, channels)` → `(batch, channels)`
/// (`keras.layers.GlobalAveragePooling2D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::GlobalAveragePooling2D;
///
/// let layer = GlobalAveragePooling2D::new().keepdims(true);
/// # let _ = layer;
/// ```
pub type GlobalAveragePooling2D = GlobalPooling<2, false>;

/// The mean of all places: `(batch, depth, height, width, channels)` → `(batch, channels)`
/// (`keras.layers.GlobalAveragePooling3D`, Keras 3.15.1).
pub type GlobalAveragePooling3D = GlobalPooling<3, false>;

keras_layer!(GlobalMaxPooling1D, aliases["GlobalMaxPool1D"]);
keras_layer!(GlobalMaxPooling2D, aliases["GlobalMaxPool2D"]);
keras_layer!(GlobalMaxPooling3D, aliases["GlobalMaxPool3D"]);
keras_layer!(GlobalAveragePooling1D, aliases["GlobalAvgPool1D"]);
keras_layer!(GlobalAveragePooling2D, aliases["GlobalAvgPool2D"]);
keras_layer!(GlobalAveragePooling3D, aliases["GlobalAvgPool3D"]);

impl<const N: usize, const MAX: bool> GlobalPooling<N, MAX> {
    /// Over all spatial axes, which go.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
        /// Whether the spatial axes stay, with length 1. Default: no.
        keepdims = bool;
    }

    /// Only `GlobalAveragePooling1D` looks at masks in Keras.
    const MASKED: bool = N == 1 && !MAX;

    /// The mean of the steps that a mask `(batch, steps)` keeps.
    fn masked_mean(&self, x: &Tensor, mask: &Tensor, axes: &[isize]) -> Result<Tensor> {
        let first = self.data_format.first_spatial_axis();
        let expected = [x.shape()[0], x.shape()[first]];
        if mask.shape().dims() != expected {
            return Err(Error::argument("mask", format!("shape {expected:?}"), mask.shape()));
        }
        let channel_axis = self.data_format.channel_axis(x.rank());
        let mask = mask.cast(DType::Bool)?.expand_dims(channel_axis as isize)?;
        let kept = mask.select(x, &scalar_like(x, 0.0)?)?.sum(axes, self.keepdims)?;
        kept / mask.cast(x.dtype())?.sum(axes, self.keepdims)?
    }
}

impl<const N: usize, const MAX: bool> Layer for GlobalPooling<N, MAX>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        input_of_rank(inputs, N + 2).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let first = self.data_format.first_spatial_axis() as isize;
        let axes: [isize; N] = std::array::from_fn(|i| first + i as isize);
        let mask = call.mask(0).filter(|_| Self::MASKED);
        Ok(vec![match mask {
            Some(mask) => self.masked_mean(x, mask, &axes)?,
            None if MAX => x.max(&axes, self.keepdims)?,
            None => x.mean(&axes, self.keepdims)?,
        }])
    }

    fn supports_masking(&self) -> bool {
        Self::MASKED
    }

    fn compute_mask(&self, _inputs: &[Tensor], _masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}
