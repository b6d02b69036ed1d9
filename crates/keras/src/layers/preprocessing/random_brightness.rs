use keras_spec::{DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Adds a random number to each image while training; does nothing otherwise. The shape stays:
    /// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomBrightness`, Keras 3.15.1).
    RandomBrightness,
    /// Adds between these parts of the [`value_range`](RandomBrightness::value_range).
    new(FactorIn<-1, 1>)
}

impl Augmentation for RandomBrightness {
    fn casts(&self) -> Casts {
        Casts::Never
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let [low, high] = self.value_range.range();
        Ok(vec![(draws.uniform([shape[0], 1, 1, 1], self.factor.range())? * (high - low))?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        let [low, high] = self.value_range.range();
        (images + drawn[0].cast(images.dtype())?)?.clip(low, high)
    }
}
