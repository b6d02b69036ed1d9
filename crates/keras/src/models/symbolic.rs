//! Operators and methods of symbolic tensors: what `keras.ops` does to a `keras.KerasTensor`.

use std::ops::{Add, Div, Mul, Neg, Sub};

use keras_spec::{Config, Error, LayerRef, Result};
use serde_json::{Value, json};

use super::graph::{Arg, KerasTensor, Node};
use super::operation::Operation;

impl From<f64> for Arg {
    fn from(number: f64) -> Self {
        Arg::Value(number.into())
    }
}

impl From<&KerasTensor> for Arg {
    fn from(tensor: &KerasTensor) -> Self {
        Arg::Tensor(tensor.clone())
    }
}

/// The results of an operation of `keras.ops` on symbolic tensors and other values, by the name of its class in Keras 3.15.1
/// (`"Split"`, `"GetItem"`) and the arguments of that class's constructor. Models save it as Keras does.
///
/// ```
/// use keras::models::{Input, operation};
/// use serde_json::json;
///
/// let x = Input::new([4, 6]).tensor()?;
/// let halves = operation("Split", [(&x).into()], json!({ "indices_or_sections": 2, "axis": -1 }))?;
/// assert_eq!(halves[1].shape().to_string(), "(None, 4, 3)");
/// # Ok::<(), keras::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`] if nothing here computes the operation; if the operands or arguments do not fit it.
pub fn operation(
    class: &str,
    operands: impl IntoIterator<Item = Arg>,
    arguments: Value,
) -> Result<Vec<KerasTensor>> {
    let arguments = match arguments {
        Value::Object(map) => map,
        Value::Null => Config::new(),
        other => return Err(Error::config(class, format!("expected an object, found {other}"))),
    };
    let layer: LayerRef = Operation::new(class, arguments)?.into();
    let node = Node::new(&layer, operands.into_iter().collect(), Default::default())?;
    Ok(KerasTensor::all(&node))
}

fn single(class: &str, operands: impl IntoIterator<Item = Arg>, arguments: Value) -> Result<KerasTensor> {
    let results = operation(class, operands, arguments)?;
    results.into_iter().next().ok_or_else(|| Error::other("the operation has no result"))
}

macro_rules! operators {
    ($($trait:ident, $method:ident, $class:literal;)*) => {$(
        impl $trait<&KerasTensor> for &KerasTensor {
            type Output = Result<KerasTensor>;
            fn $method(self, other: &KerasTensor) -> Result<KerasTensor> {
                single($class, [self.into(), other.into()], Value::Null)
            }
        }
        impl $trait<KerasTensor> for KerasTensor {
            type Output = Result<KerasTensor>;
            fn $method(self, other: KerasTensor) -> Result<KerasTensor> {
                (&self).$method(&other)
            }
        }
        impl $trait<f64> for &KerasTensor {
            type Output = Result<KerasTensor>;
            fn $method(self, other: f64) -> Result<KerasTensor> {
                single($class, [self.into(), other.into()], Value::Null)
            }
        }
        impl $trait<f64> for KerasTensor {
            type Output = Result<KerasTensor>;
            fn $method(self, other: f64) -> Result<KerasTensor> {
                (&self).$method(other)
            }
        }
        impl $trait<&KerasTensor> for f64 {
            type Output = Result<KerasTensor>;
            fn $method(self, other: &KerasTensor) -> Result<KerasTensor> {
                single($class, [self.into(), other.into()], Value::Null)
            }
        }
        impl $trait<KerasTensor> for f64 {
            type Output = Result<KerasTensor>;
            fn $method(self, other: KerasTensor) -> Result<KerasTensor> {
                self.$method(&other)
            }
        }
    )*};
}

operators! {
    Add, add, "Add";
    Sub, sub, "Subtract";
    Mul, mul, "Multiply";
    Div, div, "TrueDivide";
}

impl Neg for &KerasTensor {
    type Output = Result<KerasTensor>;
    fn neg(self) -> Result<KerasTensor> {
        single("Negative", [self.into()], Value::Null)
    }
}

