//! The backward pass to the filter.

use super::{Geometry, add_all, tile};
use crate::gemm::{Gemm, Layout, gemm, gemm_serial};
use crate::window::Plan;
use crate::{Num, Result, par};

/// Pixels that are multiplied at once; more where the filter is so large that adding to it would dominate.
const TILE_PIXELS: usize = 256;

/// Sums of blocks of pixels are kept until they are added up: at most this many blocks …
const MAX_BLOCKS: usize = 16;

/// … and this many elements.
const MAX_ELEMENTS: usize = 1 << 22;

/// With fewer blocks, threads divide each matrix product instead of taking blocks.
const MIN_BLOCKS: usize = 4;

/// Number of pixels in a block, for `pixels` pixels and a filter of `len` elements.
pub(crate) fn block_len(pixels: usize, len: usize) -> usize {
    let blocks = (MAX_ELEMENTS / len.max(1)).clamp(1, MAX_BLOCKS);
    pixels.div_ceil(blocks).max(1).next_multiple_of(TILE_PIXELS)
}

/// Adds up `columnsᵀ · dy` over blocks of pixels.
pub(super) fn backward<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) -> Result<()> {
    let Geometry { c_out, batch, .. } = *geometry;
    let row = geometry.group_in() * c_out;
    let taps: Vec<usize> = plan.phases.iter().flat_map(|phase| phase.taps.iter().copied()).collect();
    let pixels = batch * plan.outputs();
    let block = block_len(pixels, dw.len());
    let parallel = pixels <= block * (MIN_BLOCKS - 1);
    let sum_block = |start: usize| {
        let mut sum = vec![T::Acc::ZERO; taps.len() * row];
        Block { geometry, plan, x, dy, parallel }.add(start, block.min(pixels - start), &mut sum)?;
        Ok(sum)
    };
    let starts = (0..pixels).step_by(block);
    let sums: Result<Vec<_>> = if parallel {
        starts.map(sum_block).collect()
    } else {
        par::map(starts, pixels.saturating_mul(dw.len()), sum_block).into_iter().collect()
    };
    let sum = par::tree_reduce(sums?, add_all).unwrap_or_default();
    if taps.len() < plan.window_len() {
        dw.fill(T::ZERO);
    }
    for (from, tap) in sum.chunks_exact(row).zip(taps) {
        dw[tap * row..][..row].iter_mut().zip(from).for_each(|(to, v)| *to = T::narrow(*v));
    }
    Ok(())
}

struct Block<'a, T> {
    geometry: &'a Geometry,
    plan: &'a Plan,
    x: &'a [T],
    dy: &'a [T],
    /// Whether products may be divided among threads.
    parallel: bool,
}

impl<T: Num> Block<'_, T> {
    /// Adds the `len` pixels from `start` on to `sum`, whose rows are in the order of the phases.
    fn add(&self, start: usize, len: usize, sum: &mut [T::Acc]) -> Result<()> {
        let Geometry { c_in, c_out, groups, .. } = *self.geometry;
        let (group_in, group_out) = (self.geometry.group_in(), self.geometry.group_out());
        let rows = Layout::row_major(c_out);
        let multiply = if self.parallel { gemm } else { gemm_serial };
        let direct = T::as_acc(self.x).zip(T::as_acc(self.dy));
        if let Some((x, dy)) = direct
            && self.plan.is_pointwise()
        {
            let dims = Gemm::new(group_in, group_out, len);
            for group in 0..groups {
                let x_at = Layout::row_major(c_in).transposed().at(start * c_in + group * group_in);
                let at = group * group_out;
                multiply(&dims, x, x_at, dy, rows.at(start * c_out + at), sum, rows.at(at))?;
            }
            return Ok(());
        }
        let tile_pixels = if sum.len() > MAX_ELEMENTS / 8 { 4 * TILE_PIXELS } else { TILE_PIXELS };
        let (mut by_phase, mut columns, mut gathered) = (Vec::new(), Vec::new(), Vec::new());
        for first in (start..start + len).step_by(tile_pixels) {
            let count = tile_pixels.min(start + len - first);
            tile::by_phase(self.plan, first..first + count, &mut by_phase);
            for (phase, pixels) in self.plan.phases.iter().zip(&by_phase) {
                let width = phase.taps.len() * group_in;
                let (dy, dy_at) = match direct {
                    Some((_, dy)) if self.plan.phases.len() == 1 => (dy, first * c_out),
                    _ => {
                        gathered.clear();
                        let places = pixels.iter().map(|(place, _)| (first + place) * c_out);
                        gathered.extend(places.flat_map(|at| &self.dy[at..][..c_out]).map(|v| v.widen()));
                        (&gathered[..], 0)
                    }
                };
                let dims = Gemm::new(width, group_out, pixels.len()).accumulate();
                for group in 0..groups {
                    tile::columns(self.geometry, self.plan, self.x, group, pixels, &mut columns);
                    let at = group * group_out;
                    let sum_at = rows.at(phase.taps_before * group_in * c_out + at);
                    let columns_at = Layout::row_major(width).transposed();
                    multiply(&dims, &columns, columns_at, dy, rows.at(dy_at + at), sum, sum_at)?;
                }
            }
        }
        Ok(())
    }
}
