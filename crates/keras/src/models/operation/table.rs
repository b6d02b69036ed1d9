//! Every operation that graphs can have, by Keras's class.

use keras_spec::promotion::Operand;
use keras_spec::{
    BinaryOp, Class, CompareOp, DType, Error, ReduceOp, Result, Shape, Tensor, UnaryOp, result_type,
};

use serde_json::Value;

use super::indexing::{self, along};
use super::{Kind, Run, windows};
use crate::activations;
use crate::losses::divide_no_nan;

macro_rules! operations {
    ($($module:literal { $($name:ident: $compute:expr;)* })*) => {
        static TABLE: &[Kind] = &[$($(
            Kind { class: Class::keras($module, stringify!($name)), compute: $compute },
        )*)*];
    };
}

pub(super) fn find(name: &str) -> Option<&'static Kind> {
    TABLE.iter().find(|k| k.class.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|k| k.class.name)
}

operations! {
    "keras.src.ops.numpy" {
        Absolute: |r| one(r.tensor(0)?.abs());
        Add: |r| binary(r, BinaryOp::Add);
        All: |r| one(truth(&r.tensor(0)?)?.min(&r.axes()?, r.flag("keepdims")?));
        Any: |r| one(truth(&r.tensor(0)?)?.max(&r.axes()?, r.flag("keepdims")?));
        Arccos: |r| one(r.float(0)?.unary(UnaryOp::Acos));
        Arccosh: |r| one(r.float(0)?.unary(UnaryOp::Acosh));
        Arcsin: |r| one(r.float(0)?.unary(UnaryOp::Asin));
        Arcsinh: |r| one(r.float(0)?.unary(UnaryOp::Asinh));
        Arctan: |r| one(r.float(0)?.unary(UnaryOp::Atan));
        Arctan2: |r| binary_floats(r, BinaryOp::Atan2);
        Arctanh: |r| one(r.float(0)?.unary(UnaryOp::Atanh));
        Argmax: |r| arg(r, Tensor::argmax);
        Argmin: |r| arg(r, Tensor::argmin);
        Argsort: |r| { let (x, axis) = along(r, r.tensor(0)?)?; one(x.argsort(axis, false)) };
        BroadcastTo: indexing::broadcast_to;
        Ceil: |r| one(r.float(0)?.ceil());
        Clip: clip;
        Concatenate: |r| one(Tensor::concatenate(&r.tensors(), r.whole("axis")?.unwrap_or(0)));
        Cos: |r| one(r.float(0)?.cos());
        Cosh: |r| one(r.float(0)?.unary(UnaryOp::Cosh));
        Cumprod: |r| cumulative(r, ReduceOp::Prod);
        Cumsum: |r| cumulative(r, ReduceOp::Sum);
        Diagonal: indexing::diagonal;
        Divide: divide;
        DivideNoNan: |r| { let (a, b) = r.pair()?; one(divide_no_nan(&a, &b)) };
        Einsum: einsum;
        Equal: |r| compare(r, Tensor::equal);
        Exp: |r| one(r.float(0)?.exp());
        ExpandDims: |r| one(r.tensor(0)?.expand_dims(r.needed("axis")?));
        Expm1: |r| one(r.float(0)?.expm1());
        Flip: |r| one(r.tensor(0)?.flip(&r.axes()?));
        Floor: |r| one(r.float(0)?.floor());
        FloorDivide: |r| binary(r, BinaryOp::FloorDiv);
        GetItem: indexing::get_item;
        Greater: |r| compare(r, Tensor::greater);
        GreaterEqual: |r| compare(r, Tensor::greater_equal);
        Isfinite: |r| one(r.float(0)?.abs()?.compare_with(CompareOp::Lt, f64::INFINITY));
        Isinf: |r| one(r.float(0)?.abs()?.compare_with(CompareOp::Eq, f64::INFINITY));
        Isnan: |r| { let x = r.float(0)?; one(x.not_equal(&x)) };
        Less: |r| compare(r, Tensor::less);
        LessEqual: |r| compare(r, Tensor::less_equal);
        Log: |r| one(r.float(0)?.log());
        Log1p: |r| one(r.float(0)?.log1p());
        LogicalAnd: |r| logical(r, Tensor::and);
        LogicalNot: |r| one(truth(&r.tensor(0)?)?.not());
        LogicalOr: |r| logical(r, Tensor::or);
        LogicalXor: |r| logical(r, Tensor::not_equal);
        Matmul: |r| { let (a, b) = r.pair()?; one(a.matmul(&b)) };
        Max: |r| extreme(r, Tensor::max, Tensor::at_least);
        Maximum: |r| binary(r, BinaryOp::Max);
        Mean: |r| one(r.tensor(0)?.mean(&r.axes()?, r.flag("keepdims")?));
        Min: |r| extreme(r, Tensor::min, Tensor::at_most);
        Minimum: |r| binary(r, BinaryOp::Min);
        Mod: |r| binary(r, BinaryOp::Mod);
        Moveaxis: |r| one(r.tensor(0)?.move_axis(r.needed("source")?, r.needed("destination")?));
        Multiply: |r| binary(r, BinaryOp::Mul);
        Negative: |r| one(r.tensor(0)?.unary(UnaryOp::Neg));
        NotEqual: |r| compare(r, Tensor::not_equal);
        OnesLike: |r| like(r, 1.0);
        Pad: indexing::pad;
        Power: |r| binary(r, BinaryOp::Pow);
        Prod: |r| total(r, Tensor::prod);
        Reciprocal: |r| one(1.0 / r.float(0)?);
        Repeat: indexing::repeat;
        Reshape: indexing::reshape;
        Roll: indexing::roll;
        Round: round;
        Sign: |r| one(r.tensor(0)?.sign());
        Sin: |r| one(r.float(0)?.sin());
        Sinh: |r| one(r.float(0)?.unary(UnaryOp::Sinh));
        Sort: |r| { let (x, axis) = along(r, r.tensor(0)?)?; one(x.sort(axis, false)) };
        Split: indexing::split;
        Sqrt: |r| one(r.float(0)?.sqrt());
        Square: |r| one(r.tensor(0)?.square());
        Squeeze: indexing::squeeze;
        Stack: |r| one(Tensor::stack(&r.tensors(), r.whole("axis")?.unwrap_or(0)));
        Std: |r| one(r.tensor(0)?.variance(&r.axes()?, r.flag("keepdims")?)?.sqrt());
        Subtract: |r| binary(r, BinaryOp::Sub);
        Sum: |r| total(r, Tensor::sum);
        Swapaxes: |r| one(r.tensor(0)?.swap_axes(r.needed("axis1")?, r.needed("axis2")?));
        Take: indexing::take;
        TakeAlongAxis: indexing::take_along_axis;
        Tan: |r| one(r.float(0)?.unary(UnaryOp::Tan));
        Tanh: |r| one(r.float(0)?.tanh());
        Tensordot: windows::tensordot;
        Tile: indexing::tile;
        Transpose: indexing::transpose;
        Tril: |r| indexing::triangle(r, true);
        Triu: |r| indexing::triangle(r, false);
        TrueDivide: divide;
        Var: |r| one(r.tensor(0)?.variance(&r.axes()?, r.flag("keepdims")?));
        Where: |r| { let (a, b) = r.pair_at(1, 2)?; one(truth(&r.tensor(0)?)?.select(&a, &b)) };
        ZerosLike: |r| like(r, 0.0);
    }
    "keras.src.ops.math" {
        Erf: |r| one(r.float(0)?.erf());
        Logsumexp: logsumexp;
        Rsqrt: |r| one(r.float(0)?.rsqrt());
        TopK: top_k;
    }
    "keras.src.ops.nn" {
        Conv: windows::conv;
        ConvTranspose: windows::conv_transpose;
        DepthwiseConv: windows::depthwise_conv;
        Elu: |r| one(activations::elu(&r.float(0)?, r.real("alpha")?.unwrap_or(1.0)));
        Gelu: |r| one(activations::gelu(&r.float(0)?, r.flag("approximate")?));
        HardSigmoid: |r| one(activations::hard_sigmoid(&r.float(0)?));
        HardSilu: |r| one(activations::hard_silu(&r.float(0)?));
        HardTanh: |r| one(activations::hard_tanh(&r.float(0)?));
        LeakyRelu: |r| one(activations::leaky_relu(&r.float(0)?, r.real("negative_slope")?.unwrap_or(0.2)));
        LogSigmoid: |r| one(activations::log_sigmoid(&r.float(0)?));
        LogSoftmax: |r| one(activations::log_softmax(&r.float(0)?, r.axes_or_last()?));
        Normalize: normalize;
        OneHot: indexing::one_hot;
        Relu: |r| one(r.tensor(0)?.relu());
        Relu6: |r| one(activations::relu6(&r.tensor(0)?));
        Selu: |r| one(activations::selu(&r.float(0)?));
        Sigmoid: |r| one(r.float(0)?.sigmoid());
        Silu: |r| one(activations::silu(&r.float(0)?));
        Softmax: |r| one(activations::softmax(&r.float(0)?, r.axes_or_last()?));
        Softplus: |r| one(r.float(0)?.softplus());
        Softsign: |r| one(activations::softsign(&r.float(0)?));
    }
    "keras.src.ops.core" {
        Cast: |r| {
            let dtype = r.dtype()?.ok_or_else(|| r.wrong("dtype", "a name", "null"))?;
            one(r.tensor(0)?.cast(dtype))
        };
        Unstack: indexing::unstack;
        StopGradient: |r| Ok(vec![r.tensor(0)?.stop_gradient()]);
    }
}

