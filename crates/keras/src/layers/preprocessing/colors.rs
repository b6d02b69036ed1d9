//! Colours of images `(batch, height, width, channels)`: `keras.ops.image.rgb_to_grayscale`, `rgb_to_hsv`, `hsv_to_rgb`.

use keras_spec::{BinaryOp, CompareOp, DType, Error, Result, Shape, Tensor};

use super::factor::ValueRange;

/// Images of one channel; those that have one already as they are. The dtype stays.
pub(super) fn grayscale(images: &Tensor) -> Result<Tensor> {
    match images.shape().last() {
        Some(1) => return Ok(images.clone()),
        Some(3) => {}
        _ => return Err(wrong_channels("1 or 3", images)),
    }
    let floats = if images.dtype().is_float() { images.clone() } else { images.cast(DType::F32)? };
    let weights = Tensor::from_host(
        keras_spec::HostTensor::new([3, 1], vec![0.2989f32, 0.5870, 0.1140])?.cast(floats.dtype()),
        images.device(),
    )?;
    floats.matmul(&weights)?.into_dtype(images.dtype())
}

fn wrong_channels(expected: &str, images: &Tensor) -> Error {
    Error::argument("inputs", format!("images of {expected} channels"), format!("shape {}", images.shape()))
}

/// Hue, saturation and value, each `(batch, height, width)`, of red, green and blue.
pub(super) fn rgb_to_hsv(images: &Tensor) -> Result<[Tensor; 3]> {
    if images.shape().last() != Some(&3) {
        return Err(wrong_channels("3", images));
    }
    let dtype = images.dtype();
    let epsilon = match dtype {
        DType::F16 => f64::from(half::f16::EPSILON),
        DType::BF16 => f64::from(half::bf16::EPSILON),
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
        _ => return Err(Error::dtype("rgb_to_hsv", "images must be floats", [dtype])),
    };
    let number = |value: f64| Tensor::full(Shape::scalar(), dtype, value, images.device());
    let (zero, one) = (number(0.0)?, number(1.0)?);
    let images = images.abs()?.compare_with(CompareOp::Lt, epsilon)?.select(&zero, images)?;
    let [r, g, b] = [images.index(-1, 0)?, images.index(-1, 1)?, images.index(-1, 2)?];
    let value = r.maximum(&g)?.maximum(&b)?;
    let range = (&value - r.minimum(&g)?.minimum(&b)?)?;
    let (lit, coloured) = (value.greater(&zero)?, range.greater(&zero)?);
    let saturation = lit.select(&(&range / lit.select(&value, &one)?)?, &zero)?;
    let norm = (&one / (coloured.select(&range, &one)? * 6.0)?)?;
    let green = ((&norm * (&b - &r)?)? + 2.0 / 6.0)?;
    let blue = ((&norm * (&r - &g)?)? + 4.0 / 6.0)?;
    let hue = value.equal(&g)?.select(&green, &blue)?;
    let hue = value.equal(&r)?.select(&(norm * (g - b)?)?, &hue)?;
    let negative = hue.less(&zero)?.cast(dtype)?;
    Ok([(coloured.select(&hue, &zero)? + negative)?, saturation, value])
}

/// Red, green and blue `(batch, height, width, 3)` of hue, saturation and value, each `(batch, height, width)`.
pub(super) fn hsv_to_rgb([hue, saturation, value]: [Tensor; 3]) -> Result<Tensor> {
    let one = Tensor::full(Shape::scalar(), hue.dtype(), 1.0, hue.device())?;
    let place = (Tensor::binary(BinaryOp::Mod, hue, one)? * 6.0)?;
    let distance = |from: f64| (&place - from)?.abs();
    let red = (distance(3.0)? - 1.0)?.clip(0.0, 1.0)?;
    let green = (2.0 - distance(2.0)?)?.clip(0.0, 1.0)?;
    let blue = (2.0 - distance(4.0)?)?.clip(0.0, 1.0)?;
    let grey = (1.0 - &saturation)?;
    let channel = |part: Tensor| &value * (&grey + (&saturation * part)?)?;
    Tensor::stack(&[channel(red)?, channel(green)?, channel(blue)?], -1)
}

/// Numbers of one range as those of another, in `dtype`; as they are where the ranges are the same.
pub(super) fn rescale(images: &Tensor, from: ValueRange, to: ValueRange, dtype: DType) -> Result<Tensor> {
    if from == to {
        return Ok(images.clone());
    }
    let ([low, high], [new_low, new_high]) = (from.range(), to.range());
    let unit = ((images.cast(dtype)? - low)? / (high - low))?;
    (unit * (new_high - new_low))? + new_low
}
