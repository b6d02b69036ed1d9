//! Operations as nodes of graphs: what `x * 2` and `keras.ops` leave in a functional model of Keras 3.

mod given;
mod indexing;
mod table;
mod windows;

use keras_spec::layer::Arguments;
use keras_spec::{
    Call, Class, Config, Error, Layer, LayerExt, LayerRef, Object, PartialShape, Result, Tensor,
};
use serde_json::Value;

use super::graph::Arg;
use given::Given;

/// The argument of a call that holds what an operation was given beside tensors.
pub(super) const OPERANDS: &str = "operands";

/// The operation of a `keras.ops` function (Keras 3.15.1, `keras.src.ops`): a layer without weights, dtype or mask, which a
/// model lists among its operations, not among its layers.
#[derive(Debug)]
pub struct Operation {
    kind: &'static Kind,
    arguments: Config,
}

/// A class of operations.
#[derive(Debug)]
struct Kind {
    class: Class,
    compute: fn(&Run) -> Result<Vec<Tensor>>,
}

/// What an operation computes with.
struct Run<'a> {
    kind: &'a Kind,
    operands: Vec<Given>,
    arguments: &'a Config,
    keywords: &'a Arguments,
}

impl Operation {
    /// The operation that an entry of a graph is; `None` if it is a layer. HDF5 files do not say which module a class is
    /// from; there it shows in that operations have none of the arguments that all layers have.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing here computes the operation.
    pub(super) fn from_entry(entry: &Value) -> Result<Option<LayerRef>> {
        if !is_operation(entry) {
            return Ok(None);
        }
        let class = entry.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let mut arguments = entry.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let name = arguments.shift_remove("name");
        let name = name.as_ref().or_else(|| entry.get("name")).and_then(Value::as_str);
        let operation = Operation::new(class, arguments)?;
        Ok(Some(match name {
            Some(name) => operation.name(name).into(),
            None => operation.into(),
        }))
    }

    /// Keras's names of the classes of operations that there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        table::names()
    }

    /// The operation of a class, with the arguments of its constructor.
    ///
    /// ```
    /// use keras::models::Operation;
    /// use keras::prelude::*;
    /// use keras_spec::Call;
    ///
    /// let roll = LayerRef::from(Operation::new("Roll", serde_json::from_str(r#"{"shift": 1}"#).unwrap())?);
    /// let x = Tensor::from_host(HostTensor::new([3], vec![1.0_f32, 2.0, 3.0])?, &Device::default_device()?)?;
    /// let y = roll.call(&[x], &Call::inference())?;
    /// assert_eq!(y.tensors[0].to_host()?.into_vec::<f32>()?, [3.0, 1.0, 2.0]);
    /// # Ok::<(), keras::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing here computes the operation.
    pub fn new(class: &str, arguments: Config) -> Result<Self> {
        let kind = table::find(class).ok_or_else(|| {
            let mut known: Vec<&str> = table::names().collect();
            known.sort_unstable();
            Error::unknown("operation in a graph", class, known)
        })?;
        Ok(Operation { kind, arguments })
    }

    /// What [`OPERANDS`] is for these positional arguments: their form if anything in them is not a tensor.
    pub(super) fn form(arguments: &[Arg]) -> Option<Value> {
        fn has_value(arg: &Arg) -> bool {
            match arg {
                Arg::Tensor(_) => false,
                Arg::List(list) => list.iter().any(has_value),
                Arg::Value(_) => true,
            }
        }
        arguments.iter().any(has_value).then(|| arguments.iter().map(given::form).collect())
    }
}

/// The class of operations of a name.
pub(crate) fn class_of(name: &str) -> Option<Class> {
    table::find(name).map(|kind| kind.class)
}

/// Whether an entry of a graph is an operation.
pub(crate) fn is_operation(entry: &Value) -> bool {
    match entry.get("module").and_then(Value::as_str) {
        Some(module) => module.starts_with("keras.src.ops"),
        None => {
            let class = entry.get("class_name").and_then(Value::as_str).unwrap_or_default();
            table::find(class).is_some()
                && entry.get("config").is_some_and(|config| config.get("trainable").is_none())
        }
    }
}

impl Object for Operation {
    fn class(&self) -> Class {
        self.kind.class
    }

    fn config(&self) -> Result<Config> {
        Ok(self.arguments.clone())
    }
}

impl Layer for Operation {
    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let operands = match call.value(OPERANDS) {
            Some(form) => given::fill(form, inputs)?,
            None => inputs.iter().cloned().map(Given::Tensor).collect(),
        };
        let run = Run { kind: self.kind, operands, arguments: &self.arguments, keywords: &call.arguments };
        (self.kind.compute)(&run)
    }

    fn autocast(&self) -> bool {
        false
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        // A `dtype` here is the operation's own argument.
        *config = Config::new();
        config.insert("name".to_owned(), layer.name().into());
        config.extend(self.arguments.clone());
    }

    fn build_config(&self, _shapes: &[PartialShape]) -> Option<Value> {
        None
    }
}
