use keras_spec::random::SeedGenerator;
use keras_spec::{
    AttentionSpec, Builder, Call, DType, Error, Layer, PartialShape, Result, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};

use super::{causal_mask, dot_product, flag};
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{LayerSeed, keras_layer, scalar_like};
use crate::layers::defaults::yes;
use crate::random;

/// How queries and keys are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMode {
    /// Their product.
    #[default]
    Dot,
    /// The sum of the hyperbolic tangent of their sum.
    Concat,
}

/// Dropout of attention scores.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Dropping {
    dropout: f64,
    seed: LayerSeed,
}

impl Dropping {
    fn draw_seed(&self) {
        if self.dropout > 0.0 {
            self.seed.generator();
        }
    }

    fn generators(&self) -> Vec<SeedGenerator> {
        if self.dropout > 0.0 { vec![self.seed.generator().clone()] } else { Vec::new() }
    }
}

/// Attention by products: query `(batch, queries, features)` and value `(batch, keys, …)`, and a key if it is not the value, →
/// `(batch, queries, …)` (`keras.layers.Attention`, Keras 3.15.1, also known as Luong's).
///
/// Inputs are `[query, value]` or `[query, value, key]`. Arguments of the call: `use_causal_mask`, under which no query takes
/// from a later key, and `return_attention_scores`, with which the weights `(batch, queries, keys)` are a second output. The
/// mask of the value excludes keys, that of the query sets outputs to 0. Weights: `scale` with `use_scale`,
/// `concat_score_weight` in the mode `Concat`, numbers both.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    #[serde(default)]
    use_scale: bool,
    #[serde(default)]
    score_mode: ScoreMode,
    #[serde(flatten, deserialize_with = "flattened")]
    dropping: Dropping,
    #[serde(skip)]
    scale: Weight,
    #[serde(skip)]
    concat_score_weight: Weight,
}

keras_layer!(Attention);

impl Attention {
    /// By plain products, without dropout.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Whether scores are multiplied by a number that is learnt. Default: no.
        use_scale = bool;
        /// How queries and keys are compared. Default: by products.
        score_mode: ScoreMode;
        /// The fraction of the weights that is dropped in training. Default: 0.
        dropout in dropping: f64;
    }

    /// The seed of the dropout. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.dropping.seed = seed.into();
        self
    }

    /// The output without the weights of all queries and keys, where nothing else asks for them. Masks of sequences do: a
    /// query without keys would take from all alike.
    fn directly(&self, inputs: &[Tensor], call: &Call) -> Result<Option<Tensor>> {
        let (query, value, key) = match inputs {
            [query, value] => (query, value, value),
            [query, value, key] => (query, value, key),
            _ => return Ok(None),
        };
        let all_weights = self.score_mode != ScoreMode::Dot
            || flag(call, "return_attention_scores")
            || (call.training && self.dropping.dropout > 0.0)
            || [0, 1].iter().any(|&i| call.mask(i).is_some());
        let fits = [query, value, key].iter().all(|x| x.rank() == 3 && x.dtype() == query.dtype());
        if all_weights || !fits || !matches!(query.dtype(), DType::F32 | DType::F64) {
            return Ok(None);
        }
        let one_head = |x: &Tensor| x.expand_dims(2);
        let query = match self.scale.optional()? {
            Some(scale) => (query * scale)?,
            None => query.clone(),
        };
        let spec = AttentionSpec { scale: 1.0, causal: flag(call, "use_causal_mask"), mask: false };
        dot_product(spec, [one_head(&query)?, one_head(key)?, one_head(value)?])?.squeeze(2).map(Some)
    }

    fn scores(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let scale = self.scale.optional()?;
        let scaled = |x: Tensor| match &scale {
            Some(scale) => x * scale,
            None => Ok(x),
        };
        match self.score_mode {
            ScoreMode::Dot => scaled(query.matmul(&key.swap_axes(-2, -1)?)?),
            ScoreMode::Concat => {
                let sum = (query.expand_dims(-2)? + key.expand_dims(-3)?)?;
                self.concat_score_weight.value()? * scaled(sum)?.tanh()?.sum(&[-1], false)?
            }
        }
    }
}

/// [`Attention`] by the hyperbolic tangent of sums, with a weight per feature (`keras.layers.AdditiveAttention`, Keras 3.15.1,
/// also known as Bahdanau's).
///
/// Weights: `scale` `(features,)` with `use_scale`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdditiveAttention {
    #[serde(default = "yes")]
    use_scale: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    dropping: Dropping,
    #[serde(skip)]
    scale: Weight,
}

keras_layer!(AdditiveAttention);

