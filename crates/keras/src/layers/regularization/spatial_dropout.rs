use keras_spec::random::SeedGenerator;
use keras_spec::{Call, Config, Layer, LayerRef, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::dropout::{drop_out, generators};
use crate::class::builders;
use crate::layers::common::{DataFormat, LayerSeed, data_format, fraction, input_of_rank, keras_layer, one};

/// Sets whole channels of sequences `(batch, steps, channels)` to 0 while training (`keras.layers.SpatialDropout1D`,
/// Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout1D {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
}

keras_layer!(SpatialDropout1D, check validate);

/// Sets whole channels of images `(batch, height, width, channels)` to 0 while training (`keras.layers.SpatialDropout2D`,
/// Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpatialDropout2D {
    rate: f64,
    #[serde(default)]
    seed: LayerSeed,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

keras_layer!(SpatialDropout2D, check validate);

impl SpatialDropout1D {
    /// Sets the fraction `rate`, from 0 to 1, of the channels to 0.
    pub fn new(rate: f64) -> Self {
        SpatialDropout1D { rate, seed: LayerSeed::default() }
    }

    fn noise_shape(&self) -> [Option<usize>; 3] {
        [None, Some(1), None]
    }
}

impl SpatialDropout2D {
    /// Sets the fraction `rate`, from 0 to 1, of the channels to 0.
    pub fn new(rate: f64) -> Self {
        SpatialDropout2D { rate, seed: LayerSeed::default(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }

    fn noise_shape(&self) -> [Option<usize>; 4] {
        match self.data_format {
            DataFormat::ChannelsLast => [None, Some(1), Some(1), None],
            DataFormat::ChannelsFirst => [None, None, Some(1), Some(1)],
        }
    }
}

macro_rules! spatial_dropout {
    ($($Layer:ident, $rank:literal;)*) => {$(
        impl $Layer {
            /// The seed of the layer's generator. Default: drawn.
            #[must_use]
            pub fn seed(mut self, seed: u32) -> Self {
                self.seed = seed.into();
                self
            }

            fn validate(&self) -> Result<()> {
                fraction("rate", self.rate)
            }
        }

        impl Layer for $Layer {
            fn draw_seeds(&self) {
                if self.rate > 0.0 {
                    self.seed.generator();
                }
            }

            fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
                self.validate()?;
                input_of_rank(inputs, $rank).map(drop)
            }

            fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
                let noise_shape = self.noise_shape();
                Ok(vec![drop_out(one(inputs)?, self.rate, Some(&noise_shape), &self.seed, call)?])
            }

            fn supports_masking(&self) -> bool {
                true
            }

            fn seed_generators(&self) -> Vec<SeedGenerator> {
                generators(self.rate, &self.seed)
            }

            /// Keras writes these layers without `trainable`, and the name of a dtype in place of a policy.
            fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
                config.remove("trainable");
                config.insert("dtype".to_owned(), layer.policy().variable_dtype().name().into());
            }
        }
    )*};
}

spatial_dropout! {
    SpatialDropout1D, 3;
    SpatialDropout2D, 4;
}
