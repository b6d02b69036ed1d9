//! What candle does itself, and when it does it as Keras means it.

use candle_core::{Result, Tensor};
use keras_spec::{BinaryOp, CompareOp, ConvSpec, DType, UnaryOp};

/// Whether candle converts between two dtypes with one rounding and Keras's saturation.
pub(crate) fn casts(from: DType, to: DType) -> bool {
    let direct = |d| {
        matches!(
            d,
            DType::Bool
                | DType::U8
                | DType::I16
                | DType::I32
                | DType::U32
                | DType::I64
                | DType::F32
                | DType::F64
        )
    };
    let half = |d| matches!(d, DType::F16 | DType::BF16);
    match (from, to) {
        (a, b) if direct(a) && direct(b) => true,
        (a, DType::F32 | DType::Bool) if half(a) => true,
        (DType::F32, b) if half(b) => true,
        (a, b) => a == b && a != DType::Bool,
    }
}

/// The elements `start[i], start[i] + stride[i], … < limit[i]` of every axis.
pub(crate) fn slice(x: &Tensor, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Tensor> {
    let count = |((from, to), &step): ((&usize, &usize), &usize)| (to - from).div_ceil(step);
    let dims: Vec<usize> = start.iter().zip(limit).zip(stride).map(count).collect();
    if dims.contains(&0) {
        return Tensor::zeros(dims, x.dtype(), x.device());
    }
    let mut y = x.clone();
    for (axis, ((&from, &to), &step)) in start.iter().zip(limit).zip(stride).enumerate() {
        y = match step {
            1 => y.narrow(axis, from, to - from)?,
            _ => {
                let places: Vec<u32> = (from..to).step_by(step).map(|i| i as u32).collect();
                let count = places.len();
                y.contiguous()?.index_select(&Tensor::from_vec(places, count, x.device())?, axis)?
            }
        };
    }
    Ok(y)
}

/// Zeros before and after the elements of each axis.
pub(crate) fn pad(x: &Tensor, low: &[usize], high: &[usize]) -> Result<Tensor> {
    let mut y = x.clone();
    for (axis, (&low, &high)) in low.iter().zip(high).enumerate() {
        y = y.pad_with_zeros(axis, low, high)?;
    }
    Ok(y)
}

/// candle's function for an operation on floating-point numbers, where its values at every argument are Keras's: its
/// `round` takes ties away from zero, its `sign` knows no NaN.
pub(crate) fn unary(op: UnaryOp) -> Option<fn(&Tensor) -> Result<Tensor>> {
    Some(match op {
        UnaryOp::Neg => Tensor::neg,
        UnaryOp::Abs => Tensor::abs,
        UnaryOp::Ceil => Tensor::ceil,
        UnaryOp::Floor => Tensor::floor,
        UnaryOp::Exp => Tensor::exp,
        UnaryOp::Log => Tensor::log,
        UnaryOp::Sqrt => Tensor::sqrt,
        UnaryOp::Sin => Tensor::sin,
        UnaryOp::Cos => Tensor::cos,
        UnaryOp::Tanh => Tensor::tanh,
        _ => return None,
    })
}

/// candle's function for an operation on two operands; its `maximum` and `minimum` lose NaN.
pub(crate) fn binary(op: BinaryOp) -> Option<fn(&Tensor, &Tensor) -> Result<Tensor>> {
    Some(match op {
        BinaryOp::Add => Tensor::broadcast_add,
        BinaryOp::Sub => Tensor::broadcast_sub,
        BinaryOp::Mul => Tensor::broadcast_mul,
        BinaryOp::Div => Tensor::broadcast_div,
        _ => return None,
    })
}

pub(crate) fn compare(op: CompareOp) -> Option<fn(&Tensor, &Tensor) -> Result<Tensor>> {
    Some(match op {
        CompareOp::Eq => Tensor::broadcast_eq,
        CompareOp::Ne => Tensor::broadcast_ne,
        CompareOp::Lt => Tensor::broadcast_lt,
        CompareOp::Le => Tensor::broadcast_le,
        CompareOp::Gt => Tensor::broadcast_gt,
        CompareOp::Ge => Tensor::broadcast_ge,
        _ => return None,
    })
}

pub(crate) fn select(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let shape = condition.shape().broadcast_shape_binary_op(a.shape(), "select")?;
    let shape = shape.broadcast_shape_binary_op(b.shape(), "select")?;
    condition.broadcast_as(&shape)?.where_cond(&a.broadcast_as(&shape)?, &b.broadcast_as(&shape)?)
}

/// Indices as candle wants them, those out of range moved to the nearest valid one.
pub(crate) fn clamped(indices: &Tensor, n: usize) -> Result<Tensor> {
    let last = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
    indices
        .maximum(&Tensor::zeros_like(indices)?)?
        .minimum(&Tensor::full(last, indices.dims(), indices.device())?)?
        .to_dtype(candle_core::DType::U32)
}

pub(crate) fn gather(x: &Tensor, indices: &Tensor, axis: usize) -> Result<Tensor> {
    let flat = clamped(indices, x.dim(axis)?)?.flatten_all()?;
    let picked = x.contiguous()?.index_select(&flat, axis)?;
    let dims = x.dims();
    let shape = [&dims[..axis], indices.dims(), &dims[axis + 1..]].concat();
    picked.reshape(shape)
}

/// The matrix product; candle takes row-major and transposed operands as they are.
pub(crate) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ready(a)?.broadcast_matmul(&ready(b)?)
}

fn ready(x: &Tensor) -> Result<Tensor> {
    let rank = x.rank();
    let transposed = x.transpose(rank - 2, rank - 1)?.is_contiguous();
    if x.is_contiguous() || transposed { Ok(x.clone()) } else { x.contiguous() }
}

/// Whether candle has the convolution: one or two spatial axes of equal parameters, symmetric padding.
pub(crate) fn convolves(spec: &ConvSpec) -> bool {
    let same = |list: &[usize]| list.windows(2).all(|w| w[0] == w[1]);
    let padding = spec.padding.first().copied().unwrap_or_default();
    matches!(spec.strides.len(), 1 | 2)
        && same(&spec.strides)
        && same(&spec.filter_dilation)
        && spec.input_dilation.iter().all(|&d| d == 1)
        && padding.0 >= 0
        && spec.padding.iter().all(|&(low, high)| (low, high) == (padding.0, padding.0))
}

/// Channels-last operands through candle's channels-first convolution.
pub(crate) fn convolution(x: &Tensor, filter: &Tensor, spec: &ConvSpec) -> Result<Tensor> {
    let padding = spec.padding.first().map_or(0, |p| p.0.unsigned_abs());
    let (stride, dilation) = (spec.strides[0], spec.filter_dilation[0]);
    if spec.strides.len() == 1 {
        let (x, filter) = (x.permute((0, 2, 1))?.contiguous()?, filter.permute((2, 1, 0))?.contiguous()?);
        return x.conv1d(&filter, padding, stride, dilation, spec.groups)?.permute((0, 2, 1));
    }
    let (x, filter) = (x.permute((0, 3, 1, 2))?.contiguous()?, filter.permute((3, 2, 0, 1))?.contiguous()?);
    x.conv2d(&filter, padding, stride, dilation, spec.groups)?.permute((0, 2, 3, 1))
}
