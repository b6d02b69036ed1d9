use keras_spec::{DType, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Casts, Draws, augmentation_layer};
use super::factor::{FactorIn, ValueRange};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Turns some images into their negatives while training; does nothing otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomInvert`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomInvert {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    value_range: ValueRange,
    seed: LayerSeed,
}

augmentation_layer!(RandomInvert);

impl Default for RandomInvert {
    fn default() -> Self {
        RandomInvert {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            value_range: ValueRange::default(),
            seed: LayerSeed::default(),
        }
    }
}

impl RandomInvert {
    /// With any probability.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers the probability of a negative is. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// The least and the largest number of the images; the negative is the latter less the image. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")
    }
}

impl Augmentation for RandomInvert {
    fn casts(&self) -> Casts {
        Casts::WhileTraining
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(vec![draws.chosen(shape[0], self.factor.range())?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        drawn[0].select(&(self.value_range.range()[1] - images)?, images)
    }
}
