use std::sync::OnceLock;

use keras_spec::layer::{Child, Outputs};
use keras_spec::{
    Builder, Call, Class, Config, Constraint, Error, Initializer, Layer, LayerRef, PartialShape, Regularizer,
    Result, Shared, Tensor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::heads::{self, Equations, Heads, INPUTS, Inputs, Parts, Projected, Projection, only};
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::positive;
use crate::layers::parameters::{Bias, Kernel};

/// Attention in which several heads of the query share one of key and value: query `(batch, queries, features)`, value
/// `(batch, keys, features)`, and a key if it is not the value, → `(batch, queries, features)`
/// (`keras.layers.GroupQueryAttention`, Keras 3.15.1).
///
/// Arguments of the call and masks are those of [`MultiHeadAttention`](super::MultiHeadAttention).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupedQueryAttention {
    head_dim: usize,
    num_query_heads: usize,
    num_key_value_heads: usize,
    #[serde(flatten, deserialize_with = "flattened")]
    heads: Heads,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(skip)]
    parts: OnceLock<(Parts, Equations)>,
}

keras_spec::class!(
    dyn Layer,
    Class::keras("keras.layers", "GroupQueryAttention"),
    GroupedQueryAttention,
    aliases ["GroupedQueryAttention"],
    check validate
);

impl GroupedQueryAttention {
    /// So many heads of the query, a multiple of those of key and value, of `head_dim` features each.
    pub fn new(head_dim: usize, num_query_heads: usize, num_key_value_heads: usize) -> Self {
        GroupedQueryAttention {
            head_dim,
            num_query_heads,
            num_key_value_heads,
            heads: Heads::default(),
            kernel: Kernel::default(),
            bias: Bias::default(),
            parts: OnceLock::new(),
        }
    }

    builders! {
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

    fn validate(&self) -> Result<()> {
        positive("head_dim", self.head_dim)?;
        positive("num_query_heads", self.num_query_heads)?;
        positive("num_key_value_heads", self.num_key_value_heads)?;
        if !self.num_query_heads.is_multiple_of(self.num_key_value_heads) {
            let expected = format!("a multiple of `num_key_value_heads` ({})", self.num_key_value_heads);
            return Err(Error::argument("num_query_heads", expected, self.num_query_heads));
        }
        self.heads.validate()
    }

    /// Each head of keys or values as often as there are heads of queries for it.
    fn repeated(&self, x: &Tensor) -> Result<Tensor> {
        let times = self.num_query_heads / self.num_key_value_heads;
        let &[batch, steps, heads, features] = x.shape().dims() else {
            return Err(Error::argument("value", "3 dimensions", format!("shape {}", x.shape())));
        };
        x.expand_dims(3)?.broadcast_to([batch, steps, heads, times, features])?.reshape([
            batch,
            steps,
            heads * times,
            features,
        ])
    }
}

impl Layer for GroupedQueryAttention {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn input_names(&self) -> &'static [&'static str] {
        INPUTS
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        heads::shapes(inputs)?;
        match inputs.iter().find(|shape| shape.rank() != 3) {
            Some(shape) => Err(Error::argument("inputs", "ndim=3", format!("shape {shape}"))),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let (query, value, key) = heads::shapes(inputs)?;
        let features = builder.known_dim(query, -1)?;
        let dim = Some(self.head_dim);
        let parameters = (&self.kernel, &self.bias);
        let mut project = |name: &str, input: &PartialShape, activation: Activation| {
            let of_query = ["query", "gate"].contains(&name);
            let (equation, bias_axes, heads) = match of_query {
                true => ("bqm,muh->bquh", "uh", self.num_query_heads),
                false => ("bkm,mvh->bkvh", "vh", self.num_key_value_heads),
            };
            let projection =
                Projection { name, equation, shape: vec![None, Some(heads), dim], bias_axes, parameters };
            self.heads.project(builder, projection, activation, input)
        };
        let query_dense = project("query", query, Activation::Linear)?;
        let key_dense = project("key", key, Activation::Linear)?;
        let gate = match self.heads.use_gate {
            true => Some(project("gate", query, Activation::Sigmoid)?),
            false => None,
        };
        let value_dense = project("value", value, Activation::Linear)?;
        let (softmax, dropout) = self.heads.weighing(builder, 1);
        let projection = Projection {
            name: "attention_output",
            equation: "bquh,uhm->bqm",
            shape: vec![None, Some(features)],
            bias_axes: "m",
            parameters,
        };
        let input = PartialShape::from([None, None, Some(self.num_query_heads), dim]);
        let output = self.heads.project(builder, projection, Activation::Linear, &input)?;
        let parts =
            Parts { query: query_dense, key: key_dense, gate, value: value_dense, softmax, dropout, output };
        self.parts.get_or_init(|| (parts, Equations::new(4, &[1])));
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
            key: self.repeated(&only(&parts.key, inputs.key, &inner)?)?,
            gate: parts.gate(inputs.query, &inner)?,
            value: self.repeated(&only(&parts.value, inputs.value, &inner)?)?,
            scale: 1.0 / (self.head_dim as f64).sqrt(),
            equations,
        };
        self.heads.attend(parts, &inputs, projected, call)
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn children(&self) -> Vec<Child> {
        let names = ["_query_dense", "_key_dense", "_value_dense", "_output_dense"];
        self.parts.get().map(|(parts, _)| parts.children(names)).unwrap_or_default()
    }

    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        config.entry("activity_regularizer").or_insert(Value::Null);
    }

    fn build_config(&self, shapes: &[PartialShape]) -> Option<Value> {
        heads::build_config(shapes)
    }
}
