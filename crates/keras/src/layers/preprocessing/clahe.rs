use keras_spec::{Call, DType, Error, HostTensor, Layer, PartialShape, Result, Tensor, scope};
use serde::{Deserialize, Serialize};

use super::colors::rescale;
use super::factor::ValueRange;
use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, Lengths, all_positive, data_format, keras_layer, one};

/// How many numbers a pixel can be.
const BINS: usize = 256;

/// Spreads the numbers of each channel of an image so that all are about equally frequent in each of its tiles, always. The
/// shape and the dtype stay: `(batch, height, width, channels)`, or that without the batch
/// (`keras.layers.ContrastLimitedAdaptiveHistogramEqualization`, Keras 3.15.1). No gradients flow through it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContrastLimitedAdaptiveHistogramEqualization {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    value_range: ValueRange,
    clip_limit: f64,
    tile_grid_size: Lengths<2>,
}

keras_layer!(ContrastLimitedAdaptiveHistogramEqualization, check validate);

impl Default for ContrastLimitedAdaptiveHistogramEqualization {
    fn default() -> Self {
        ContrastLimitedAdaptiveHistogramEqualization {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            value_range: ValueRange::default(),
            clip_limit: 4.0,
            tile_grid_size: Lengths([8; 2]),
        }
    }
}

impl ContrastLimitedAdaptiveHistogramEqualization {
    /// For numbers from 0 to 255, in 8×8 tiles.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How many times as frequent as on average a number counts at most; no limit at 0. Default: 4.
        clip_limit = f64;
        /// How many tiles there are down and across. Default: 8 and 8.
        tile_grid_size: Lengths<2>;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        all_positive("tile_grid_size", &self.tile_grid_size.0)
    }

    /// The spread batch `(batch, height, width, channels)` of float32 numbers from 0 to 255.
    fn spread(&self, images: &Tensor) -> Result<Tensor> {
        let &[batch, height, width, channels] = images.shape().dims() else {
            return Err(Error::argument("images", "4 axes", images.shape()));
        };
        if scope::is_abstract() || images.shape().size() == 0 {
            return Ok(images.clone());
        }
        let pixels: Vec<usize> =
            images.to_vec::<f32>()?.iter().map(|p| p.clamp(0.0, 255.0) as usize).collect();
        let planes = (0..batch * channels).map(|i| {
            let (image, channel) = (i / channels, i % channels);
            let at = move |y: usize, x: usize| ((image * height + y) * width + x) * channels + channel;
            (at(0, 0), Plane { size: [height, width], step: channels })
        });
        let mut spread = vec![0f32; pixels.len()];
        for (first, plane) in planes {
            plane.spread(&pixels[first..], &mut spread[first..], self.tile_grid_size.0, self.clip_limit);
        }
        Tensor::from_host(HostTensor::new(images.shape(), spread)?, images.device())
    }
}

/// One channel of an image: every `step`-th number.
struct Plane {
    size: [usize; 2],
    step: usize,
}

impl Plane {
    fn spread(&self, pixels: &[usize], out: &mut [f32], grid: [usize; 2], clip_limit: f64) {
        let [height, width] = self.size;
        let tile = [height.div_ceil(grid[0]), width.div_ceil(grid[1])];
        let tables: Vec<[f32; BINS]> = (0..grid[0] * grid[1])
            .map(|i| self.table(pixels, [i / grid[1] * tile[0], i % grid[1] * tile[1]], tile, clip_limit))
            .collect();
        // Between the middles of tiles lines join what their tables say.
        let between = |place: usize, tile: usize, tiles: usize| {
            let at = (place as f32 - tile as f32 / 2.0) / tile as f32 + 1.0;
            let of = |i: f32| ((i as usize).clamp(1, tiles)) - 1;
            (of(at.floor()), of(at.floor() + 1.0), at - at.floor())
        };
        for y in 0..height {
            let (top, bottom, down) = between(y, tile[0], grid[0]);
            for x in 0..width {
                let (left, right, across) = between(x, tile[1], grid[1]);
                let at = (y * width + x) * self.step;
                let value = |row: usize, column: usize| tables[row * grid[1] + column][pixels[at]];
                let line = |row: usize| value(row, left) * (1.0 - across) + value(row, right) * across;
                out[at] = line(top) * (1.0 - down) + line(bottom) * down;
            }
        }
    }

    /// What becomes of each number in a tile, which is reflected where it reaches beyond the image.
    fn table(
        &self,
        pixels: &[usize],
        [top, left]: [usize; 2],
        tile: [usize; 2],
        clip_limit: f64,
    ) -> [f32; BINS] {
        let [height, width] = self.size;
        let within = |place: usize, length: usize| {
            let place = place % (2 * length);
            if place < length { place } else { 2 * length - 1 - place }
        };
        let mut counts = [0f32; BINS];
        for y in top..top + tile[0] {
            for x in left..left + tile[1] {
                let at = within(y, height) * width + within(x, width);
                counts[pixels[at * self.step]] += 1.0;
            }
        }
        let size = tile[0] * tile[1];
        if clip_limit > 0.0 {
            let limit = (clip_limit * size as f64 / BINS as f64) as f32;
            let excess: f32 = counts.iter().map(|&n| n - n.min(limit)).sum();
            counts.iter_mut().for_each(|n| *n = n.min(limit) + excess / BINS as f32);
        }
        let mut sum = 0.0;
        let sums = counts.map(|n| {
            sum += n;
            sum
        });
        let rest = size as f32 - sums[0];
        let rest = if rest == 0.0 { 1.0 } else { rest };
        sums.map(|s| ((s - sums[0]) * 255.0 / rest).clamp(0.0, 255.0))
    }
}

impl Layer for ContrastLimitedAdaptiveHistogramEqualization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let bytes = ValueRange::default();
        let spread = images::on_batch(x, self.data_format, |batch| {
            let batch = rescale(&batch, self.value_range, bytes, DType::F32)?.cast(DType::F32)?;
            rescale(&self.spread(&batch)?, bytes, self.value_range, DType::F32)
        })?;
        Ok(vec![spread.into_dtype(x.dtype())?])
    }
}
