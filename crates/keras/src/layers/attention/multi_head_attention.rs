use std::sync::OnceLock;

use keras_spec::layer::{Child, Outputs};
use keras_spec::{
    Builder, Call, Config, Constraint, Error, Initializer, Layer, LayerRef, PartialShape, Regularizer,
    Result, Shared, Tensor,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::heads::{self, Equations, Heads, INPUTS, Inputs, Parts, Projected, Projection, only};
use crate::activations::Activation;
use crate::class::builders;
use crate::constraints::Axes;
use crate::flattened::flattened;
use crate::layers::common::{keras_layer, positive};
use crate::layers::parameters::{Bias, Kernel};

/// Attention in several heads, each with projections of its own: query `(batch, queries…, features)`, value
/// `(batch, keys…, features)`, and a key if it is not the value, → `(batch, queries…, features)`
/// (`keras.layers.MultiHeadAttention`, Keras 3.15.1).
///
/// Arguments of the call beside the inputs: `attention_mask` `(batch, queries, keys)`, `value_mask`, `key_mask`,
/// `use_causal_mask`, and `return_attention_scores`, with which the weights `(batch, heads, queries, keys)` are a second
/// output. Masks of the inputs exclude keys.
///
/// Weights: `kernel` and `bias` of the projections `query`, `key`, `value` `(features, heads, key_dim)` and
/// `attention_output` `(heads, value_dim, features)`.
///
/// ```
/// use keras::layers::MultiHeadAttention;
/// use keras::prelude::*;
///
/// let x = Input::new([10, 16]).tensor()?;
/// let y = MultiHeadAttention::new(4, 8).dropout(0.1).apply([&x, &x])?;
/// assert_eq!(y.shape().to_string(), "(None, 10, 16)");
/// # Ok::<(), keras::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttention {
    num_heads: usize,
    key_dim: usize,
    #[serde(default)]
    value_dim: Option<usize>,
    #[serde(default)]
    output_shape: Option<Lengths>,
    #[serde(default)]
    attention_axes: Option<Axes>,
    #[serde(flatten, deserialize_with = "flattened")]
    heads: Heads,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(skip)]
    parts: OnceLock<(Parts, Equations)>,
}

keras_layer!(MultiHeadAttention, check validate);

/// `output_shape`: one length, or several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Lengths {
    One(usize),
    Many(Vec<usize>),
}

impl Lengths {
    fn to_vec(&self) -> Vec<usize> {
        match self {
            Lengths::One(length) => vec![*length],
            Lengths::Many(lengths) => lengths.clone(),
        }
    }
}

impl MultiHeadAttention {
    /// So many heads, in which queries and keys have `key_dim` features.
    pub fn new(num_heads: usize, key_dim: usize) -> Self {
        MultiHeadAttention {
            num_heads,
            key_dim,
            value_dim: None,
            output_shape: None,
            attention_axes: None,
            heads: Heads::default(),
            kernel: Kernel::default(),
            bias: Bias::default(),
            parts: OnceLock::new(),
        }
    }

    builders! {
        /// How many features values have in each head. Default: `key_dim`.
        some value_dim = usize;
        /// The axes that attention is over. Default: all but those of batch and features.
        some attention_axes: Axes;
        /// The fraction of the weights that is dropped in training. Default: 0.
        dropout in heads: f64;
        /// Whether projections have a bias. Default: yes.
        use_bias in heads = bool;
        /// Whether outputs of heads are multiplied by a gate that depends on the query. Default: no.
        use_gate in heads = bool;
        /// How many steps around a query its keys may be away. Default: any number.
        some sliding_window in heads = usize;
        /// First values of the projections' kernels. Default: `GlorotUniform`.
        kernel_initializer in kernel: Shared<dyn Initializer>;
        /// First values of the projections' biases. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the projections' kernels.
        some kernel_regularizer in kernel: Shared<dyn Regularizer>;
        /// A penalty on the projections' biases.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the projections' kernels are moved after each step.
        some kernel_constraint in kernel: Shared<dyn Constraint>;
        /// Where the projections' biases are moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
        /// The seed of the dropout. Default: drawn.
        some seed in heads = u32;
    }

    /// The lengths of the output's last axes. Default: the query's features.
    #[must_use]
    pub fn output_shape(mut self, lengths: &[usize]) -> Self {
        self.output_shape = Some(Lengths::Many(lengths.to_vec()));
        self
    }

    fn validate(&self) -> Result<()> {
        positive("num_heads", self.num_heads)?;
        positive("key_dim", self.key_dim)?;
        self.value_dim.map_or(Ok(()), |dim| positive("value_dim", dim))?;
        self.heads.validate()
    }

    fn value_features(&self) -> usize {
        self.value_dim.unwrap_or(self.key_dim)
    }

