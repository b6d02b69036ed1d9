//! Depthwise convolution: every input channel has its own `multiplier` outputs. Direct loops over channels.
//!
//! The filter has shape `(window…, 1, c_in · multiplier)`; output `c · multiplier + j` comes from input channel `c`.

use crate::conv::{Epilogue, Geometry, add_all, block_len, widened, write_widened};
use crate::window::{Pixel, Plan};
use crate::{Num, Output, par};

/// Outputs that a thread takes at once.
const TILE_ELEMENTS: usize = 1 << 15;

pub(crate) fn forward<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    w: &[T],
    epilogue: &Epilogue<T>,
    y: Output<T>,
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
        |y, (hits, moved), w| {
            y.fill(T::Acc::ZERO);
            for &(source, tap) in hits {
                let x = &x[(source + moved) * geometry.c_in..][..geometry.c_in];
                let w = &w[tap * geometry.c_out..][..geometry.c_out];
                for ((y, w), x) in y.chunks_exact_mut(multiplier).zip(w.chunks_exact(multiplier)).zip(x) {
                    y.iter_mut().zip(w).for_each(|(y, w)| *y = y.plus(x.widen().times(*w)));
                }
            }
        },
    )
}

pub(crate) fn backward_input<T: Num>(geometry: &Geometry, plan: &Plan, dy: &[T], w: &[T], dx: Output<T>) {
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
        |dx, (hits, moved), w| {
            dx.fill(T::Acc::ZERO);
            for &(source, tap) in hits {
                let dy = &dy[(source + moved) * geometry.c_out..][..geometry.c_out];
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
        let mut view = View::default();
        par::simd!({
            let mut pixels = plan.pixels(start..end).enumerate().peekable();
            while let Some((i, pixel)) = pixels.next() {
                let (hits, moved) = view.look(plan, pixel, Direction::Forward);
                if hits.is_empty() {
                    continue;
                }
                let x = &x[moved * c_in..];
                if multiplier > 1 {
                    let dy = &dy[(start + i) * c_out..][..c_out];
                    for &(source, tap) in hits {
                        let x = &x[source * c_in..][..c_in];
                        let sum = sum[tap * c_out..][..c_out].chunks_exact_mut(multiplier);
                        for ((s, d), x) in sum.zip(dy.chunks_exact(multiplier)).zip(x) {
                            s.iter_mut().zip(d).for_each(|(s, d)| *s = s.plus(x.widen().times(d.widen())));
                        }
                    }
                    continue;
                }
                // With the pixels after it that see the same, moved on by equal steps.
                let (mut count, mut step) = (1, 0);
                while let Some(moved) = pixels.peek().and_then(|&(_, next)| plan.moved(next, pixel)) {
                    step = moved / count;
                    count += 1;
                    pixels.next();
                }
                let dy = &dy[(start + i) * c_out..][..count * c_out];
                let mut first = add_products::<64, T>(&mut sum, [x, dy], hits, [c_out, step], 0);
                first = add_products::<16, T>(&mut sum, [x, dy], hits, [c_out, step], first);
                add_products::<1, T>(&mut sum, [x, dy], hits, [c_out, step], first);
            }
        });
        sum
    });
    let sum = par::tree_reduce(sums, add_all).unwrap_or_default();
    dw.iter_mut().zip(sum).for_each(|(d, s)| *d = T::narrow(s));
}

/// Adds to each filter row of `sum` what its sources in `x` times `dy` sum to over the pixels of a row, for blocks of `N` channels
/// from `first` on; gives the first channel that is left.
#[inline(always)]
fn add_products<const N: usize, T: Num>(
    sum: &mut [T::Acc],
    [x, dy]: [&[T]; 2],
    hits: &[(usize, usize)],
    [channels, step]: [usize; 2],
    mut first: usize,
) -> usize {
    while channels - first >= N {
        let rest = add_taps::<3, N, T>(sum, [x, dy], hits, [channels, step, first]);
        add_taps::<1, N, T>(sum, [x, dy], rest, [channels, step, first]);
        first += N;
    }
    first
}

