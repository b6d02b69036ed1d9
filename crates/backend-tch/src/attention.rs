//! Scaled dot-product attention by libtorch's flash attention for the CPU, which keeps no matrix of all queries by all keys.

use keras_spec::AttentionSpec;
use tch::{Device, Kind, Tensor};

use crate::buffer::{Buffer, Done, broken, filled, sizes};
use crate::fused::first;

/// What excluded scores count as: they lose against all others, and are alike where there are no others.
const EXCLUDED: f64 = -0.7 * f32::MAX as f64;

/// Whether the device has it.
pub(crate) fn fuses(device: Device) -> bool {
    device == Device::Cpu
}

/// Operands as libtorch wants them: heads before steps, as many features of the value as of query and key.
struct Inputs {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    /// What is added to scores.
    bias: Option<Tensor>,
    /// The queries that may take from no key, `(batch, heads, queries, 1)`, if there are any.
    blind: Option<Tensor>,
    causal: bool,
    features: i64,
    values: i64,
}

impl Inputs {
    fn new(spec: &AttentionSpec, operands: [&Buffer; 3], mask: Option<&Buffer>) -> Done<Inputs> {
        let [query, key, value] = operands;
        let last = |x: &Buffer| x.shape().last().copied().unwrap_or(0) as i64;
        let (features, values) = (last(query), last(value));
        let wide = features.max(values);
        let [query, key, value] = [query, key, value].map(|x| swapped(x.tensor(), wide));
        let (query, key, value) = (query?, key?, value?);
        let mut inputs =
            Inputs { query, key, value, bias: None, blind: None, causal: spec.causal, features, values };
        if let Some(mask) = mask {
            let mut mask = mask.tensor().shallow_clone();
            let [queries, keys] = [&inputs.query, &inputs.key].map(|x| x.size().get(2).copied().unwrap_or(0));
            if spec.causal {
                // Of a query without keys libtorch's own way would know only the earlier ones.
                let all = Tensor::f_ones([queries, keys], (Kind::Bool, mask.device()))?;
                mask = mask.f_logical_and(&all.f_tril(0)?)?;
                inputs.causal = false;
            }
            let [b, h, _, _] = inputs.query.size()[..] else {
                return Err(broken("attention", "operands have four axes").into());
            };
            let mask = mask.f_expand([b, h, queries, keys], false)?;
            let excluded = mask.f_logical_not()?;
            let blind = excluded.f_all_dim(-1, true)?;
            if blind.f_any()?.f_int64_value(&[])? != 0 {
                inputs.blind = Some(blind);
            }
            let bias = Tensor::f_zeros([b, h, queries, keys], (inputs.query.f_kind()?, mask.device()))?;
            inputs.bias = Some(bias.f_masked_fill(&excluded, EXCLUDED)?);
        }
        Ok(inputs)
    }
}

/// `(batch, steps, heads, features)` as `(batch, heads, steps, wide)`, with zeros at the end.
fn swapped(x: &Tensor, wide: i64) -> Done {
    let x = x.f_transpose(1, 2)?;
    let missing = wide - x.size().last().copied().unwrap_or(0);
    if missing > 0 {
        return Ok(x.f_constant_pad_nd([0, missing].as_slice())?);
    }
    // libtorch reads features as neighbours without asking.
    Ok(if x.stride().last() == Some(&1) { x } else { x.f_contiguous()? })
}

/// The way back from [`swapped`].
fn back(x: &Tensor, features: i64) -> Done {
    Ok(x.f_narrow(3, 0, features)?.f_transpose(1, 2)?)
}

pub(crate) fn forward(spec: &AttentionSpec, mut operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let mask = if spec.mask { operands.pop() } else { None };
    let [query, key, value] = first("scaled_dot_product_attention", operands)?;
    let dtype = query.dtype();
    let ([b, q, h], values) = lengths(&query, &value);
    if [&query, &key, &value].iter().any(|x| x.shape().size() == 0) {
        let zeros = |shape: &[i64]| filled(shape, 0.0, dtype, query.tensor().device());
        let results = [zeros(&[b, q, h, values])?, zeros(&[b, q, h])?];
        return Ok(results.map(|tensor| Buffer::new(tensor, dtype)).into());
    }
    let inputs = Inputs::new(spec, [&query, &key, &value], mask.as_ref())?;
    let Inputs { query, key, value, bias, causal, .. } = &inputs;
    let (y, log_sums) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu(
        query,
        key,
        value,
        0.0,
        *causal,
        bias.as_ref(),
        spec.scale,
    )?;
    let results = [back(&y, inputs.values)?, log_sums.f_transpose(1, 2)?.f_to_kind(query.f_kind()?)?];
    Ok(results.map(|tensor| Buffer::new(tensor, dtype)).into())
}

/// Batch, queries and heads, and the features of the value.
fn lengths(query: &Buffer, value: &Buffer) -> ([i64; 3], i64) {
    let at = |x: &Buffer, i: usize| x.shape().get(i).copied().unwrap_or(0) as i64;
    ([0, 1, 2].map(|i| at(query, i)), at(value, 3))
}

pub(crate) fn backward(spec: &AttentionSpec, mut operands: Vec<Buffer>) -> Done<Vec<Buffer>> {
    let mask = if spec.mask { operands.pop() } else { None };
    let [query, key, value, y, log_sums, g] = first("scaled_dot_product_attention_backward", operands)?;
    let dtype = query.dtype();
    if [&query, &key, &value].iter().any(|x| x.shape().size() == 0) {
        let zeros = |x: &Buffer| filled(&sizes(x.shape()), 0.0, dtype, x.tensor().device());
        let results = [zeros(&query)?, zeros(&key)?, zeros(&value)?];
        return Ok(results.map(|tensor| Buffer::new(tensor, dtype)).into());
    }
    let inputs = Inputs::new(spec, [&query, &key, &value], mask.as_ref())?;
    let wide = inputs.features.max(inputs.values);
    let (y, mut g) = (swapped(y.tensor(), wide)?, swapped(g.tensor(), wide)?);
    let Inputs { query, key, value, bias, blind, causal, .. } = &inputs;
    // The logarithm of so small a sum says nothing of a query without keys: its gradient is written by hand.
    let mut to_values = None;
    if let Some(blind) = blind {
        let theirs = g.f_masked_fill(&blind.f_logical_not()?, 0.0)?;
        to_values = Some(theirs.f_sum_dim_intlist([2i64].as_slice(), true, None)?);
        g = g.f_masked_fill(blind, 0.0)?;
    }
    let (dquery, dkey, mut dvalue) = Tensor::f_internal_scaled_dot_product_flash_attention_for_cpu_backward(
        &g,
        query,
        key,
        value,
        &y,
        &log_sums.tensor().f_contiguous()?.f_transpose(1, 2)?,
        0.0,
        *causal,
        bias.as_ref(),
        spec.scale,
    )?;
    if let Some(sum) = to_values {
        let keys = key.size().get(2).copied().unwrap_or(1);
        dvalue = dvalue.f_add(&sum.f_div_scalar(keys as f64)?)?;
    }
    let results =
        [back(&dquery, inputs.features)?, back(&dkey, inputs.features)?, back(&dvalue, inputs.values)?];
    Ok(results.map(|tensor| Buffer::new(tensor, dtype)).into())
}
