//! What picks a row or an element by its number, fused: embeddings and cross-entropy.

use tch::{Kind, Tensor};

use crate::buffer::{Buffer, Done, filled, sizes};

/// Indices as libtorch wants them, inside `0..n`, and which of them were not, if any; `n` must not be 0.
fn inside(indices: &Tensor, n: i64) -> Done<(Tensor, Option<Tensor>)> {
    let valid = indices.f_clamp(0i64, n - 1)?;
    if valid.f_equal(indices)? {
        return Ok((valid, None));
    }
    let outside = valid.f_ne_tensor(indices)?;
    Ok((valid, Some(outside)))
}

/// [`inside`] with those below 0 counted from the end.
fn rows(indices: &Buffer, n: i64) -> Done<(Tensor, Option<Tensor>)> {
    let indices = indices.tensor().f_to_kind(Kind::Int64)?;
    let counted = indices.f_add_scalar(n)?.f_where_self(&indices.f_lt(0i64)?, &indices)?;
    inside(&counted, n)
}

pub(crate) fn embedding([table, indices]: [Buffer; 2]) -> Done<Buffer> {
    let dtype = table.dtype();
    let &[n, features] = &sizes(table.shape())[..] else { return Ok(table) };
    let shape = [sizes(indices.shape()), vec![features]].concat();
    if shape.contains(&0) {
        let nothing = filled(&shape, 0.0, dtype, table.tensor().device())?;
        return Ok(Buffer::new(nothing, dtype));
    }
    let (places, outside) = rows(&indices, n)?;
    let mut y = Tensor::f_embedding(table.tensor(), &places, -1, false, false)?;
    if let Some(outside) = outside {
        let _ = y.f_masked_fill_(&outside.f_unsqueeze(-1)?, f64::NAN)?;
    }
    Ok(Buffer::new(y, dtype))
}

pub(crate) fn embedding_backward([g, indices]: [Buffer; 2], count: usize) -> Done<Buffer> {
    let dtype = g.dtype();
    let features = g.shape().last().copied().unwrap_or(0);
    let table = filled(&sizes(&[count, features]), 0.0, dtype, g.tensor().device())?;
    if g.shape().size() == 0 || count == 0 {
        return Ok(Buffer::new(table, dtype));
    }
    let (places, outside) = rows(&indices, count as i64)?;
    let flat = g.tensor().f_reshape([-1, features as i64].as_slice())?;
    let flat = match outside {
        Some(outside) => flat.f_masked_fill(&outside.f_reshape([-1i64, 1].as_slice())?, 0.0)?,
        None => flat,
    };
    let mut table = table;
    let _ = table.f_index_add_(0, &places.f_reshape([-1i64].as_slice())?, &flat)?;
    Ok(Buffer::new(table, dtype))
}

pub(crate) fn cross_entropy([logits, labels]: [Buffer; 2], sparse: bool) -> Done<Buffer> {
    let dtype = logits.dtype();
    #[cfg(feature = "shim")]
    if let Some(loss) = crate::kernels::cross_entropy(logits.tensor(), labels.tensor(), sparse) {
        return Ok(Buffer::new(loss?, dtype));
    }
    let log = logits.tensor().f_log_softmax(-1, None)?;
    let loss = if !sparse {
        log.f_mul(labels.tensor())?.f_sum_dim_intlist([-1i64].as_slice(), false, None)?.f_neg()?
    } else if logits.shape().size() == 0 {
        filled(&sizes(labels.shape()), 0.0, dtype, logits.tensor().device())?
    } else {
        let (places, outside) = classes(&logits, &labels)?;
        let mut loss = log.f_gather(-1, &places.f_unsqueeze(-1)?, false)?.f_squeeze_dim(-1)?;
        let _ = loss.f_neg_()?;
        let least = log.f_min()?.f_double_value(&[])?;
        if least.is_nan() || least == f64::NEG_INFINITY {
            // In the sum over all classes, 0 times such a logarithm is NaN.
            let mut infinite = log.f_eq(f64::NEG_INFINITY)?;
            let _ = infinite.f_scatter_value_(-1, &places.f_unsqueeze(-1)?, 0.0)?;
            let _ = loss.f_masked_fill_(&infinite.f_any_dim(-1, false)?, f64::NAN)?;
        }
        match outside {
            Some(outside) => loss.f_masked_fill(&outside, 0.0)?,
            None => loss,
        }
    };
    Ok(Buffer::new(loss, dtype))
}

fn classes(logits: &Buffer, labels: &Buffer) -> Done<(Tensor, Option<Tensor>)> {
    let n = logits.shape().last().copied().unwrap_or(1) as i64;
    inside(&labels.tensor().f_to_kind(Kind::Int64)?, n)
}

pub(crate) fn cross_entropy_backward([logits, labels, g]: [Buffer; 3], sparse: bool) -> Done<Buffer> {
    let dtype = logits.dtype();
    if logits.shape().size() == 0 {
        return Ok(logits);
    }
    #[cfg(feature = "shim")]
    if let Some(dx) =
        crate::kernels::cross_entropy_backward([logits.tensor(), labels.tensor(), g.tensor()], sparse)
    {
        return Ok(Buffer::new(dx?, dtype));
    }
    let mut weights = logits.tensor().f_softmax(-1, None)?;
    let g = g.tensor().f_unsqueeze(-1)?;
    if !sparse {
        let total = labels.tensor().f_sum_dim_intlist([-1i64].as_slice(), true, None)?;
        let _ = weights.f_mul_(&total)?.f_sub_(labels.tensor())?.f_mul_(&g)?;
        return Ok(Buffer::new(weights, dtype));
    }
    let (places, outside) = classes(&logits, &labels)?;
    let _ = weights.f_mul_(&g)?.f_scatter_add_(-1, &places.f_unsqueeze(-1)?, &g.f_neg()?)?;
    if let Some(outside) = outside {
        let _ = weights.f_masked_fill_(&outside.f_unsqueeze(-1)?, 0.0)?;
    }
    Ok(Buffer::new(weights, dtype))
}
