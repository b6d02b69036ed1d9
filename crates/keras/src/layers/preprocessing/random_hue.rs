use keras_spec::{CompareOp, DType, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Casts, Draws, factor_layer};
use super::colors::{hsv_to_rgb, rescale, rgb_to_hsv};
use super::factor::{FactorIn, ValueRange};
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Turns the colours of images round the circle of colours, by a random part of it while training; does nothing otherwise.
    /// Images have three channels: `(batch, height, width, 3)`, or that without the batch; the shape stays
    /// (`keras.layers.RandomHue`, Keras 3.15.1).
    RandomHue,
    /// By these parts of half the circle, in either direction.
    new(FactorIn<0, 1>)
}

impl Augmentation for RandomHue {
    fn casts(&self) -> Casts {
        Casts::WhileTraining
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let direction = draws.uniform([shape[0], 1, 1], [0.0, 1.0])?.compare_with(CompareOp::Gt, 0.5)?;
        let factor = draws.uniform([shape[0], 1, 1], self.factor.range())?;
        Ok(vec![(direction.select(&(-&factor)?, &factor)? * 0.5)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let unit = ValueRange::from([0.0, 1.0]);
        let images = rescale(images, self.value_range, unit, DType::F32)?;
        let [hue, saturation, value] = rgb_to_hsv(&images)?;
        let hue = (&hue + drawn[0].cast(hue.dtype())?)?;
        let hue = hue.compare_with(CompareOp::Gt, 1.0)?.select(&(&hue - 1.0)?, &hue)?;
        let hue = hue.compare_with(CompareOp::Lt, 0.0)?.select(&(&hue + 1.0)?, &hue)?;
        let turned = hsv_to_rgb([hue, saturation, value])?.clip(0.0, 1.0)?;
        rescale(&turned, unit, self.value_range, DType::F32)?.into_dtype(compute)
    }
}
