//! The backward pass to the input the other way round ("col2im"): one product says what every output pixel sends to
//! each position of its window, and every input pixel adds up what it was sent.
//!
//! The product takes the filter as it lies in memory and has as many columns as the filter has rows. That is cheaper
//! than the product with the transposed filter where transposing takes longer than multiplying, and where that
//! product would be narrower than a vector.

use super::{Geometry, widened, write_widened};
use crate::gemm::{Gemm, Layout, gemm};
use crate::window::Plan;
use crate::{Num, Output, Result, par};

/// Fewer input channels do not fill a vector.
const MIN_CHANNELS: usize = 8;

/// What is sent is kept for as many images as fit into this many elements; few in tests, which use small images.
const MAX_ELEMENTS: usize = if cfg!(test) { 1 << 12 } else { 1 << 22 };

/// Input elements that a thread takes at once.
const TILE_ELEMENTS: usize = 1 << 14;

/// Whether this way is the cheaper one.
pub(super) fn is_cheaper(geometry: &Geometry) -> bool {
    let few_pixels = geometry.batch * outputs(geometry) < geometry.c_out;
    geometry.groups == 1 && (few_pixels || geometry.c_in < MIN_CHANNELS)
}

/// Output pixels of an image.
fn outputs(geometry: &Geometry) -> usize {
    geometry.axes.iter().map(|axis| axis.output).product()
}

/// Computes `dx` for a convolution in one group; `plan` is the transposed one.
pub(super) fn backward_input<T: Num>(
    geometry: &Geometry,
    plan: &Plan,
    dy: &[T],
    w: &[T],
    dx: Output<T>,
) -> Result<()> {
    let Geometry { batch, c_in, c_out, .. } = *geometry;
    let (outputs, inputs) = (outputs(geometry), plan.outputs());
    let (width, last) = (plan.window_len() * c_in, plan.window_len() - 1);
    let (dy, w) = (widened(dy), widened(w));
    let images = (MAX_ELEMENTS / (outputs * width).max(1)).clamp(1, batch);
    let mut sent = vec![T::Acc::ZERO; images * outputs * width];
    for (first, dx) in (0..).step_by(images).zip(dx.pieces(images * inputs * c_in)) {
        let pixels = dx.len() / (inputs * c_in) * outputs;
        let rows = Layout::row_major(c_out);
        let (from, to) = (rows.at(first * outputs * c_out), Layout::row_major(width));
        gemm(&Gemm::new(pixels, width, c_out), &dy, from, &w, rows.transposed(), &mut sent, to)?;
        let tile = (TILE_ELEMENTS / c_in).max(1);
        let tiles = dx.pieces(tile * c_in).enumerate();
        par::for_each_init(tiles, pixels * width, Vec::new, |scratch, (i, dx)| {
            let dx = dx.get();
            let start = first * inputs + i * tile;
            let range = start..start + dx.len() / c_in;
            write_widened(dx, scratch, |dx| {
                par::simd!({
                    for (dx, pixel) in dx.chunks_exact_mut(c_in).zip(plan.pixels(range)) {
                        dx.fill(T::Acc::ZERO);
                        let taps = &plan.phases[pixel.phase].taps;
                        for sight in plan.sights(pixel) {
                            let sources = sight.source - first * outputs..;
                            for (source, tap) in sources.zip(&taps[sight.first_tap..][..sight.len]) {
                                let sent = &sent[source * width + (last - tap) * c_in..][..c_in];
                                dx.iter_mut().zip(sent).for_each(|(dx, sent)| *dx = dx.plus(*sent));
                            }
                        }
                    }
                });
            });
        });
    }
    Ok(())
}
