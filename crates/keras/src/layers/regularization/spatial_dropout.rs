use keras_spec::random::SeedGenerator;
use keras_spec::{Call, Config, Layer, LayerRef, Object, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::dropout::{drop_out, generators};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, fraction, input_of_rank, keras_layer, one};

/// Sets whole channels to 0 while training, all along `N` spatial axes: [`SpatialDropout1D`], [`SpatialDropout2D`] and
/// [`SpatialDropout3D`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout<const N: usize> {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

/// Sets whole channels of sequences `(batch, steps, channels)` to 0 while training (`keras.layers.SpatialDropout1D`,
/// Keras 3.15.1).
pub type SpatialDropout1D = SpatialDropout<1>;

/// Sets whole channels of images `(batch, height, width, channels)` to 0 while training (`keras.layers.SpatialDropout2D`,
/// Keras 3.15.1).
pub type SpatialDropout2D = SpatialDropout<2>;

/// Sets whole channels of volumes `(batch, depth, height, width, channels)` to 0 while training
/// (`keras.layers.SpatialDropout3D`, Keras 3.15.1).
pub type SpatialDropout3D = SpatialDropout<3>;

keras_layer!(SpatialDropout1D, check validate);
keras_layer!(SpatialDropout2D, check validate);
keras_layer!(SpatialDropout3D, check validate);

impl<const N: usize> SpatialDropout<N> {
    /// Sets the fraction `rate`, from 0 to 1, of the channels to 0.
    pub fn new(rate: f64) -> Self {
        SpatialDropout { rate, seed: LayerSeed::default(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are; last over sequences.
        data_format: DataFormat;
    }

    /// The seed of the layer's generator. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed.into();
        self
    }

    fn validate(&self) -> Result<()> {
        fraction("rate", self.rate)?;
        if N == 1 { self.data_format.only_last() } else { Ok(()) }
    }
}

impl<const N: usize> Layer for SpatialDropout<N>
where
    Self: Object,
{
    fn draw_seeds(&self) {
        if self.rate > 0.0 {
            self.seed.generator();
        }
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        input_of_rank(inputs, N + 2).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let mut noise_shape = vec![None; N + 2];
        let first = self.data_format.first_spatial_axis();
        noise_shape[first..first + N].fill(Some(1));
        Ok(vec![drop_out(one(inputs)?, self.rate, Some(&noise_shape), &self.seed, call)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn seed_generators(&self) -> Vec<SeedGenerator> {
        generators(self.rate, &self.seed)
    }

    /// Keras writes these layers without `trainable`, and the name of a dtype in place of a policy; over sequences it has no
    /// `data_format`.
    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.remove("trainable");
        config.insert("dtype".to_owned(), layer.policy().variable_dtype().name().into());
        if N == 1 {
            config.shift_remove("data_format");
        }
    }
}
