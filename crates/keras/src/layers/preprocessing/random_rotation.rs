use keras_spec::{DType, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::FactorIn;
use super::sampling::{self, Affine, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};
use crate::layers::interpolation::Interpolation;

/// Turns each image by a random angle while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomRotation`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomRotation {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<-1, 1>,
    #[serde(default)]
    fill_mode: FillMode,
    #[serde(default)]
    fill_value: f64,
    #[serde(default = "sampling::bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    seed: LayerSeed,
}

augmentation_layer!(RandomRotation);

impl RandomRotation {
    /// By angles between these parts of a whole turn: `0.1` is from -36° to 36°, a positive one counter-clockwise.
    pub fn new(factor: impl Into<FactorIn<-1, 1>>) -> Self {
        RandomRotation {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: factor.into(),
            fill_mode: FillMode::default(),
            fill_value: 0.0,
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
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
        self.factor.check("factor")?;
        sampling::check_fill_mode(self.fill_mode)?;
        sampling::check(self.interpolation)
    }
}

impl Augmentation for RandomRotation {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(vec![draws.uniform([shape[0]], self.factor.range().map(|f| f * 360.0))?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let (cx, cy) = (0.5 * (images.shape()[2] as f32 - 1.0), 0.5 * (images.shape()[1] as f32 - 1.0));
        let turn = |degrees: f32| -> Affine {
            let (sin, cos) = (degrees * (std::f64::consts::PI / 180.0) as f32).sin_cos();
            [cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos]
        };
        let turns: Vec<Affine> = drawn[0].to_vec::<f32>()?.into_iter().map(turn).collect();
        let (interpolation, fill_mode, fill_value) = (self.interpolation, self.fill_mode, self.fill_value);
        Sampling { interpolation, fill_mode, fill_value }.affine(images, &turns)
    }
}
