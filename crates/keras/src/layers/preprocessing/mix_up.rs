use keras_spec::{DType, Error, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Casts, Draws, augmentation_layer};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Mixes each image with another of the batch, in random parts, while training; does nothing otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.MixUp`, Keras 3.15.1).
///
/// In Keras's `tf.data` pipelines the labels are mixed with the images; models have images alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixUp {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    alpha: f64,
    seed: LayerSeed,
}

augmentation_layer!(MixUp);

impl Default for MixUp {
    fn default() -> Self {
        MixUp {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            alpha: 0.2,
            seed: LayerSeed::default(),
        }
    }
}

impl MixUp {
    /// Of both images mostly one.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Both parameters of the beta distribution of the parts: at 1 all are equally likely, below 1 those where one image
        /// is nearly all. Default: 0.2.
        alpha: f64;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        match self.alpha > 0.0 {
            true => Ok(()),
            false => Err(Error::argument("alpha", "a positive number", self.alpha)),
        }
    }
}

impl Augmentation for MixUp {
    fn casts(&self) -> Casts {
        Casts::WhileTraining
    }

    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let order = draws.order(shape[0])?;
        Ok(vec![order, draws.beta([shape[0], 1, 1, 1], self.alpha, DType::F32)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let part = drawn[1].cast(compute)?;
        let others = images.take(&drawn[0], 0)?;
        (&part * images)? + ((1.0 - &part)? * others)?
    }
}
