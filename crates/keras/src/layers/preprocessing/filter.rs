//! Filters for each channel of an image.

use keras_spec::{ConvSpec, Error, Result, Tensor};

/// Images `(batch, height, width, channels)` with every channel convolved with a kernel `(height, width)`; the shape stays.
pub(super) fn depthwise(images: &Tensor, kernel: &Tensor) -> Result<Tensor> {
    let (&[height, width], Some(&channels)) = (kernel.shape().dims(), images.shape().last()) else {
        return Err(Error::argument("kernel", "2 axes", kernel.shape()));
    };
    let mut spec = ConvSpec::new(2);
    spec.groups = channels;
    for (padding, size) in spec.padding.iter_mut().zip([height, width]) {
        let total = size as isize - 1;
        *padding = (total / 2, total - total / 2);
    }
    let kernel = kernel.reshape([height, width, 1, 1])?.broadcast_to([height, width, 1, channels])?;
    images.convolution(&kernel, spec)
}

/// Images `(batch, height, width, channels)` with each pixel the average of those around it, `[width, height]` of them, by the
/// normal distributions of the standard deviations `sigma` across and down.
pub(super) fn gaussian_blur(
    images: &Tensor,
    [width, height]: [usize; 2],
    sigma: [Tensor; 2],
) -> Result<Tensor> {
    let [across, down] = sigma;
    let line = |size: usize, sigma: &Tensor| -> Result<Tensor> {
        let middle = (size as f64 - 1.0) / 2.0;
        let places = Tensor::from_fn([size], images.dtype(), images.device(), |i| i as f64 - middle)?;
        let weights = ((places / sigma)?.square()? * -0.5)?.exp()?;
        let sum = weights.sum(&[0], true)?;
        weights / sum
    };
    let kernel = (line(height, &down)?.expand_dims(1)? * line(width, &across)?.expand_dims(0)?)?;
    depthwise(images, &kernel)
}
