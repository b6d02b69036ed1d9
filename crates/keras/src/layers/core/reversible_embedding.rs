use keras_spec::layer::Outputs;
use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Builder, Call, Class, Config, DType, Layer, LayerRef, Object, PartialShape, Result, Tensor, Variable,
    Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};

use super::Embedding;
use crate::class::builders;
use crate::layers::common::one;
use crate::layers::defaults::yes;

/// An [`Embedding`] that also goes back: called with the argument `reverse` it gives scores of all indices, the product with
/// the transposed table (`keras.layers.ReversibleEmbedding`, Keras 3.15.1).
///
/// Weights: those of the embedding, and without `tie_weights` also `reverse_embeddings` `(output_dim, input_dim)`.
#[derive(Clone, Debug)]
pub struct ReversibleEmbedding {
    embedding: Embedding,
    reverse: Reverse,
    reverse_embeddings: Weight,
}

/// The arguments beside those of the embedding.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reverse {
    #[serde(default = "yes")]
    tie_weights: bool,
    #[serde(default)]
    reverse_dtype: Option<DType>,
    #[serde(default)]
    logit_soft_cap: Option<f64>,
}

const CLASS: Class = Class::keras("keras.layers", "ReversibleEmbedding");

keras_spec::register!(dyn Layer, CLASS, |config| {
    let own = |key: &String| ["tie_weights", "reverse_dtype", "logit_soft_cap"].contains(&key.as_str());
    let (reverse, embedding): (Config, Config) = config.clone().into_iter().partition(|(key, _)| own(key));
    let embedding: Embedding = from_config(CLASS, &embedding)?;
    embedding.validate()?;
    let reverse = from_config(CLASS, &reverse)?;
    Ok(Box::new(ReversibleEmbedding { embedding, reverse, reverse_embeddings: Weight::default() }))
});

impl ReversibleEmbedding {
    /// With the table of `embedding` for both ways.
    pub fn new(embedding: Embedding) -> Self {
        let reverse = Reverse { tie_weights: true, reverse_dtype: None, logit_soft_cap: None };
        ReversibleEmbedding { embedding, reverse, reverse_embeddings: Weight::default() }
    }

    builders! {
        /// Whether the way back uses the same table. Default: yes.
        tie_weights in reverse: bool;
        /// The dtype of the way back.
        some reverse_dtype in reverse = DType;
        /// The bound that scores are softly kept within.
        some logit_soft_cap in reverse: f64;
    }

    fn scores(&self, x: &Tensor, call: &Call) -> Result<Tensor> {
        let mut kernel = match self.reverse_embeddings.optional()? {
            Some(own) => own,
            None => self.embedding.rows(call.compute_dtype())?.swap_axes(0, 1)?,
        };
        let mut x = x.clone();
        if let Some(dtype) = self.reverse.reverse_dtype {
            (x, kernel) = (x.into_dtype(dtype)?, kernel.into_dtype(dtype)?);
        }
        let scores = x.matmul(&kernel)?;
        match self.reverse.logit_soft_cap {
            Some(cap) => (scores / cap)?.tanh()? * cap,
            None => Ok(scores),
        }
    }
}

fn is_reverse(call: &Call) -> bool {
    call.value("reverse").and_then(serde_json::Value::as_bool).unwrap_or(false)
}

impl Object for ReversibleEmbedding {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let mut config = self.embedding.config()?;
        config.extend(to_config(&self.reverse)?);
        Ok(config)
    }
}

impl Layer for ReversibleEmbedding {
    fn draw_seeds(&self) {
        self.embedding.draw_seeds();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.embedding.check_inputs(inputs)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        self.embedding.build(builder, inputs)?;
        if self.reverse.tie_weights {
            return Ok(());
        }
        let (rows, columns) = self.embedding.lengths();
        let spec = WeightSpec::new("reverse_embeddings", [columns, rows]);
        builder.weight(&self.reverse_embeddings, spec.initializer(self.embedding.initializer().clone())?)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        if is_reverse(call) {
            Ok(vec![self.scores(one(inputs)?, call)?])
        } else {
            self.embedding.call(inputs, call)
        }
    }

    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let tensors = self.call(inputs, call)?;
        let masked = self.embedding.supports_masking() && !is_reverse(call);
        let masks = if masked { self.embedding.compute_mask(inputs, &call.masks)? } else { vec![None] };
        Ok(Outputs { tensors, masks })
    }

    fn autocast(&self) -> bool {
        false
    }

    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        self.embedding.saved_weights(own)
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        self.embedding.adjust_config(layer, config);
    }
}
