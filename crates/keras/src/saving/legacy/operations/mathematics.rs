//! Numbers and matrices.

use keras_spec::Result;
use serde_json::{Value, json};

use super::arrays;
use super::call::Call;
use crate::saving::json::to_f64;

pub(super) fn squared_difference(c: &mut Call) -> Result<()> {
    let operands = [c.operand("x")?, c.operand("y")?];
    let difference = c.plain("Subtract", operands);
    c.plain("Square", [difference]);
    Ok(())
}

/// 0 where the second factor is.
pub(super) fn multiply_no_nan(c: &mut Call) -> Result<()> {
    let (x, y) = tensors(c)?;
    let product = c.plain("Multiply", [x, y.clone()]);
    let zero = c.plain("Equal", [y, json!(0)]);
    c.plain("Where", [zero, json!(0.0), product]);
    Ok(())
}

/// Two operands as tensors, also if one of them is a constant.
fn tensors(c: &mut Call) -> Result<(Value, Value)> {
    let (x, y) = (c.operand("x")?, c.operand("y")?);
    let as_tensor = |c: &mut Call, constant: &Value, beside: &Value| {
        if super::has_tensor(constant) {
            return constant.clone();
        }
        let zeros = c.plain("ZerosLike", [beside.clone()]);
        c.plain("Add", [zeros, constant.clone()])
    };
    Ok((as_tensor(c, &x, &y), as_tensor(c, &y, &x)))
}

pub(super) fn reciprocal_no_nan(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    c.plain("DivideNoNan", [json!(1.0), x]);
    Ok(())
}

/// A product with a function of `y` that is 0 where `x` is.
fn zero_where_zero(c: &mut Call, combine: impl Fn(&mut Call, Value, Value) -> Value) -> Result<()> {
    let (x, y) = tensors(c)?;
    let zero = c.plain("Equal", [x.clone(), json!(0)]);
    // Where it does not count, `y` is 1, so that gradients are finite.
    let y = c.plain("Where", [zero.clone(), json!(1.0), y]);
    let value = combine(c, x, y);
    c.plain("Where", [zero, json!(0.0), value]);
    Ok(())
}

pub(super) fn xlogy(c: &mut Call) -> Result<()> {
    zero_where_zero(c, |c, x, y| {
        let logarithm = c.plain("Log", [y]);
        c.plain("Multiply", [x, logarithm])
    })
}

pub(super) fn xlog1py(c: &mut Call) -> Result<()> {
    zero_where_zero(c, |c, x, y| {
        let logarithm = c.plain("Log1p", [y]);
        c.plain("Multiply", [x, logarithm])
    })
}

pub(super) fn xdivy(c: &mut Call) -> Result<()> {
    zero_where_zero(c, |c, x, y| c.plain("Divide", [x, y]))
}

pub(super) fn erfc(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    let erf = c.plain("Erf", [x]);
    c.plain("Subtract", [json!(1.0), erf]);
    Ok(())
}

pub(super) fn add_n(c: &mut Call) -> Result<()> {
    let inputs = c.operand("inputs")?;
    let mut inputs = inputs.as_array().cloned().unwrap_or_else(|| vec![inputs]).into_iter();
    let Some(mut sum) = inputs.next() else { return Err(c.wrong("of nothing")) };
    if inputs.len() == 0 {
        arrays::unchanged(c, sum);
        return Ok(());
    }
    for input in inputs {
        sum = c.plain("Add", [sum, input]);
    }
    Ok(())
}

pub(super) fn scalar_mul(c: &mut Call) -> Result<()> {
    let operands = [c.operand("scalar")?, c.operand("x")?];
    c.plain("Multiply", operands);
    Ok(())
}

pub(super) fn zero_fraction(c: &mut Call) -> Result<()> {
    let x = c.operand("value")?;
    let zero = c.plain("Equal", [x, json!(0)]);
    let ones = c.operation("Cast", [zero], json!({ "dtype": "float32" }));
    c.plain("Mean", [ones]);
    Ok(())
}

pub(super) fn count_nonzero(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let (axis, keepdims) = (c.axis()?, c.flag(&["keepdims", "keep_dims"])?);
    let dtype = c.text("dtype", "int64")?;
    let other = c.plain("NotEqual", [x, json!(0)]);
    let ones = c.operation("Cast", [other], json!({ "dtype": dtype }));
    c.operation("Sum", [ones], json!({ "axis": axis, "keepdims": keepdims }));
    Ok(())
}

fn root_of_squares(c: &mut Call, x: Value, axis: &Value, keepdims: bool) -> Value {
    let squares = c.plain("Square", [x]);
    let sum = c.operation("Sum", [squares], json!({ "axis": axis, "keepdims": keepdims }));
    c.plain("Sqrt", [sum])
}

