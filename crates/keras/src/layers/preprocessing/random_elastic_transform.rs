use keras_spec::{DType, Error, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::{FactorIn, ValueRange};
use super::filter::gaussian_blur;
use super::sampling::{self, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};
use crate::layers::interpolation::Interpolation;

/// Stretches some images here and there while training, as if they were of rubber; floats of the compute dtype otherwise. The
/// shape stays: `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomElasticTransform`, Keras
/// 3.15.1). Keras moves pixels as far down as to the right, and so does this.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomElasticTransform {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    scale: FactorIn<0, 1>,
    interpolation: Interpolation,
    fill_mode: FillMode,
    fill_value: f64,
    value_range: ValueRange,
    seed: LayerSeed,
}

augmentation_layer!(RandomElasticTransform);

impl Default for RandomElasticTransform {
    fn default() -> Self {
        RandomElasticTransform {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            scale: 1.0.into(),
            interpolation: sampling::bilinear(),
            fill_mode: FillMode::default(),
            fill_value: 0.0,
            value_range: ValueRange::default(),
            seed: LayerSeed::default(),
        }
    }
}

impl RandomElasticTransform {
    /// With any probability, as far as there is.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers the probability of a change is. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// Between which numbers the strength is. Default: 0 and 1.
        scale: FactorIn<0, 1>;
        /// How numbers between pixels are found: nearest or bilinear, the default.
        interpolation: Interpolation;
        /// What stands beyond the borders. Default: the image, reflected.
        fill_mode: FillMode;
        /// What does, for [`FillMode::Constant`]. Default: 0.
        fill_value: f64;
        /// The least and the largest number of the images, which what is beyond becomes. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")?;
        self.scale.check("scale")?;
        sampling::check(self.interpolation)
    }

    fn does_nothing(&self) -> bool {
        self.scale.range()[1] == 0.0 || self.factor.range()[1] == 0.0
    }
}

impl Augmentation for RandomElasticTransform {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        if self.does_nothing() {
            return Ok(Vec::new());
        }
        let chosen = draws.chosen(shape[0], self.factor.range())?;
        let strength = draws.uniform_computed([], self.scale.range())?;
        Ok(vec![chosen, strength, draws.normal_computed([shape[0], shape[1], shape[2], 1])?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        let [chosen, strength, noise] = drawn else { return Ok(images.clone()) };
        let &[_, height, width, _] = images.shape().dims() else {
            return Err(Error::argument("images", "4 axes", images.shape()));
        };
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let far = ((strength * 0.1)? * height.max(width) as f64)?;
        let sigma = ((strength * 0.05)? * height.min(width) as f64)?;
        let size = (6.0 * sigma.item()?) as usize | 1;
        let moves = gaussian_blur(&(noise * &sigma)?, [size; 2], [sigma.clone(), sigma])?;
        let moves = (moves * far)?.cast(DType::F32)?.to_vec::<f32>()?;
        let sampling = Sampling {
            interpolation: self.interpolation,
            fill_mode: self.fill_mode,
            fill_value: self.fill_value,
        };
        let changed = sampling.sample(images, |image, y, x| {
            let by = moves[(image * height + y as usize) * width + x as usize];
            [y + by, x + by]
        })?;
        let [low, high] = self.value_range.range();
        chosen.select(&changed, images)?.clip(low, high)
    }
}
