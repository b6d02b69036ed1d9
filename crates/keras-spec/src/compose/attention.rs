//! Scaled dot-product attention.

use smallvec::smallvec;

use crate::dtype::DType;
use crate::error::Result;
use crate::fused::{AttentionSpec, Fused};
use crate::host::HostTensor;
use crate::op::Op;
use crate::tensor::{Results, Tensor};

/// What excluded scores count as: Keras's.
const EXCLUDED: f64 = -0.7 * f32::MAX as f64;

/// Scores and weights of half precisions are float32, as in Keras.
fn widened(t: &Tensor) -> Result<Tensor> {
    if t.dtype() == DType::F64 { Ok(t.clone()) } else { t.cast(DType::F32) }
}

/// `(batch, steps, heads, features)` ↔ `(batch, heads, steps, features)`.
fn swapped(t: &Tensor) -> Result<Tensor> {
    t.permute(&[0, 2, 1, 3])
}

/// Which keys each query may take from.
fn mask(spec: &AttentionSpec, query: &Tensor, key: &Tensor, mask: Option<&Tensor>) -> Result<Option<Tensor>> {
    let given = mask.filter(|_| spec.mask);
    if !spec.causal {
        return Ok(given.cloned());
    }
    let count = |n: usize, shape: [usize; 4]| {
        Tensor::from_host(HostTensor::new(shape, (0..n as i32).collect::<Vec<_>>())?, query.device())
    };
    let (queries, keys) = (query.shape()[1], key.shape()[1]);
    let causal = count(queries, [1, 1, queries, 1])?.greater_equal(&count(keys, [1, 1, 1, keys])?)?;
    Ok(Some(match given {
        Some(given) => given.and(&causal)?,
        None => causal,
    }))
}

/// Scores and weights `(batch, heads, queries, keys)`.
fn weights(spec: &AttentionSpec, query: &Tensor, key: &Tensor, mask: Option<&Tensor>) -> Result<[Tensor; 2]> {
    let (query, key) = (swapped(&widened(query)?)?, swapped(&widened(key)?)?);
    let mut scores = (query.matmul(&key.swap_axes(-1, -2)?)? * spec.scale)?;
    if let Some(mask) = mask {
        scores = mask.select(&scores, &Tensor::full([], scores.dtype(), EXCLUDED, scores.device())?)?;
    }
    let weights = scores.softmax(-1)?;
    Ok([scores, weights])
}

pub(super) fn forward(
    spec: &AttentionSpec,
    operands: [&Tensor; 3],
    given: Option<&Tensor>,
) -> Result<Results> {
    let [query, key, value] = operands;
    let dtype = query.dtype();
    let mask = mask(spec, query, key, given)?;
    let [scores, weights] = weights(spec, query, key, mask.as_ref())?;
    let y = swapped(&weights.cast(dtype)?.matmul(&swapped(value)?)?)?;
    // The largest weight is that of the largest score, less the logarithm that is asked for.
    let largest = |t: Tensor| t.stop_gradient().max(&[-1], false);
    let log_sums = (largest(scores)? - largest(weights)?.log()?)?.swap_axes(1, 2)?;
    Ok(smallvec![y, log_sums.into_dtype(dtype)?])
}

/// From the operands, not from what was saved, so that it has a gradient itself.
pub(super) fn backward(
    spec: &AttentionSpec,
    operands: [&Tensor; 3],
    g: &Tensor,
    given: Option<&Tensor>,
) -> Result<Results> {
    let [query, key, value] = operands;
    let dtype = query.dtype();
    let mask = mask(spec, query, key, given)?;
    let [_, weights] = weights(spec, query, key, mask.as_ref())?;
    let g = swapped(g)?;
    let to_value = weights.cast(dtype)?.swap_axes(-1, -2)?.matmul(&g)?;
    let to_weights = widened(&g.matmul(&swapped(value)?.swap_axes(-1, -2)?)?)?;
    let mut to_scores = Tensor::apply1(Op::Fused(Fused::SoftmaxBackward { axis: 3 }), [weights, to_weights])?;
    if let Some(mask) = mask {
        let nothing = Tensor::full([], to_scores.dtype(), 0.0, to_scores.device())?;
        to_scores = mask.select(&to_scores, &nothing)?;
    }
    let to_scores = (to_scores * spec.scale)?;
    let to_query = to_scores.matmul(&swapped(&widened(key)?)?)?;
    let to_key = to_scores.swap_axes(-1, -2)?.matmul(&swapped(&widened(query)?)?)?;
    [to_query, to_key, to_value].into_iter().map(|t| swapped(&t)?.into_dtype(dtype)).collect()
}
