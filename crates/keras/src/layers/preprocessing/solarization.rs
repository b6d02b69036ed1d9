use keras_spec::{DType, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::colors::rescale;
use super::factor::{FactorIn, ValueRange};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Turns what is bright in images into its negative while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.Solarization`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Solarization {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
    addition_factor: FactorIn<0, 1>,
    threshold_factor: FactorIn<0, 1>,
    seed: LayerSeed,
}

augmentation_layer!(Solarization);

impl Default for Solarization {
    fn default() -> Self {
        Solarization {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            value_range: ValueRange::default(),
            addition_factor: 0.0.into(),
            threshold_factor: 0.0.into(),
            seed: LayerSeed::default(),
        }
    }
}

impl Solarization {
    /// Everything that is not black.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which parts of the range something is added before. Default: nothing.
        addition_factor: FactorIn<0, 1>;
        /// Between which parts of the range what is bright begins. Default: at 0.
        threshold_factor: FactorIn<0, 1>;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.addition_factor.check("addition_factor")?;
        self.threshold_factor.check("threshold_factor")
    }
}

impl Augmentation for Solarization {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        // Keras multiplies the larger number alone.
        let drawn = |factor: FactorIn<0, 1>| {
            let [low, high] = factor.range();
            draws.uniform_computed([shape[0], 1, 1, 1], [low, high * 255.0])
        };
        Ok(vec![drawn(self.addition_factor)?, drawn(self.threshold_factor)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let bytes = rescale(images, self.value_range, ValueRange::default(), compute)?;
        let lit = (bytes + &drawn[0])?.clip(0.0, 255.0)?;
        let turned = lit.less(&drawn[1])?.select(&lit, &(255.0 - &lit)?)?;
        rescale(&turned, ValueRange::default(), self.value_range, compute)
    }
}
