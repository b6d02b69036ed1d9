use std::sync::{Arc, OnceLock};

use keras_spec::{
    Call, Config, DType, DTypePolicy, Error, HostTensor, Layer, LayerRef, PartialShape, Result, Tensor, scope,
};
use serde::{Deserialize, Serialize};

use super::encoding::OutputMode;
use super::hash::join;
use crate::class::builders;
use crate::layers::common::{keras_layer, positive};

/// What TensorFlow begins with unless told otherwise.
const HASH_KEY: u64 = 0x00DE_CAFC_AFFE;

/// Two or more integers together as the number of a bin: inputs of one shape, `(batch,)` or `(batch, 1)`, which stays; one
/// vector of `num_bins` numbers for each with [`OutputMode::OneHot`] (`keras.layers.HashedCrossing`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedCrossing {
    num_bins: usize,
    #[serde(default = "int")]
    output_mode: OutputMode,
    /// Tensors here are dense, whatever files of TensorFlow ask for.
    #[serde(default)]
    sparse: bool,
    #[serde(skip)]
    dtype: Arc<OnceLock<DType>>,
}

keras_layer!(HashedCrossing, check validate);

fn int() -> OutputMode {
    OutputMode::Int
}

impl HashedCrossing {
    /// As many bins.
    pub fn new(num_bins: usize) -> Self {
        HashedCrossing { num_bins, output_mode: int(), sparse: false, dtype: Arc::default() }
    }

    builders! {
        /// [`OutputMode::Int`], the default, or [`OutputMode::OneHot`].
        output_mode: OutputMode;
    }

    fn validate(&self) -> Result<()> {
        positive("num_bins", self.num_bins)?;
        match self.output_mode {
            OutputMode::Int | OutputMode::OneHot => Ok(()),
            other => Err(Error::argument("output_mode", "`int` or `one_hot`", format!("{other:?}"))),
        }
    }
}

impl Layer for HashedCrossing {
    fn make_parts(&self, policy: DTypePolicy) {
        self.dtype.get_or_init(|| policy.variable_dtype());
    }

    fn default_policy(&self) -> Option<DTypePolicy> {
        (self.output_mode == OutputMode::Int).then_some(DTypePolicy::uniform(DType::I64))
    }

    fn check_inputs(&self, _inputs: &[PartialShape]) -> Result<()> {
        self.validate()
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let [first, _, ..] = inputs else {
            return Err(Error::argument("inputs", "at least two tensors", format!("{}", inputs.len())));
        };
        let shape = first.shape();
        if !matches!(shape.dims(), [] | [_] | [_, 1]) {
            return Err(Error::argument("inputs", "shapes (), (batch,) or (batch, 1)", shape));
        }
        let dtype = self.dtype.get().copied().unwrap_or(call.compute_dtype());
        let mut hashes = vec![HASH_KEY; shape.size()];
        for x in inputs {
            if x.dtype().is_float() || x.shape() != shape {
                let found = format!("{} {}", x.dtype(), x.shape());
                return Err(Error::argument("inputs", format!("integers of the shape {shape}"), found));
            }
            if scope::is_abstract() {
                continue;
            }
            let numbers = x.to_host()?.cast(DType::I64).into_vec::<i64>()?;
            hashes.iter_mut().zip(numbers).for_each(|(hash, n)| *hash = join(*hash, n as u64));
        }
        let bins: Vec<i64> = hashes.into_iter().map(|hash| (hash % self.num_bins as u64) as i64).collect();
        let bins = Tensor::from_host(HostTensor::new(shape, bins)?, first.device())?;
        Ok(vec![self.output_mode.encode(&bins, self.num_bins, dtype, None)?])
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.remove("trainable");
        config.insert("dtype".to_owned(), layer.policy().variable_dtype().name().into());
    }
}
