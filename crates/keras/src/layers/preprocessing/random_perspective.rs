use keras_spec::{DType, Error, Result, Shape, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use super::factor::FactorIn;
use super::sampling::{self, FillMode, Sampling};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, fraction};
use crate::layers::interpolation::Interpolation;

/// Shows some images as if from another point while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomPerspective`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomPerspective {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    factor: FactorIn<0, 1>,
    scale: f64,
    interpolation: Interpolation,
    fill_value: f64,
    seed: LayerSeed,
}

augmentation_layer!(RandomPerspective);

impl Default for RandomPerspective {
    fn default() -> Self {
        RandomPerspective {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            factor: 1.0.into(),
            scale: 1.0,
            interpolation: sampling::bilinear(),
            fill_value: 0.0,
            seed: LayerSeed::default(),
        }
    }
}

impl RandomPerspective {
    /// Any view.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Between which numbers the probability of a change is. Default: 0 and 1.
        factor: FactorIn<0, 1>;
        /// How far corners move, from 0 to 1, the default.
        scale: f64;
        /// How numbers between pixels are found: nearest or bilinear, the default.
        interpolation: Interpolation;
        /// What stands beyond the borders. Default: 0.
        fill_value: f64;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        self.factor.check("factor")?;
        fraction("scale", self.scale)?;
        sampling::check(self.interpolation)
    }
}

impl Augmentation for RandomPerspective {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let chosen = draws.chosen(shape[0], self.factor.range())?;
        let moves = draws.uniform_computed([shape[0], 4, 2], [-0.5 * self.scale, 0.5 * self.scale])?;
        Ok(vec![chosen, moves])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let (right, bottom) = (images.shape()[2] as f64 - 1.0, images.shape()[1] as f64 - 1.0);
        let corners = [[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]];
        // Rounded as the layer computes.
        let start = keras_spec::HostTensor::new([4, 2], corners.as_flattened().to_vec())?.cast(compute);
        let start = Tensor::from_host(start, images.device())?;
        let end = (&start + (&start * &drawn[1])?)?.cast(DType::F32)?.to_vec::<f32>()?;
        let start = start.cast(DType::F32)?.to_vec::<f32>()?;
        let views = end.chunks(8).map(|end| homography(&start, end)).collect::<Result<Vec<_>>>()?;
        let sampling = Sampling {
            interpolation: self.interpolation,
            fill_mode: FillMode::Constant,
            fill_value: self.fill_value,
        };
        let changed = sampling.sample(images, |image, y, x| {
            let t = &views[image];
            let depth = t[6] * x + t[7] * y + 1.0;
            [(t[3] * x + t[4] * y + t[5]) / depth, (t[0] * x + t[1] * y + t[2]) / depth]
        })?;
        drawn[0].select(&changed, images)
    }
}

/// The view that takes the points `end` to `start`, each four pairs: its eight coefficients.
fn homography(start: &[f32], end: &[f32]) -> Result<[f32; 8]> {
    let mut rows = [[0f64; 9]; 8];
    for i in 0..4 {
        let (x, y) = (f64::from(end[2 * i]), f64::from(end[2 * i + 1]));
        let (to_x, to_y) = (f64::from(start[2 * i]), f64::from(start[2 * i + 1]));
        rows[i] = [x, y, 1.0, 0.0, 0.0, 0.0, -to_x * x, -to_x * y, to_x];
        rows[i + 4] = [0.0, 0.0, 0.0, x, y, 1.0, -to_y * x, -to_y * y, to_y];
    }
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        if rows[column][column] == 0.0 {
            return Err(Error::argument("scale", "corners that do not fall together", format!("{end:?}")));
        }
        for other in (0..8).filter(|&other| other != column) {
            let factor = rows[other][column] / rows[column][column];
            let pivot = rows[column];
            rows[other].iter_mut().zip(pivot).for_each(|(a, b)| *a -= factor * b);
        }
    }
    Ok(std::array::from_fn(|i| (rows[i][8] / rows[i][i]) as f32))
}