pub(super) fn euclidean_norm(c: &mut Call) -> Result<()> {
    let x = c.operand("input_tensor")?;
    let (axis, keepdims) = (c.axis()?, c.flag(&["keepdims", "keep_dims"])?);
    root_of_squares(c, x, &axis, keepdims);
    Ok(())
}

pub(super) fn norm(c: &mut Call) -> Result<()> {
    let x = c.operand("tensor")?;
    let (axis, keepdims) = (c.axis()?, c.flag(&["keepdims", "keep_dims"])?);
    let order = c.optional(&["ord"]).unwrap_or_else(|| "euclidean".into());
    let reduction = json!({ "axis": axis, "keepdims": keepdims });
    let matrices = axis.is_array();
    match (order.as_str(), to_f64(&order)) {
        (Some("euclidean" | "fro"), _) => drop(root_of_squares(c, x, &axis, keepdims)),
        (_, Some(2.0)) if !matrices => drop(root_of_squares(c, x, &axis, keepdims)),
        (_, Some(1.0)) if !matrices => {
            let sizes = c.plain("Absolute", [x]);
            c.operation("Sum", [sizes], reduction);
        }
        (_, Some(p)) if !matrices && p.is_finite() && p > 0.0 => {
            let sizes = c.plain("Absolute", [x]);
            let powers = c.plain("Power", [sizes, json!(p)]);
            let sum = c.operation("Sum", [powers], reduction);
            c.plain("Power", [sum, json!(1.0 / p)]);
        }
        (_, Some(f64::INFINITY)) if !matrices => {
            let sizes = c.plain("Absolute", [x]);
            c.operation("Max", [sizes], reduction);
        }
        _ => return Err(c.wrong(format!("of matrices with `ord` = {order}"))),
    }
    Ok(())
}

pub(super) fn l2_normalize(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    let (axis, epsilon) = (c.axis()?, c.real("epsilon", 1e-12)?);
    if axis.is_null() {
        let squares = c.plain("Square", [x.clone()]);
        let sum = c.operation("Sum", [squares], json!({ "axis": null, "keepdims": true }));
        let bounded = c.plain("Maximum", [sum, json!(epsilon)]);
        let inverse = c.plain("Rsqrt", [bounded]);
        c.plain("Multiply", [x, inverse]);
        return Ok(());
    }
    // TensorFlow's bound is that of the square.
    c.operation("Normalize", [x], json!({ "axis": axis, "epsilon": epsilon.sqrt() }));
    Ok(())
}

pub(super) fn l2_loss(c: &mut Call) -> Result<()> {
    let x = c.operand("t")?;
    let squares = c.plain("Square", [x]);
    let sum = c.plain("Sum", [squares]);
    c.plain("Divide", [sum, json!(2.0)]);
    Ok(())
}

pub(super) fn clip_by_norm(c: &mut Call) -> Result<()> {
    let (x, bound) = (c.operand("t")?, c.operand("clip_norm")?);
    let axis = c.axis()?;
    let squares = c.plain("Square", [x.clone()]);
    let sum = c.operation("Sum", [squares], json!({ "axis": axis, "keepdims": true }));
    let norm = c.plain("Sqrt", [sum]);
    let larger = c.plain("Maximum", [norm, bound.clone()]);
    let scaled = c.plain("Multiply", [x, bound]);
    c.plain("Divide", [scaled, larger]);
    Ok(())
}

/// Sums or products of what comes before, or with `reverse` after, each element, and with `exclusive` without itself.
fn cumulative(c: &mut Call, class: &'static str, first: f64) -> Result<()> {
    let mut x = c.operand("x")?;
    let axis = c.whole("axis", 0)?;
    let (exclusive, reverse) = (c.flag(&["exclusive"])?, c.flag(&["reverse"])?);
    if exclusive {
        let rank = c.shape(&x)?.len();
        let (start, stop, pad) = if reverse { (Some(1), None, [0, 1]) } else { (None, Some(-1), [1, 0]) };
        let place = arrays::from_start(axis, rank);
        let widths: Vec<_> = (0..rank).map(|i| if Some(i) == place { pad } else { [0, 0] }).collect();
        x = c.plain("GetItem", [x, arrays::range_along(axis, rank, start, stop)]);
        x = arrays::padded(c, x, json!(widths), "constant", first);
    }
    let flip = json!({ "axis": axis });
    if reverse {
        x = c.operation("Flip", [x], flip.clone());
    }
    x = c.operation(class, [x], json!({ "axis": axis }));
    if reverse {
        c.operation("Flip", [x], flip);
    }
    Ok(())
}

pub(super) fn cumsum(c: &mut Call) -> Result<()> {
    cumulative(c, "Cumsum", 0.0)
}

