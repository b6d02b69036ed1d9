//! Reductions over sliding windows (pooling) of one to three spatial axes, channels last, with backward passes.
//!
//! The operands are `x` of shape `(batch, spatial…, channels)` and `y` of shape `(batch, out…, channels)`. Padding is
//! never seen: it does not count in a mean, and is less than everything for a maximum.

use crate::conv::write_widened;
use crate::window::{AXES, Axis, Plan};
use crate::{Error, Num, Output, Result, par};

/// Elements that a thread takes at once.
const TILE_ELEMENTS: usize = par::CHUNK;

/// Parameters of a window: one entry per spatial axis in each list.
#[derive(Debug, Clone, Copy)]
pub struct PoolParams<'a> {
    /// Sizes of the window.
    pub window: &'a [usize],
    /// Steps of the window.
    pub strides: &'a [usize],
    /// Padding before and after each axis; negative numbers crop.
    pub padding: &'a [(isize, isize)],
    /// Distance between the elements that a window sees.
    pub dilation: &'a [usize],
}

/// How the elements of a window become one. Half precisions compute in `f32`, integers wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    /// The largest; NaN if any is. Of nothing: minus infinity, or the smallest integer.
    Max,
    /// The smallest; NaN if any is. Of nothing: infinity, or the largest integer.
    Min,
    /// The sum; of nothing 0.
    Sum,
    /// The product; of nothing 1.
    Prod,
    /// The sum divided by the number of elements, which does not count padding. Of nothing: NaN, or 0.
    Mean,
}

/// A checked window: the number of images, their axes, and the channels.
struct Geometry {
    batch: usize,
    axes: [Axis; AXES],
    channels: usize,
}

impl Geometry {
    fn new(x: &[usize], params: &PoolParams) -> Result<Self> {
        let rank = params.window.len();
        if !(1..=AXES).contains(&rank) {
            return Err(Error::parameter(
                "window",
                format!("expected 1 to {AXES} spatial axes, found {rank}"),
            ));
        }
        for (name, len) in [
            ("strides", params.strides.len()),
            ("padding", params.padding.len()),
            ("dilation", params.dilation.len()),
        ] {
            if len != rank {
                return Err(Error::parameter(name, format!("expected {rank} entries, found {len}")));
            }
        }
        let (&[batch, ref source @ .., channels], true) = (x, x.len() == rank + 2) else {
            return Err(Error::shape(format!("expected rank {}, found input {x:?}", rank + 2)));
        };
        let len = params.window.iter().try_fold(1u32, |all, &n| all.checked_mul(u32::try_from(n).ok()?));
        if len.is_none() {
            return Err(Error::parameter("window", format!("{:?} is too large", params.window)));
        }
        let mut axes = [Axis::TRIVIAL; AXES];
        for (i, axis) in axes[AXES - rank..].iter_mut().enumerate() {
            let (window, stride) = (params.window[i], params.strides[i]);
            *axis = Axis::new(source[i], window, stride, params.padding[i], 1, params.dilation[i])?;
        }
        Ok(Self { batch, axes, channels })
    }

    fn check(&self, operand: &'static str, size: impl Fn(&Axis) -> usize, found: usize) -> Result<()> {
        let sizes = self.axes.iter().map(size).chain([self.batch, self.channels]);
        let expected = sizes.into_iter().try_fold(1usize, |all, n| all.checked_mul(n));
        let expected =
            expected.ok_or_else(|| Error::shape(format!("{operand} exceeds the address space")))?;
        Error::check_len(operand, expected, found)
    }

    fn check_operands(&self, x: usize, y: usize) -> Result<()> {
        self.check("x", |axis| axis.source, x)?;
        self.check("y", |axis| axis.output, y)
    }
}

/// The shape of the output, `(batch, out…, channels)`, for an input of shape `x`.
///
/// # Errors
/// If the shape and the parameters do not fit together.
pub fn output_shape(x: &[usize], params: &PoolParams) -> Result<Vec<usize>> {
    let geometry = Geometry::new(x, params)?;
    let spatial = geometry.axes[AXES - params.window.len()..].iter().map(|axis| axis.output);
    Ok([geometry.batch].into_iter().chain(spatial).chain([geometry.channels]).collect())
}

