//! What operations are given: tensors, numbers, lists of either, and the arguments of their constructors.

use keras_spec::layer::Argument;
use keras_spec::promotion::Operand;
use keras_spec::{DType, Device, Error, HostTensor, Result, Shape, Tensor, result_type};
use serde_json::{Number, Value, json};

use super::Run;
use crate::constraints::Axes;
use crate::models::graph::Arg;
use crate::saving::json::to_f64;

/// An operand.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Tensor(Tensor),
    List(Vec<Given>),
    Value(Value),
}

/// What stands for a tensor in the form of operands.
const TENSOR: &str = "__keras_tensor__";

/// An argument with a sign in the place of each tensor.
pub(super) fn form(arg: &Arg) -> Value {
    match arg {
        Arg::Tensor(_) => json!({ "class_name": TENSOR }),
        Arg::List(list) => list.iter().map(form).collect(),
        Arg::Value(value) => value.clone(),
    }
}

/// Puts tensors in the places of the signs.
pub(super) fn fill(form: &Value, tensors: &[Tensor]) -> Result<Vec<Given>> {
    fn one(form: &Value, rest: &mut std::slice::Iter<Tensor>) -> Result<Given> {
        if form.get("class_name").is_some_and(|c| c == TENSOR) {
            let missing = || Error::argument("inputs", "a tensor for every operand", "fewer");
            return rest.next().cloned().map(Given::Tensor).ok_or_else(missing);
        }
        match form {
            Value::Array(list) if contains_tensor(form) => {
                list.iter().map(|v| one(v, rest)).collect::<Result<_>>().map(Given::List)
            }
            value => Ok(Given::Value(value.clone())),
        }
    }
    let mut rest = tensors.iter();
    form.as_array().into_iter().flatten().map(|v| one(v, &mut rest)).collect()
}

fn contains_tensor(form: &Value) -> bool {
    match form {
        Value::Array(list) => list.iter().any(contains_tensor),
        other => other.get("class_name").is_some_and(|c| c == TENSOR),
    }
}

