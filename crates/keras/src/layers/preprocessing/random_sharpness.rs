use keras_spec::{DType, HostTensor, Result, Shape, Tensor};

use super::augmentation::{Augmentation, Draws, factor_layer};
use super::factor::{FactorIn, ValueRange};
use super::filter::depthwise;
use crate::layers::common::{DataFormat, LayerSeed};

factor_layer! {
    /// Makes images sharper or smoother, by a random factor while training; floats of the compute dtype otherwise. The shape
    /// stays: `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomSharpness`, Keras 3.15.1).
    RandomSharpness,
    /// Between these numbers: 0 is smooth, 0.5 changes nothing, 1 is sharp.
    new(FactorIn<0, 1>)
}

impl Augmentation for RandomSharpness {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(vec![draws.uniform([shape[0], 1, 1, 1], self.factor.range())?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let [around, middle] = [1.0 / 13.0, 5.0 / 13.0];
        let mut kernel = vec![around; 9];
        kernel[4] = middle;
        let kernel = HostTensor::new([3, 3], kernel)?.cast(compute);
        let smooth = depthwise(images, &Tensor::from_host(kernel, images.device())?)?;
        let part = (1.0 - (&drawn[0] * 2.0)?.cast(compute)?)?;
        let [low, high] = self.value_range.range();
        (images + (part * (smooth - images)?)?)?.clip(low, high)
    }
}
