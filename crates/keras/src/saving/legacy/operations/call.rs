//! A call of a function, and the operations that it becomes.

use std::fmt::Display;

use keras_spec::{Error, Result};
use serde_json::{Map, Value, json};

use super::{Operations, has_null, is_tensor, object, table, tensor};
use crate::models::class_of;

/// An operation of a graph, or a layer without weights.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) class: &'static str,
    config: Map<String, Value>,
    args: Vec<Value>,
    keywords: Map<String, Value>,
}

impl Operation {
    pub(super) fn new(name: String, class: &'static str, args: Vec<Value>, config: Value) -> Self {
        let args = match class {
            // Its second operand is a key.
            "GetItem" => args,
            _ => args.into_iter().map(constant).collect(),
        };
        Operation { name, class, config: object(config), args, keywords: Map::new() }
    }

    /// What a graph says of it, but for its calls.
    pub(super) fn entry(&self) -> Value {
        let mut config = self.config.clone();
        config.insert("name".to_owned(), self.name.clone().into());
        let operation = class_of(self.class);
        json!({
            "module": operation.map_or("keras.layers", |class| class.module),
            "class_name": self.class,
            "config": config,
            "registered_name": operation.map(|class| class.name),
            "name": self.name,
            "inbound_nodes": [],
        })
    }

    pub(super) fn node(&self) -> Value {
        json!({ "args": self.args, "kwargs": self.keywords })
    }
}

/// The most constants that an operation gets.
const MOST: usize = 1 << 22;

/// A length that can be computed with.
pub(super) fn length_of(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).map(|n| n as usize)
}

/// A list of numbers as Keras 3 writes an array, which it does not take a list for.
fn constant(operand: Value) -> Value {
    fn dtype(value: &Value) -> Option<&'static str> {
        match value {
            Value::Array(list) => {
                let dtypes = list.iter().map(dtype).collect::<Option<Vec<_>>>()?;
                ["float32", "int32", "bool"].into_iter().find(|name| dtypes.contains(name))
            }
            Value::Number(n) => Some(if n.is_f64() { "float32" } else { "int32" }),
            Value::Bool(_) => Some("bool"),
            _ => None,
        }
    }
    match dtype(&operand).filter(|_| operand.is_array()) {
        Some(dtype) => json!({ "class_name": "__numpy__", "config": { "value": operand, "dtype": dtype } }),
        None => operand,
    }
}

