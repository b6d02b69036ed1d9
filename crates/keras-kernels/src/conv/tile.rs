//! Tiles of pixels, and the matrix of what they see.

use std::ops::Range;

use super::Geometry;
use crate::Num;
use crate::window::{Pixel, Plan};

/// The pixels of a tile by phase: place in the tile, and the pixel.
pub(super) fn by_phase(plan: &Plan, range: Range<usize>, pixels: &mut Vec<Vec<(usize, Pixel)>>) {
    pixels.resize_with(plan.phases.len(), Vec::new);
    pixels.iter_mut().for_each(Vec::clear);
    for (place, pixel) in plan.pixels(range).enumerate() {
        pixels[pixel.phase].push((place, pixel));
    }
}

/// Fills `columns` with one row per pixel: for each tap of the phase the channels of group `group` that it sees,
/// zero outside the input. All pixels are of the same phase.
pub(super) fn columns<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    x: &[T],
    group: usize,
    pixels: &[(usize, Pixel)],
    columns: &mut Vec<T::Acc>,
) {
    let Some((_, first)) = pixels.first() else { return };
    let (all, mine) = (geometry.c_in, geometry.group_in());
    let width = plan.phases[first.phase].taps.len() * mine;
    columns.resize(pixels.len() * width, T::Acc::ZERO);
    if width == 0 {
        return;
    }
    for (row, &(_, pixel)) in columns.chunks_exact_mut(width).zip(pixels) {
        let mut filled = 0;
        for sight in plan.sights(pixel) {
            let start = sight.first_tap * mine;
            row[filled..start].fill(T::Acc::ZERO);
            filled = start + sight.len * mine;
            if all == mine {
                copy(&mut row[start..filled], &x[sight.source * all..][..sight.len * all]);
            } else {
                for (i, to) in row[start..filled].chunks_exact_mut(mine).enumerate() {
                    copy(to, &x[(sight.source + i) * all + group * mine..][..mine]);
                }
            }
        }
        row[filled..].fill(T::Acc::ZERO);
    }
}

#[inline(always)]
fn copy<T: Num>(to: &mut [T::Acc], from: &[T]) {
    match T::as_acc(from) {
        Some(from) => to.copy_from_slice(from),
        None => to.iter_mut().zip(from).for_each(|(t, f)| *t = f.widen()),
    }
}