fn one(y: Result<Tensor>) -> Result<Vec<Tensor>> {
    Ok(vec![y?])
}

/// Where elements are not zero.
fn truth(x: &Tensor) -> Result<Tensor> {
    if x.dtype() == DType::Bool { Ok(x.clone()) } else { x.compare_with(CompareOp::Ne, 0.0) }
}

fn binary(r: &Run, op: BinaryOp) -> Result<Vec<Tensor>> {
    let (a, b) = r.pair()?;
    one(Tensor::binary(op, a, b))
}

fn binary_floats(r: &Run, op: BinaryOp) -> Result<Vec<Tensor>> {
    let (a, b) = r.pair()?;
    let dtype = result_type(&[a.dtype().into(), b.dtype().into(), Operand::WeakFloat]);
    one(Tensor::binary(op, a.into_dtype(dtype)?, b.into_dtype(dtype)?))
}

/// Division by a number is another operation than by a tensor: it rounds as XLA's does.
fn divide(r: &Run) -> Result<Vec<Tensor>> {
    match r.plain(1) {
        Some(number) => one(r.tensor(0)? / number),
        None => binary(r, BinaryOp::Div),
    }
}

fn compare(r: &Run, compare: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let (a, b) = r.pair()?;
    one(compare(&a, &b))
}

