//! What `MultiHeadAttention` and `GroupedQueryAttention` have in common.

use keras_spec::layer::{Child, Outputs};
use keras_spec::object::{Serialized, make};
use keras_spec::{
    AttentionSpec, Builder, Call, DType, Error, Initializer, LayerExt, LayerRef, PartialShape, Result,
    Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::{causal_mask, dot_product, flag, steps};
use crate::activations::Activation;
use crate::constraints::Axes;
use crate::layers::common::{fraction, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, Kernel};
use crate::layers::{Dropout, EinsumDense, Softmax};

/// The names of the inputs.
pub(super) const INPUTS: &[&str] = &["query", "value", "key"];

/// Arguments that both layers take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Heads {
    #[serde(default)]
    pub(super) dropout: f64,
    #[serde(default = "yes")]
    pub(super) use_bias: bool,
    #[serde(default)]
    pub(super) use_gate: bool,
    #[serde(default)]
    pub(super) sliding_window: Option<usize>,
    /// Which implementation Keras uses; there is one here.
    #[serde(default, skip_serializing, rename = "flash_attention")]
    _flash_attention: Option<bool>,
    #[serde(default)]
    pub(super) seed: Option<u32>,
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            dropout: 0.0,
            use_bias: true,
            use_gate: false,
            sliding_window: None,
            _flash_attention: None,
            seed: None,
        }
    }
}

/// The layers inside, which exist once the layer is built.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) query: LayerRef,
    pub(super) key: LayerRef,
    pub(super) gate: Option<LayerRef>,
    pub(super) value: LayerRef,
    pub(super) softmax: LayerRef,
    pub(super) dropout: LayerRef,
    pub(super) output: LayerRef,
}

impl Parts {
    /// The layers as attributes of Keras's class, of which those of projections have other names in each of the two.
    pub(super) fn children(&self, projections: [&'static str; 4]) -> Vec<Child> {
        let [query, key, value, output] = projections;
        let gate = self.gate.as_ref().map(|gate| Child::one("_gate_dense", gate));
        [Child::one(query, &self.query), Child::one(key, &self.key)]
            .into_iter()
            .chain(gate)
            .chain([
                Child::one(value, &self.value),
                Child::one("_softmax", &self.softmax),
                Child::one("_dropout_layer", &self.dropout),
                Child::one(output, &self.output),
            ])
            .collect()
    }
}

/// A projection to be made: name, equation, output shape, axes of the bias, initializers and the like.
pub(super) struct Projection<'a> {
    pub(super) name: &'a str,
    pub(super) equation: &'a str,
    pub(super) shape: Vec<Option<usize>>,
    pub(super) bias_axes: &'a str,
    pub(super) parameters: (&'a Kernel, &'a Bias),
}

/// An initializer of the same kind, which draws a seed of its own if none was given.
fn anew(initializer: &Shared<dyn Initializer>) -> Result<Shared<dyn Initializer>> {
    Ok(make::<dyn Initializer>(&Serialized::of(&**initializer)?.to_value())?.into())
}

impl Heads {
    pub(super) fn validate(&self) -> Result<()> {
        fraction("dropout", self.dropout)?;
        self.sliding_window.map_or(Ok(()), |window| positive("sliding_window", window))
    }

    /// Makes and builds a projection.
    pub(super) fn project(
        &self,
        builder: &mut Builder,
        projection: Projection<'_>,
        activation: Activation,
        input: &PartialShape,
    ) -> Result<LayerRef> {
        let (kernel, bias) = projection.parameters;
        let kernel = Kernel {
            kernel_initializer: anew(&kernel.kernel_initializer)?,
            kernel_regularizer: kernel.kernel_regularizer.clone(),
            kernel_constraint: kernel.kernel_constraint.clone(),
            ..Kernel::default()
        };
        let bias = Bias {
            bias_initializer: anew(&bias.bias_initializer)?,
            bias_regularizer: bias.bias_regularizer.clone(),
            bias_constraint: bias.bias_constraint.clone(),
            ..Bias::default()
        };
        let mut dense = EinsumDense::new(projection.equation, PartialShape(projection.shape))
            .activation(activation)
            .parameters(kernel, bias);
        if self.use_bias {
            dense = dense.bias_axes(projection.bias_axes);
        }
        let mut dense = dense.name(projection.name).dtype(builder.policy());
        if let Some(regularizer) = builder.activity_regularizer() {
            dense = dense.activity_regularizer(regularizer.clone());
        }
        let dense = LayerRef::from(dense);
        builder.child(&dense, std::slice::from_ref(input))?;
        Ok(dense)
    }

