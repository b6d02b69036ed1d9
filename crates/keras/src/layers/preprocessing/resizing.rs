use keras_spec::{Call, DType, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, all_positive, data_format, keras_layer, one};
use crate::layers::interpolation::Interpolation;

/// Images in another size: `(batch, height, width, channels)` → the same with this height and width
/// (`keras.layers.Resizing`, Keras 3.15.1).
///
/// The batch axis may be missing. Integers are interpolated in float32, rounded and kept in their range.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resizing {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    height: usize,
    width: usize,
    #[serde(default = "bilinear")]
    interpolation: Interpolation,
    #[serde(default)]
    crop_to_aspect_ratio: bool,
    #[serde(default)]
    pad_to_aspect_ratio: bool,
    #[serde(default = "constant")]
    fill_mode: String,
    #[serde(default)]
    fill_value: f64,
    #[serde(default)]
    antialias: bool,
}

keras_layer!(Resizing, check validate);

fn bilinear() -> Interpolation {
    Interpolation::Bilinear
}

fn constant() -> String {
    "constant".to_owned()
}

impl Resizing {
    /// To this size.
    pub fn new(height: usize, width: usize) -> Self {
        Resizing {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            height,
            width,
            interpolation: bilinear(),
            crop_to_aspect_ratio: false,
            pad_to_aspect_ratio: false,
            fill_mode: constant(),
            fill_value: 0.0,
            antialias: false,
        }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
        /// How the elements between those of the input are found. Default: bilinear.
        interpolation: Interpolation;
        /// Whether what does not fit the new ratio of height to width is cut off, not squeezed in.
        crop_to_aspect_ratio = bool;
        /// Whether images are widened by [`fill_value`](Resizing::fill_value) to the new ratio, not stretched.
        pad_to_aspect_ratio = bool;
        /// What images are widened with.
        fill_value = f64;
        /// Whether smaller images have the averages of what lies between their elements.
        antialias = bool;
    }

    fn validate(&self) -> Result<()> {
        all_positive("height and width", &[self.height, self.width])?;
        if self.fill_mode != "constant" {
            return Err(Error::argument("fill_mode", "`constant`", &self.fill_mode));
        }
        Ok(())
    }

    /// Images with as much on either side as gives them the ratio; an odd element less than that is missing, as in Keras.
    fn widened(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let (h, w) = (x.shape()[axis], x.shape()[axis + 1]);
        let side = |length: usize, other: usize, target: usize, other_target: usize| {
            let fitting = (other as f64 * target as f64 / other_target as f64) as usize;
            fitting.saturating_sub(length) / 2
        };
        let mut amounts = vec![(0, 0); x.rank()];
        let (rows, columns) = (side(h, w, self.height, self.width), side(w, h, self.width, self.height));
        amounts[axis] = (rows, rows);
        amounts[axis + 1] = (columns, columns);
        x.pad(&amounts, self.fill_value)
    }
}

impl Layer for Resizing {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        // Keras makes such a layer, and only fails when it is called.
        if self.crop_to_aspect_ratio && self.pad_to_aspect_ratio {
            let expected = "false where `crop_to_aspect_ratio` is true";
            return Err(Error::argument("pad_to_aspect_ratio", expected, true));
        }
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let axis = images::height_axis(self.data_format, x.rank());
        let size = [self.height, self.width];
        let x = match (self.crop_to_aspect_ratio, self.pad_to_aspect_ratio) {
            (true, _) => images::with_ratio(x, axis, size)?,
            (_, true) => self.widened(x, axis)?,
            _ => x.clone(),
        };
        let dtype = x.dtype();
        if dtype.is_float() {
            return Ok(vec![images::resize(&x, axis, size, self.interpolation, self.antialias)?]);
        }
        let x = images::resize(&x.cast(DType::F32)?, axis, size, self.interpolation, self.antialias)?;
        // Conversions to integers saturate.
        Ok(vec![x.round()?.cast(dtype)?])
    }
}
