use keras_spec::{DType, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::Factor;
use super::sampling::{self, Affine, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};
use crate::layers::interpolation::Interpolation;

/// Moves each image by a random distance while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomTranslation`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomTranslation {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    height_factor: Factor,
    width_factor: Factor,
    #[serde(default)]
    fill_mode: FillMode,
    #[serde(default = "sampling::bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default)]
    fill_value: f64,
}

augmentation_layer!(RandomTranslation);

impl RandomTranslation {
    /// By these parts of the height and of the width, down and to the right where they are positive.
    pub fn new(height_factor: impl Into<Factor>, width_factor: impl Into<Factor>) -> Self {
        RandomTranslation {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            height_factor: height_factor.into(),
            width_factor: width_factor.into(),
            fill_mode: FillMode::default(),
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
            fill_value: 0.0,
        }
    }

    builders! {
        /// What stands beyond the borders. Default: the image, reflected.
        fill_mode: FillMode;
        /// What does, for [`FillMode::Constant`]. Default: 0.
        fill_value: f64;
        /// How numbers between pixels are found: nearest or bilinear, the default.
        interpolation: Interpolation;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        for (name, factor) in [("height_factor", self.height_factor), ("width_factor", self.width_factor)] {
            factor.check(name, "in the range [-1, 1]", |f| (-1.0..=1.0).contains(&f))?;
        }
        sampling::check_fill_mode(self.fill_mode)?;
        sampling::check(self.interpolation)
    }
}

impl Augmentation for RandomTranslation {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let part = |factor: Factor| draws.uniform([shape[0]], factor.range());
        Ok(vec![part(self.height_factor)?, part(self.width_factor)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let (height, width) = (images.shape()[1] as f32, images.shape()[2] as f32);
        let parts = drawn[0].to_vec::<f32>()?.into_iter().zip(drawn[1].to_vec::<f32>()?);
        let moves: Vec<Affine> =
            parts.map(|(y, x)| [1.0, 0.0, -(x * width), 0.0, 1.0, -(y * height)]).collect();
        let (interpolation, fill_mode, fill_value) = (self.interpolation, self.fill_mode, self.fill_value);
        Sampling { interpolation, fill_mode, fill_value }.affine(images, &moves)
    }
}