/// A call of a function of TensorFlow.
pub(super) struct Call<'a> {
    graph: &'a mut Operations,
    layer: &'a str,
    /// As TensorFlow exports it.
    pub(super) function: &'a str,
    index: usize,
    positional: Vec<Value>,
    keywords: Map<String, Value>,
    /// Whether it is called on tensors that the file names.
    on_tensors: bool,
    made: Vec<Operation>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        graph: &'a mut Operations,
        layer: &'a str,
        function: &'a str,
        index: usize,
        call: &Value,
    ) -> Result<Self> {
        let keywords = object(call.get("kwargs").cloned().unwrap_or_default());
        let positional = call.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let on_tensors = positional.iter().chain(keywords.values()).any(super::has_tensor);
        Ok(Call { graph, layer, function, index, positional, keywords, on_tensors, made: Vec::new() })
    }

    /// The operations that the call is; the last one is the function's result, and has the name of the layer.
    pub(super) fn operations(mut self) -> Result<Vec<Operation>> {
        table::make(&mut self)?;
        let other = self.keywords.iter().find(|(key, v)| *key != "name" && !v.is_null() && **v != false);
        if let Some((key, value)) = other {
            return Err(self.wrong(format!("with `{key}` = {value}")));
        }
        // In the key of `x[…]`, null is a new axis.
        let unknown = |o: &Operation| o.class != "GetItem" && o.args.iter().any(has_null);
        if self.made.iter().any(unknown) {
            return Err(self.wrong("of the size of a batch, which is not known before"));
        }
        if !self.made.iter().all(|o| o.args.iter().any(super::has_tensor)) {
            return Err(self.wrong("of no tensor"));
        }
        if let Some(last) = self.made.last_mut() {
            self.layer.clone_into(&mut last.name);
        }
        Ok(self.made)
    }

    /// An error about the function, with what a user may do.
    pub(super) fn wrong(&self, what: impl Display) -> Error {
        let layer = self.layer;
        let replace = match self.on_tensors {
            true => format!(
                "; before loading, `keras::layers::register_lambda(\"{layer}\", |inputs| …)` says what it computes"
            ),
            false => String::new(),
        };
        Error::config(layer, format!("`tf.{}` {what}{replace}", self.function))
    }

    /// Makes an operation; its first result.
    pub(super) fn operation(
        &mut self,
        class: &'static str,
        args: impl Into<Vec<Value>>,
        config: Value,
    ) -> Value {
        let name = format!("{}.{}", self.layer, self.made.len());
        let result = tensor(name.clone(), self.index);
        self.made.push(Operation::new(name, class, args.into(), config));
        result
    }

    /// Makes an operation that has no arguments but its operands.
    pub(super) fn plain(&mut self, class: &'static str, args: impl Into<Vec<Value>>) -> Value {
        self.operation(class, args, Value::Null)
    }

    /// Gives the operation made last a keyword of its call.
    pub(super) fn keyword(&mut self, name: &str, value: Value) {
        if let Some(last) = self.made.last_mut() {
            last.keywords.insert(name.to_owned(), value);
        }
    }

    /// Gives the arguments that have no name the names of the first parameters.
    pub(super) fn bind(&mut self, parameters: &[&str]) -> Result<()> {
        if self.positional.len() > parameters.len() {
            let found = self.positional.len();
            return Err(self.wrong(format!("with {found} arguments without a name, not {parameters:?}")));
        }
        let named = parameters.iter().map(|p| (*p).to_owned()).zip(self.positional.drain(..));
        self.keywords.extend(named);
        Ok(())
    }

    /// An argument, if it is given and not null.
    pub(super) fn optional(&mut self, names: &[&str]) -> Option<Value> {
        let mut found = None;
        for name in names {
            let value = self.keywords.shift_remove(*name).filter(|v| !v.is_null());
            found = found.or(value);
        }
        found
    }

    /// An argument that must be given.
    pub(super) fn needed(&mut self, names: &[&str]) -> Result<Value> {
        let found = self.optional(names);
        found.ok_or_else(|| self.wrong(format!("without `{}`", names.first().unwrap_or(&""))))
    }

    /// An argument that is a tensor, or a number or list beside one.
    pub(super) fn operand(&mut self, name: &str) -> Result<Value> {
        self.needed(&[name])
    }

    fn typed<T>(
        &mut self,
        names: &[&str],
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.optional(names) else { return Ok(None) };
        let found = if is_tensor(&value) { "a tensor".to_owned() } else { value.to_string() };
        let wrong = || {
            let name = names.first().unwrap_or(&"");
            self.wrong(format!("with `{name}` that is not {expected} but {found}"))
        };
        read(&value).map(Some).ok_or_else(wrong)
    }

    pub(super) fn flag(&mut self, names: &[&str]) -> Result<bool> {
        Ok(self.typed(names, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(super) fn real(&mut self, name: &str, default: f64) -> Result<f64> {
        Ok(self.typed(&[name], "a number", Value::as_f64)?.unwrap_or(default))
    }

    pub(super) fn whole(&mut self, name: &str, default: i64) -> Result<i64> {
        Ok(self.typed(&[name], "an integer", Value::as_i64)?.unwrap_or(default))
    }

    pub(super) fn length(&mut self, name: &str) -> Result<usize> {
        self.typed(&[name], "a length", length_of)?.ok_or_else(|| self.wrong(format!("without `{name}`")))
    }

    /// Refuses more constants than a file may ask for.
    pub(super) fn limit(&self, counts: &[usize]) -> Result<()> {
        let count = counts.iter().fold(1, |product: usize, n| product.saturating_mul(*n));
        if count > MOST { Err(self.wrong(format!("of {count} constants, more than {MOST}"))) } else { Ok(()) }
    }

    pub(super) fn text(&mut self, name: &str, default: &str) -> Result<String> {
        let text = self.typed(&[name], "a text", |v| v.as_str().map(str::to_owned))?;
        Ok(text.unwrap_or_else(|| default.to_owned()))
    }

    /// Integers: a list, or one.
    pub(super) fn wholes(&mut self, names: &[&str]) -> Result<Option<Vec<i64>>> {
        self.typed(names, "integers", |v| match v {
            Value::Array(list) => list.iter().map(Value::as_i64).collect(),
            one => one.as_i64().map(|n| vec![n]),
        })
    }

    /// The axes of a reduction as they are given; null are all.
    pub(super) fn axis(&mut self) -> Result<Value> {
        let axes = self.wholes(&["axis", "axes", "reduction_indices", "dim"])?;
        Ok(match axes.as_deref() {
            None => Value::Null,
            Some([one]) => (*one).into(),
            Some(many) => json!(many),
        })
    }

    /// The lengths of the axes of a tensor, as far as they are known.
    pub(super) fn shape(&mut self, x: &Value) -> Result<Vec<Option<usize>>> {
        if !is_tensor(x) {
            let (mut shape, mut at) = (Vec::new(), x);
            while let Value::Array(list) = at {
                shape.push(Some(list.len()));
                at = list.first().unwrap_or(&Value::Null);
            }
            return Ok(shape);
        }
        Ok(self.graph.trace(x)?.shape().to_vec())
    }

    /// The length of an axis that must be known; negative ones count from the end.
    pub(super) fn known(&self, shape: &[Option<usize>], axis: isize) -> Result<usize> {
        let place = if axis < 0 { axis.checked_add_unsigned(shape.len()) } else { Some(axis) };
        let length = place.and_then(|i| usize::try_from(i).ok()).and_then(|i| *shape.get(i)?);
        length.ok_or_else(|| self.wrong(format!("along axis {axis}, whose length is not known before")))
    }

    /// A tensor as one of floats.
    pub(super) fn float(&mut self, x: Value) -> Result<Value> {
        if !is_tensor(&x) || self.graph.trace(&x)?.dtype().is_float() {
            return Ok(x);
        }
        Ok(self.operation("Cast", [x], json!({ "dtype": "float32" })))
    }
}