impl Run<'_> {
    pub(super) fn wrong(&self, argument: &str, expected: &str, found: impl std::fmt::Display) -> Error {
        Error::argument(format!("{argument} of {}", self.kind.class.name), expected, found)
    }

    fn given(&self, i: usize) -> Result<&Given> {
        self.operands
            .get(i)
            .ok_or_else(|| self.wrong("operands", &format!("at least {}", i + 1), self.operands.len()))
    }

    /// Operand `i` as it was given.
    pub(super) fn value(&self, i: usize) -> Result<&Value> {
        match self.given(i)? {
            Given::Value(value) => Ok(value),
            other => Err(self.wrong("operand", "no tensor", format!("{other:?}"))),
        }
    }

    /// Operand `i` as a tensor; numbers take their dtype from `beside`.
    fn tensor_beside(&self, i: usize, beside: Option<DType>) -> Result<Tensor> {
        match self.given(i)? {
            Given::Tensor(t) => Ok(t.clone()),
            Given::Value(Value::Number(n)) => self.number(n, beside),
            Given::Value(Value::Bool(b)) => {
                Tensor::full(Shape::scalar(), DType::Bool, f64::from(u8::from(*b)), &self.device()?)
            }
            Given::Value(value) => match to_f64(value) {
                // Infinity, or no number.
                Some(value) => {
                    let operands: Vec<Operand> =
                        beside.map(Operand::from).into_iter().chain([Operand::WeakFloat]).collect();
                    Tensor::full(Shape::scalar(), result_type(&operands), value, &self.device()?)
                }
                None => Tensor::from_host(self.array(value)?, &self.device()?),
            },
            Given::List(_) => Err(self.wrong("operand", "a tensor", "a list of tensors")),
        }
    }

    pub(super) fn tensor(&self, i: usize) -> Result<Tensor> {
        self.tensor_beside(i, None)
    }

    /// Operand `i` as a tensor of floats.
    pub(super) fn float(&self, i: usize) -> Result<Tensor> {
        let x = self.tensor(i)?;
        let dtype = result_type(&[x.dtype().into(), Operand::WeakFloat]);
        x.into_dtype(dtype)
    }

    /// Operands `i` and `j`, of which one may be a number.
    pub(super) fn pair_at(&self, i: usize, j: usize) -> Result<(Tensor, Tensor)> {
        let dtype = |i: usize| match self.operands.get(i) {
            Some(Given::Tensor(t)) => Some(t.dtype()),
            _ => None,
        };
        Ok((self.tensor_beside(i, dtype(j))?, self.tensor_beside(j, dtype(i))?))
    }

    /// The first two operands.
    pub(super) fn pair(&self) -> Result<(Tensor, Tensor)> {
        self.pair_at(0, 1)
    }

    /// Operand `i`, if it is a number.
    pub(super) fn plain(&self, i: usize) -> Option<f64> {
        match self.operands.get(i) {
            Some(Given::Value(Value::Number(n))) => n.as_f64(),
            _ => None,
        }
    }

    /// All tensors, also those in lists.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        fn add(given: &Given, out: &mut Vec<Tensor>) {
            match given {
                Given::Tensor(t) => out.push(t.clone()),
                Given::List(list) => list.iter().for_each(|g| add(g, out)),
                Given::Value(_) => {}
            }
        }
        let mut out = Vec::new();
        self.operands.iter().for_each(|g| add(g, &mut out));
        out
    }

    fn device(&self) -> Result<Device> {
        match self.tensors().first() {
            Some(t) => Ok(*t.device()),
            None => Device::default_device(),
        }
    }

    /// A Python number beside a tensor.
    fn number(&self, n: &Number, beside: Option<DType>) -> Result<Tensor> {
        let weak = if n.is_f64() { Operand::WeakFloat } else { Operand::WeakInt };
        let operands: Vec<Operand> = beside.map(Operand::from).into_iter().chain([weak]).collect();
        let value = n.as_f64().ok_or_else(|| self.wrong("operand", "a number", n))?;
        Tensor::full(Shape::scalar(), result_type(&operands), value, &self.device()?)
    }

    /// An array as files hold it: nested lists, with or without a dtype.
    fn array(&self, value: &Value) -> Result<HostTensor> {
        fn flatten(value: &Value, depth: usize, shape: &mut Vec<usize>, out: &mut Vec<Number>) -> Option<()> {
            match value {
                Value::Array(list) => {
                    if depth == shape.len() {
                        // A list whose depth was not met before can only be on the way to the first number.
                        out.is_empty().then(|| shape.push(list.len()))?;
                    }
                    (shape[depth] == list.len()).then_some(())?;
                    list.iter().try_for_each(|v| flatten(v, depth + 1, shape, out))
                }
                Value::Number(n) => (depth == shape.len()).then(|| out.push(n.clone())),
                Value::Bool(b) => (depth == shape.len()).then(|| out.push(u8::from(*b).into())),
                _ => None,
            }
        }
        let wrong = || self.wrong("operand", "numbers in lists of equal length", value);
        let stored = value.get("config");
        let elements = stored.and_then(|c| c.get("value")).unwrap_or(value);
        let (mut shape, mut numbers) = (Vec::new(), Vec::new());
        flatten(elements, 0, &mut shape, &mut numbers).ok_or_else(wrong)?;
        let dtype = match stored.and_then(|c| c.get("dtype")).and_then(Value::as_str) {
            Some(name) => name.parse()?,
            None if numbers.iter().any(Number::is_f64) => DType::F32,
            None => DType::I32,
        };
        let numbers: Vec<f64> = numbers.iter().filter_map(Number::as_f64).collect();
        Ok(HostTensor::new(shape, numbers)?.cast(dtype))
    }

    /// An argument of the constructor, or of the call; `None` if it is not given or null.
    pub(super) fn argument(&self, name: &str) -> Option<&Value> {
        let keyword = self.keywords.get(name).and_then(|a| match a {
            Argument::Value(value) => Some(value),
            Argument::Tensors(_) => None,
        });
        keyword.or_else(|| self.arguments.get(name)).filter(|v| !v.is_null())
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.argument(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }

    pub(super) fn real(&self, name: &str) -> Result<Option<f64>> {
        let number = |v: &Value| v.as_f64().ok_or_else(|| self.wrong(name, "a number", v));
        self.argument(name).map(number).transpose()
    }

    pub(super) fn whole(&self, name: &str) -> Result<Option<isize>> {
        self.argument(name).map(|v| self.integer(name, v)).transpose()
    }

    /// An integer that must be given.
    pub(super) fn needed(&self, name: &str) -> Result<isize> {
        self.whole(name)?.ok_or_else(|| self.wrong(name, "an integer", "null"))
    }

    pub(super) fn integer(&self, name: &str, value: &Value) -> Result<isize> {
        let integer = value.as_i64().and_then(|n| isize::try_from(n).ok());
        integer.ok_or_else(|| self.wrong(name, "an integer", value))
    }

    /// Integers: one, or a list; `None` if not given.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<isize>>> {
        match self.argument(name) {
            None => Ok(None),
            Some(Value::Array(list)) => {
                list.iter().map(|v| self.integer(name, v)).collect::<Result<_>>().map(Some)
            }
            Some(one) => Ok(Some(vec![self.integer(name, one)?])),
        }
    }

    /// The axes of a reduction; none are all.
    pub(super) fn axes(&self) -> Result<Vec<isize>> {
        self.integers("axis").map(Option::unwrap_or_default)
    }

    /// The axis, or axes, of a function that has the last one as default.
    pub(super) fn axes_or_last(&self) -> Result<Axes> {
        Ok(match self.integers("axis")?.as_deref() {
            None => Axes::One(-1),
            Some([one]) => Axes::One(*one),
            Some(many) => Axes::Many(many.to_vec()),
        })
    }

    pub(super) fn dtype(&self) -> Result<Option<DType>> {
        match self.argument("dtype") {
            None => Ok(None),
            Some(Value::String(name)) => name.parse().map(Some),
            Some(other) => Err(self.wrong("dtype", "a name", other)),
        }
    }
}
