use std::f64::consts::PI;

use keras_spec::{Call, DType, HostTensor, Layer, PartialShape, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{
    DataFormat, Lengths, all_positive, data_format, input_of_rank, keras_layer, one,
};

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

/// Larger images: `(batch, height, width, channels)` → `(batch, height · size[0], width · size[1], channels)`
/// (`keras.layers.UpSampling2D`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpSampling2D {
    size: Lengths<2>,
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    interpolation: Interpolation,
}

keras_layer!(UpSampling2D, check validate);

impl Default for UpSampling2D {
    fn default() -> Self {
        UpSampling2D::new(2)
    }
}

impl UpSampling2D {
    /// By a factor, or one for the height and one for the width; Keras's default is 2.
    pub fn new(size: impl Into<Lengths<2>>) -> Self {
        let (data_format, interpolation) = Default::default();
        UpSampling2D { size: size.into(), data_format, interpolation }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
        /// How the elements between those of the input are found.
        interpolation: Interpolation;
    }

    fn validate(&self) -> Result<()> {
        all_positive("size", &self.size.0)
    }
}

impl Layer for UpSampling2D {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, 4).map(drop)
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
}

/// Repeats the elements along two neighbouring axes.
fn repeated(x: &Tensor, first: usize, factors: [usize; 2]) -> Result<Tensor> {
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
