use std::f64::consts::PI;

use keras_spec::{
    Call, Config, DType, Error, HostTensor, Layer, LayerRef, Object, PartialShape, Result, Shape, Tensor,
};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{
    DataFormat, Lengths, all_positive, data_format, input_of_rank, keras_layer, one,
};
use crate::layers::defaults::two_each;

/// How the elements between those of the input are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Those of the input, repeated.
    #[default]
    Nearest,
    /// On straight lines between two neighbours.
    Bilinear,
    /// On Keys's cubic curves through four neighbours.
    Bicubic,
    /// By Lanczos's kernel of six neighbours.
    Lanczos3,
    /// By Lanczos's kernel of ten neighbours.
    Lanczos5,
}

impl Interpolation {
    /// The weight of an element at a distance.
    fn weight(self, x: f64) -> f64 {
        match self {
            Interpolation::Nearest => f64::from(u8::from(x <= 0.5)),
            Interpolation::Bilinear => (1.0 - x).max(0.0),
            Interpolation::Bicubic if x >= 2.0 => 0.0,
            Interpolation::Bicubic if x >= 1.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Interpolation::Bicubic => (1.5 * x - 2.5) * x * x + 1.0,
            Interpolation::Lanczos3 => lanczos(3.0, x),
            Interpolation::Lanczos5 => lanczos(5.0, x),
        }
    }
}

fn lanczos(radius: f64, x: f64) -> f64 {
    if x > radius {
        0.0
    } else if x > 1e-3 {
        radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * x).powi(2)
    } else {
        1.0
    }
}

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
            x = resized(&x, first + i, factor, self.interpolation)?;
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
        result.dims_mut()[first + i] *= factor;
    }
    x.reshape(apart)?.broadcast_to(wide)?.reshape(result)
}

/// Interpolates along one axis: a product with the matrix of the weights.
fn resized(x: &Tensor, axis: usize, factor: usize, interpolation: Interpolation) -> Result<Tensor> {
    if factor == 1 {
        return Ok(x.clone());
    }
    let (before, rest) = x.shape().split_at(axis);
    let (length, after) = (rest[0], rest[1..].iter().product());
    let mut shape = x.shape().clone();
    shape.dims_mut()[axis] *= factor;
    let weights = weights(length, factor, interpolation, x)?;
    weights.matmul(&x.reshape([before.iter().product(), length, after])?)?.reshape(shape)
}

/// What each element of the input adds to each of the result: `(length · factor, length)`.
fn weights(length: usize, factor: usize, interpolation: Interpolation, like: &Tensor) -> Result<Tensor> {
    let shape = Shape::from([length * factor, length]);
    if keras_spec::scope::is_abstract() {
        return Tensor::full(shape, like.dtype(), 0.0, like.device());
    }
    let mut matrix = Vec::with_capacity(shape.size());
    for i in 0..length * factor {
        let place = (i as f64 + 0.5) / factor as f64 - 0.5;
        let row: Vec<f64> = (0..length).map(|j| interpolation.weight((place - j as f64).abs())).collect();
        let sum: f64 = row.iter().sum();
        matrix.extend(row.iter().map(|w| w / sum));
    }
    Tensor::from_host(HostTensor::new(shape, matrix)?.cast(like.dtype()), like.device())
}
