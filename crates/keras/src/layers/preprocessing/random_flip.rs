use keras_spec::{CompareOp, DType, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use super::augmentation::{Augmentation, Draws, augmentation_layer};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format};

/// Along which axes [`RandomFlip`] turns images round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlipMode {
    /// Left and right.
    Horizontal,
    /// Top and bottom.
    Vertical,
    /// Both at once.
    #[default]
    HorizontalAndVertical,
}

/// Turns about half of the images round while training; floats of the compute dtype otherwise. The shape stays:
/// `(batch, height, width, channels)`, or that without the batch (`keras.layers.RandomFlip`, Keras 3.15.1).
///
/// ```
/// use keras::layers::{FlipMode, RandomFlip};
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(RandomFlip::new().mode(FlipMode::Horizontal).seed(3));
/// let images = Tensor::new([2, 1, 2, 1], vec![1f32, 2.0, 3.0, 4.0])?;
/// let same = layer.call(&[images], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(same[0].to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomFlip {
    #[serde(deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    seed: LayerSeed,
    mode: FlipMode,
}

augmentation_layer!(RandomFlip);

impl RandomFlip {
    /// Along both axes.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Along which axes. Default: both at once.
        mode: FlipMode;
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

impl Augmentation for RandomFlip {
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>> {
        let drawn = draws.uniform([shape[0], 1, 1, 1], [0.0, 1.0])?;
        Ok(vec![drawn.compare_with(CompareOp::Le, 0.5)?])
    }

    fn apply(&self, images: &Tensor, drawn: &[Tensor], _compute: DType) -> Result<Tensor> {
        let axes: &[isize] = match self.mode {
            FlipMode::Horizontal => &[-2],
            FlipMode::Vertical => &[-3],
            FlipMode::HorizontalAndVertical => &[-2, -3],
        };
        drawn[0].select(&images.flip(axes)?, images)
    }
}
