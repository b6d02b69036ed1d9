use keras_spec::{Call, DType, Layer, PartialShape, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws};
use super::colors::rescale;
use super::factor::ValueRange;
use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, keras_layer, one};

/// Stretches the numbers of each channel of an image over the whole range, always; what is of one number stays. The shape
/// stays: `(batch, height, width, channels)`, or that without the batch (`keras.layers.AutoContrast`, Keras 3.15.1).
///
/// Keras takes the first two axes of an image for height and width even where `data_format` says otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoContrast {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
}

keras_layer!(AutoContrast);

impl AutoContrast {
    /// For numbers from 0 to 255.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are; see above.
        data_format: DataFormat;
    }
}

impl Augmentation for AutoContrast {
    fn draw(&self, _shape: &Shape, _draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    fn apply(&self, images: &Tensor, _drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let axes = match self.data_format {
            DataFormat::ChannelsLast => [1, 2],
            DataFormat::ChannelsFirst => [3, 1],
        };
        let bytes = rescale(images, self.value_range, ValueRange::default(), compute)?.cast(compute)?;
        let (low, high) = (bytes.min(&axes, true)?, bytes.max(&axes, true)?);
        let scale = (255.0 / (high - &low)?)?;
        let offset = (-low)? * &scale;
        let wide = ((bytes * scale)? + offset?)?.clip(0.0, 255.0)?;
        let wide = rescale(&wide, ValueRange::default(), self.value_range, compute)?;
        // Channels of one number were divided by 0.
        wide.not_equal(&wide)?.select(images, &wide)?.into_dtype(compute)
    }
}

impl Layer for AutoContrast {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let stretch = |batch: Tensor| self.apply(&batch, &[], call.compute_dtype());
        Ok(vec![images::on_batch(one(inputs)?, self.data_format, stretch)?])
    }
}
