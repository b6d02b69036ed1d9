use keras_spec::{Call, DType, HostTensor, Layer, PartialShape, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::class::builders;
use crate::layers::common::{DataFormat, Lengths, all_positive, data_format, input_of_rank, one};

/// Larger images by straight lines between neighbours, measured from their corners instead of their centres:
/// `(batch, height, width, channels)` → `(batch, height · size[0], width · size[1], channels)`
/// (`keras.layers.UpSampling2D(interpolation='bilinear')` on TensorFlow 1, Keras 2.2 and 2.3).
///
/// Element `i` of the result lies at `i / size` of the input; behind the last element its value stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BilinearUpSampling2D {
    size: Lengths<2>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

legacy_layer!(BilinearUpSampling2D, check validate);

impl BilinearUpSampling2D {
    /// By a factor, or one for the height and one for the width.
    pub fn new(size: impl Into<Lengths<2>>) -> Self {
        BilinearUpSampling2D { size: size.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        all_positive("size", &self.size.0)
    }
}

impl Layer for BilinearUpSampling2D {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, 4).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let mut y = if x.dtype().is_float() { x.clone() } else { x.cast(DType::F32)? };
        let first = self.data_format.first_spatial_axis();
        for (i, factor) in self.size.0.into_iter().enumerate() {
            y = lengthened(&y, first + i, factor)?;
        }
        Ok(vec![y])
    }
}

/// `a + (b - a) · fraction` along one axis, `a` and `b` the neighbours.
fn lengthened(x: &Tensor, axis: usize, factor: usize) -> Result<Tensor> {
    let length = x.shape()[axis];
    let places = || 0..length.saturating_mul(factor);
    let left: Vec<i32> = places().map(|i| (i / factor) as i32).collect();
    let right: Vec<i32> = places().map(|i| (i / factor + 1).min(length.saturating_sub(1)) as i32).collect();
    let fractions: Vec<f64> = places().map(|i| (i % factor) as f64 / factor as f64).collect();
    let mut shape = Shape::from(vec![1; x.rank()]);
    shape.dims_mut()[axis] = fractions.len();
    let fractions = HostTensor::new(shape, fractions)?.cast(x.dtype());
    let taken = |places: Vec<i32>| {
        let count = places.len();
        x.take(&Tensor::from_host(HostTensor::new([count], places)?, x.device())?, axis as isize)
    };
    let left = taken(left)?;
    let step = (taken(right)? - &left)?;
    left + (step * Tensor::from_host(fractions, x.device())?)?
}
