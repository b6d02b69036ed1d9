//! What layers have in common that change images at random while training.

use keras_spec::random::{Seed, SeedGenerator};
use keras_spec::{Call, DType, Device, HostTensor, Result, Shape, Tensor};

use super::images::on_batch;
use crate::layers::common::{DataFormat, LayerSeed, one};
use crate::random;

/// When images become floats of the compute dtype. (Floats always are.)
pub(super) enum Casts {
    Always,
    WhileTraining,
    Never,
}

/// A change of images. Keras draws first and then changes, so that layers made of such layers draw for all of them.
pub(super) trait Augmentation: Send + Sync + std::fmt::Debug {
    fn casts(&self) -> Casts {
        Casts::Always
    }

    /// What decides on the change of a batch of the shape `(batch, height, width, channels)`.
    fn draw(&self, shape: &Shape, draws: &Draws) -> Result<Vec<Tensor>>;

    /// The changed batch `(batch, height, width, channels)`; `compute` is the dtype that the layer computes in.
    fn apply(&self, images: &Tensor, drawn: &[Tensor], compute: DType) -> Result<Tensor>;
}

/// The arguments that all random ones have: [`augmentation_layer!`] implements it.
pub(super) trait Seeded {
    fn data_format(&self) -> DataFormat;

    fn layer_seed(&self) -> &LayerSeed;
}

/// Where random numbers come from, and go to.
pub(super) struct Draws {
    seed: Seed,
    compute_dtype: DType,
    device: Device,
}

impl Draws {
    /// For images on the device of `like`.
    pub(super) fn new(generator: &SeedGenerator, compute_dtype: DType, like: &Tensor) -> Self {
        Draws { seed: generator.clone().into(), compute_dtype, device: *like.device() }
    }

    /// Float32 numbers between two, whatever the layer's policy.
    pub(super) fn uniform(&self, shape: impl Into<Shape>, [low, high]: [f64; 2]) -> Result<Tensor> {
        random::uniform(shape, low, high, DType::F32, Some(&self.seed), &self.device)
    }

    /// Bytes from the first number to below the second. Keras draws none where there is but one.
    pub(super) fn integers(&self, shape: impl Into<Shape>, [low, high]: [i64; 2]) -> Result<Tensor> {
        match low == high {
            true => Tensor::full(shape, DType::U8, low as f64, &self.device),
            false => random::randint(shape, low, high, DType::U8, Some(&self.seed), &self.device),
        }
    }

    /// Which of so many images are changed, with a probability that is drawn from a range itself: `(batch, 1, 1, 1)`.
    pub(super) fn chosen(&self, batch: usize, probability: [f64; 2]) -> Result<Tensor> {
        let probability = self.uniform([batch, 1, 1, 1], probability)?;
        self.uniform([batch, 1, 1, 1], [0.0, 1.0])?.less(&probability)
    }

    /// The numbers below `count` in a random order.
    pub(super) fn order(&self, count: usize) -> Result<Tensor> {
        let numbers = HostTensor::new([count], (0..count as i32).collect::<Vec<_>>())?;
        random::shuffle(&Tensor::from_host(numbers, &self.device)?, 0, Some(&self.seed))
    }

    /// Numbers of the beta distribution with twice the same parameter.
    pub(super) fn beta(&self, shape: impl Into<Shape>, alpha: f64, dtype: DType) -> Result<Tensor> {
        random::beta(shape, alpha, alpha, dtype, Some(&self.seed), &self.device)
    }

    /// Numbers of the compute dtype, of the standard normal distribution.
    pub(super) fn normal_computed(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        random::normal(shape, 0.0, 1.0, self.compute_dtype, Some(&self.seed), &self.device)
    }

    /// Numbers of the compute dtype between two.
    pub(super) fn uniform_computed(&self, shape: impl Into<Shape>, [low, high]: [f64; 2]) -> Result<Tensor> {
        random::uniform(shape, low, high, self.compute_dtype, Some(&self.seed), &self.device)
    }
}

/// The call of such a layer.
pub(super) fn augment<A: Augmentation + Seeded>(
    layer: &A,
    inputs: &[Tensor],
    call: &Call,
) -> Result<Vec<Tensor>> {
    let x = one(inputs)?;
    let casts = match layer.casts() {
        Casts::Always => true,
        Casts::WhileTraining => call.training,
        Casts::Never => false,
    };
    let x = if casts { x.cast(call.compute_dtype())? } else { x.clone() };
    if !call.training {
        return Ok(vec![x]);
    }
    let y = on_batch(&x, layer.data_format(), |batch| {
        let draws = Draws::new(layer.layer_seed().generator(), call.compute_dtype(), &batch);
        let drawn = layer.draw(batch.shape(), &draws)?;
        layer.apply(&batch, &drawn, call.compute_dtype())
    })?;
    Ok(vec![y])
}

/// Writes what is the same in all such layers, which have fields `data_format` and `seed` and a method `validate`.
macro_rules! augmentation_layer {
    ($Layer:ident) => {
        $crate::layers::common::keras_layer!($Layer, check validate);

        impl $Layer {
            /// The seed of the layer's generator. Default: drawn.
            #[must_use]
            pub fn seed(mut self, seed: u32) -> Self {
                self.seed = seed.into();
                self
            }
        }

        impl $crate::layers::preprocessing::augmentation::Seeded for $Layer {
            fn data_format(&self) -> DataFormat {
                self.data_format
            }

            fn layer_seed(&self) -> &LayerSeed {
                &self.seed
            }
        }

        impl keras_spec::Layer for $Layer {
            fn draw_seeds(&self) {
                self.seed.generator();
            }

            fn check_inputs(&self, inputs: &[keras_spec::PartialShape]) -> Result<()> {
                self.validate()?;
                $crate::layers::preprocessing::images::check(inputs)
            }

            fn call(&self, inputs: &[Tensor], call: &keras_spec::Call) -> Result<Vec<Tensor>> {
                $crate::layers::preprocessing::augmentation::augment(self, inputs, call)
            }

            fn seed_generators(&self) -> Vec<keras_spec::random::SeedGenerator> {
                vec![self.seed.generator().clone()]
            }
        }
    };
}
pub(super) use augmentation_layer;

/// A layer whose arguments are a factor and the range of the images' numbers.
macro_rules! factor_layer {
    ($(#[$doc:meta])* $Layer:ident, $(#[$new:meta])* new($Factor:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $Layer {
            #[serde(default, deserialize_with = "crate::layers::common::data_format")]
            data_format: DataFormat,
            /// Of boxes, which only `tf.data` pipelines bring along: kept for the file.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            bounding_box_format: Option<String>,
            factor: $Factor,
            #[serde(default)]
            value_range: ValueRange,
            #[serde(default)]
            seed: LayerSeed,
        }

        $crate::layers::preprocessing::augmentation::augmentation_layer!($Layer);

        impl $Layer {
            $(#[$new])*
            pub fn new(factor: impl Into<$Factor>) -> Self {
                $Layer {
                    data_format: DataFormat::default(),
                    bounding_box_format: None,
                    factor: factor.into(),
                    value_range: ValueRange::default(),
                    seed: LayerSeed::default(),
                }
            }

            $crate::class::builders! {
                /// The least and the largest number of the images. Default: 0 and 255.
                value_range: ValueRange;
                /// Where the channels are.
                data_format: DataFormat;
            }

            fn validate(&self) -> Result<()> {
                self.factor.check("factor")
            }
        }
    };
}
pub(super) use factor_layer;
