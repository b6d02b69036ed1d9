use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::images;
use crate::layers::common::{DataFormat, all_positive, data_format, keras_layer, one};
use crate::layers::interpolation::Interpolation;

/// The middle of images: `(batch, height, width, channels)` → the same with this height and width. Of images that are
/// smaller, as much of the middle as has the ratio, made larger (`keras.layers.CenterCrop`, Keras 3.15.1).
///
/// The batch axis may be missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CenterCrop {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    height: usize,
    width: usize,
}

keras_layer!(CenterCrop, check validate);

impl CenterCrop {
    /// To this size.
    pub fn new(height: usize, width: usize) -> Self {
        CenterCrop { data_format: DataFormat::default(), bounding_box_format: None, height, width }
    }

    crate::class::builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        all_positive("height and width", &[self.height, self.width])
    }
}

impl Layer for CenterCrop {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?.cast(call.compute_dtype())?;
        let axis = images::height_axis(self.data_format, x.rank());
        let (h, w) = (x.shape()[axis], x.shape()[axis + 1]);
        let size = [self.height, self.width];
        if h >= self.height && w >= self.width {
            let (top, left) = ((h - self.height) / 2, (w - self.width) / 2);
            let rows = x.narrow(axis as isize, top, top + self.height)?;
            return Ok(vec![rows.narrow(axis as isize + 1, left, left + self.width)?]);
        }
        let middle = images::with_ratio(&x, axis, size)?;
        Ok(vec![images::resize(&middle, axis, size, Interpolation::Bilinear, false)?])
    }
}
