use keras_spec::{CompareOp, DType, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Casts, Draws, augmentation_layer};
use super::colors::grayscale;
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, fraction};

/// Takes the colours out of some images while training; does nothing otherwise. Images have one or three channels:
/// `(batch, height, width, channels)`, or that without the batch; the shape stays (`keras.layers.RandomGrayscale`, Keras
/// 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomGrayscale {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: f64,
    /// Keras does not write it.
    #[serde(skip_serializing)]
    seed: LayerSeed,
}

augmentation_layer!(RandomGrayscale);

impl Default for RandomGrayscale {
    fn default() -> Self {
        RandomGrayscale {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 0.5,
            seed: LayerSeed::default(),
        }
    }
}

impl RandomGrayscale {
    /// Half of the images.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The part of the images. Default: 0.5.
        factor: f64;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        fraction("factor", self.factor)
    }
}

impl Augmentation for RandomGrayscale {
    fn casts(&self) -> Casts {
        Casts::Never
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let drawn = draws.uniform([shape[0], 1, 1, 1], [0.0, 1.0])?;
        Ok(vec![drawn.compare_with(CompareOp::Lt, self.factor)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        drawn[0].select(&grayscale(images)?, images)
    }
}
