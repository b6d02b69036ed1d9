//! Depthwise convolution: every input channel has its own `multiplier` outputs. Direct loops over channels.
//!
//! The filter has shape `(window…, 1, c_in · multiplier)`; output `c · multiplier + j` comes from input channel `c`.

use crate::conv::{Epilogue, Geometry, add_all, block_len, widened, write_widened};
use crate::window::{Pixel, Plan};
use crate::{Num, par};

/// Outputs of one channel block stay in registers.
const LANES: usize = 32;

/// Outputs that a thread takes at once.
const TILE_ELEMENTS: usize = 1 << 15;

pub(crate) fn forward<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    w: &[T],
    epilogue: &Epilogue<T>,
    y: &mut [T],
) {
    let multiplier = geometry.group_out();
    if multiplier == 1 {
        return tiles(
            geometry.c_out,
            plan,
            w,
            Direction::Forward,
            epilogue,
            y,
            #[inline(always)]
            |y, hits, w| multiply(y, x, w, hits),
        );
    }
    tiles(
        geometry.c_out,
        plan,
        w,
        Direction::Forward,
        epilogue,
        y,
        #[inline(always)]
        |y, hits, w| {
            y.fill(T::Acc::ZERO);
            for &(source, tap) in hits {
                let x = &x[source * geometry.c_in..][..geometry.c_in];
                let w = &w[tap * geometry.c_out..][..geometry.c_out];
                for ((y, w), x) in y.chunks_exact_mut(multiplier).zip(w.chunks_exact(multiplier)).zip(x) {
                    y.iter_mut().zip(w).for_each(|(y, w)| *y = y.plus(x.widen().times(*w)));
                }
            }
        },
    )
}

pub(crate) fn backward_input<T: Num>(geometry: &Geometry, plan: &Plan, dy: &[T], w: &[T], dx: &mut [T]) {
    let multiplier = geometry.group_out();
    let none = &Epilogue::NONE;
    if multiplier == 1 {
        return tiles(
            geometry.c_in,
            plan,
            w,
            Direction::Backward,
            none,
            dx,
            #[inline(always)]
            |dx, hits, w| multiply(dx, dy, w, hits),
        );
    }
    tiles(
        geometry.c_in,
        plan,
        w,
        Direction::Backward,
        none,
        dx,
        #[inline(always)]
        |dx, hits, w| {
            dx.fill(T::Acc::ZERO);
            for &(source, tap) in hits {
                let dy = &dy[source * geometry.c_out..][..geometry.c_out];
                let w = &w[tap * geometry.c_out..][..geometry.c_out];
                for ((dx, w), dy) in
                    dx.iter_mut().zip(w.chunks_exact(multiplier)).zip(dy.chunks_exact(multiplier))
                {
                    *dx = w.iter().zip(dy).fold(*dx, |sum, (w, dy)| sum.plus(dy.widen().times(*w)));
                }
            }
        },
    )
}

pub(crate) fn backward_filter<T: Num>(geometry: &Geometry, plan: &Plan, x: &[T], dy: &[T], dw: &mut [T]) {
    let Geometry { c_in, c_out, batch, .. } = *geometry;
    let multiplier = geometry.group_out();
    let pixels = batch * plan.outputs();
    let block = block_len(pixels, dw.len());
    let work = dy.len().saturating_mul(plan.window_len());
    let sums = par::map((0..pixels).step_by(block), work, |start| {
        let end = pixels.min(start + block);
        let mut sum = vec![T::Acc::ZERO; dw.len()];
        let mut seen = Vec::new();
        par::simd!({
            for (i, pixel) in plan.pixels(start..end).enumerate() {
                let dy = &dy[(start + i) * c_out..][..c_out];
                hits(plan, pixel, Direction::Forward, &mut seen);
                for &(source, tap) in &seen {
                    let x = &x[source * c_in..][..c_in];
                    let sum = &mut sum[tap * c_out..][..c_out];
                    if multiplier == 1 {
                        for ((s, x), d) in sum.iter_mut().zip(x).zip(dy) {
                            *s = s.plus(x.widen().times(d.widen()));
                        }
                    } else {
                        let dy = dy.chunks_exact(multiplier);
                        for ((s, d), x) in sum.chunks_exact_mut(multiplier).zip(dy).zip(x) {
                            s.iter_mut().zip(d).for_each(|(s, d)| *s = s.plus(x.widen().times(d.widen())));
                        }
                    }
                }
            }
        });
        sum
    });
    let sum = par::tree_reduce(sums, add_all).unwrap_or_default();
    dw.iter_mut().zip(sum).for_each(|(d, s)| *d = T::narrow(s));
}

/// Whether taps are counted from the first or from the last window position.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Backward,
}

/// What a pixel sees: the position of each source, and the row of the filter.
#[inline(always)]
fn hits(plan: &Plan, pixel: Pixel, direction: Direction, hits: &mut Vec<(usize, usize)>) {
    hits.clear();
    let last = plan.window_len() - 1;
    let taps = &plan.phases[pixel.phase].taps;
    for sight in plan.sights(pixel) {
        for i in 0..sight.len {
            let tap = taps[sight.first_tap + i];
            hits.push((sight.source + i, if direction == Direction::Forward { tap } else { last - tap }));
        }
    }
}

/// Lets `compute` write every pixel of `out` from what it sees and the filter.
#[inline(always)]
fn tiles<T: Num>(
    channels: usize,
    plan: &Plan,
    w: &[T],
    direction: Direction,
    epilogue: &Epilogue<T>,
    out: &mut [T],
    compute: impl Fn(&mut [T::Acc], &[(usize, usize)], &[T::Acc]) + Send + Sync,
) {
    let w = widened(w);
    let pixels = (TILE_ELEMENTS / channels).max(1);
    let work = out.len().saturating_mul(plan.window_len());
    let tiles = out.chunks_mut(pixels * channels).enumerate();
    let init = || (Vec::new(), Vec::new());
    par::for_each_init(tiles, work, init, |(scratch, seen), (i, out)| {
        let first = i * pixels;
        let count = out.len() / channels;
        write_widened(out, scratch, |out| {
            par::simd!({
                for (out, pixel) in out.chunks_exact_mut(channels).zip(plan.pixels(first..first + count)) {
                    hits(plan, pixel, direction, seen);
                    compute(out, seen, &w);
                }
            });
            epilogue.finish(out);
        });
    });
}

/// One output per channel: the sum over all hits of source times filter.
#[inline(always)]
fn multiply<T: Num>(y: &mut [T::Acc], x: &[T], w: &[T::Acc], hits: &[(usize, usize)]) {
    let channels = y.len();
    let mut blocks = y.chunks_exact_mut(LANES);
    let mut start = 0;
    for y in &mut blocks {
        let mut sum = [T::Acc::ZERO; LANES];
        for &(source, tap) in hits {
            let (x, w) = (&x[source * channels + start..][..LANES], &w[tap * channels + start..][..LANES]);
            for ((s, x), w) in sum.iter_mut().zip(x).zip(w) {
                *s = s.plus(x.widen().times(*w));
            }
        }
        y.copy_from_slice(&sum);
        start += LANES;
    }
    let rest = blocks.into_remainder();
    rest.fill(T::Acc::ZERO);
    for &(source, tap) in hits {
        let (x, w) = (&x[source * channels + start..], &w[tap * channels + start..]);
        for ((s, x), w) in rest.iter_mut().zip(x).zip(w) {
            *s = s.plus(x.widen().times(*w));
        }
    }
}
