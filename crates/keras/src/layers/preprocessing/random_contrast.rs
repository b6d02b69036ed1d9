use keras_spec::{DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Moves the numbers of each channel of an image away from their mean or towards it, by a random factor while training; does
    /// nothing otherwise. The shape stays: `(batch, height, width, channels)`, or that without the batch
    /// (`keras.layers.RandomContrast`, Keras 3.15.1).
    RandomContrast,
    /// `[a, b]` is a factor between `1 - a` and `1 + b`, a number `b` one between 1 and `1 + b`.
    new(FactorIn<0, 1>)
}

impl Augmentation for RandomContrast {
    fn casts(&self) -> Casts {
        Casts::Never
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let [low, high] = self.factor.range();
        Ok(vec![draws.uniform_computed([shape[0], 1, 1, 1], [1.0 - low, 1.0 + high])?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        let mean = images.mean(&[1], true)?.mean(&[2], true)?;
        let [low, high] = self.value_range.range();
        (((images - &mean)? * &drawn[0])? + mean)?.clip(low, high)
    }
}
