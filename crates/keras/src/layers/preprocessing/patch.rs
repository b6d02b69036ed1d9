//! Random rectangles of images.

use keras_spec::{Result, Shape, Tensor};

use super::augmentation::Draws;

/// Where a piece of `part` of a length begins and ends, at a random place for each image: both `(batch, 1)`.
pub(super) fn span(part: &Tensor, length: usize, draws: &Draws) -> Result<[Tensor; 2]> {
    let piece = (part * length as f64)?;
    let start = (draws.uniform_computed(part.shape(), [0.0, 1.0])? * (length as f64 - &piece)?)?;
    let end = (&start + piece)?;
    Ok([start.expand_dims(1)?, end.expand_dims(1)?])
}

/// Which pixels lie in both spans: `(batch, height, width, 1)`.
pub(super) fn mask(rows: &[Tensor; 2], columns: &[Tensor; 2], shape: &Shape) -> Result<Tensor> {
    let within = |[start, end]: &[Tensor; 2], length: usize| -> Result<Tensor> {
        let places = Tensor::from_fn([1, length], start.dtype(), start.device(), |i| i as f32)?;
        places.greater_equal(start)?.and(&places.less(end)?)
    };
    let rows = within(rows, shape[1])?.expand_dims(2)?;
    rows.and(&within(columns, shape[2])?.expand_dims(1)?)?.expand_dims(3)
}
