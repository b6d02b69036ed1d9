use keras_spec::{DType, Error, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::{FactorIn, ValueRange};
use super::filter::gaussian_blur;
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, Lengths, data_format};

/// Blurs some images while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomGaussianBlur`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomGaussianBlur {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    kernel_size: Lengths<2>,
    sigma: FactorIn<0, 1>,
    value_range: ValueRange,
    seed: LayerSeed,
}

augmentation_layer!(RandomGaussianBlur);

impl Default for RandomGaussianBlur {
    fn default() -> Self {
        RandomGaussianBlur {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            kernel_size: Lengths([3; 2]),
            sigma: 1.0.into(),
            value_range: ValueRange::default(),
            seed: LayerSeed::default(),
        }
    }
}

impl RandomGaussianBlur {
    /// Over 3×3 pixels, with a standard deviation of up to 1.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers the probability of a change is. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// The width and the height of what is averaged, both odd. Default: 3.
        kernel_size: Lengths<2>;
        /// Between which numbers the standard deviations are. Default: 0 and 1.
        sigma: FactorIn<0, 1>;
        /// The least and the largest number of the images, which what is beyond becomes. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")?;
        self.sigma.check("sigma")?;
        match self.kernel_size.0.iter().all(|size| size % 2 == 1) {
            true => Ok(()),
            false => Err(Error::argument("kernel_size", "odd numbers", format!("{:?}", self.kernel_size.0))),
        }
    }
}

impl Augmentation for RandomGaussianBlur {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let chosen = draws.chosen(shape[0], self.factor.range())?;
        Ok(vec![chosen, (draws.uniform_computed([2], self.sigma.range())? + 1e-6)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        let [low, high] = self.value_range.range();
        let sigma = [drawn[1].index(0, 0)?, drawn[1].index(0, 1)?];
        let blurred = gaussian_blur(images, self.kernel_size.0, sigma)?;
        drawn[0].select(&blurred, images)?.clip(low, high)
    }
}
