use keras_spec::{DType, Error, HostTensor, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::{FactorIn, ValueRange};
use super::{array, patch};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Puts noise or a colour in the place of a random rectangle of each image while training; floats of the compute dtype
/// otherwise. The shape stays: `(batch, height, width, channels)`, or that without the batch
/// (`keras.layers.RandomErasing`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    scale: FactorIn<0, 1>,
    fill_value: Value,
    value_range: ValueRange,
    seed: LayerSeed,
}

augmentation_layer!(RandomErasing);

impl Default for RandomErasing {
    fn default() -> Self {
        RandomErasing {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            scale: [0.02, 0.33].into(),
            fill_value: Value::Null,
            value_range: ValueRange::default(),
            seed: LayerSeed::default(),
        }
    }
}

impl RandomErasing {
    /// With noise.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers the probability of a change is. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// Between which parts of the image the rectangle is. Default: 0.02 and 0.33.
        scale: FactorIn<0, 1>;
        /// What is put there: a number, or one for each of three channels. Default: noise.
        fill_value: Value;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")?;
        self.scale.check("scale")?;
        if self.fill_value.is_null() {
            return Ok(());
        }
        match array("fill_value", &self.fill_value)?.shape().dims() {
            [] | [3] => Ok(()),
            _ => Err(Error::argument("fill_value", "a number, or three", &self.fill_value)),
        }
    }

    /// Noise in the order of the layer's own format.
    fn noise(&self, shape: &Shape, draws: &Draws) -> Result<Tensor> {
        let &[batch, height, width, channels] = shape.dims() else {
            return Err(Error::argument("images", "4 axes", shape));
        };
        let noise = match self.data_format {
            DataFormat::ChannelsLast => draws.normal_computed(shape)?,
            DataFormat::ChannelsFirst => {
                draws.normal_computed([batch, channels, height, width])?.permute(&[0, 2, 3, 1])?
            }
        };
        noise * self.value_range.range()[1]
    }
}

impl Augmentation for RandomErasing {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let sides = draws.uniform_computed([shape[0], 2], self.scale.range())?.sqrt()?;
        let columns = patch::span(&sides.index(1, 0)?, shape[2], draws)?;
        let rows = patch::span(&sides.index(1, 1)?, shape[1], draws)?;
        let inside = patch::mask(&rows, &columns, shape)?;
        let chosen = draws.chosen(shape[0], self.factor.range())?;
        let fill = match self.fill_value.is_null() {
            true => self.noise(shape, draws)?,
            false => {
                let fill = array("fill_value", &self.fill_value)?;
                Tensor::from_host(HostTensor::cast(&fill, sides.dtype()), sides.device())?
            }
        };
        let [low, high] = self.value_range.range();
        Ok(vec![chosen.and(&inside)?, fill.clip(low, high)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        drawn[0].select(&drawn[1], images)
    }
}
