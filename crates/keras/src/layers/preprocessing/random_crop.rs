use std::sync::{Arc, OnceLock};

use keras_spec::random::{SeedGenerator, make_default_seed};
use keras_spec::{
    Call, Config, DType, DTypePolicy, Layer, LayerRef, PartialShape, Result, Tensor, TensorSpec, scope,
};
use serde::{Deserialize, Serialize};

use super::images;
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, all_positive, data_format, keras_layer, one};
use crate::layers::interpolation::Interpolation;
use crate::random;

/// A piece of this height and width from a random place, the same for all images of a batch, while training. Of images that
/// are not larger along both axes, a piece from the middle, stretched to the size. Otherwise images pass unchanged, whatever
/// their size (`keras.layers.RandomCrop`, Keras 3.15.1): `(batch, height, width, channels)`, or that without the batch.
///
/// Layers after this one are built for the pieces, as in Keras.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
    /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounding_box_format: Option<String>,
    height: usize,
    width: usize,
    #[serde(default)]
    seed: LayerSeed,
    /// The seed in files where none is given; not the one in use, as in Keras.
    #[serde(skip)]
    written_seed: Arc<OnceLock<u32>>,
    #[serde(skip)]
    compute_dtype: Arc<OnceLock<DType>>,
}

keras_layer!(RandomCrop, check validate);

impl RandomCrop {
    /// Pieces of this size.
    pub fn new(height: usize, width: usize) -> Self {
        RandomCrop {
            data_format: DataFormat::default(),
            bounding_box_format: None,
            height,
            width,
            seed: LayerSeed::default(),
            written_seed: Arc::default(),
            compute_dtype: Arc::default(),
        }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        all_positive("height and width", &[self.height, self.width])
    }

    /// The piece at a random place, for larger images.
    fn piece(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let seed = self.seed.generator().clone().into();
        let place = |length: usize, piece: usize| -> Result<usize> {
            let places = (length - piece + 1) as f64;
            let drawn = random::uniform([], 0.0, places, DType::F32, Some(&seed), x.device())?;
            // Rounding may give the upper bound itself.
            Ok(if scope::is_abstract() { 0 } else { (drawn.item()? as usize).min(length - piece) })
        };
        let top = place(x.shape()[axis], self.height)?;
        let left = place(x.shape()[axis + 1], self.width)?;
        let rows = x.narrow(axis as isize, top, top + self.height)?;
        rows.narrow(axis as isize + 1, left, left + self.width)
    }

    /// A piece from the middle. It begins where one of the same ratio, as large as it can be, would.
    fn middle(&self, x: &Tensor, axis: usize) -> Result<Tensor> {
        let (height, width) = (x.shape()[axis], x.shape()[axis + 1]);
        let start = |length: usize, other: usize, piece: usize, other_piece: usize| {
            let fitting = (other as f64 * piece as f64 / other_piece as f64) as usize;
            (length - fitting.clamp(1, length)) / 2
        };
        let top = start(height, width, self.height, self.width);
        let left = start(width, height, self.width, self.height);
        let rows = x.narrow(axis as isize, top, height.min(top + self.height))?;
        let part = rows.narrow(axis as isize + 1, left, width.min(left + self.width))?;
        images::resize(&part, axis, [self.height, self.width], Interpolation::Bilinear, false)
    }
}

impl Layer for RandomCrop {
    fn make_parts(&self, policy: DTypePolicy) {
        self.compute_dtype.get_or_init(|| policy.compute_dtype());
    }

    fn draw_seeds(&self) {
        if self.seed.given().is_none() {
            self.written_seed.get_or_init(make_default_seed);
        }
        self.seed.generator();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        images::check(inputs)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        if !call.training {
            return Ok(vec![x.clone()]);
        }
        let x = x.cast(call.compute_dtype())?;
        let axis = images::height_axis(self.data_format, x.rank());
        let larger = x.shape()[axis] > self.height && x.shape()[axis + 1] > self.width;
        Ok(vec![if larger { self.piece(&x, axis)? } else { self.middle(&x, axis)? }])
    }

    fn output_spec(&self, inputs: &[TensorSpec], call: &Call) -> Result<Option<Vec<TensorSpec>>> {
        let mut spec = one(inputs)?.clone();
        let axis = images::height_axis(self.data_format, spec.shape.rank());
        spec.shape.0[axis] = Some(self.height);
        spec.shape.0[axis + 1] = Some(self.width);
        if let (true, Some(dtype)) = (call.training, self.compute_dtype.get()) {
            spec.dtype = *dtype;
        }
        Ok(Some(vec![spec]))
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        vec![self.seed.generator().clone()]
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        if let Some(seed) = self.written_seed.get() {
            config.insert("seed".to_owned(), (*seed).into());
        }
    }
}
