//! Batch and layer normalisation.

use smallvec::smallvec;

use super::{per_channel, per_row};
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::{Results, Tensor};

/// Half precisions are normalised in float32, as Keras does.
fn widened(t: &Tensor) -> Result<Tensor> {
    if matches!(t.dtype(), DType::F16 | DType::BF16) { t.cast(DType::F32) } else { Ok(t.clone()) }
}

/// A statistic as `dtype`; Keras keeps those of both half precisions in the range of float16.
fn narrowed(t: Tensor, dtype: DType) -> Result<Tensor> {
    const LARGEST_F16: f64 = 65504.0;
    if t.dtype() == dtype { Ok(t) } else { t.clip(-LARGEST_F16, LARGEST_F16)?.into_dtype(dtype) }
}

fn all_but(rank: usize, axis: usize) -> Vec<isize> {
    (0..rank).filter(|&i| i != axis).map(|i| i as isize).collect()
}

/// Means over `axes`; over no axes, `x`.
fn mean(x: &Tensor, axes: &[isize], keepdims: bool) -> Result<Tensor> {
    if axes.is_empty() { Ok(x.clone()) } else { x.mean(axes, keepdims) }
}

fn sum(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    if axes.is_empty() { Ok(x.clone()) } else { x.sum(axes, false) }
}

/// `x · inv + (beta - mean · inv)` with `inv = gamma · rstd`, in Keras's order of operations.
fn scaled(x: &Tensor, mean: &Tensor, rstd: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let inv = (rstd * gamma)?;
    let shift = ((-mean)? * &inv)?;
    (x * inv)? + (shift + beta)?
}

pub(super) fn batch_norm(
    axis: usize,
    epsilon: f64,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
) -> Result<Results> {
    let dtype = x.dtype();
    let (x, gamma, beta) = (widened(x)?, widened(gamma)?, widened(beta)?);
    let axes = all_but(x.rank(), axis);
    let aligned = |t: &Tensor| per_channel(t, x.rank(), axis);
    let centre = mean(&x, &axes, false)?;
    let variance = mean(&(&x - aligned(&centre)?)?.square()?, &axes, false)?;
    let rstd = (&variance + epsilon)?.rsqrt()?;
    let y = scaled(&x, &aligned(&centre)?, &aligned(&rstd)?, &aligned(&gamma)?, &aligned(&beta)?)?;
    Ok(smallvec![y.into_dtype(dtype)?, narrowed(centre, dtype)?, narrowed(variance, dtype)?])
}

/// From `x, gamma, mean, variance, gradient of y`.
pub(super) fn batch_norm_backward(axis: usize, epsilon: f64, operands: [&Tensor; 5]) -> Result<Results> {
    let [x, gamma, centre, variance, g] = operands;
    let dtype = x.dtype();
    let axes = all_but(x.rank(), axis);
    let aligned = |t: &Tensor| per_channel(&widened(t)?, x.rank(), axis);
    let g = widened(g)?;
    let rstd = (aligned(variance)? + epsilon)?.rsqrt()?;
    let normal = ((widened(x)? - aligned(centre)?)? * &rstd)?;
    let to_beta = sum(&g, &axes)?;
    let to_gamma = sum(&(&g * &normal)?, &axes)?;
    let n = (x.shape().size() / centre.shape().size().max(1)) as f64;
    let through = ((&g - (aligned(&to_beta)? / n)?)? - (normal * (aligned(&to_gamma)? / n)?)?)?;
    let to_x = (through * (aligned(gamma)? * rstd)?)?;
    Ok(smallvec![to_x.into_dtype(dtype)?, to_gamma.into_dtype(dtype)?, to_beta.into_dtype(dtype)?])
}

pub(super) fn layer_norm(
    features: usize,
    epsilon: f64,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
) -> Result<Results> {
    let dtype = x.dtype();
    let (x, gamma, beta) = (widened(x)?, widened(gamma)?, widened(beta)?);
    let axes = trailing(x.rank(), features);
    let aligned = |t: &Tensor| per_row(t, x.rank());
    let centre = x.mean(&axes, false)?;
    let variance = (&x - aligned(&centre)?)?.square()?.mean(&axes, false)?;
    let rstd = (variance + epsilon)?.rsqrt()?;
    let y = scaled(&x, &aligned(&centre)?, &aligned(&rstd)?, &gamma, &beta)?;
    Ok(smallvec![y.into_dtype(dtype)?, narrowed(centre, dtype)?, narrowed(rstd, dtype)?])
}

/// From `x, gamma, mean, rstd, gradient of y`.
pub(super) fn layer_norm_backward(features: usize, operands: [&Tensor; 5]) -> Result<Results> {
    let [x, gamma, centre, rstd, g] = operands;
    let dtype = x.dtype();
    let axes = trailing(x.rank(), features);
    let rows: Vec<isize> = (0..(x.rank() - features) as isize).collect();
    let aligned = |t: &Tensor| per_row(&widened(t)?, x.rank());
    let g = widened(g)?;
    let rstd = aligned(rstd)?;
    let normal = ((widened(x)? - aligned(centre)?)? * &rstd)?;
    let inner = (&g * widened(gamma)?)?;
    let along = (&inner * &normal)?.mean(&axes, true)?;
    let to_x = (((&inner - inner.mean(&axes, true)?)? - (&normal * along)?)? * rstd)?;
    let to_gamma = sum(&(&g * normal)?, &rows)?;
    Ok(smallvec![to_x.into_dtype(dtype)?, to_gamma.into_dtype(dtype)?, sum(&g, &rows)?.into_dtype(dtype)?])
}

fn trailing(rank: usize, features: usize) -> Vec<isize> {
    (rank - features..rank).map(|i| i as isize).collect()
}
