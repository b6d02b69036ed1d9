//! What many layers share: arguments with a fixed set of names, checks, and weights with their three companions.

use std::fmt;
use std::sync::{Arc, OnceLock};

use keras_spec::random::SeedGenerator;
use keras_spec::{
    Constraint, Error, Initializer, PartialShape, Regularizer, Result, Shared, Tensor, WeightSpec,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Makes a struct the class `keras.layers.$Layer`; see [`crate::class`].
macro_rules! keras_layer {
    ($Layer:ident $($rest:tt)*) => {
        $crate::class::keras_class!(dyn keras_spec::Layer, "keras.layers", $Layer $($rest)*);
    };
}
pub(crate) use keras_layer;

/// Where the channels are: `data_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// `(batch, spatial…, channels)`
    #[default]
    ChannelsLast,
    /// `(batch, channels, spatial…)`
    ChannelsFirst,
}

impl DataFormat {
    /// The axis of the channels in a tensor of `rank` dimensions.
    pub fn channel_axis(self, rank: usize) -> usize {
        match self {
            DataFormat::ChannelsLast => rank.saturating_sub(1),
            DataFormat::ChannelsFirst => 1,
        }
    }

    /// Refuses channels first, where Keras's class has no `data_format`.
    pub(crate) fn only_last(self) -> Result<()> {
        match self {
            DataFormat::ChannelsLast => Ok(()),
            DataFormat::ChannelsFirst => {
                Err(Error::argument("data_format", "`channels_last`", "`channels_first`"))
            }
        }
    }

    /// The first spatial axis.
    pub fn first_spatial_axis(self) -> usize {
        match self {
            DataFormat::ChannelsLast => 1,
            DataFormat::ChannelsFirst => 2,
        }
    }
}

/// `data_format` in files: Keras writes the name and reads `null` as the default.
pub(crate) fn data_format<'de, D: Deserializer<'de>>(d: D) -> Result<DataFormat, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A length per spatial axis; one number stands for the same along all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lengths<const N: usize>(#[serde(serialize_with = "as_list")] pub [usize; N]);

fn as_list<S: Serializer, const N: usize>(lengths: &[usize; N], s: S) -> Result<S::Ok, S::Error> {
    lengths.as_slice().serialize(s)
}

impl<const N: usize> From<usize> for Lengths<N> {
    fn from(length: usize) -> Self {
        Lengths([length; N])
    }
}

impl<const N: usize> From<[usize; N]> for Lengths<N> {
    fn from(lengths: [usize; N]) -> Self {
        Lengths(lengths)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Lengths<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(d)?;
        let length = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let lengths = match &value {
            Value::Array(list) => list.iter().map(length).collect::<Option<Vec<_>>>(),
            one => length(one).map(|n| vec![n; N]),
        };
        lengths.and_then(|l| l.try_into().ok()).map(Lengths).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "expected an integer or {N} integers, not negative, found {value}"
            ))
        })
    }
}

/// The seed of a layer that draws random numbers, and the generator it becomes when the layer is made.
///
/// Clones share the generator. In files it is the number, or `null`.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerSeed {
    seed: Option<u32>,
    generator: Arc<OnceLock<SeedGenerator>>,
}

impl LayerSeed {
    /// The number, if there is one.
    pub(crate) fn given(&self) -> Option<u32> {
        self.seed
    }

    /// The generator, which begins when this is first asked: a layer does so in [`keras_spec::Layer::draw_seeds`].
    pub(crate) fn generator(&self) -> &SeedGenerator {
        self.generator.get_or_init(|| SeedGenerator::new(self.seed))
    }
}

impl From<u32> for LayerSeed {
    fn from(seed: u32) -> Self {
        LayerSeed { seed: Some(seed), generator: Arc::default() }
    }
}

impl Serialize for LayerSeed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.seed.serialize(s)
    }
}

impl<'de> Deserialize<'de> for LayerSeed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let seed = Option::<u32>::deserialize(d)?;
        Ok(LayerSeed { seed, generator: Arc::default() })
    }
}

/// A weight with the initializer, regularizer and constraint that layers take for it (`kernel_initializer`, …).
pub(crate) fn weight_spec(
    name: &str,
    shape: impl Into<keras_spec::Shape>,
    initializer: &Shared<dyn Initializer>,
    regularizer: Option<&Shared<dyn Regularizer>>,
    constraint: Option<&Shared<dyn Constraint>>,
) -> Result<WeightSpec> {
    Ok(WeightSpec::new(name, shape)
        .initializer(initializer.clone())?
        .regularizer(regularizer)
        .constraint(constraint))
}

/// Refuses zero.
pub(crate) fn positive(argument: &str, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::argument(argument, "a positive integer", value));
    }
    Ok(())
}

/// Refuses sizes of which one is zero.
pub(crate) fn all_positive(argument: &str, values: &[usize]) -> Result<()> {
    if values.contains(&0) {
        return Err(Error::argument(argument, "positive integers", format!("{values:?}")));
    }
    Ok(())
}

/// Refuses numbers outside `0..=1` and NaN.
pub(crate) fn fraction(argument: &str, value: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&value) {
        return Err(Error::argument(argument, "a number between 0 and 1", value));
    }
    Ok(())
}

/// Refuses negative numbers and NaN.
pub(crate) fn not_negative(argument: &str, value: f64) -> Result<()> {
    if value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(argument, "a number that is not negative", value))
}

/// The only input.
pub(crate) fn one<T>(inputs: &[T]) -> Result<&T> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::argument("inputs", "one tensor", format!("a list of {}", inputs.len()))),
    }
}

/// The shape of the only input, which must have `rank` dimensions (Keras: `expected ndim=…`).
pub(crate) fn input_of_rank(inputs: &[PartialShape], rank: usize) -> Result<&PartialShape> {
    let input = one(inputs)?;
    if input.rank() != rank {
        return Err(wrong_rank(format!("ndim={rank}"), input));
    }
    Ok(input)
}

/// The shape of the only input, which must have at least `rank` dimensions (Keras: `expected min_ndim=…`).
pub(crate) fn input_of_min_rank(inputs: &[PartialShape], rank: usize) -> Result<&PartialShape> {
    let input = one(inputs)?;
    if input.rank() < rank {
        return Err(wrong_rank(format!("min_ndim={rank}"), input));
    }
    Ok(input)
}

fn wrong_rank(expected: impl fmt::Display, found: &PartialShape) -> Error {
    Error::argument("inputs", expected, format!("ndim={}, shape {found}", found.rank()))
}

/// Refuses an input whose length along `axis` is known and not that which the weights were made for.
pub(crate) fn axis_length(input: &PartialShape, axis: isize, expected: usize) -> Result<()> {
    match input[input.axis(axis)?] {
        Some(found) if found != expected => {
            let found = format!("shape {input}, which is incompatible with the layer");
            Err(Error::argument("inputs", format!("length {expected} along axis {axis}"), found))
        }
        _ => Ok(()),
    }
}

/// A tensor of one number on the device and of the dtype of another.
pub(crate) fn scalar_like(x: &Tensor, value: f64) -> Result<Tensor> {
    Tensor::full(keras_spec::Shape::scalar(), x.dtype(), value, x.device())
}

/// Refuses a configuration of quantization, which is not supported.
pub(crate) fn no_quantization(config: Option<&Value>) -> Result<()> {
    match config {
        None => Ok(()),
        Some(found) => {
            Err(Error::argument("quantization_config", "null (layers here are not quantized)", found))
        }
    }
}
