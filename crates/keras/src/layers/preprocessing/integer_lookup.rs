use std::collections::BTreeMap;

use keras_spec::{
    Call, Config, DType, Error, HostTensor, Layer, LayerRef, PartialShape, Result, Tensor, scope,
};
use serde::{Deserialize, Serialize};

use super::encoding::OutputMode;
use super::lookup::{Lookup, OovMethod};
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{keras_layer, one};

/// Integers as their numbers in a vocabulary: 0 for all that are not in it, then 1 for its first, and so on. The shape stays;
/// other modes give vectors as long as the vocabulary (`keras.layers.IntegerLookup`, Keras 3.15.1). All are int64, but for
/// [`OutputMode::TfIdf`], which gives float32.
///
/// ```
/// use keras::layers::IntegerLookup;
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(IntegerLookup::new().vocabulary([7, 25]));
/// let numbers = layer.call(&[Tensor::new([3], vec![25i64, 3, 7])?], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(numbers[0].to_vec::<i64>()?, [2, 0, 1]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerLookup {
    #[serde(flatten, deserialize_with = "flattened")]
    lookup: Lookup<i64>,
    #[serde(default = "int64")]
    vocabulary_dtype: String,
}

keras_layer!(IntegerLookup, check validate);

fn int64() -> String {
    "int64".to_owned()
}

impl Default for IntegerLookup {
    fn default() -> Self {
        IntegerLookup { lookup: Lookup::new(), vocabulary_dtype: int64() }
    }
}

impl IntegerLookup {
    /// With a vocabulary that [`vocabulary`](IntegerLookup::vocabulary) gives or [`adapt`](IntegerLookup::adapt) learns.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The vocabulary.
        some vocabulary in lookup: Vec<i64>;
        /// How long the vocabulary may be, with what stands before it. Default: any length.
        some max_tokens in lookup = usize;
        /// How many numbers there are for what is not in the vocabulary; at 0 that is an error. Default: 1.
        num_oov_indices in lookup = usize;
        /// An integer that has the number 0.
        some mask_token in lookup = i64;
        /// What stands for unknown numbers with [`invert`](IntegerLookup::invert). Default: -1.
        some oov_token in lookup = i64;
        /// How rare each of the vocabulary is, for [`OutputMode::TfIdf`].
        some idf_weights in lookup: Vec<f64>;
        /// Whether numbers become members of the vocabulary again.
        invert in lookup = bool;
        /// What is given out. Default: the numbers.
        output_mode in lookup: OutputMode;
        /// Whether vectors have the length `max_tokens`, however long the vocabulary is.
        pad_to_max_tokens in lookup = bool;
        /// Which of several numbers something unknown has. Default: that of its remainder.
        oov_method in lookup: OovMethod;
        /// The key of the hash for [`OovMethod::Farmhash`].
        some salt in lookup: [u64; 2];
    }

    fn validate(&self) -> Result<()> {
        if self.vocabulary_dtype != "int64" {
            return Err(Error::argument("vocabulary_dtype", "`int64`", &self.vocabulary_dtype));
        }
        if self.lookup.salt.is_some() && self.lookup.oov_method != OovMethod::Farmhash {
            return Err(Error::argument("salt", "none unless `oov_method` is `farmhash`", "one"));
        }
        self.lookup.validate()
    }

    /// The vocabulary, with what stands before it.
    pub fn get_vocabulary(&self) -> Vec<i64> {
        self.lookup.vocabulary()
    }

    /// Learns the vocabulary from integers `(documents, integers)`, the most frequent ones first. It is kept in files.
    ///
    /// # Errors
    /// If `layer` is another layer, or was made with a vocabulary.
    pub fn adapt(layer: &LayerRef, data: &HostTensor) -> Result<()> {
        let Some(this) = layer.downcast::<IntegerLookup>() else {
            return Err(Error::argument("layer", "an IntegerLookup", layer.class().name));
        };
        let per_document = match data.shape().dims() {
            [] | [_] => 1,
            [_, rest @ ..] => rest.iter().product::<usize>().max(1),
        };
        let integers = data.cast(DType::I64).into_vec::<i64>()?;
        let documents: Vec<Vec<i64>> = integers.chunks(per_document).map(<[i64]>::to_vec).collect();
        this.lookup.adapt(&documents)
    }
}

impl Layer for IntegerLookup {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let found = if scope::is_abstract() {
            vec![0; x.shape().size()]
        } else {
            let integers = x.to_host()?.cast(DType::I64).into_vec::<i64>()?;
            match self.lookup.invert {
                true => self.lookup.tokens_of(&integers)?,
                false => self.lookup.numbers(&integers)?,
            }
        };
        let found = Tensor::from_host(HostTensor::new(x.shape(), found)?, x.device())?;
        Ok(vec![self.lookup.encode(&found)?])
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        self.lookup.learnt_config(config);
    }

    fn saved_arrays(&self) -> Result<BTreeMap<String, HostTensor>> {
        self.lookup.saved_arrays()
    }

    fn load_arrays(&self, arrays: &BTreeMap<String, HostTensor>) -> Result<()> {
        self.lookup.load_arrays("IntegerLookup", arrays)
    }

    fn load_assets(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        self.lookup.load_assets("IntegerLookup", files)
    }

    fn build_config(&self, _shapes: &[PartialShape]) -> Option<serde_json::Value> {
        Some(serde_json::json!({}))
    }
}
