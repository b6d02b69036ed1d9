//! The forward pass, which on the transposed geometry is the backward pass to the input.

use std::borrow::Cow;

use super::{Epilogue, Geometry, tile, widened, write_widened};
use crate::gemm::{Gemm, Layout, gemm, gemm_serial};
use crate::window::{Pixel, Plan};
use crate::{Num, Output, Result, par};

/// A tile's columns have about this many elements: a share of the L2 cache.
const TILE_ELEMENTS: usize = 1 << 17;

/// With fewer tiles, threads divide each matrix product instead of taking tiles.
const MIN_TILES: usize = 4;

/// The filter's rows in the order in which the phases use them; the filter itself where that is the same.
pub(super) fn pack<'a, T: Num>(geometry: &Geometry, plan: &Plan, w: &'a [T]) -> Cow<'a, [T::Acc]> {
    let taps = || plan.phases.iter().flat_map(|phase| &phase.taps);
    if taps().copied().eq(0..plan.window_len()) {
        return widened(w);
    }
    let row = geometry.group_in() * geometry.c_out;
    taps().flat_map(|tap| &w[tap * row..][..row]).map(|v| v.widen()).collect()
}

/// Computes `dx` by correlating `dy` with the transposed filter; `plan` is the transposed one.
pub(super) fn backward_input<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    dy: &[T],
    w: &[T],
    dx: Output<T>,
) -> Result<()> {
    let w = pack_transposed(geometry, plan, w);
    let transposed = Geometry { c_in: geometry.c_out, c_out: geometry.c_in, ..*geometry };
    correlate(&transposed, plan, dy, &w, &Epilogue::NONE, dx)
}

/// The filter for the transposed geometry: `(taps, c_out / groups, c_in)`, in the order in which the phases of the
/// transposed plan use them.
fn pack_transposed<T: Num>(geometry: &Geometry, plan: &Plan, w: &[T]) -> Vec<T::Acc> {
    let Geometry { c_in, c_out, .. } = *geometry;
    let (group_in, group_out) = (geometry.group_in(), geometry.group_out());
    let last = plan.window_len() - 1;
    let taps: Vec<usize> = plan.phases.iter().flat_map(|phase| &phase.taps).map(|tap| last - tap).collect();
    let mut packed = vec![T::Acc::ZERO; taps.len() * group_out * c_in];
    if packed.is_empty() {
        return packed;
    }
    let work = packed.len();
    par::for_each(packed.chunks_mut(group_out * c_in).zip(taps), work, |(to, tap)| {
        let from = &w[tap * group_in * c_out..][..group_in * c_out];
        // Blocks of rows keep the lines that are written to in the cache.
        for o_start in (0..c_out).step_by(BLOCK) {
            for (i, from) in from.chunks_exact(c_out).enumerate() {
                for (o, v) in from.iter().enumerate().skip(o_start).take(BLOCK) {
                    let (group, o) = (o / group_out, o % group_out);
                    to[o * c_in + group * group_in + i] = v.widen();
                }
            }
        }
    });
    packed
}

const BLOCK: usize = 16;

/// Memory that tiles share one after the other.
struct Scratch<A> {
    pixels: Vec<Vec<(usize, Pixel)>>,
    columns: Vec<A>,
    products: Vec<A>,
    y: Vec<A>,
}

impl<A> Scratch<A> {
    fn new() -> Self {
        Self { pixels: Vec::new(), columns: Vec::new(), products: Vec::new(), y: Vec::new() }
    }
}