pub(super) fn cumprod(c: &mut Call) -> Result<()> {
    cumulative(c, "Cumprod", 1.0)
}

/// The sum up to each place, of its own: no other form is exact where elements differ a lot.
pub(super) fn cumulative_logsumexp(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    let axis = c.whole("axis", 0)?;
    if c.flag(&["exclusive"])? || c.flag(&["reverse"])? {
        return Err(c.wrong("with `exclusive` or `reverse`"));
    }
    let shape = c.shape(&x)?;
    let length = c.known(&shape, axis as isize)?;
    // An operation for each element.
    c.limit(&[length, 1 << 12])?;
    let last = c.operation("Moveaxis", [x], json!({ "source": axis, "destination": -1 }));
    let ends = (1..=length as i64).map(|stop| {
        let key = json!([arrays::ellipsis(), arrays::range(None, Some(stop))]);
        let part = c.plain("GetItem", [last.clone(), key]);
        c.operation("Logsumexp", [part], json!({ "axis": -1 }))
    });
    let ends = ends.collect::<Vec<_>>();
    c.operation("Stack", [ends.into()], json!({ "axis": axis }));
    Ok(())
}

/// A product of matrices; of transposed ones, a product of sums.
pub(super) fn matmul(c: &mut Call) -> Result<()> {
    let operands = [c.operand("a")?, c.operand("b")?];
    let (a, b) =
        (c.flag(&["transpose_a", "adjoint_a", "adj_x"])?, c.flag(&["transpose_b", "adjoint_b", "adj_y"])?);
    if !(a || b) {
        c.plain("Matmul", operands);
        return Ok(());
    }
    if operands.iter().all(super::is_tensor) {
        let subscripts =
            format!("...{},...{}->...ik", if a { "ji" } else { "ij" }, if b { "kj" } else { "jk" });
        c.operation("Einsum", operands, json!({ "subscripts": subscripts }));
        return Ok(());
    }
    let turned = [a, b].into_iter().zip(operands).map(|(turn, operand)| match turn {
        true if super::has_tensor(&operand) => {
            c.operation("Swapaxes", [operand], json!({ "axis1": -2, "axis2": -1 }))
        }
        true => transposed(&operand),
        false => operand,
    });
    let turned = turned.collect::<Vec<_>>();
    c.plain("Matmul", turned);
    Ok(())
}

/// A constant with its last two axes swapped.
fn transposed(constant: &Value) -> Value {
    let rows = constant.as_array().map_or(&[][..], Vec::as_slice);
    match rows.first().and_then(|row| row.get(0)) {
        Some(Value::Array(_)) => rows.iter().map(transposed).collect(),
        _ => {
            let columns = rows.first().and_then(Value::as_array).map_or(0, Vec::len);
            let column = |j: usize| rows.iter().map(|row| row[j].clone()).collect::<Value>();
            (0..columns).map(column).collect()
        }
    }
}

pub(super) fn tensordot(c: &mut Call) -> Result<()> {
    let operands = [c.operand("a")?, c.operand("b")?];
    let axes = c.needed(&["axes"])?;
    c.operation("Tensordot", operands, json!({ "axes": axes }));
    Ok(())
}

/// Files hold the equation alone.
pub(super) fn einsum(c: &mut Call) -> Result<()> {
    let equation = c.operand("equation")?;
    Err(c.wrong(format!("of {equation}: tf.keras does not write down what it is called on")))
}

pub(super) fn diag_part(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let k = c.whole("k", 0)?;
    c.optional(&["padding_value", "align"]);
    c.operation("Diagonal", [x], json!({ "offset": k, "axis1": -2, "axis2": -1 }));
    Ok(())
}

pub(super) fn trace(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    let diagonal = c.operation("Diagonal", [x], json!({ "offset": 0, "axis1": -2, "axis2": -1 }));
    c.operation("Sum", [diagonal], json!({ "axis": -1 }));
    Ok(())
}

/// Negative numbers of diagonals are all of them.
pub(super) fn band_part(c: &mut Call) -> Result<()> {
    let mut x = c.operand("input")?;
    let (lower, upper) = (c.whole("num_lower", -1)?, c.whole("num_upper", -1)?);
    if upper >= 0 {
        x = c.operation("Tril", [x], json!({ "k": upper }));
    }
    if lower >= 0 {
        c.operation("Triu", [x], json!({ "k": -lower }));
    } else if upper < 0 {
        arrays::unchanged(c, x);
    }
    Ok(())
}

pub(super) fn matrix_transpose(c: &mut Call) -> Result<()> {
    let x = c.operand("a")?;
    c.operation("Swapaxes", [x], json!({ "axis1": -2, "axis2": -1 }));
    Ok(())
}
