use keras_spec::{
    Builder, Call, CompareOp, Config, Constraint, DType, Fused, HostTensor, Initializer, Layer, LayerRef, Op,
    PartialShape, Regularizer, Result, Shared, Tensor, Variable,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{keras_layer, no_quantization, one, positive};
use crate::layers::parameters::{Lora, Table};

/// A row of a table for each index: `(batch, …)` → `(batch, …, output_dim)` (`keras.layers.Embedding`, Keras 3.15.1).
///
/// Indices are integers or floats that hold integers; negative ones count from the end, and for one outside the table the
/// row is NaN, as on JAX. With `mask_zero` index 0 is masked. Weights: `embeddings` `(input_dim, output_dim)`; with
/// `lora_rank` also `lora_embeddings_a` and `lora_embeddings_b`, whose product is added, and the table itself is frozen.
///
/// ```
/// use keras::layers::Embedding;
///
/// let words = Embedding::new(10_000, 64).mask_zero(true);
/// # let _ = words;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    table: Table,
    #[serde(default)]
    mask_zero: bool,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(flatten, deserialize_with = "flattened")]
    lora: Lora,
    /// Older files have it; Keras ignores it.
    #[serde(default, skip_serializing, rename = "input_length")]
    _input_length: Option<Value>,
    #[serde(skip)]
    weights: Option<HostTensor>,
}

keras_layer!(Embedding, check validate);

impl Embedding {
    /// A table of `input_dim` rows of `output_dim` numbers.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            input_dim,
            output_dim,
            table: Table::default(),
            mask_zero: false,
            quantization_config: None,
            lora: Lora::default(),
            _input_length: None,
            weights: None,
        }
    }

    builders! {
        /// First values of the table. Default: `RandomUniform`.
        embeddings_initializer in table: Shared<dyn Initializer>;
        /// A penalty on the table.
        some embeddings_regularizer in table: Shared<dyn Regularizer>;
        /// Where the table is moved after each step.
        some embeddings_constraint in table: Shared<dyn Constraint>;
        /// Whether index 0 is padding, which layers after this one are to skip.
        mask_zero = bool;
        /// The table itself, of shape `(input_dim, output_dim)`.
        some weights: HostTensor;
        /// Trains a product of two matrices of this rank instead of the table.
        some lora_rank in lora = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Keras 3.15.1 replaces it by the rank when the
        /// layer is built, and so does this.
        some lora_alpha in lora: f64;
    }

    pub(super) fn lengths(&self) -> (usize, usize) {
        (self.input_dim, self.output_dim)
    }

    pub(super) fn initializer(&self) -> &Shared<dyn Initializer> {
        &self.table.embeddings_initializer
    }

    /// The table, with what `lora_rank` adds in `dtype`.
    pub(super) fn rows(&self, dtype: DType) -> Result<Tensor> {
        self.lora.merged(self.table.weight.value()?, 1.0, dtype)
    }

    pub(super) fn validate(&self) -> Result<()> {
        positive("input_dim", self.input_dim)?;
        positive("output_dim", self.output_dim)?;
        self.lora.validate("embeddings_constraint", self.table.embeddings_constraint.as_ref())?;
        no_quantization(self.quantization_config.as_ref())
    }
}

impl Layer for Embedding {
    fn draw_seeds(&self) {
        self.table.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, _inputs: &[PartialShape]) -> Result<()> {
        self.table.build(builder, "embeddings", [self.input_dim, self.output_dim])?;
        if let Some(given) = &self.weights {
            let given = Tensor::from_host(given.clone(), builder.device())?;
            self.table.weight.variable()?.assign(&given)?;
        }
        let Table { weight, embeddings_regularizer, .. } = &self.table;
        self.lora.build(builder, "embeddings", weight, embeddings_regularizer.as_ref())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let indices = one(inputs)?.cast(DType::I32)?;
        let table = self.rows(call.compute_dtype())?;
        let rows = Tensor::apply1(Op::Fused(Fused::Embedding), [table, indices])?;
        Ok(vec![rows.into_dtype(call.compute_dtype())?])
    }

    fn supports_masking(&self) -> bool {
        self.mask_zero
    }

    fn compute_mask(&self, inputs: &[Tensor], _masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(one(inputs)?.compare_with(CompareOp::Ne, 0.0)?)])
    }

    fn autocast(&self) -> bool {
        false
    }

    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        self.lora.saved(own, 1.0)
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
        if let Some(rank) = self.lora.lora_rank {
            let alpha = if layer.is_built() { None } else { self.lora.lora_alpha };
            config.insert("lora_alpha".to_owned(), alpha.map_or_else(|| rank.into(), Value::from));
        }
    }
}
