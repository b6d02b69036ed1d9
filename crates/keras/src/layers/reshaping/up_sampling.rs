use keras_spec::{Call, Config, DType, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{
    DataFormat, Lengths, all_positive, data_format, input_of_rank, keras_layer, one,
};
use crate::layers::defaults::two_each;
use crate::layers::interpolation::Interpolation;

/// More elements along `N` spatial axes: [`UpSampling1D`], [`UpSampling2D`] and [`UpSampling3D`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpSampling<const N: usize> {
    #[serde(default = "two_each")]
    size: Lengths<N>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default)]
    interpolation: Interpolation,
}

/// Longer sequences: `(batch, steps, channels)` → `(batch, steps · size, channels)` (`keras.layers.UpSampling1D`, Keras
/// 3.15.1).
pub type UpSampling1D = UpSampling<1>;

/// Larger images: `(batch, height, width, channels)` → `(batch, height · size[0], width · size[1], channels)`
/// (`keras.layers.UpSampling2D`, Keras 3.15.1).
pub type UpSampling2D = UpSampling<2>;

/// Larger volumes: `(batch, depth, height, width, channels)` → `(batch, depth · size[0], height · size[1], width · size[2],
/// channels)` (`keras.layers.UpSampling3D`, Keras 3.15.1).
pub type UpSampling3D = UpSampling<3>;

keras_layer!(UpSampling1D, check validate);
keras_layer!(UpSampling2D, check validate);
keras_layer!(UpSampling3D, check validate);

impl<const N: usize> Default for UpSampling<N> {
    fn default() -> Self {
        UpSampling::new(two_each())
    }
}

impl<const N: usize> UpSampling<N> {
    /// By a factor, or one per spatial axis; Keras's default is 2.
    pub fn new(size: impl Into<Lengths<N>>) -> Self {
        let (data_format, interpolation) = Default::default();
        UpSampling { size: size.into(), data_format, interpolation }
    }

    builders! {
        /// Where the channels are; last over sequences.
        data_format: DataFormat;
        /// How the elements between those of the input are found; the nearest but over images.
        interpolation: Interpolation;
    }

    fn validate(&self) -> Result<()> {
        all_positive("size", &self.size.0)?;
        if N == 1 {
            self.data_format.only_last()?;
        }
        if N != 2 && self.interpolation != Interpolation::Nearest {
            let found = format!("{:?}", self.interpolation);
            return Err(Error::argument("interpolation", "`Nearest`, but over images", found));
        }
        Ok(())
    }
}

impl<const N: usize> Layer for UpSampling<N>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, N + 2).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut x = one(inputs)?.clone();
        let first = self.data_format.first_spatial_axis();
        if self.interpolation == Interpolation::Nearest {
            return Ok(vec![repeated(&x, first, self.size.0)?]);
        }
        let dtype = x.dtype();
        if !dtype.is_float() {
            x = x.cast(DType::F32)?;
        }
        for (i, factor) in self.size.0.into_iter().enumerate() {
            let length = x.shape()[first + i] * factor;
            x = self.interpolation.resize(&x, first + i, length, false)?;
        }
        Ok(vec![if dtype.is_float() { x } else { x.round()?.cast(dtype)? }])
    }

    /// Keras has `interpolation` over images only, and over sequences no `data_format` and one number as `size`.
    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        if N != 2 {
            config.shift_remove("interpolation");
        }
        if N == 1 {
            config.shift_remove("data_format");
            config.insert("size".to_owned(), self.size.0[0].into());
        }
    }
}

/// Repeats the elements along neighbouring axes.
fn repeated<const N: usize>(x: &Tensor, first: usize, factors: [usize; N]) -> Result<Tensor> {
    let (mut apart, mut wide, mut result) = (x.shape().clone(), x.shape().clone(), x.shape().clone());
    for (i, factor) in factors.into_iter().enumerate().rev() {
        apart.insert(first + i + 1, 1);
        wide.insert(first + i + 1, factor);
        result.dims_mut()[first + i] = result[first + i].saturating_mul(factor);
    }
    x.reshape(apart)?.broadcast_to(wide)?.reshape(result)
}
