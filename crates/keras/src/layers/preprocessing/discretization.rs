use std::sync::{Arc, PoisonError, RwLock};

use keras_spec::{Call, Config, DType, Error, HostTensor, Layer, LayerRef, PartialShape, Result, Tensor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encoding::OutputMode;
use super::summary;
use crate::class::builders;
use crate::layers::common::{keras_layer, one};

/// Numbers by the ranges in which they lie: below the first boundary is range 0, from there to the next 1, and so on
/// (`keras.layers.Discretization`, Keras 3.15.1). The shape stays, the numbers of ranges are int32; other modes give vectors
/// of the length of the number of ranges.
///
/// ```
/// use keras::layers::Discretization;
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(Discretization::new([0.0, 1.0]));
/// let ranges = layer.call(&[Tensor::new([3], vec![-0.5f32, 1.0, 0.5])?], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(ranges[0].to_vec::<i32>()?, [0, 2, 1]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discretization {
    #[serde(default)]
    bin_boundaries: Boundaries,
    #[serde(default)]
    num_bins: Option<usize>,
    #[serde(default = "hundredth")]
    epsilon: f64,
    #[serde(default = "int")]
    output_mode: OutputMode,
    /// Tensors here are dense, whatever files of TensorFlow ask for.
    #[serde(default)]
    sparse: bool,
}

keras_layer!(Discretization, check validate);

fn hundredth() -> f64 {
    0.01
}

fn int() -> OutputMode {
    OutputMode::Int
}

/// Given, or learnt by [`Discretization::adapt`]. Clones share them.
#[derive(Clone, Debug, Default)]
struct Boundaries(Arc<RwLock<Option<Vec<f64>>>>);

impl Boundaries {
    fn get(&self) -> Option<Vec<f64>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, boundaries: Vec<f64>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(boundaries);
    }
}

impl Serialize for Boundaries {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Boundaries {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Boundaries(Arc::new(RwLock::new(Option::deserialize(d)?))))
    }
}

impl Discretization {
    /// Ranges between these boundaries, from the least to the largest.
    pub fn new(bin_boundaries: impl Into<Vec<f64>>) -> Self {
        let layer = Self::with_num_bins(0);
        layer.bin_boundaries.set(bin_boundaries.into());
        Discretization { num_bins: None, ..layer }
    }

    /// As many ranges, whose boundaries [`adapt`](Discretization::adapt) finds.
    pub fn with_num_bins(num_bins: usize) -> Self {
        Discretization {
            bin_boundaries: Boundaries::default(),
            num_bins: Some(num_bins),
            epsilon: hundredth(),
            output_mode: int(),
            sparse: false,
        }
    }

    builders! {
        /// How exact [`adapt`](Discretization::adapt) is: the part of the data between what it keeps. Default: 0.01.
        epsilon: f64;
        /// What is given out. Default: the numbers of ranges.
        output_mode: OutputMode;
    }

    fn validate(&self) -> Result<()> {
        let boundaries = self.bin_boundaries.get();
        if self.num_bins.is_none() && boundaries.is_none() {
            return Err(Error::argument(
                "bin_boundaries",
                "either `num_bins` or `bin_boundaries`",
                "neither",
            ));
        }
        if boundaries.as_ref().is_some_and(|b| !b.is_sorted()) {
            let found = format!("{boundaries:?}");
            return Err(Error::argument("bin_boundaries", "numbers from the least to the largest", found));
        }
        if !(self.epsilon > 0.0 && self.epsilon <= 1.0) {
            return Err(Error::argument("epsilon", "a number above 0, at most 1", self.epsilon));
        }
        if self.output_mode == OutputMode::TfIdf {
            let expected = "`int`, `one_hot`, `multi_hot` or `count`";
            return Err(Error::argument("output_mode", expected, "`tf_idf`"));
        }
        if self.sparse && self.output_mode == OutputMode::Int {
            return Err(Error::argument("sparse", "false where `output_mode` is `int`", true));
        }
        Ok(())
    }

    /// Finds boundaries between which about equally many numbers of the data lie. They are kept in files.
    ///
    /// # Errors
    /// If `layer` is another layer, was made with boundaries, or there is no data.
    pub fn adapt(layer: &LayerRef, data: &HostTensor) -> Result<()> {
        let Some(this) = layer.downcast::<Discretization>() else {
            return Err(Error::argument("layer", "a Discretization", layer.class().name));
        };
        let Some(num_bins) = this.num_bins else {
            return Err(Error::argument("num_bins", "a number, to find boundaries", "`bin_boundaries`"));
        };
        if data.shape().size() == 0 || num_bins == 0 {
            let found = format!("shape {} for {num_bins} ranges", data.shape());
            return Err(Error::argument("data", "numbers to divide into ranges", found));
        }
        let numbers = data.cast(DType::F32).into_vec::<f32>()?;
        let boundaries = summary::boundaries(numbers, this.epsilon, num_bins);
        this.bin_boundaries.set(boundaries.into_iter().map(f64::from).collect());
        Ok(())
    }
}

impl Layer for Discretization {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    // To be cast to the integers that it may give would move numbers to other ranges.
    fn autocast(&self) -> bool {
        false
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let Some(boundaries) = self.bin_boundaries.get() else {
            return Err(Error::argument("bin_boundaries", "boundaries, given or from `adapt`", "none"));
        };
        let ranges = boundaries.len() + 1;
        let boundaries: Vec<f32> = boundaries.into_iter().map(|b| b as f32).collect();
        let boundaries = Tensor::from_host(HostTensor::new([ranges - 1], boundaries)?, x.device())?;
        // Not a number lies beyond all.
        let passed = x.expand_dims(-1)?.less(&boundaries)?.not()?;
        let numbers = passed.cast(DType::I32)?.sum(&[-1], false)?;
        let dtype = if self.output_mode == OutputMode::Int { DType::I32 } else { call.compute_dtype() };
        Ok(vec![self.output_mode.encode(&numbers, ranges, dtype, None)?])
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.remove("trainable");
        config.insert("dtype".to_owned(), layer.policy().variable_dtype().name().into());
    }
}
