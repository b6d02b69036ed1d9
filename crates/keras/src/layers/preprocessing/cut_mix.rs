use keras_spec::{DType, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::FactorIn;
use super::patch;
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Puts a random rectangle of another image of the batch in the place of each image's own while training; floats of the
/// compute dtype otherwise. The shape stays: `(batch, height, width, channels)`, or that without the batch
/// (`keras.layers.CutMix`, Keras 3.15.1).
///
/// In Keras's `tf.data` pipelines the labels are mixed with the images; models have images alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CutMix {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    seed: LayerSeed,
}

augmentation_layer!(CutMix);

impl Default for CutMix {
    fn default() -> Self {
        CutMix {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            seed: LayerSeed::default(),
        }
    }
}

impl CutMix {
    /// Rectangles of any size.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers both parameters of the beta distribution are that sizes are drawn from. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")
    }
}

impl Augmentation for CutMix {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        if scope::is_abstract() {
            return Ok(Vec::new());
        }
        let alpha = (draws.uniform_computed([], self.factor.range())? + 1e-6)?;
        let kept = draws.beta([shape[0]], alpha.item()?, alpha.dtype())?;
        let side = (1.0 - kept)?.sqrt()?;
        let columns = patch::span(&side, shape[2], draws)?;
        let rows = patch::span(&side, shape[1], draws)?;
        Ok(vec![patch::mask(&rows, &columns, shape)?, draws.order(shape[0])?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        match drawn {
            [inside, order] => inside.select(&images.take(order, 0)?, images),
            _ => Ok(images.clone()),
        }
    }
}