/// Computes `y` from `x` of shape `x_shape`, for every dtype.
///
/// # Errors
/// If shapes, parameters and slices do not fit together; `y` is then as before.
pub fn reduce_window<'a, T: Num + 'a>(
    reducer: Reducer,
    x: &[T],
    x_shape: &[usize],
    params: &PoolParams,
    y: impl Into<Output<'a, T>>,
) -> Result<()> {
    let y = y.into();
    let geometry = Geometry::new(x_shape, params)?;
    geometry.check_operands(x.len(), y.len())?;
    if y.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(geometry.axes);
    match reducer {
        Reducer::Max => fold(&geometry, &plan, x, y, T::Acc::LOWEST, Num::maximum, |_, _| ()),
        Reducer::Min => fold(&geometry, &plan, x, y, T::Acc::HIGHEST, Num::minimum, |_, _| ()),
        Reducer::Sum => fold(&geometry, &plan, x, y, T::Acc::ZERO, Num::plus, |_, _| ()),
        Reducer::Prod => fold(&geometry, &plan, x, y, T::Acc::ONE, Num::times, |_, _| ()),
        Reducer::Mean => fold(
            &geometry,
            &plan,
            x,
            y,
            T::Acc::ZERO,
            Num::plus,
            #[inline(always)]
            |y, seen| {
                let count = T::Acc::from_usize(seen);
                y.iter_mut().for_each(|y| *y = y.over(count));
            },
        ),
    }
    Ok(())
}

/// Folds what each pixel sees, starting from `start`, and then calls `finish` with the pixel and the number of
/// sources seen.
#[inline(always)]
fn fold<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    y: Output<T>,
    start: T::Acc,
    combine: impl Fn(T::Acc, T::Acc) -> T::Acc + Send + Sync,
    finish: impl Fn(&mut [T::Acc], usize) + Send + Sync,
) {
    let channels = geometry.channels;
    let pixels = (TILE_ELEMENTS / channels).max(1);
    let work = y.len().saturating_mul(plan.window_len());
    let tiles = y.pieces(pixels * channels).enumerate();
    par::for_each_init(tiles, work, Vec::new, |scratch, (i, y)| {
        let y = y.get();
        let first = i * pixels;
        let count = y.len() / channels;
        write_widened(y, scratch, |y| {
            par::simd!({
                for (y, pixel) in y.chunks_exact_mut(channels).zip(plan.pixels(first..first + count)) {
                    y.fill(start);
                    let mut seen = 0;
                    for sight in plan.sights(pixel) {
                        seen += sight.len;
                        for x in x[sight.source * channels..][..sight.len * channels].chunks_exact(channels) {
                            y.iter_mut().zip(x).for_each(|(y, x)| *y = combine(*y, x.widen()));
                        }
                    }
                    finish(y, seen);
                }
            })
        })
    });
}

/// The gradient `dx` of the maximum over windows: each element of `dy` goes to the first maximum of its window in `x`.
///
/// Where a window holds NaN the choice is that of XLA's select-and-scatter with `>=`: the element that stays when each
/// one in turn replaces the one before unless that compares greater or equal.
///
/// # Errors
/// As [`reduce_window`].
pub fn max_backward<'a, T: Num + 'a>(
    x: &[T],
    x_shape: &[usize],
    dy: &[T],
    params: &PoolParams,
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    let geometry = Geometry::new(x_shape, params)?;
    geometry.check_operands(x.len(), dy.len())?;
    Error::check_len("dx", x.len(), dx.len())?;
    if dx.is_empty() {
        return Ok(());
    }
    let channels = geometry.channels;
    let selected = select(&geometry, x, dy.len());
    let last = geometry.axes.iter().map(|axis| axis.window).product::<usize>() - 1;
    gather(&geometry, dx, |dx, output, tap| {
        let (dy, selected) =
            (&dy[output * channels..][..channels], &selected[output * channels..][..channels]);
        let tap = (last - tap) as u32;
        for ((dx, dy), &selected) in dx.iter_mut().zip(dy).zip(selected) {
            *dx = if selected == tap { dx.plus(dy.widen()) } else { *dx };
        }
    });
    Ok(())
}

