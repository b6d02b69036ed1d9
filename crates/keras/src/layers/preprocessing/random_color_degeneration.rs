use keras_spec::{DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::colors::grayscale;
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Takes a random part of the colours out of images while training; does nothing otherwise. Images have one or three
    /// channels: `(batch, height, width, channels)`, or that without the batch; the shape stays
    /// (`keras.layers.RandomColorDegeneration`, Keras 3.15.1).
    RandomColorDegeneration,
    /// Between these parts: 0 changes nothing, 1 is grey.
    new(FactorIn<-1, 1>)
}

impl Augmentation for RandomColorDegeneration {
    fn casts(&self) -> Casts {
        Casts::WhileTraining
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(vec![draws.uniform([shape[0], 1, 1, 1], self.factor.range())?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let images = images.cast(compute)?;
        let [low, high] = self.value_range.range();
        let grey = grayscale(&images)?;
        (&images + (drawn[0].cast(compute)? * (grey - &images)?)?)?.clip(low, high)
    }
}