/// The same for one block and as many hits as there are by `TAPS`, whose sums stay in registers; gives the hits that are left.
#[inline(always)]
fn add_taps<'a, const TAPS: usize, const N: usize, T: Num>(
    sum: &mut [T::Acc],
    [x, dy]: [&[T]; 2],
    hits: &'a [(usize, usize)],
    [channels, step, first]: [usize; 3],
) -> &'a [(usize, usize)] {
    let (groups, rest) = hits.as_chunks::<TAPS>();
    for group in groups {
        let mut taps = [[T::Acc::ZERO; N]; TAPS];
        for (i, dy) in dy.chunks_exact(channels).enumerate() {
            let dy = &dy[first..][..N];
            for (sum, (source, _)) in taps.iter_mut().zip(group) {
                let x = &x[(source + i * step) * channels + first..][..N];
                for lane in 0..N {
                    sum[lane] = sum[lane].plus(x[lane].widen().times(dy[lane].widen()));
                }
            }
        }
        for (new, (_, tap)) in taps.iter().zip(group) {
            let sum = &mut sum[tap * channels + first..][..N];
            sum.iter_mut().zip(new).for_each(|(sum, &new)| *sum = sum.plus(new));
        }
    }
    rest
}

/// Whether taps are counted from the first or from the last window position.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Backward,
}

/// What pixels see, one after the other.
#[derive(Default)]
struct View {
    /// The position of each source, and the row of the filter.
    hits: Vec<(usize, usize)>,
    /// The pixel that the hits are of.
    of: Option<Pixel>,
}

impl View {
    /// What a pixel sees, and how far the sources are behind the positions that it has: along a row it is the same from pixel to
    /// pixel, and counted once.
    #[inline(always)]
    fn look(&mut self, plan: &Plan, pixel: Pixel, direction: Direction) -> (&[(usize, usize)], usize) {
        if let Some(moved) = self.of.and_then(|of| plan.moved(pixel, of)) {
            return (&self.hits, moved);
        }
        self.hits.clear();
        let last = plan.window_len() - 1;
        let taps = &plan.phases[pixel.phase].taps;
        for sight in plan.sights(pixel) {
            for i in 0..sight.len {
                let tap = taps[sight.first_tap + i];
                let row = if direction == Direction::Forward { tap } else { last - tap };
                self.hits.push((sight.source + i, row));
            }
        }
        self.of = Some(pixel);
        (&self.hits, 0)
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
    out: Output<T>,
    compute: impl Fn(&mut [T::Acc], (&[(usize, usize)], usize), &[T::Acc]) + Send + Sync,
) {
    let w = widened(w);
    let pixels = (TILE_ELEMENTS / channels).max(1);
    let work = out.len().saturating_mul(plan.window_len());
    let tiles = out.pieces(pixels * channels).enumerate();
    let init = || (Vec::new(), View::default());
    par::for_each_init(tiles, work, init, |(scratch, view), (i, out)| {
        let out = out.get();
        let first = i * pixels;
        let count = out.len() / channels;
        write_widened(out, scratch, |out| {
            par::simd!({
                for (out, pixel) in out.chunks_exact_mut(channels).zip(plan.pixels(first..first + count)) {
                    compute(out, view.look(plan, pixel, direction), &w);
                }
            });
            epilogue.finish(out);
        });
    });
}

/// One output per channel: the sum over all hits of source times filter.
#[inline(always)]
fn multiply<T: Num>(y: &mut [T::Acc], x: &[T], w: &[T::Acc], seen: (&[(usize, usize)], usize)) {
    let mut first = 0;
    first = multiply_blocks::<64, T>(y, x, w, seen, first);
    first = multiply_blocks::<16, T>(y, x, w, seen, first);
    multiply_blocks::<1, T>(y, x, w, seen, first);
}

/// The same for blocks of `N` channels, whose sums stay in registers, from the channel `first` on; gives the first that is left.
#[inline(always)]
fn multiply_blocks<const N: usize, T: Num>(
    y: &mut [T::Acc],
    x: &[T],
    w: &[T::Acc],
    (hits, moved): (&[(usize, usize)], usize),
    mut first: usize,
) -> usize {
    let channels = y.len();
    while channels - first >= N {
        let mut sum = [T::Acc::ZERO; N];
        for &(source, tap) in hits {
            let x = &x[(source + moved) * channels + first..][..N];
            let w = &w[tap * channels + first..][..N];
            for lane in 0..N {
                sum[lane] = sum[lane].plus(x[lane].widen().times(w[lane]));
            }
        }
        y[first..][..N].copy_from_slice(&sum);
        first += N;
    }
    first
}