impl Neg for KerasTensor {
    type Output = Result<KerasTensor>;
    fn neg(self) -> Result<KerasTensor> {
        -&self
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $class:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// If there is no backend.
        pub fn $name(&self) -> Result<KerasTensor> {
            single($class, [self.into()], Value::Null)
        }
    )*};
}

macro_rules! reduce {
    ($($(#[$doc:meta])* $name:ident => $class:literal;)*) => {$(
        $(#[$doc])*
        /// `axes` may count from the end; none means all, the batch too. With `keepdims` they stay with length 1.
        ///
        /// # Errors
        /// If an axis does not exist.
        pub fn $name(&self, axes: &[isize], keepdims: bool) -> Result<KerasTensor> {
            let axis = match axes {
                [] => Value::Null,
                [one] => json!(one),
                many => json!(many),
            };
            let mut arguments = json!({ "axis": axis, "keepdims": keepdims });
            if matches!($class, "Max" | "Min") {
                arguments["initial"] = Value::Null;
            }
            single($class, [self.into()], arguments)
        }
    )*};
}

impl KerasTensor {
    unary! {
        /// `|x|`
        abs => "Absolute";
        /// `e^x`
        exp => "Exp";
        /// Natural logarithm.
        log => "Log";
        /// Square root.
        sqrt => "Sqrt";
        /// `x · x`
        square => "Square";
        /// Sine.
        sin => "Sin";
        /// Cosine.
        cos => "Cos";
        /// Hyperbolic tangent.
        tanh => "Tanh";
        /// `1 / (1 + e^-x)`
        sigmoid => "Sigmoid";
        /// `max(x, 0)`
        relu => "Relu";
    }

    reduce! {
        /// The sum.
        sum => "Sum";
        /// The mean.
        mean => "Mean";
        /// The largest.
        max => "Max";
        /// The smallest.
        min => "Min";
    }

    /// `x` to the power of a number.
    ///
    /// # Errors
    /// If there is no backend.
    pub fn powf(&self, exponent: f64) -> Result<KerasTensor> {
        single("Power", [self.into(), exponent.into()], Value::Null)
    }

    /// The larger of each pair.
    ///
    /// # Errors
    /// If the shapes cannot be broadcast.
    pub fn maximum(&self, other: &KerasTensor) -> Result<KerasTensor> {
        single("Maximum", [self.into(), other.into()], Value::Null)
    }

    /// The smaller of each pair.
    ///
    /// # Errors
    /// If the shapes cannot be broadcast.
    pub fn minimum(&self, other: &KerasTensor) -> Result<KerasTensor> {
        single("Minimum", [self.into(), other.into()], Value::Null)
    }

    /// Matrix product of the last two axes; leading axes broadcast.
    ///
    /// # Errors
    /// If the inner dimensions differ.
    pub fn matmul(&self, other: &KerasTensor) -> Result<KerasTensor> {
        single("Matmul", [self.into(), other.into()], Value::Null)
    }

    /// The same elements under another shape, the batch dimension included; one dimension may be -1, what is left.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshape(&self, shape: &[isize]) -> Result<KerasTensor> {
        single("Reshape", [self.into()], json!({ "newshape": shape }))
    }

    /// Axis `i` of the result is axis `axes[i]`, the batch axis included.
    ///
    /// # Errors
    /// If `axes` is not a permutation.
    pub fn transpose(&self, axes: &[usize]) -> Result<KerasTensor> {
        single("Transpose", [self.into()], json!({ "axes": axes }))
    }

    /// Inserts an axis of length 1, so that it is axis `axis` of the result.
    ///
    /// # Errors
    /// If the result has no such axis.
    pub fn expand_dims(&self, axis: isize) -> Result<KerasTensor> {
        single("ExpandDims", [self.into()], json!({ "axis": axis }))
    }

    /// Removes an axis of length 1.
    ///
    /// # Errors
    /// If there is no such axis or its length is not 1.
    pub fn squeeze(&self, axis: isize) -> Result<KerasTensor> {
        single("Squeeze", [self.into()], json!({ "axis": axis }))
    }
}
