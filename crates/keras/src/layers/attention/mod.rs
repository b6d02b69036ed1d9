//! Attention: what each step of one sequence takes from the steps of another.

mod dot_product;
mod grouped_query_attention;
mod heads;
mod multi_head_attention;

pub use dot_product::{AdditiveAttention, Attention, ScoreMode};
pub use grouped_query_attention::GroupedQueryAttention;
pub use multi_head_attention::MultiHeadAttention;

use keras_spec::{Call, HostTensor, Result, Tensor};

/// Whether a flag was given in the call.
fn flag(call: &Call, name: &str) -> bool {
    call.value(name).and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// The steps of queries `(1, queries, 1)` and of keys `(1, 1, keys)`, counted from 0.
fn steps(queries: usize, keys: usize, like: &Tensor) -> Result<(Tensor, Tensor)> {
    let count = |n: usize, shape: [usize; 3]| {
        Tensor::from_host(HostTensor::new(shape, (0..n as i32).collect::<Vec<_>>())?, like.device())
    };
    Ok((count(queries, [1, queries, 1])?, count(keys, [1, 1, keys])?))
}

/// Which keys are not after the query: `(1, queries, keys)`.
fn causal_mask(queries: usize, keys: usize, like: &Tensor) -> Result<Tensor> {
    let (query, key) = steps(queries, keys, like)?;
    query.greater_equal(&key)
}