    /// The axes that attention is over, for values whose rank with heads is `rank`.
    fn axes(&self, rank: usize) -> Result<Vec<usize>> {
        let Some(given) = &self.attention_axes else { return Ok((1..rank - 2).collect()) };
        let last = rank as isize - 1;
        let place = |&axis: &isize| {
            let from_front = if axis < 0 { last + axis } else { axis };
            let inside = (0..last).contains(&from_front);
            let expected = format!("axes of a tensor of {last} dimensions");
            if inside {
                Ok(from_front as usize)
            } else {
                Err(Error::argument("attention_axes", expected, axis))
            }
        };
        given.as_slice().iter().map(place).collect()
    }
}

/// `abc,cde->abde`: `free` axes stay, `bound` ones are summed over, `new` ones are made. And the letters of the new ones.
fn equation(free: usize, bound: usize, new: usize) -> (String, String) {
    let letters =
        |from: usize, n: usize| -> String { (from..from + n).map(|i| char::from(b'a' + i as u8)).collect() };
    let (kept, summed, made) = (letters(0, free), letters(free, bound), letters(free + bound, new));
    (format!("{kept}{summed},{summed}{made}->{kept}{made}"), made)
}

/// The output shape of a projection that keeps all axes but the last.
fn shape(input: &PartialShape, last: &[usize]) -> Vec<Option<usize>> {
    std::iter::repeat_n(None, input.rank() - 2).chain(last.iter().map(|&d| Some(d))).collect()
}

impl Layer for MultiHeadAttention {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn input_names(&self) -> &'static [&'static str] {
        INPUTS
    }

    fn regularizes_parts(&self) -> bool {
        true
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        // Letters name axes, and attention needs two sets of them.
        match heads::shapes(inputs)? {
            (query, _, _) if query.rank() > 10 => {
                Err(Error::argument("query", "at most 10 dimensions", query))
            }
            _ => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let (query, value, key) = heads::shapes(inputs)?;
        let parameters = (&self.kernel, &self.bias);
        let mut project = |name: &str, input: &PartialShape, dim: usize, activation: Activation| {
            let (equation, bias_axes) = equation(input.rank() - 1, 1, 2);
            let shape = shape(input, &[self.num_heads, dim]);
            let projection =
                Projection { name, equation: &equation, shape, bias_axes: &bias_axes, parameters };
            self.heads.project(builder, projection, activation, input)
        };
        let query_dense = project("query", query, self.key_dim, Activation::Linear)?;
        let key_dense = project("key", key, self.key_dim, Activation::Linear)?;
        let gate = match self.heads.use_gate {
            true => Some(project("gate", query, self.value_features(), Activation::Sigmoid)?),
            false => None,
        };
        let value_dense = project("value", value, self.value_features(), Activation::Linear)?;
        let rank = value.rank() + 1;
        let axes = self.axes(rank)?;
        let (softmax, dropout) = self.heads.weighing(builder, axes.len());
        let lengths = match &self.output_shape {
            Some(lengths) => lengths.to_vec(),
            None => vec![builder.known_dim(query, -1)?],
        };
        let (equation, bias_axes) = equation(query.rank() - 1, 2, lengths.len());
        let shape = shape(query, &lengths);
        let mut heads_shape = query.dims().to_vec();
        heads_shape.pop();
        heads_shape.extend([Some(self.num_heads), Some(self.value_features())]);
        let projection = Projection {
            name: "attention_output",
            equation: &equation,
            shape,
            bias_axes: &bias_axes,
            parameters,
        };
        let input = PartialShape(heads_shape);
        let output = self.heads.project(builder, projection, Activation::Linear, &input)?;
        let parts =
            Parts { query: query_dense, key: key_dense, gate, value: value_dense, softmax, dropout, output };
        self.parts.get_or_init(|| (parts, Equations::new(rank, &axes)));
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        Ok(self.call_masked(inputs, call)?.tensors)
    }

    fn call_masked(&self, inputs: &[Tensor], call: &Call) -> Result<Outputs> {
        let Some((parts, equations)) = self.parts.get() else { return Err(heads::not_built()) };
        let inputs = Inputs::new(inputs)?;
        let inner = call.inner();
        let projected = Projected {
            query: only(&parts.query, inputs.query, &inner)?,
            key: only(&parts.key, inputs.key, &inner)?,
            gate: parts.gate(inputs.query, &inner)?,
            value: only(&parts.value, inputs.value, &inner)?,
            scale: 1.0 / (self.key_dim as f64).sqrt(),
            equations,
        };
        self.heads.attend(parts, &inputs, projected, call)
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn children(&self) -> Vec<Child> {
        let names = ["query_dense", "key_dense", "value_dense", "output_dense"];
        self.parts.get().map(|(parts, _)| parts.children(names)).unwrap_or_default()
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
        config.insert("value_dim".to_owned(), self.value_features().into());
        let lengths = self.output_shape.as_ref().map(Lengths::to_vec);
        config.insert("output_shape".to_owned(), json!(lengths));
        let given = self.attention_axes.as_ref().map(|axes| json!(axes.as_slice()));
        let built = layer.build_shapes().and_then(|shapes| self.axes(shapes.get(1)?.rank() + 1).ok());
        config.insert("attention_axes".to_owned(), built.map_or_else(|| json!(given), |axes| json!(axes)));
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        heads::build_config(shapes)
    }
}