impl Default for AdditiveAttention {
    fn default() -> Self {
        AdditiveAttention { use_scale: true, dropping: Dropping::default(), scale: Weight::default() }
    }
}

impl AdditiveAttention {
    /// With a weight per feature, without dropout.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Whether there is a weight per feature. Default: yes.
        use_scale = bool;
        /// The fraction of the weights that is dropped in training. Default: 0.
        dropout in dropping: f64;
    }

    /// The seed of the dropout. Default: drawn.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.dropping.seed = seed.into();
        self
    }

    fn scores(&self, query: &Tensor, key: &Tensor) -> Result<Tensor> {
        let sum = (query.expand_dims(-2)? + key.expand_dims(-3)?)?.tanh()?;
        let sum = match self.scale.optional()? {
            Some(scale) => (sum * scale)?,
            None => sum,
        };
        sum.sum(&[-1], false)
    }
}

fn check(inputs: &[PartialShape]) -> Result<()> {
    if matches!(inputs.len(), 2 | 3) {
        return Ok(());
    }
    let found = format!("{} tensors", inputs.len());
    Err(Error::argument("inputs", "[query, value] or [query, value, key]", found))
}

/// The outputs for the scores of queries and keys.
fn attend(
    inputs: &[Tensor],
    call: &Call,
    dropping: &Dropping,
    scores: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let [query, value, rest @ ..] = inputs else {
        return Err(Error::argument("inputs", "[query, value] or [query, value, key]", "less"));
    };
    let mut scores = scores(query, rest.first().unwrap_or(value))?;
    let mut mask = call.mask(1).map(|mask| mask.cast(DType::Bool)).transpose()?;
    if flag(call, "use_causal_mask") {
        let &[.., queries, keys] = scores.shape().dims() else {
            return Err(Error::argument("query", "a sequence", format!("shape {}", query.shape())));
        };
        let causal = causal_mask(queries, keys, &scores)?;
        mask = Some(match mask {
            Some(mask) => mask.expand_dims(-2)?.and(&causal)?,
            None => causal,
        });
    }
    if let Some(mask) = mask {
        let mask = if mask.rank() == 2 { mask.expand_dims(-2)? } else { mask };
        let far = if scores.dtype() == DType::F16 { 65504.0 } else { 1e9 };
        scores = mask.select(&scores, &(&scores - far)?)?;
    }
    let mut weights = scores.softmax(-1)?;
    if call.training && dropping.dropout > 0.0 {
        let seed = dropping.seed.generator().clone().into();
        weights = random::dropout(&weights, dropping.dropout, None, Some(&seed))?;
    }
    let mut output = weights.matmul(value)?;
    if let Some(mask) = call.mask(0) {
        let mask = mask.cast(DType::Bool)?.expand_dims(-1)?;
        output = mask.select(&output, &scalar_like(&output, 0.0)?)?;
    }
    Ok(if flag(call, "return_attention_scores") { vec![output, weights] } else { vec![output] })
}

/// What both layers have in common; `$own` is the rest.
macro_rules! attention {
    ($Layer:ident, $($own:item)*) => {
        impl Layer for $Layer {
            fn draw_seeds(&self) {
                self.dropping.draw_seed();
            }

            fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
                check(inputs)
            }

            $($own)*

            fn supports_masking(&self) -> bool {
                true
            }

            fn compute_mask(
                &self,
                _inputs: &[Tensor],
                masks: &[Option<Tensor>],
            ) -> Result<Vec<Option<Tensor>>> {
                Ok(vec![masks.first().cloned().flatten()])
            }

            fn seed_generators(&self) -> Vec<SeedGenerator> {
                self.dropping.generators()
            }
        }
    };
}

attention! {
    Attention,
    fn build(&self, builder: &mut Builder, _inputs: &[PartialShape]) -> Result<()> {
        let number = |name: &str| WeightSpec::new(name, []).initializer("ones");
        if self.use_scale {
            builder.weight(&self.scale, number("scale")?)?;
        }
        if self.score_mode == ScoreMode::Concat {
            builder.weight(&self.concat_score_weight, number("concat_score_weight")?)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        match self.directly(inputs, call)? {
            Some(output) => Ok(vec![output]),
            None => attend(inputs, call, &self.dropping, |query, key| self.scores(query, key)),
        }
    }
}

attention! {
    AdditiveAttention,
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        check(inputs)?;
        if !self.use_scale {
            return Ok(());
        }
        let features = builder.known_dim(&inputs[0], -1)?;
        builder.weight(&self.scale, WeightSpec::new("scale", [features]).initializer("glorot_uniform")?)
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        attend(inputs, call, &self.dropping, |query, key| self.scores(query, key))
    }
}
