use std::sync::{Arc, OnceLock};

use keras_spec::{Call, DType, DTypePolicy, Error, HostTensor, Layer, PartialShape, Result, Tensor, scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoding::OutputMode;
use super::hash::{bucket, salt};
use crate::class::builders;
use crate::layers::common::{keras_layer, one, positive};

/// Numbers or texts as numbers of bins, by a hash of their decimal form: the shape stays, the dtype is that of the layer,
/// int64 unless said otherwise; other modes give vectors of `num_bins` numbers (`keras.layers.Hashing`, Keras 3.15.1).
///
/// Tensors have no texts; [`bins`](Hashing::bins) takes them.
///
/// ```
/// use keras::layers::Hashing;
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(Hashing::new(5));
/// let bins = layer.call(&[Tensor::new([3], vec![1i64, 25, -3])?], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(bins[0].to_vec::<i64>()?, [4, 3, 4]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashing {
    num_bins: usize,
    #[serde(default, deserialize_with = "salt")]
    salt: Option<[u64; 2]>,
    #[serde(default)]
    mask_value: Value,
    #[serde(default = "int")]
    output_mode: OutputMode,
    /// Tensors here are dense, whatever files of TensorFlow ask for.
    #[serde(default)]
    sparse: bool,
    #[serde(skip)]
    dtype: Arc<OnceLock<DType>>,
}

keras_layer!(Hashing, check validate);

fn int() -> OutputMode {
    OutputMode::Int
}

impl Hashing {
    /// As many bins.
    pub fn new(num_bins: usize) -> Self {
        Hashing {
            num_bins,
            salt: None,
            mask_value: Value::Null,
            output_mode: int(),
            sparse: false,
            dtype: Arc::default(),
        }
    }

    builders! {
        /// A number or a text that alone is in bin 0.
        mask_value: Value;
        /// The key of another hash, SipHash, which nobody can foresee without it.
        some salt: [u64; 2];
        /// What is given out. Default: the numbers of bins.
        output_mode: OutputMode;
    }

    fn validate(&self) -> Result<()> {
        positive("num_bins", self.num_bins)?;
        if self.output_mode == OutputMode::TfIdf {
            let expected = "`int`, `one_hot`, `multi_hot` or `count`";
            return Err(Error::argument("output_mode", expected, "`tf_idf`"));
        }
        if self.sparse && self.output_mode == OutputMode::Int {
            return Err(Error::argument("sparse", "false where `output_mode` is `int`", true));
        }
        Ok(())
    }

    /// The bins of texts.
    pub fn bins<T: AsRef<str>>(&self, texts: &[T]) -> Vec<i64> {
        texts
            .iter()
            .map(|text| self.bin(text.as_ref(), self.mask_value.as_str() == Some(text.as_ref())))
            .collect()
    }

    fn bin(&self, text: &str, masked: bool) -> i64 {
        let apart = !self.mask_value.is_null() && self.num_bins > 1;
        match apart {
            true if masked => 0,
            true => bucket(text.as_bytes(), self.num_bins as u64 - 1, self.salt) as i64 + 1,
            false => bucket(text.as_bytes(), self.num_bins as u64, self.salt) as i64,
        }
    }

    fn bins_of_numbers(&self, numbers: &HostTensor) -> Result<Vec<i64>> {
        let mask = self.mask_value.as_f64();
        let bins = |texts: Vec<String>| {
            let masked = numbers.to_f64_vec().into_iter().map(|n| Some(n) == mask);
            texts.iter().zip(masked).map(|(text, masked)| self.bin(text, masked)).collect()
        };
        Ok(match numbers.dtype() {
            DType::Bool => bins(numbers.clone().into_vec::<bool>()?.iter().map(bool::to_string).collect()),
            DType::U64 => bins(numbers.clone().into_vec::<u64>()?.iter().map(u64::to_string).collect()),
            _ => bins(numbers.cast(DType::I64).into_vec::<i64>()?.iter().map(i64::to_string).collect()),
        })
    }
}

impl Layer for Hashing {
    fn make_parts(&self, policy: DTypePolicy) {
        self.dtype.get_or_init(|| policy.variable_dtype());
    }

    fn default_policy(&self) -> Option<DTypePolicy> {
        (self.output_mode == OutputMode::Int).then_some(DTypePolicy::uniform(DType::I64))
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let dtype = self.dtype.get().copied().unwrap_or(call.compute_dtype());
        if self.output_mode == OutputMode::Int && dtype.is_float() {
            return Err(Error::argument("dtype", "an integer type where `output_mode` is `int`", dtype));
        }
        let bins = match scope::is_abstract() {
            true => vec![0; x.shape().size()],
            false => self.bins_of_numbers(&x.to_host()?)?,
        };
        let bins = Tensor::from_host(HostTensor::new(x.shape(), bins)?, x.device())?;
        Ok(vec![self.output_mode.encode(&bins, self.num_bins, dtype, None)?])
    }

    fn autocast(&self) -> bool {
        false
    }
}
