use keras_spec::{DType, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::Factor;
use super::sampling::{self, Affine, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};
use crate::layers::interpolation::Interpolation;

/// Makes what each image shows smaller or larger at random while training; floats of the compute dtype otherwise. The shape
/// stays: `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomZoom`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomZoom {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    height_factor: Factor,
    #[serde(default)]
    width_factor: Option<Factor>,
    #[serde(default)]
    fill_mode: FillMode,
    #[serde(default = "sampling::bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default)]
    fill_value: f64,
}

augmentation_layer!(RandomZoom);

impl RandomZoom {
    /// By as much: `[0.2, 0.3]` makes what is shown 20 % to 30 % smaller, `[-0.3, -0.2]` larger.
    pub fn new(height_factor: impl Into<Factor>) -> Self {
        RandomZoom {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            height_factor: height_factor.into(),
            width_factor: None,
            fill_mode: FillMode::default(),
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
            fill_value: 0.0,
        }
    }

    builders! {
        /// By how much the width changes. Default: as much as the height.
        some width_factor: Factor;
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
        let fits = |f: f64| f > -1.0 && f <= 1.0;
        self.height_factor.check("height_factor", "in the range (-1, 1]", fits)?;
        if let Some(factor) = self.width_factor {
            factor.check("width_factor", "in the range (-1, 1]", fits)?;
        }
        sampling::check_fill_mode(self.fill_mode)?;
        sampling::check(self.interpolation)
    }
}

impl Augmentation for RandomZoom {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let zoom = |factor: Factor| draws.uniform([shape[0]], factor.range().map(|f| 1.0 + f));
        let height = zoom(self.height_factor)?;
        let width = self.width_factor.map_or_else(|| Ok(height.clone()), zoom)?;
        Ok(vec![height, width])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let offset = |length: usize, zoom: f32| (length as f32 - 1.0) / 2.0 * (1.0 - zoom);
        let (height, width) = (images.shape()[1], images.shape()[2]);
        let zooms = drawn[0].to_vec::<f32>()?.into_iter().zip(drawn[1].to_vec::<f32>()?);
        let zooms: Vec<Affine> =
            zooms.map(|(y, x)| [x, 0.0, offset(width, x), 0.0, y, offset(height, y)]).collect();
        let (interpolation, fill_mode, fill_value) = (self.interpolation, self.fill_mode, self.fill_value);
        Sampling { interpolation, fill_mode, fill_value }.affine(images, &zooms)
    }
}
