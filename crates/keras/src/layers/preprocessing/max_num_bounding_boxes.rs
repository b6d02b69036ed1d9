use keras_spec::{Call, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, keras_layer, one};

/// Passes images on. In Keras it makes the number of boxes that `tf.data` pipelines bring along with images the same for all;
/// models have no boxes (`keras.layers.MaxNumBoundingBoxes`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxNumBoundingBoxes {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    max_number: i64,
    /// Keras does not write it.
    #[serde(default = "minus_one", skip_serializing)]
    fill_value: i64,
}

keras_layer!(MaxNumBoundingBoxes);

fn minus_one() -> i64 {
    -1
}

impl MaxNumBoundingBoxes {
    /// For so many boxes.
    pub fn new(max_number: i64) -> Self {
        MaxNumBoundingBoxes {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            max_number,
            fill_value: minus_one(),
        }
    }

    builders! {
        /// What missing boxes consist of. Default: -1.
        fill_value = i64;
    }
}

impl Layer for MaxNumBoundingBoxes {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![one(inputs)?.clone()])
    }
}
