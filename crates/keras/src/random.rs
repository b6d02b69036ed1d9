//! `keras.random` of Keras 3.15.1: random tensors on a device, the same on every backend and the same as Keras's on JAX.
//!
//! Where a seed is a [`SeedGenerator`], every draw is another; a number always gives the same one. While shapes are
//! inferred ([`keras_spec::scope::abstractly`]) nothing is drawn.

use keras_spec::random::{distributions, draw_seed};
use keras_spec::{DType, Device, Element, Error, HostTensor, Result, Shape, Tensor, scope};

pub use keras_spec::random::{Key, Seed, SeedGenerator, set_random_seed};

/// Runs `$body` with `$T` as the float type of the dtype `$dtype`.
macro_rules! dispatch_float {
    ($sampler:literal, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F16 => {
                type $T = keras_spec::half::f16;
                $body
            }
            DType::BF16 => {
                type $T = keras_spec::half::bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            other => Err(Error::dtype($sampler, "only floats can be drawn", [other])),
        }
    };
}

/// Draws the key and brings what `sample` makes of it to the device.
fn draw<T: Element>(
    shape: &Shape,
    seed: Option<&Seed>,
    device: &Device,
    sample: impl FnOnce(Key, usize) -> Vec<T>,
) -> Result<Tensor> {
    if scope::is_abstract() {
        return Tensor::full(shape, T::DTYPE, 0.0, device);
    }
    let data = sample(draw_seed(seed), shape.size());
    Tensor::from_host(HostTensor::new(shape, data)?, device)
}

/// Samples uniform in `[minval, maxval)`.
///
/// # Errors
/// [`Error::DType`] if the dtype is not a float.
pub fn uniform(
    shape: impl Into<Shape>,
    minval: f64,
    maxval: f64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    dispatch_float!("uniform", dtype, T => {
        draw(&shape.into(), seed, device, |key, n| distributions::uniform::<T>(key, n, minval, maxval))
    })
}

/// Samples of the normal distribution.
///
/// # Errors
/// [`Error::DType`] if the dtype is not a float.
pub fn normal(
    shape: impl Into<Shape>,
    mean: f64,
    stddev: f64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    dispatch_float!("normal", dtype, T => {
        draw(&shape.into(), seed, device, |key, n| distributions::normal::<T>(key, n, mean, stddev))
    })
}

/// Samples of the normal distribution, drawn again beyond two standard deviations.
///
/// # Errors
/// [`Error::DType`] if the dtype is not a float.
pub fn truncated_normal(
    shape: impl Into<Shape>,
    mean: f64,
    stddev: f64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    dispatch_float!("truncated_normal", dtype, T => {
        draw(&shape.into(), seed, device, |key, n| distributions::truncated_normal::<T>(key, n, mean, stddev))
    })
}

/// `int32` samples uniform in `[minval, maxval)`.
///
/// # Errors
/// If the device fails.
pub fn randint(
    shape: impl Into<Shape>,
    minval: i32,
    maxval: i32,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    draw(&shape.into(), seed, device, |key, n| {
        distributions::randint::<i32>(key, n, minval.into(), maxval.into())
    })
}

/// `inputs` with a fraction `rate` of the elements 0 and the others scaled so that the expected sum stays. Elements live or
/// die together along the axes where `noise_shape` is 1; `None` in it stands for the input's length.
///
/// # Errors
/// If `noise_shape` cannot be broadcast to the inputs.
pub fn dropout(
    inputs: &Tensor,
    rate: f64,
    noise_shape: Option<&[Option<usize>]>,
    seed: Option<&Seed>,
) -> Result<Tensor> {
    // A noise shape with the length of the batch does not fit the placeholder's.
    if rate == 0.0 || scope::is_abstract() {
        return Ok(inputs.clone());
    }
    let zero = Tensor::full(Shape::scalar(), inputs.dtype(), 0.0, inputs.device())?;
    if rate == 1.0 {
        return zero.broadcast_to(inputs.shape());
    }
    let keep = 1.0 - rate;
    let mask_shape = Shape::from(distributions::dropout_noise_shape(inputs.shape(), noise_shape)?);
    let mask = draw(&mask_shape, seed, inputs.device(), |key, n| match inputs.dtype() {
        // JAX draws in double precision where it computes so.
        DType::F64 => distributions::uniform::<f64>(key, n, 0.0, 1.0).into_iter().map(|u| u < keep).collect(),
        _ => distributions::bernoulli(key, n, keep),
    })?;
    mask.broadcast_to(inputs.shape())?.select(&(inputs / keep)?, &zero)
}