    /// The layers between scores and weights: softmax over the last `axes` axes, and dropout.
    pub(super) fn weighing(&self, builder: &mut Builder, axes: usize) -> (LayerRef, LayerRef) {
        let axes: Vec<isize> = (1..=axes as isize).rev().map(|axis| -axis).collect();
        let mut dropout = Dropout::new(self.dropout);
        if let Some(seed) = self.seed {
            dropout = dropout.seed(seed);
        }
        let policy = builder.policy();
        (Softmax::new().axis(Axes::Many(axes)).dtype(policy).into(), dropout.dtype(policy).into())
    }

    /// Which keys each query may take from, but for later ones: `(batch, queries, keys)`, or as the argument
    /// `attention_mask` is.
    fn mask(&self, inputs: &Inputs<'_>, call: &Call) -> Result<Option<Tensor>> {
        let keyword = |name: &str, i: usize| call.tensors(name).first().or(call.mask(i)).cloned();
        let lengths = |x: &Tensor| x.shape().get(1).copied().unwrap_or(1);
        let (queries, keys) = (lengths(inputs.query), lengths(inputs.value));
        let by_query = call.mask(0).map(|mask| mask.cast(DType::Bool)?.expand_dims(-1)).transpose()?;
        let by_key = |mask: Option<Tensor>| mask.map(|m| m.cast(DType::Bool)?.expand_dims(-2)).transpose();
        let by_value = by_key(keyword("value_mask", 1))?;
        let by_key = by_key(if inputs.key_given { keyword("key_mask", 2) } else { None })?;
        let window = match self.sliding_window {
            Some(window) => {
                let (query, key) = steps(queries, keys, inputs.query)?;
                let near = (query - key)?.abs()?;
                Some(near.compare_with(keras_spec::CompareOp::Lt, window as f64)?)
            }
            None => None,
        };
        let given = call.tensors("attention_mask").first().map(|m| m.cast(DType::Bool)).transpose()?;
        let all = [by_query, by_value, by_key, window, given];
        all.into_iter().flatten().try_fold(None, both)
    }

    /// The outputs for projected queries, keys and values.
    pub(super) fn attend(
        &self,
        parts: &Parts,
        inputs: &Inputs<'_>,
        projected: Projected<'_>,
        call: &Call,
    ) -> Result<Outputs> {
        let axes = projected.equations.axes;
        let mut mask = self.mask(inputs, call)?;
        let causal = flag(call, "use_causal_mask");
        let inner = call.inner();
        let return_scores = flag(call, "return_attention_scores");
        let Projected { gate, query, key, value, scale, equations } = projected;
        let rank = query.rank() - 1 + axes;
        let direct = query.rank() == 4 && !return_scores && {
            // With dropout, a query without keys takes nothing, and half precisions stay what they are.
            let same = mask.is_none() && matches!(query.dtype(), DType::F32 | DType::F64);
            self.dropout <= 0.0 || (!call.training && same)
        };
        if causal && !direct {
            let lengths = |x: &Tensor| x.shape().get(1).copied().unwrap_or(1);
            mask = both(mask, causal_mask(lengths(inputs.query), lengths(inputs.value), inputs.query)?)?;
        }
        if let Some(given) = &mut mask {
            // Masks are for all heads: axes are missing in the middle.
            for _ in given.rank()..rank.max(given.rank()) {
                *given = given.expand_dims(-(axes as isize * 2) - 1)?;
            }
        }
        let (mut output, scores) = if direct {
            let spec = AttentionSpec { scale, causal, mask: mask.is_some() };
            (dot_product(spec, [query, key, value].into_iter().chain(mask.clone()))?, None)
        } else {
            let scores = Tensor::einsum(&equations.scores, &[key, (query * scale)?])?;
            let masked = inner.clone().with_masks(vec![mask.clone()]);
            let scores = only(&parts.softmax, &scores, &masked)?;
            let weights = match self.dropout > 0.0 {
                true => only(&parts.dropout, &scores, &inner)?,
                false => scores.clone(),
            };
            (Tensor::einsum(&equations.combine, &[weights, value])?, Some(scores))
        };
        if let Some(gate) = gate {
            output = (output * gate)?;
        }
        let output = only(&parts.output, &output, &inner)?;
        let mut outputs = Outputs { tensors: vec![output], masks: vec![call.mask(0).cloned()] };
        if let Some(scores) = scores.filter(|_| return_scores) {
            outputs.tensors.push(scores);
            outputs.masks.push(mask);
        }
        Ok(outputs)
    }
}