/// For each output, the flat window position of the selected element; `u32::MAX` where the window sees nothing.
fn select<T: Num>(geometry: &Geometry, x: &[T], outputs: usize) -> Vec<u32> {
    let channels = geometry.channels;
    let plan = Plan::new(geometry.axes);
    let mut selected = vec![u32::MAX; outputs];
    let pixels = (TILE_ELEMENTS / channels).max(1);
    let work = outputs.saturating_mul(plan.window_len());
    let tiles = selected.chunks_mut(pixels * channels).enumerate();
    let init = || vec![T::Acc::ZERO; channels];
    par::for_each_init(tiles, work, init, |best, (i, selected)| {
        let (first, count) = (i * pixels, selected.len() / channels);
        par::simd!({
            for (selected, pixel) in
                selected.chunks_exact_mut(channels).zip(plan.pixels(first..first + count))
            {
                let taps = &plan.phases[pixel.phase].taps;
                let mut fresh = true;
                for sight in plan.sights(pixel) {
                    let x = x[sight.source * channels..][..sight.len * channels].chunks_exact(channels);
                    for (x, &tap) in x.zip(&taps[sight.first_tap..]) {
                        for ((best, selected), x) in best.iter_mut().zip(selected.iter_mut()).zip(x) {
                            let x = x.widen();
                            let keep = !fresh && *best >= x;
                            *best = if keep { *best } else { x };
                            *selected = if keep { *selected } else { tap as u32 };
                        }
                        fresh = false;
                    }
                }
            }
        })
    });
    selected
}

/// The gradient `dx` of the sum over windows: every element receives the gradients `dy` of all windows that see it.
///
/// # Errors
/// As [`reduce_window`].
pub fn sum_backward<'a, T: Num + 'a>(
    dy: &[T],
    x_shape: &[usize],
    params: &PoolParams,
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    let geometry = Geometry::new(x_shape, params)?;
    geometry.check_operands(dx.len(), dy.len())?;
    if !dx.is_empty() {
        add_windows(&geometry, dy, dx);
    }
    Ok(())
}

/// The gradient `dx` of the mean over windows: as [`sum_backward`], each divided by the number of elements in the
/// window, which does not count padding.
///
/// # Errors
/// As [`reduce_window`].
pub fn mean_backward<'a, T: Num + 'a>(
    dy: &[T],
    x_shape: &[usize],
    params: &PoolParams,
    dx: impl Into<Output<'a, T>>,
) -> Result<()> {
    let dx = dx.into();
    let geometry = Geometry::new(x_shape, params)?;
    geometry.check_operands(dx.len(), dy.len())?;
    if dx.is_empty() {
        return Ok(());
    }
    let plan = Plan::new(geometry.axes);
    let channels = geometry.channels;
    let mut shares = vec![T::Acc::ZERO; dy.len()];
    let pixels = plan.pixels(0..geometry.batch * plan.outputs());
    for ((share, dy), pixel) in shares.chunks_exact_mut(channels).zip(dy.chunks_exact(channels)).zip(pixels) {
        let count = T::Acc::from_usize(plan.sights(pixel).map(|sight| sight.len).sum());
        share.iter_mut().zip(dy).for_each(|(share, dy)| *share = dy.widen().over(count));
    }
    add_windows(&geometry, &shares, dx);
    Ok(())
}

fn add_windows<T: Num>(geometry: &Geometry, dy: &[impl Num<Acc = T::Acc>], dx: Output<T>) {
    let channels = geometry.channels;
    gather(
        geometry,
        dx,
        #[inline(always)]
        |dx, output, _| {
            let dy = &dy[output * channels..][..channels];
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dx.plus(dy.widen()));
        },
    );
}

/// Zeroes each pixel of `dx` and calls `add` with it, every output that has seen it, in scan order, and the reversed
/// window position.
#[inline(always)]
fn gather<T: Num>(
    geometry: &Geometry,
    dx: Output<T>,
    add: impl Fn(&mut [T::Acc], usize, usize) + Send + Sync,
) {
    let channels = geometry.channels;
    let plan = Plan::transposed(geometry.axes);
    let pixels = (TILE_ELEMENTS / channels).max(1);
    let work = dx.len().saturating_mul(plan.phases.iter().map(|phase| phase.taps.len()).max().unwrap_or(0));
    let tiles = dx.pieces(pixels * channels).enumerate();
    par::for_each_init(tiles, work, Vec::new, |scratch, (i, dx)| {
        let dx = dx.get();
        let (first, count) = (i * pixels, dx.len() / channels);
        write_widened(dx, scratch, |dx| {
            par::simd!({
                for (dx, pixel) in dx.chunks_exact_mut(channels).zip(plan.pixels(first..first + count)) {
                    dx.fill(T::Acc::ZERO);
                    let taps = &plan.phases[pixel.phase].taps;
                    for sight in plan.sights(pixel) {
                        for i in 0..sight.len {
                            add(dx, sight.source + i, taps[sight.first_tap + i]);
                        }
                    }
                }
            })
        })
    });
}

#[cfg(test)]
mod tests;
