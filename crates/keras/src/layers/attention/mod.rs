//! Attention: what each step of one sequence takes from the steps of another.

mod dot_product;
mod grouped_query_attention;
mod heads;
mod multi_head_attention;

pub use dot_product::{AdditiveAttention, Attention, ScoreMode};
pub use grouped_query_attention::GroupedQueryAttention;
pub use multi_head_attention::MultiHeadAttention;

use keras_spec::{AttentionSpec, Call, DType, Error, Fused, Op, Result, Tensor};

/// Whether a flag was given in the call.
fn flag(call: &Call, name: &str) -> bool {
    call.value(name).and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// The steps of queries `(1, queries, 1)` and of keys `(1, 1, keys)`, counted from 0.
fn steps(queries: usize, keys: usize, like: &Tensor) -> Result<(Tensor, Tensor)> {
    let count = |shape: [usize; 3]| Tensor::from_fn(shape, DType::I32, like.device(), |i| i as i32);
    Ok((count([1, queries, 1])?, count([1, 1, keys])?))
}

/// Which keys are not after the query: `(1, queries, keys)`.
fn causal_mask(queries: usize, keys: usize, like: &Tensor) -> Result<Tensor> {
    let (query, key) = steps(queries, keys, like)?;
    query.greater_equal(&key)
}

/// `keras.ops.dot_product_attention` of query, key and value `(batch, steps, heads, features)` and, if the specification says
/// so, a mask.
fn dot_product(spec: AttentionSpec, operands: impl IntoIterator<Item = Tensor>) -> Result<Tensor> {
    let results = Tensor::apply(Op::Fused(Fused::ScaledDotProductAttention(spec)), operands)?;
    results.into_iter().next().ok_or_else(|| Error::other("an operation without a result"))
}
