use keras_spec::{Call, Layer, PartialShape, Result, Tensor, TensorSpec};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_min_rank, keras_layer, one};

/// All axes but the batch as one: `(batch, …)` → `(batch, features)` (`keras.layers.Flatten`, Keras 3.15.1).
///
/// With channels first they are moved last before, so that both formats give the same order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flatten {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
}

keras_layer!(Flatten);

impl Flatten {
    /// For channels last.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }
}

impl Layer for Flatten {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        input_of_min_rank(inputs, 1).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut x = one(inputs)?.clone();
        if self.data_format == DataFormat::ChannelsFirst && x.rank() > 2 {
            x = x.move_axis(1, -1)?;
        }
        let mut features = x.shape().clone();
        let batch = features.remove(0);
        Ok(vec![x.reshape([batch, features.size()])?])
    }

    fn output_spec(&self, inputs: &[TensorSpec], _call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let TensorSpec { shape, dtype } = one(inputs)?;
        let features = shape[1..].iter().copied().product::<Option<usize>>();
        Ok(Some(vec![TensorSpec::new([shape[0], features], *dtype)]))
    }
}
