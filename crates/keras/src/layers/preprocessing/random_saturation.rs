use keras_spec::{DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::colors::{hsv_to_rgb, rgb_to_hsv};
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Changes how colourful images are, by a random factor while training; does nothing otherwise. Images are floats of three
    /// channels: `(batch, height, width, 3)`, or that without the batch; the shape stays (`keras.layers.RandomSaturation`, Keras
    /// 3.15.1).
    RandomSaturation,
    /// Between these numbers: 0 is grey, 0.5 changes nothing, 1 is as colourful as can be.
    new(FactorIn<-1, 1>)
}

/// `keras.config.epsilon()`
const EPSILON: f64 = 1e-7;

impl Augmentation for RandomSaturation {
    fn casts(&self) -> Casts {
        Casts::Never
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let factor = draws.uniform([shape[0], 1, 1], self.factor.range())?;
        let rest = ((1.0 - &factor)? + EPSILON)?;
        Ok(vec![(factor / rest)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let [hue, saturation, value] = rgb_to_hsv(images)?;
        let [low, high] = self.value_range.range();
        let saturation = (saturation * drawn[0].cast(compute)?)?.clip(low, high)?;
        hsv_to_rgb([hue, saturation, value])
    }
}
