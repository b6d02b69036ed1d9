use std::sync::{Arc, OnceLock};

use keras_spec::{Call, DType, DTypePolicy, Error, Layer, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::encoding::OutputMode;
use crate::class::builders;
use crate::layers::common::{keras_layer, one, positive};

/// Numbers of categories as vectors: `(batch, numbers)` → `(batch, num_tokens)`, or a vector for each number with
/// [`OutputMode::OneHot`] (`keras.layers.CategoryEncoding`, Keras 3.15.1). A number that is not in `0..num_tokens` is zeros.
///
/// In a call, `count_weights` of the inputs' shape say how much each number counts, in the mode that counts.
///
/// ```
/// use keras::layers::CategoryEncoding;
/// use keras::prelude::*;
///
/// let layer = LayerRef::from(CategoryEncoding::new(4));
/// let numbers = Tensor::new([2, 2], vec![0i32, 1, 3, 3])?;
/// let hot = layer.call(&[numbers], &keras_spec::Call::inference())?.tensors;
/// assert_eq!(hot[0].to_vec::<f32>()?, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryEncoding {
    num_tokens: usize,
    #[serde(default = "multi_hot")]
    output_mode: OutputMode,
    /// Tensors here are dense, whatever files of TensorFlow ask for. Keras does not write it.
    #[serde(default, rename = "sparse", skip_serializing)]
    _sparse: bool,
    #[serde(skip)]
    dtype: Arc<OnceLock<DType>>,
}

keras_layer!(CategoryEncoding, check validate);

fn multi_hot() -> OutputMode {
    OutputMode::MultiHot
}

impl CategoryEncoding {
    /// Numbers below `num_tokens`.
    pub fn new(num_tokens: usize) -> Self {
        CategoryEncoding { num_tokens, output_mode: multi_hot(), _sparse: false, dtype: Arc::default() }
    }

    builders! {
        /// [`OutputMode::MultiHot`], the default, [`OutputMode::OneHot`] or [`OutputMode::Count`].
        output_mode: OutputMode;
    }

    fn validate(&self) -> Result<()> {
        positive("num_tokens", self.num_tokens)?;
        match self.output_mode {
            OutputMode::Int | OutputMode::TfIdf => {
                let expected = "`multi_hot`, `one_hot` or `count`";
                Err(Error::argument("output_mode", expected, format!("{:?}", self.output_mode)))
            }
            _ => Ok(()),
        }
    }
}

impl Layer for CategoryEncoding {
    /// Keras gives out the dtype of variables, also where it computes in another.
    fn make_parts(&self, policy: DTypePolicy) {
        self.dtype.get_or_init(|| policy.variable_dtype());
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let numbers = one(inputs)?;
        let dtype = self.dtype.get().copied().unwrap_or(call.compute_dtype());
        let Some(weights) = call.tensors("count_weights").first() else {
            return Ok(vec![self.output_mode.encode(numbers, self.num_tokens, dtype, None)?]);
        };
        if self.output_mode != OutputMode::Count {
            let found = format!("weights with the mode {:?}", self.output_mode);
            return Err(Error::argument("count_weights", "none unless `output_mode` is `count`", found));
        }
        let weights = weights.cast(call.compute_dtype())?;
        let dtype = weights.dtype();
        Ok(vec![self.output_mode.encode(numbers, self.num_tokens, dtype, Some(&weights))?])
    }

    fn autocast(&self) -> bool {
        false
    }
}
