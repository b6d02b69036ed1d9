//! What layers of images have in common: images alone `(height, width, channels)` or in batches.

use keras_spec::{Error, PartialShape, Result, Tensor};

use crate::layers::common::{DataFormat, one};
use crate::layers::interpolation::Interpolation;

/// The axis of the heights; that of the widths is the next.
pub(super) fn height_axis(format: DataFormat, rank: usize) -> usize {
    match format {
        DataFormat::ChannelsLast => rank - 3,
        DataFormat::ChannelsFirst => rank - 2,
    }
}

/// Whether the only input is an image or a batch of them.
pub(super) fn check(inputs: &[PartialShape]) -> Result<()> {
    let input = one(inputs)?;
    match input.rank() {
        3 | 4 => Ok(()),
        rank => Err(Error::argument("inputs", "images: 3 or 4 axes", format!("{rank} axes, shape {input}"))),
    }
}

/// What `work` makes of the images as a batch `(batch, height, width, channels)`, in their own form again.
pub(super) fn on_batch(
    x: &Tensor,
    format: DataFormat,
    work: impl FnOnce(Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let alone = x.rank() == 3;
    let batch = if alone { x.expand_dims(0)? } else { x.clone() };
    let y = match format {
        DataFormat::ChannelsLast => work(batch)?,
        DataFormat::ChannelsFirst => work(batch.permute(&[0, 2, 3, 1])?)?.permute(&[0, 3, 1, 2])?,
    };
    if alone { y.squeeze(0) } else { Ok(y) }
}

/// The middle of images, as large as there is with the ratio of `height` to `width`.
pub(super) fn with_ratio(x: &Tensor, axis: usize, [height, width]: [usize; 2]) -> Result<Tensor> {
    let (h, w) = (x.shape()[axis], x.shape()[axis + 1]);
    let cut = |length: usize, other: usize, target: usize, other_target: usize| {
        let fitting = (other as f64 * target as f64 / other_target as f64) as usize;
        let kept = fitting.min(length).max(1);
        ((length.saturating_sub(kept)) / 2, kept.min(length))
    };
    let ((top, rows), (left, columns)) = (cut(h, w, height, width), cut(w, h, width, height));
    x.narrow(axis as isize, top, top + rows)?.narrow(axis as isize + 1, left, left + columns)
}

/// Float images in another size.
pub(super) fn resize(
    x: &Tensor,
    axis: usize,
    size: [usize; 2],
    interpolation: Interpolation,
    antialias: bool,
) -> Result<Tensor> {
    let tall = interpolation.resize(x, axis, size[0], antialias)?;
    interpolation.resize(&tall, axis + 1, size[1], antialias)
}
