use keras_spec::{CompareOp, DType, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::FactorIn;
use super::sampling::{self, Affine, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};
use crate::layers::interpolation::Interpolation;

/// Slants each image at random while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomShear`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomShear {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    x_factor: FactorIn<-1, 1>,
    y_factor: FactorIn<-1, 1>,
    fill_mode: FillMode,
    interpolation: Interpolation,
    seed: LayerSeed,
    fill_value: f64,
}

augmentation_layer!(RandomShear);

impl Default for RandomShear {
    fn default() -> Self {
        RandomShear {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            x_factor: 0.0.into(),
            y_factor: 0.0.into(),
            fill_mode: FillMode::default(),
            interpolation: sampling::bilinear(),
            seed: LayerSeed::default(),
            fill_value: 0.0,
        }
    }
}

impl RandomShear {
    /// Not at all, unless [`x_factor`](RandomShear::x_factor) or [`y_factor`](RandomShear::y_factor) says so.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How far rows move from one to the next, in pixels. Default: 0.
        x_factor: FactorIn<-1, 1>;
        /// How far columns do. Default: 0.
        y_factor: FactorIn<-1, 1>;
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
        self.x_factor.check("x_factor")?;
        self.y_factor.check("y_factor")?;
        sampling::check_fill_mode(self.fill_mode)?;
        sampling::check(self.interpolation)
    }
}

impl Augmentation for RandomShear {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let inverted = draws.uniform_computed([shape[0]], [0.0, 1.0])?.compare_with(CompareOp::Gt, 0.5)?;
        let [y, x] = [self.y_factor, self.x_factor].map(|f| draws.uniform_computed([shape[0]], f.range()));
        let directed = |f: Tensor| inverted.select(&(-&f)?, &f);
        Ok(vec![directed(x?)?, directed(y?)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let numbers = |t: &Tensor| t.cast(DType::F32)?.to_vec::<f32>();
        let shears = numbers(&drawn[0])?.into_iter().zip(numbers(&drawn[1])?);
        let shears: Vec<Affine> = shears.map(|(x, y)| [1.0, x, 0.0, y, 1.0, 0.0]).collect();
        let (interpolation, fill_mode, fill_value) = (self.interpolation, self.fill_mode, self.fill_value);
        Sampling { interpolation, fill_mode, fill_value }.affine(images, &shears)
    }
}