fn logical(r: &Run, combine: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let (a, b) = r.pair()?;
    one(combine(&truth(&a)?, &truth(&b)?))
}

/// A sum or a product; small integers are added up as larger ones.
fn total(r: &Run, reduce: fn(&Tensor, &[isize], bool) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let x = r.tensor(0)?;
    let dtype = match x.dtype() {
        DType::Bool | DType::I8 | DType::I16 => DType::I32,
        DType::U8 | DType::U16 => DType::U32,
        other => other,
    };
    let x = x.into_dtype(r.dtype()?.unwrap_or(dtype))?;
    one(reduce(&x, &r.axes()?, r.flag("keepdims")?))
}

fn extreme(
    r: &Run,
    reduce: fn(&Tensor, &[isize], bool) -> Result<Tensor>,
    limit: fn(&Tensor, f64) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let y = reduce(&r.tensor(0)?, &r.axes()?, r.flag("keepdims")?)?;
    match r.real("initial")? {
        Some(initial) => one(limit(&y, initial)),
        None => Ok(vec![y]),
    }
}

fn arg(r: &Run, find: fn(&Tensor, isize) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let x = r.tensor(0)?;
    let mut kept = x.shape().clone();
    match r.whole("axis")? {
        Some(axis) => kept.dims_mut()[x.shape().axis(axis)?] = 1,
        None => kept.dims_mut().fill(1),
    }
    let (line, axis) = along(r, x)?;
    let y = find(&line, axis)?;
    if r.flag("keepdims")? { one(y.reshape(kept)) } else { Ok(vec![y]) }
}

