use keras_spec::{DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::colors::rescale;
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Keeps a random number of the bits of images while training; does nothing otherwise. The shape stays:
    /// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomPosterization`, Keras 3.15.1).
    RandomPosterization,
    /// Between so many bits, of 8; less than the larger number unless both are equal.
    new(FactorIn<1, 8>)
}

impl Augmentation for RandomPosterization {
    fn casts(&self) -> Casts {
        Casts::Never
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(vec![draws.integers([shape[0], 1, 1, 1], self.factor.range().map(|bits| bits as i64))?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let bytes = rescale(images, self.value_range, ValueRange::default(), compute)?
            .cast(DType::U8)?
            .cast(DType::I32)?;
        let two = Tensor::full(Shape::scalar(), DType::I32, 2.0, images.device())?;
        let step = two.pow(&(8.0 - drawn[0].cast(DType::I32)?)?)?;
        let coarse = (bytes.floor_divide(&step)? * step)?.cast(compute)?;
        rescale(&coarse, ValueRange::default(), self.value_range, compute)
    }
}
