//! Functions of nothing but the lengths of axes, which are numbers before there is any tensor.

use keras_spec::Result;
use serde_json::{Value, json};

use super::arrays::part_of_list;
use super::{Operations, has_tensor};

/// A function of whole numbers, and the same of others.
type Arithmetic = (fn(i64, i64) -> Option<i64>, fn(f64, f64) -> f64);

/// The results of a function that asks for a shape, or of one whose arguments are all known; `None` if it computes with tensors,
/// or is none that is known here. A length that is not known before is null, and so is what is computed of it.
///
/// # Errors
/// A shape is asked for that cannot be found out.
pub(super) fn evaluate(graph: &mut Operations, function: &str, call: &Value) -> Result<Option<Vec<Value>>> {
    let function = function.strip_prefix("compat.v1.").unwrap_or(function);
    let argument = |i: usize, key: &str| {
        let positional = call["args"].get(i).or_else(|| call["kwargs"].get(key));
        positional.cloned().unwrap_or_default()
    };
    let first = argument(0, "x");
    if ["shape", "rank", "size"].contains(&function) && has_tensor(&first) {
        let shape = graph.trace(&first)?.shape().to_vec();
        let value = match function {
            "rank" => json!(shape.len()),
            "size" => json!(shape.iter().copied().product::<Option<usize>>()),
            _ => json!(shape),
        };
        return Ok(Some(vec![value]));
    }
    let mut keywords = call["kwargs"].as_object().into_iter().flat_map(|map| map.values());
    if graph.values.is_empty() || has_tensor(&call["args"]) || keywords.any(has_tensor) {
        return Ok(None);
    }
    let value = match function {
        "__operators__.getitem" => part_of_list(&first, &argument(1, "slice_spec")),
        "stack" | "identity" | "convert_to_tensor" => Some(first),
        "concat" => first.as_array().map(|parts| {
            let parts = parts.iter().map(|p| p.as_array().cloned().unwrap_or_else(|| vec![p.clone()]));
            parts.flatten().collect()
        }),
        "unstack" => return Ok(first.as_array().cloned()),
        "cast" => {
            let real = argument(1, "dtype").as_str().is_some_and(|d| d.contains("float"));
            each(&first, &|x| if real { json!(x) } else { json!(x as i64) })
        }
        "math.sqrt" | "sqrt" => each(&first, &|x| json!(x.sqrt())),
        "math.rsqrt" => each(&first, &|x| json!(x.sqrt().recip())),
        "math.reduce_prod" | "reduce_prod" if argument(1, "axis").is_null() => {
            first.as_array().and_then(|list| list.iter().try_fold(json!(1), |a, b| pair(&a, b, product())))
        }
        "ones_like" => Some(ones(&first)),
        "where" => choose(&first, &argument(1, "x"), &argument(2, "y")),
        "range" => range(&first, &argument(1, "limit"), &argument(2, "delta")),
        _ => arithmetic(function).and_then(|f| both(&first, &argument(1, "y"), f)),
    };
    Ok(value.map(|value| vec![value]))
}

fn product() -> Arithmetic {
    (i64::checked_mul, |a, b| a * b)
}

fn arithmetic(function: &str) -> Option<Arithmetic> {
    Some(match function {
        "math.add" | "add" | "__operators__.add" => (i64::checked_add, |a, b| a + b),
        "math.subtract" | "subtract" => (i64::checked_sub, |a, b| a - b),
        "math.multiply" | "multiply" => product(),
        "math.floordiv" | "floordiv" | "math.floor_div" | "floor_div" => (floor_div, |a, b| (a / b).floor()),
        "math.divide" | "math.truediv" | "truediv" => (|_, _| None, |a, b| a / b),
        "math.floormod" | "math.mod" => {
            (|a, b| a.checked_sub(floor_div(a, b)?.checked_mul(b)?), |a, b| a - (a / b).floor() * b)
        }
        "math.maximum" | "maximum" => (|a, b| Some(a.max(b)), f64::max),
        "math.minimum" | "minimum" => (|a, b| Some(a.min(b)), f64::min),
        "math.greater" | "greater" => (|a, b| Some(i64::from(a > b)), |a, b| f64::from(u8::from(a > b))),
        "math.pow" | "pow" => (|a, b| a.checked_pow(u32::try_from(b).ok()?), f64::powf),
        _ => return None,
    })
}

fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    Some(quotient - i64::from(a % b != 0 && (a < 0) != (b < 0)))
}

/// Ones in the place of all numbers, known or not.
fn ones(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(ones).collect(),
        _ => json!(1),
    }
}

/// For each place of lists the number of one of two others, or null where the condition is not known.
fn choose(condition: &Value, x: &Value, y: &Value) -> Option<Value> {
    match (condition, x, y) {
        (Value::Array(list), Value::Array(x), Value::Array(y))
            if list.len() == x.len() && x.len() == y.len() =>
        {
            list.iter().zip(x.iter().zip(y)).map(|(c, (x, y))| choose(c, x, y)).collect()
        }
        (Value::Null, x, y) if !x.is_array() && !y.is_array() => {
            Some(if x == y { x.clone() } else { Value::Null })
        }
        (condition, x, y) => Some(if condition.as_i64()? == 0 { y.clone() } else { x.clone() }),
    }
}

/// A function of each number in lists.
fn each(value: &Value, f: &impl Fn(f64) -> Value) -> Option<Value> {
    match value {
        Value::Array(list) => list.iter().map(|v| each(v, f)).collect(),
        Value::Null => Some(Value::Null),
        one => one.as_f64().map(f),
    }
}

/// A function of two numbers, or of those at the same places of two lists.
fn both(a: &Value, b: &Value, f: Arithmetic) -> Option<Value> {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| both(a, b, f)).collect()
        }
        (Value::Array(_), Value::Array(_)) => None,
        (Value::Array(list), b) => list.iter().map(|a| both(a, b, f)).collect(),
        (a, Value::Array(list)) => list.iter().map(|b| both(a, b, f)).collect(),
        (a, b) => pair(a, b, f),
    }
}

fn pair(a: &Value, b: &Value, (whole, real): Arithmetic) -> Option<Value> {
    if a.is_null() || b.is_null() {
        return Some(Value::Null);
    }
    let integer = a.as_i64().zip(b.as_i64()).and_then(|(a, b)| whole(a, b));
    let number = || Some(json!(real(a.as_f64()?, b.as_f64()?)));
    integer.map(Value::from).or_else(number)
}

/// The numbers that `tf.range` gives, if they are known.
fn range(start: &Value, limit: &Value, delta: &Value) -> Option<Value> {
    /// Longer ones are no positions.
    const LONGEST: i64 = 1 << 16;
    let (start, limit) =
        if limit.is_null() { (0, start.as_i64()?) } else { (start.as_i64()?, limit.as_i64()?) };
    let delta = if delta.is_null() { 1 } else { delta.as_i64()? };
    let count = limit.checked_sub(start)?.checked_div(delta)?;
    if delta < 1 || count > LONGEST {
        return None;
    }
    Some((start..limit).step_by(usize::try_from(delta).ok()?).map(Value::from).collect())
}