fn cumulative(r: &Run, op: ReduceOp) -> Result<Vec<Tensor>> {
    let (x, axis) = along(r, r.tensor(0)?)?;
    let dtype = r.dtype()?.unwrap_or(if x.dtype() == DType::Bool { DType::I32 } else { x.dtype() });
    one(x.into_dtype(dtype)?.cumulative(op, axis))
}

fn einsum(r: &Run) -> Result<Vec<Tensor>> {
    match r.argument("subscripts") {
        Some(Value::String(equation)) => one(Tensor::einsum(equation, &r.tensors())),
        other => Err(r.wrong("subscripts", "a text", format!("{other:?}"))),
    }
}

/// Vectors of length 1, by the norm of order 2.
fn normalize(r: &Run) -> Result<Vec<Tensor>> {
    let order = r.whole("order")?.unwrap_or(2);
    if order != 2 {
        return Err(Error::argument("order", "2", order));
    }
    let (x, epsilon) = (r.float(0)?, r.real("epsilon")?.unwrap_or(1e-7));
    let axes = if r.argument("axis").is_some() { r.axes()? } else { vec![-1] };
    let inverse = x.square()?.sum(&axes, true)?.rsqrt()?.at_most(1.0 / epsilon)?;
    one(x * inverse)
}

/// The largest elements along the last axis, and their places.
fn top_k(r: &Run) -> Result<Vec<Tensor>> {
    let (x, k) = (r.tensor(0)?, r.needed("k")?);
    let length = x.shape().last().copied().unwrap_or(0);
    let k = usize::try_from(k)
        .ok()
        .filter(|k| *k <= length)
        .ok_or_else(|| r.wrong("k", &format!("at most {length}, the length of the last axis"), k))?;
    let first = |t: Tensor| t.narrow(-1, 0, k);
    Ok(vec![first(x.sort(-1, true)?)?, first(x.argsort(-1, true)?.cast(DType::I32)?)?])
}

fn clip(r: &Run) -> Result<Vec<Tensor>> {
    let bound = |name: &str| r.real(name)?.ok_or_else(|| r.wrong(name, "a number", "null"));
    one(r.tensor(0)?.clip(bound("x_min")?, bound("x_max")?))
}

fn like(r: &Run, value: f64) -> Result<Vec<Tensor>> {
    let x = r.tensor(0)?;
    one(Tensor::full(x.shape().clone(), r.dtype()?.unwrap_or(x.dtype()), value, x.device()))
}

fn round(r: &Run) -> Result<Vec<Tensor>> {
    let x = r.tensor(0)?;
    if !x.dtype().is_float() {
        return Ok(vec![x]);
    }
    match r.whole("decimals")?.unwrap_or(0) {
        0 => one(x.round()),
        other => Err(Error::argument("decimals", "0", other)),
    }
}

fn logsumexp(r: &Run) -> Result<Vec<Tensor>> {
    let (x, axes) = (r.float(0)?, r.axes()?);
    let largest = x.stop_gradient().max(&axes, true)?;
    // Infinite ones stay out of the difference.
    let finite = largest.abs()?.compare_with(CompareOp::Lt, f64::INFINITY)?;
    let zero = Tensor::full(Shape::scalar(), largest.dtype(), 0.0, largest.device())?;
    let largest = finite.select(&largest, &zero)?;
    let sum = (&x - &largest)?.exp()?.sum(&axes, true)?;
    let y = (sum.log()? + largest)?;
    // The sum of one element per line is the element.
    if r.flag("keepdims")? { Ok(vec![y]) } else { one(y.sum(&axes, false)) }
}
