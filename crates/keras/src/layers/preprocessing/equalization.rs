use keras_spec::{Call, CompareOp, DType, Layer, PartialShape, ReduceOp, Result, ScatterOp, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws};
use super::colors::rescale;
use super::factor::ValueRange;
use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, keras_layer, one, positive};

/// Spreads the numbers of each channel so that all are about equally frequent, over the whole batch, while training; does
/// nothing otherwise. The shape stays: `(batch, height, width, channels)`, or that without the batch
/// (`keras.layers.Equalization`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Equalization {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    bins: usize,
    value_range: ValueRange,
}

keras_layer!(Equalization, check validate);

impl Default for Equalization {
    fn default() -> Self {
        Equalization {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            bins: 256,
            value_range: ValueRange::default(),
        }
    }
}

impl Equalization {
    /// For numbers from 0 to 255, of which each has a bin.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// How many ranges of numbers are counted. Default: 256.
        bins = usize;
        /// The least and the largest number of the images. Default: 0 and 255.
        value_range: ValueRange;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        positive("bins", self.bins)
    }

    fn spread(&self, channel: &Tensor) -> Result<Tensor> {
        let dtype = channel.dtype();
        let channel = rescale(channel, self.value_range, ValueRange::default(), dtype)?;
        let last = (self.bins - 1) as f64;
        let of_bins = |value: f64| Tensor::full([self.bins], DType::I32, value, channel.device());
        let bins = ((channel.cast(DType::F32)? * last)? / 255.0)?.cast(DType::I32)?.clip(0.0, last)?;
        let bins = bins.reshape([bins.shape().size()])?;
        let ones = Tensor::full(bins.shape(), DType::I32, 1.0, channel.device())?;
        let counts = of_bins(0.0)?.scatter(ScatterOp::Add, &bins, &ones, 0)?;
        let sums = counts.cumulative(ReduceOp::Sum, 0)?;
        let all = sums.narrow(0, self.bins - 1, self.bins)?;
        let filled = counts.compare_with(CompareOp::Gt, 0.0)?.cast(DType::I32)?.sum(&[0], false)?;
        // The sum at the first bin that is not empty.
        let first = sums.compare_with(CompareOp::Gt, 0.0)?.select(&sums, &all)?.min(&[0], true)?;
        let rest = (all - &first)?.at_least(1.0)?;
        let table = (((sums - first)? * 255.0)?.cast(DType::F32)? / rest.cast(DType::F32)?)?;
        let table = table.round()?.clip(0.0, 255.0)?;
        let places = ((&channel / 255.0)? * last)?.clip(0.0, last)?.cast(DType::I32)?;
        let spread = table.take(&places, 0)?;
        let one_only = filled.compare_with(CompareOp::Le, 1.0)?;
        rescale(&one_only.select(&channel, &spread)?, ValueRange::default(), self.value_range, DType::F32)
    }
}

impl Augmentation for Equalization {
    fn draw(&self, _shape: &Shape, _draws: &Draws) -> Result<Vec<Tensor>> {
        Ok(Vec::new())
    }

    fn apply(&self, images: &Tensor, _drawn: &[Tensor], compute: DType) -> Result<Tensor> {
        let images = images.cast(compute)?;
        let channels = images.shape().last().copied().unwrap_or(0);
        let spread = (0..channels).map(|i| self.spread(&images.index(-1, i)?));
        Tensor::stack(&spread.collect::<Result<Vec<_>>>()?, -1)?.into_dtype(compute)
    }
}

impl Layer for Equalization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        if !call.training {
            return Ok(vec![x.clone()]);
        }
        let spread = |batch: Tensor| self.apply(&batch, &[], call.compute_dtype());
        Ok(vec![images::on_batch(x, self.data_format, spread)?])
    }
}