/// Computes `y` with a packed filter.
pub(super) fn correlate<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    w: &[T::Acc],
    epilogue: &Epilogue<T>,
    y: Output<T>,
) -> Result<()> {
    let width = plan.phases.iter().map(|phase| phase.taps.len()).max().unwrap_or(0) * geometry.group_in();
    let pixels = (TILE_ELEMENTS / width.max(1)).clamp(128, 1024) * plan.phases.len().clamp(1, 16);
    let total = y.len() / geometry.c_out;
    let tiles = y.pieces(pixels * geometry.c_out).enumerate();
    let run = |scratch: &mut Scratch<T::Acc>, (i, y): (usize, Output<T>), parallel| {
        let Scratch { pixels: by_phase, columns, products, y: widened } = scratch;
        write_widened(y.get(), widened, |y| {
            let tile = Tile { geometry, plan, x, w, first: i * pixels, parallel };
            tile.compute(by_phase, columns, products, y)?;
            epilogue.finish(y);
            Ok(())
        })
    };
    if total <= pixels * (MIN_TILES - 1) {
        let mut scratch = Scratch::new();
        return tiles.into_iter().try_for_each(|tile| run(&mut scratch, tile, true));
    }
    let work = total.saturating_mul(width.saturating_mul(geometry.c_out));
    par::map_init(tiles, work, Scratch::new, |scratch, tile| run(scratch, tile, false)).into_iter().collect()
}

struct Tile<'a, T: Num> {
    geometry: &'a Geometry,
    plan: &'a Plan,
    x: &'a [T],
    w: &'a [T::Acc],
    /// Number of the first pixel.
    first: usize,
    /// Whether products may be divided among threads.
    parallel: bool,
}

impl<T: Num> Tile<'_, T> {
    fn compute(
        &self,
        by_phase: &mut Vec<Vec<(usize, Pixel)>>,
        columns: &mut Vec<T::Acc>,
        products: &mut Vec<T::Acc>,
        y: &mut [T::Acc],
    ) -> Result<()> {
        let Geometry { c_in, c_out, groups, .. } = *self.geometry;
        let (group_in, group_out) = (self.geometry.group_in(), self.geometry.group_out());
        let count = y.len() / c_out;
        if let Some(x) = T::as_acc(self.x)
            && self.plan.is_pointwise()
        {
            let rows = Layout::row_major(c_in);
            for group in 0..groups {
                let x = (x, rows.at(self.first * c_in + group * group_in));
                self.multiply(count, group_in, x, group * group_out, y, group * group_out)?;
            }
            return Ok(());
        }
        tile::by_phase(self.plan, self.first..self.first + count, by_phase);
        for (phase, pixels) in self.plan.phases.iter().zip(by_phase).filter(|(_, pixels)| !pixels.is_empty())
        {
            let (width, w_row) = (phase.taps.len() * group_in, phase.taps_before * group_in);
            let alone = self.plan.phases.len() == 1;
            if !alone {
                products.resize(pixels.len() * c_out, T::Acc::ZERO);
            }
            for group in 0..groups {
                tile::columns(self.geometry, self.plan, self.x, group, pixels, columns);
                let columns = (&columns[..], Layout::row_major(width));
                let out = if alone { &mut *y } else { &mut products[..] };
                self.multiply(
                    pixels.len(),
                    width,
                    columns,
                    w_row * c_out + group * group_out,
                    out,
                    group * group_out,
                )?;
            }
            if !alone {
                for (row, (place, _)) in products.chunks_exact(c_out).zip(pixels.iter()) {
                    y[place * c_out..][..c_out].copy_from_slice(row);
                }
            }
        }
        Ok(())
    }

    /// `m` rows of `columns` times the filter from `w_at` on, for one group.
    fn multiply(
        &self,
        m: usize,
        k: usize,
        (columns, columns_at): (&[T::Acc], Layout),
        w_at: usize,
        y: &mut [T::Acc],
        y_at: usize,
    ) -> Result<()> {
        let rows = Layout::row_major(self.geometry.c_out);
        let dims = Gemm::new(m, self.geometry.group_out(), k);
        let multiply = if self.parallel { gemm } else { gemm_serial };
        multiply(&dims, columns, columns_at, self.w, rows.at(w_at), y, rows.at(y_at))
    }
}
