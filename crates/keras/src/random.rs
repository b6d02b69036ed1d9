//! `keras.random` of Keras 3.15.1: random tensors on a device, the same on every backend and the same as Keras's on JAX.
//!
//! Where a seed is a [`SeedGenerator`], every draw is another; a number always gives the same one. While shapes are
//! inferred ([`keras_spec::scope::abstractly`]) nothing is drawn.

use keras_spec::random::{distributions, draw_seed};
use keras_spec::{DType, Device, Element, Error, HostTensor, Result, Shape, Tensor, dispatch_dtype, scope};

mod gamma;

pub use keras_spec::random::{Key, Seed, SeedGenerator, set_random_seed};

/// Runs `$body` with `$T` as the float type of the dtype `$dtype`.
macro_rules! dispatch_float {
    ($sampler:expr, $dtype:expr, $T:ident => $body:expr) => {
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

macro_rules! float_sampler {
    ($(#[$doc:meta])* $name:ident, $first:ident, $second:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::DType`] if the dtype is not a float.
        pub fn $name(
            shape: impl Into<Shape>,
            $first: f64,
            $second: f64,
            dtype: DType,
            seed: Option<&Seed>,
            device: &Device,
        ) -> Result<Tensor> {
            dispatch_float!(stringify!($name), dtype, T => {
                draw(&shape.into(), seed, device, |key, n| distributions::$name::<T>(key, n, $first, $second))
            })
        }
    };
}

float_sampler! {
    /// Samples uniform in `[minval, maxval)` (`keras.random.uniform`; Keras's defaults: 0 and 1).
    uniform, minval, maxval
}
float_sampler! {
    /// Samples of the normal distribution (`keras.random.normal`; Keras's defaults: 0 and 1).
    normal, mean, stddev
}
float_sampler! {
    /// Samples of the normal distribution, drawn again beyond two standard deviations (`keras.random.truncated_normal`).
    truncated_normal, mean, stddev
}

/// Samples of the gamma distribution (`keras.random.gamma`). Those in half precision are drawn in float32 and rounded.
///
/// # Errors
/// [`Error::DType`] if the dtype is not a float.
pub fn gamma(
    shape: impl Into<Shape>,
    alpha: f64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    sampled(
        shape.into(),
        dtype,
        seed,
        device,
        |key, n| gamma::gamma_f32(key, n, alpha as f32),
        |key, n| gamma::gamma_f64(key, n, alpha),
    )
}

/// Samples of the beta distribution (`keras.random.beta`). Those in half precision are drawn in float32 and rounded.
///
/// # Errors
/// [`Error::DType`] if the dtype is not a float.
pub fn beta(
    shape: impl Into<Shape>,
    alpha: f64,
    beta: f64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    let single = |key, n| gamma::beta_f32(key, n, [alpha as f32, beta as f32]);
    sampled(shape.into(), dtype, seed, device, single, |key, n| gamma::beta_f64(key, n, [alpha, beta]))
}

/// Draws in the precision that a float dtype is computed in.
fn sampled(
    shape: Shape,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
    single: impl FnOnce(Key, usize) -> Vec<f32>,
    double: impl FnOnce(Key, usize) -> Vec<f64>,
) -> Result<Tensor> {
    match dtype {
        DType::F64 => draw(&shape, seed, device, double),
        dtype if dtype.is_float() => draw(&shape, seed, device, single)?.into_dtype(dtype),
        other => Err(Error::dtype("gamma", "only floats can be drawn", [other])),
    }
}

/// Integers uniform in `[minval, maxval)` (`keras.random.randint`; Keras's default dtype: `int32`). Bounds beyond the dtype
/// are clipped to it.
///
/// # Errors
/// [`Error::DType`] if the dtype is not an integer.
pub fn randint(
    shape: impl Into<Shape>,
    minval: i64,
    maxval: i64,
    dtype: DType,
    seed: Option<&Seed>,
    device: &Device,
) -> Result<Tensor> {
    fn of<T: Element + distributions::RandomInt>(
        shape: &Shape,
        bounds: [i64; 2],
        seed: Option<&Seed>,
        device: &Device,
    ) -> Result<Tensor> {
        draw(shape, seed, device, |key, n| distributions::randint::<T>(key, n, bounds[0], bounds[1]))
    }
    let (shape, bounds) = (&shape.into(), [minval, maxval]);
    match dtype {
        DType::I8 => of::<i8>(shape, bounds, seed, device),
        DType::I16 => of::<i16>(shape, bounds, seed, device),
        DType::I32 => of::<i32>(shape, bounds, seed, device),
        DType::I64 => of::<i64>(shape, bounds, seed, device),
        DType::U8 => of::<u8>(shape, bounds, seed, device),
        DType::U16 => of::<u16>(shape, bounds, seed, device),
        DType::U32 => of::<u32>(shape, bounds, seed, device),
        DType::U64 => of::<u64>(shape, bounds, seed, device),
        other => Err(Error::dtype("randint", "only integers can be drawn", [other])),
    }
}

/// For each row of `logits` `(batch, classes)`, `num_samples` classes drawn with the probabilities `softmax(row)`:
/// `(batch, num_samples)` (`keras.random.categorical`; Keras's default dtype: `int32`).
///
/// # Errors
/// If `logits` is no matrix of floats with at least one class, or the device fails.
pub fn categorical(logits: &Tensor, num_samples: usize, dtype: DType, seed: Option<&Seed>) -> Result<Tensor> {
    let &[batch, classes] = logits.shape().dims() else {
        return Err(Error::argument("logits", "shape (batch, classes)", format!("shape {}", logits.shape())));
    };
    let shape = [batch, num_samples];
    if scope::is_abstract() {
        return Tensor::full(shape, dtype, 0.0, logits.device());
    }
    let host = logits.to_host()?;
    let drawn = dispatch_float!("categorical", host.dtype(), T => {
        distributions::categorical(draw_seed(seed), host.as_slice::<T>()?, [batch, classes], num_samples)
    })?;
    Tensor::from_host(HostTensor::new(shape, drawn)?, logits.device())?.into_dtype(dtype)
}

/// `x` with every vector along `axis` in a random order of its own (`keras.random.shuffle`; Keras's default axis: 0).
///
/// # Errors
/// If `x` has no such axis, or the device fails.
pub fn shuffle(x: &Tensor, axis: usize, seed: Option<&Seed>) -> Result<Tensor> {
    if scope::is_abstract() {
        return Ok(x.clone());
    }
    let host = x.to_host()?;
    let shuffled = dispatch_dtype!(host.dtype(), T => {
        let data = distributions::shuffle(draw_seed(seed), host.as_slice::<T>()?, host.shape(), axis)?;
        HostTensor::new(host.shape(), data)
    })?;
    Tensor::from_host(shuffled, x.device())
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

#[cfg(all(test, feature = "ndarray"))]
mod tests {
    use super::*;

    #[test]
    fn integers_categories_and_orders_on_a_device() {
        let device = Device::default_device().unwrap();
        let seed = Seed::Int(7);
        let drawn = randint([100], 3, 6, DType::U8, Some(&seed), &device).unwrap().to_host().unwrap();
        assert!(drawn.as_slice::<u8>().unwrap().iter().all(|n| (3..6).contains(n)));
        assert!(matches!(randint([1], 0, 2, DType::F32, None, &device), Err(Error::DType { .. })));

        let logits = HostTensor::new([2, 3], vec![0.0f32, 99.0, 0.0, 99.0, 0.0, 0.0]).unwrap();
        let logits = Tensor::from_host(logits, &device).unwrap();
        let drawn = categorical(&logits, 2, DType::I32, Some(&seed)).unwrap().to_host().unwrap();
        assert_eq!(drawn, HostTensor::new([2, 2], vec![1i32, 1, 0, 0]).unwrap());
        let row = Tensor::full([3], DType::F32, 0.0, &device).unwrap();
        assert!(categorical(&row, 1, DType::I32, None).is_err());

        let x = Tensor::from_host(HostTensor::new([5], vec![0i64, 1, 2, 3, 4]).unwrap(), &device).unwrap();
        let mut order = shuffle(&x, 0, Some(&seed)).unwrap().to_host().unwrap().into_vec::<i64>().unwrap();
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4]);
        assert!(shuffle(&x, 1, None).is_err());
    }
}
