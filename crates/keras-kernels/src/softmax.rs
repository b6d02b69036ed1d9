//! Softmax, its logarithm, and cross-entropy from logits, forward and backward.
//!
//! The axis is the middle one of `(outer, n, inner)`; with `inner == 1` it is the last, which is fastest. As in JAX,
//! the maximum is subtracted first; a row whose maximum is infinite or NaN gives NaN. Half precisions compute in `f32`.

use crate::math::{MulAdd, Real};
use crate::reduce::fold_row;
use crate::{Error, Num, Output, Result, par};

/// What one element costs in units of a multiplication.
const COST: usize = 16;

/// Elements that are worth a visit to another thread.
const GRAIN: usize = par::CHUNK / 4;

fn check(shape: [usize; 3], lengths: [(&'static str, usize); 3]) -> Result<()> {
    let size = shape.iter().product();
    lengths.into_iter().try_for_each(|(operand, len)| Error::check_len(operand, size, len))
}

/// Blocks that are worth a visit to another thread, each of whole `(n, inner)` matrices.
fn group([_, n, inner]: [usize; 3]) -> usize {
    n * inner * (GRAIN / (n * inner)).max(1)
}

/// The larger one of two, in one instruction: with NaN it may be either, but a NaN is in the sum of the exponentials anyway.
#[inline(always)]
pub(crate) fn larger<A: Real>(a: A, b: A) -> A {
    if a > b { a } else { b }
}

/// Largest element of a row, and `exp(x - largest)`, written to `exps`, summed.
#[inline(always)]
fn exponentials<T: Num<Acc: Real>>(x: &[T], exps: &mut [T::Acc], m: impl MulAdd) -> (T::Acc, T::Acc) {
    let max = fold_row(x, x, T::Acc::LOWEST, |x, _| x.widen(), larger);
    exps.iter_mut().zip(x).for_each(|(e, &x)| *e = (x.widen() - max).exp(m));
    let sum = fold_row(exps, exps, T::Acc::ZERO, |e, _| e, T::Acc::plus);
    (max, sum)
}

/// The same for each column of a matrix with `inner` columns.
#[inline(always)]
fn column_exponentials<T: Num<Acc: Real>>(
    x: &[T],
    exps: &mut [T::Acc],
    max: &mut [T::Acc],
    sum: &mut [T::Acc],
    m: impl MulAdd,
) {
    let inner = max.len();
    max.fill(T::Acc::LOWEST);
    sum.fill(T::Acc::ZERO);
    for x in x.chunks(inner) {
        max.iter_mut().zip(x).for_each(|(max, &x)| *max = larger(*max, x.widen()));
    }
    for (x, exps) in x.chunks(inner).zip(exps.chunks_mut(inner)) {
        for (((&x, e), &max), sum) in x.iter().zip(exps).zip(&*max).zip(&mut *sum) {
            *e = (x.widen() - max).exp(m);
            *sum += *e;
        }
    }
}

/// Writes the softmax of `x`, or its logarithm.
fn forward<T: Num<Acc: Real>, const LOG: bool>(x: &[T], shape: [usize; 3], out: Output<T>) -> Result<()> {
    check(shape, [("x", x.len()), ("out", out.len()), ("out", out.len())])?;
    if x.is_empty() {
        return Ok(());
    }
    let [_, n, inner] = shape;
    let (size, group) = (n * inner, group(shape));
    let items = out.pieces(group).zip(x.chunks(group));
    let scratch = || [size, inner, inner].map(|len| vec![T::Acc::ZERO; len]);
    par::for_each_init(items, x.len().saturating_mul(COST), scratch, |[exps, max, sum], (out, x)| {
        let out = out.get();
        par::simd!(|m| {
            let prepare = |sum: T::Acc| if LOG { sum.ln(m) } else { T::Acc::ONE / sum };
            let finish = |shifted: T::Acc, e: T::Acc, sum: T::Acc| if LOG { shifted - sum } else { e * sum };
            for (out, x) in out.chunks_mut(size).zip(x.chunks(size)) {
                if inner == 1 {
                    let (max, sum) = exponentials(x, exps, m);
                    let sum = prepare(sum);
                    for ((out, &x), &e) in out.iter_mut().zip(x).zip(&*exps) {
                        *out = T::narrow(finish(x.widen() - max, e, sum));
                    }
                    continue;
                }
                column_exponentials(x, exps, max, sum, m);
                sum.iter_mut().for_each(|sum| *sum = prepare(*sum));
                for ((out, x), e) in out.chunks_mut(inner).zip(x.chunks(inner)).zip(exps.chunks(inner)) {
                    let statistics = max.iter().zip(&*sum);
                    for (((out, &x), &e), (&max, &sum)) in out.iter_mut().zip(x).zip(e).zip(statistics) {
                        *out = T::narrow(finish(x.widen() - max, e, sum));
                    }
                }
            }
        });
    });
    Ok(())
}

/// Writes the gradient of the softmax `y`, or of its logarithm `y`.
fn backward<T: Num<Acc: Real>, const LOG: bool>(
    y: &[T],
    dy: &[T],
    shape: [usize; 3],
    dx: Output<T>,
) -> Result<()> {
    check(shape, [("y", y.len()), ("dy", dy.len()), ("dx", dx.len())])?;
    if y.is_empty() {
        return Ok(());
    }
    let [_, n, inner] = shape;
    let (size, group) = (n * inner, group(shape));
    let items = dx.pieces(group).zip(y.chunks(group).zip(dy.chunks(group)));
    par::for_each(items, y.len().saturating_mul(COST), |(dx, (y, dy))| {
        let dx = dx.get();
        let mut sums = vec![T::Acc::ZERO; inner];
        par::simd!(|m| {
            let term = |y: T::Acc, dy: T::Acc| if LOG { dy } else { y * dy };
            let finish = |y: T::Acc, dy: T::Acc, sum: T::Acc| {
                if LOG { dy - y.exp(m) * sum } else { y * (dy - sum) }
            };
            for (dx, (y, dy)) in dx.chunks_mut(size).zip(y.chunks(size).zip(dy.chunks(size))) {
                if inner == 1 {
                    let map = |y: T, dy: T| term(y.widen(), dy.widen());
                    sums[0] = fold_row(y, dy, T::Acc::ZERO, map, T::Acc::plus);
                } else {
                    sums.fill(T::Acc::ZERO);
                    for (y, dy) in y.chunks(inner).zip(dy.chunks(inner)) {
                        for ((sum, &y), &dy) in sums.iter_mut().zip(y).zip(dy) {
                            *sum += term(y.widen(), dy.widen());
                        }
                    }
                }
                if let [sum] = sums[..] {
                    for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                        *dx = T::narrow(finish(y.widen(), dy.widen(), sum));
                    }
                    continue;
                }
                for (dx, (y, dy)) in dx.chunks_mut(inner).zip(y.chunks(inner).zip(dy.chunks(inner))) {
                    for (((dx, &y), &dy), &sum) in dx.iter_mut().zip(y).zip(dy).zip(&sums) {
                        *dx = T::narrow(finish(y.widen(), dy.widen(), sum));
                    }
                }
            }
        });
    });
    Ok(())
}

/// Writes `exp(x) / sum(exp(x))` along the middle axis of `(outer, n, inner)`.
///
/// # Errors
/// If a length contradicts the shape.
pub fn softmax<'a, T: Num<Acc: Real> + 'a>(
    x: &[T],
    shape: [usize; 3],
    out: impl Into<Output<'a, T>>,
) -> Result<()> {
    forward::<T, false>(x, shape, out.into())
}

/// Writes `x - ln(sum(exp(x)))` along the middle axis of `(outer, n, inner)`.
///
/// # Errors
/// If a length contradicts the shape.
pub fn log_softmax<'a, T: Num<Acc: Real> + 'a>(
    x: &[T],
    shape: [usize; 3],
    out: impl Into<Output<'a, T>>,
) -> Result<()> {
    forward::<T, true>(x, shape, out.into())
}

/// Gradient of [`softmax`] from its output `y` and the gradient `dy` of that.
///
/// # Errors
/// If a length contradicts the shape.
pub fn softmax_backward<'a, T: Num<Acc: Real> + 'a>(
    y: &[T],
    dy: &[T],
    shape: [usize; 3],
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    backward::<T, false>(y, dy, shape, dx.into())
}

/// Gradient of [`log_softmax`] from its output `y` and the gradient `dy` of that.
///
/// # Errors
/// If a length contradicts the shape.
pub fn log_softmax_backward<'a, T: Num<Acc: Real> + 'a>(
    y: &[T],
    dy: &[T],
    shape: [usize; 3],
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    backward::<T, true>(y, dy, shape, dx.into())
}

fn check_rows(n: usize, logits: usize, rows: usize) -> Result<()> {
    let size = rows.checked_mul(n).ok_or_else(|| Error::shape("too many rows"))?;
    Error::check_len("logits", size, logits)
}

/// Rows that are worth a visit to another thread.
fn rows_at_once(n: usize) -> usize {
    (GRAIN / n.max(1)).max(1)
}

/// Writes `-log_softmax(logits)[label]` of each row of `logits`, `(rows, n)`; NaN where another logit is minus infinity,
/// as in [`cross_entropy`], where that is multiplied by 0. A label outside of `0..n` matches no class and gives 0.
///
/// # Errors
/// If the lengths of `labels` or `loss` and `logits` contradict each other.
pub fn sparse_cross_entropy<T: Num<Acc: Real>>(
    logits: &[T],
    n: usize,
    labels: &[i32],
    loss: &mut [T],
) -> Result<()> {
    check_rows(n, logits.len(), loss.len())?;
    Error::check_len("labels", loss.len(), labels.len())?;
    let group = rows_at_once(n);
    let items = loss.chunks_mut(group).zip(labels.chunks(group)).zip(logits.chunks((group * n).max(1)));
    par::for_each_init(
        items,
        logits.len().saturating_mul(COST),
        || vec![T::Acc::ZERO; n],
        |exps, ((loss, labels), logits)| {
            par::simd!(|m| {
                for ((loss, &label), x) in loss.iter_mut().zip(labels).zip(logits.chunks(n)) {
                    let (max, sum) = exponentials(x, exps, m);
                    let label = usize::try_from(label).ok().filter(|&label| label < n);
                    *loss = label.map_or(T::ZERO, |label| {
                        // Zero, unless a probability is zero: then it counts as in a sum over all classes, as NaN.
                        let others = |x: &[T]| {
                            let term = |x: T, _| (x.widen() - max) * T::Acc::ZERO;
                            fold_row(x, x, T::Acc::ZERO, term, T::Acc::plus)
                        };
                        let own = sum.ln(m) - (x[label].widen() - max);
                        T::narrow(own + others(&x[..label]) + others(&x[label + 1..]))
                    });
                }
            });
        },
    );
    Ok(())
}

/// Gradient of [`sparse_cross_entropy`] with respect to `logits`, from the gradient `dloss` of each row's loss.
///
/// # Errors
/// If the lengths contradict each other.
pub fn sparse_cross_entropy_backward<'a, T: Num<Acc: Real> + 'a>(
    logits: &[T],
    n: usize,
    labels: &[i32],
    dloss: &[T],
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    check_rows(n, logits.len(), dloss.len())?;
    Error::check_len("labels", dloss.len(), labels.len())?;
    Error::check_len("dx", logits.len(), dx.len())?;
    let (group, size) = (rows_at_once(n), (rows_at_once(n) * n).max(1));
    let rows = dloss.chunks(group).zip(labels.chunks(group));
    let items = dx.pieces(size).zip(logits.chunks(size)).zip(rows);
    par::for_each_init(
        items,
        logits.len().saturating_mul(COST),
        || vec![T::Acc::ZERO; n],
        |exps, ((dx, logits), (dloss, labels))| {
            let dx = dx.get();
            par::simd!(|m| {
                let rows = dx.chunks_mut(n).zip(logits.chunks(n)).zip(dloss.iter().zip(labels));
                for ((dx, x), (dloss, &label)) in rows {
                    let Some(label) = usize::try_from(label).ok().filter(|&label| label < n) else {
                        dx.fill(T::ZERO);
                        continue;
                    };
                    let (_, sum) = exponentials(x, exps, m);
                    let (scale, dloss) = (T::Acc::ONE / sum, dloss.widen());
                    dx.iter_mut().zip(&*exps).for_each(|(dx, &e)| *dx = T::narrow(e * scale * dloss));
                    dx[label] = T::narrow((exps[label] * scale - T::Acc::ONE) * dloss);
                }
            });
        },
    );
    Ok(())
}

/// Writes `-sum(targets · log_softmax(logits))` of each row; `logits` and `targets` are `(rows, n)`.
///
/// # Errors
/// If the lengths contradict each other.
pub fn cross_entropy<T: Num<Acc: Real>>(logits: &[T], n: usize, targets: &[T], loss: &mut [T]) -> Result<()> {
    check_rows(n, logits.len(), loss.len())?;
    Error::check_len("targets", logits.len(), targets.len())?;
    let (group, size) = (rows_at_once(n), (rows_at_once(n) * n).max(1));
    let items = loss.chunks_mut(group).zip(logits.chunks(size).zip(targets.chunks(size)));
    par::for_each_init(
        items,
        logits.len().saturating_mul(COST),
        || vec![T::Acc::ZERO; n],
        |exps, (loss, (logits, targets))| {
            par::simd!(|m| {
                for (loss, (x, targets)) in loss.iter_mut().zip(logits.chunks(n).zip(targets.chunks(n))) {
                    let (max, sum) = exponentials(x, exps, m);
                    let log_sum = sum.ln(m);
                    let term = |x: T, t: T| t.widen() * (log_sum - (x.widen() - max));
                    let sum = fold_row(x, targets, T::Acc::ZERO, term, T::Acc::plus);
                    *loss = T::narrow(sum);
                }
            });
        },
    );
    Ok(())
}

/// Gradient of [`cross_entropy`] with respect to `logits`, from the gradient `dloss` of each row's loss. (That with
/// respect to `targets` is `-dloss · log_softmax(logits)`.)
///
/// # Errors
/// If the lengths contradict each other.
pub fn cross_entropy_backward<'a, T: Num<Acc: Real> + 'a>(
    logits: &[T],
    n: usize,
    targets: &[T],
    dloss: &[T],
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    check_rows(n, logits.len(), dloss.len())?;
    Error::check_len("targets", logits.len(), targets.len())?;
    Error::check_len("dx", logits.len(), dx.len())?;
    let (group, size) = (rows_at_once(n), (rows_at_once(n) * n).max(1));
    let items = dx.pieces(size).zip(logits.chunks(size).zip(targets.chunks(size))).zip(dloss.chunks(group));
    par::for_each_init(
        items,
        logits.len().saturating_mul(COST),
        || vec![T::Acc::ZERO; n],
        |exps, ((dx, (logits, targets)), dloss)| {
            let dx = dx.get();
            par::simd!(|m| {
                let rows = dx.chunks_mut(n).zip(logits.chunks(n).zip(targets.chunks(n))).zip(dloss);
                for ((dx, (x, targets)), dloss) in rows {
                    let (_, sum) = exponentials(x, exps, m);
                    let total = fold_row(targets, targets, T::Acc::ZERO, |t, _| t.widen(), T::Acc::plus);
                    let (scale, dloss) = (total / sum, dloss.widen());
                    for ((dx, &e), &t) in dx.iter_mut().zip(&*exps).zip(targets) {
                        *dx = T::narrow((e * scale - t.widen()) * dloss);
                    }
                }
            });
        },
    );
    Ok(())
}
