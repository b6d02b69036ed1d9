use keras_spec::{
    Builder, Call, CompareOp, Config, Constraint, DType, Error, HostTensor, Initializer, Layer, LayerRef,
    PartialShape, Regularizer, Result, Shared, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::class::builders;
use crate::initializers::{HeUniform, RandomUniform, Zeros};
use crate::layers::common::{keras_layer, no_quantization, one, positive, scalar_like, weight_spec};

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
    #[serde(default = "uniform")]
    embeddings_initializer: Shared<dyn Initializer>,
    #[serde(default)]
    embeddings_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    embeddings_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    mask_zero: bool,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
    /// Older files have it; Keras ignores it.
    #[serde(default, skip_serializing, rename = "input_length")]
    _input_length: Option<Value>,
    #[serde(skip)]
    weights: Option<HostTensor>,
    #[serde(skip)]
    embeddings: Weight,
    #[serde(skip)]
    lora_embeddings_a: Weight,
    #[serde(skip)]
    lora_embeddings_b: Weight,
}

keras_layer!(Embedding, check validate);

fn uniform() -> Shared<dyn Initializer> {
    RandomUniform::new().into()
}

impl Embedding {
    /// A table of `input_dim` rows of `output_dim` numbers.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Embedding {
            input_dim,
            output_dim,
            embeddings_initializer: uniform(),
            embeddings_regularizer: None,
            embeddings_constraint: None,
            mask_zero: false,
            quantization_config: None,
            lora_rank: None,
            lora_alpha: None,
            _input_length: None,
            weights: None,
            embeddings: Weight::default(),
            lora_embeddings_a: Weight::default(),
            lora_embeddings_b: Weight::default(),
        }
    }

    builders! {
        /// First values of the table. Default: `RandomUniform`.
        embeddings_initializer: Shared<dyn Initializer>;
        /// A penalty on the table.
        some embeddings_regularizer: Shared<dyn Regularizer>;
        /// Where the table is moved after each step.
        some embeddings_constraint: Shared<dyn Constraint>;
        /// Whether index 0 is padding, which layers after this one are to skip.
        mask_zero = bool;
        /// The table itself, of shape `(input_dim, output_dim)`.
        some weights: HostTensor;
        /// Trains a product of two matrices of this rank instead of the table.
        some lora_rank = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Keras 3.15.1 replaces it by the rank when the
        /// layer is built, and so does this.
        some lora_alpha: f64;
    }

    fn validate(&self) -> Result<()> {
        positive("input_dim", self.input_dim)?;
        positive("output_dim", self.output_dim)?;
        if let Some(rank) = self.lora_rank {
            positive("lora_rank", rank)?;
            if self.embeddings_constraint.is_some() {
                let found = "both `lora_rank` and `embeddings_constraint`";
                return Err(Error::argument("embeddings_constraint", "none beside `lora_rank`", found));
            }
        }
        no_quantization(self.quantization_config.as_ref())
    }

    fn table(&self, call: &Call) -> Result<Tensor> {
        let table = self.embeddings.value()?;
        let (Some(a), Some(b)) = (self.lora_embeddings_a.optional()?, self.lora_embeddings_b.optional()?)
        else {
            return Ok(table);
        };
        (table + a.matmul(&b)?)?.into_dtype(call.compute_dtype())
    }
}

impl Layer for Embedding {
    fn draw_seeds(&self) {
        self.embeddings_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, _inputs: &[PartialShape]) -> Result<()> {
        let regularizer = self.embeddings_regularizer.as_ref();
        let table = weight_spec(
            "embeddings",
            [self.input_dim, self.output_dim],
            &self.embeddings_initializer,
            regularizer,
            self.embeddings_constraint.as_ref(),
        )?;
        builder.weight(&self.embeddings, table)?;
        if let Some(given) = &self.weights {
            let given = Tensor::from_host(given.clone(), builder.device())?;
            self.embeddings.variable()?.assign(&given)?;
        }
        if let Some(rank) = self.lora_rank {
            let lora = |name: &str, shape: [usize; 2]| {
                WeightSpec::new(name, shape).dtype(DType::F32).regularizer(regularizer)
            };
            let a = lora("lora_embeddings_a", [self.input_dim, rank]).initializer(HeUniform::new())?;
            builder.weight(&self.lora_embeddings_a, a)?;
            let b = lora("lora_embeddings_b", [rank, self.output_dim]).initializer(Zeros::new())?;
            builder.weight(&self.lora_embeddings_b, b)?;
            self.embeddings.variable()?.set_trainable(false);
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let indices = one(inputs)?.cast(DType::I32)?;
        let negative = indices.compare_with(CompareOp::Lt, 0.0)?;
        let indices = negative.select(&(&indices + self.input_dim as f64)?, &indices)?;
        let inside = indices
            .compare_with(CompareOp::Ge, 0.0)?
            .and(&indices.compare_with(CompareOp::Lt, self.input_dim as f64)?)?
            .expand_dims(-1)?;
        let rows = self.table(call)?.take(&indices, 0)?;
        let rows = inside.select(&rows, &scalar_like(&rows, f64::NAN)?)?;
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

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
        if let Some(rank) = self.lora_rank {
            let alpha = if layer.is_built() { None } else { self.lora_alpha };
            config.insert("lora_alpha".to_owned(), alpha.map_or_else(|| rank.into(), Value::from));
        }
    }
}