/// The inputs of a call.
pub(super) struct Inputs<'a> {
    pub(super) query: &'a Tensor,
    pub(super) value: &'a Tensor,
    pub(super) key: &'a Tensor,
    key_given: bool,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(inputs: &'a [Tensor]) -> Result<Self> {
        match inputs {
            [query, value] => Ok(Inputs { query, value, key: value, key_given: false }),
            [query, value, key] => Ok(Inputs { query, value, key, key_given: true }),
            _ => Err(wrong_number(inputs.len())),
        }
    }
}

/// Queries, keys and values per head.
pub(super) struct Projected<'a> {
    pub(super) gate: Option<Tensor>,
    pub(super) query: Tensor,
    pub(super) key: Tensor,
    pub(super) value: Tensor,
    pub(super) scale: f64,
    pub(super) equations: &'a Equations,
}

/// How scores come from keys and queries, and outputs from weights and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Equations {
    pub(super) scores: String,
    pub(super) combine: String,
    /// How many axes attention is over.
    pub(super) axes: usize,
}

impl Equations {
    /// For values of a rank, the axis of heads included, over some of their axes.
    pub(super) fn new(rank: usize, axes: &[usize]) -> Self {
        let letter = |i: usize| char::from(b'a' + i as u8);
        let last = rank - 1;
        let mut next = rank;
        let query: String = (0..rank).map(letter).collect();
        let key: Vec<char> = (0..rank)
            .map(|i| {
                if !axes.contains(&i) {
                    return letter(i);
                }
                next += 1;
                letter(next - 1)
            })
            .collect();
        let others = (0..last).filter(|i| !axes.contains(i)).map(letter);
        let scores: String =
            others.chain(axes.iter().map(|&i| letter(i))).chain(axes.iter().map(|&i| key[i])).collect();
        let key: String = key.into_iter().collect();
        Equations {
            combine: format!("{scores},{key}->{query}"),
            scores: format!("{key},{query}->{scores}"),
            axes: axes.len(),
        }
    }
}

impl Parts {
    /// The gate for a query, where there is one.
    pub(super) fn gate(&self, query: &Tensor, call: &Call) -> Result<Option<Tensor>> {
        self.gate.as_ref().map(|gate| only(gate, query, call)).transpose()
    }
}

/// The only output of a layer inside.
pub(super) fn only(layer: &LayerRef, x: &Tensor, call: &Call) -> Result<Tensor> {
    one(&layer.call(std::slice::from_ref(x), call)?.tensors).cloned()
}

/// What neither of two masks excludes.
fn both(mask: Option<Tensor>, next: Tensor) -> Result<Option<Tensor>> {
    mask.map_or(Ok(next.clone()), |mask| mask.and(&next)).map(Some)
}

fn wrong_number(found: usize) -> Error {
    Error::argument(
        "inputs",
        "a query and a value, or a query, a value and a key",
        format!("{found} tensors"),
    )
}

/// The shapes of query, value and key, which must fit each other.
pub(super) fn shapes(inputs: &[PartialShape]) -> Result<(&PartialShape, &PartialShape, &PartialShape)> {
    let (query, value, key) = match inputs {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(wrong_number(inputs.len())),
    };
    if [query, value, key].iter().any(|shape| shape.rank() < 2) {
        return Err(Error::argument("inputs", "at least 2 dimensions", "less"));
    }
    let between = |shape: &PartialShape| shape.dims()[1..shape.rank() - 1].to_vec();
    if between(value) != between(key) {
        let found = format!("{value} and {key}");
        return Err(Error::argument("key", "the shape of the value but for batch and features", found));
    }
    Ok((query, value, key))
}

/// What Keras writes of the shapes that the layer was built for.
pub(super) fn build_config(shapes: &[PartialShape]) -> Option<serde_json::Value> {
    shapes.first()?;
    let named =
        INPUTS.iter().zip(shapes).map(|(name, shape)| (format!("{name}_shape"), serde_json::json!(shape)));
    Some(serde_json::json!({ "shapes_dict": named.collect::<keras_spec::Config>() }))
}

pub(super) fn not_built() -> Error {
    Error::NotBuilt { name: "layer".to_owned(), action: "calling it".to_owned() }
}
