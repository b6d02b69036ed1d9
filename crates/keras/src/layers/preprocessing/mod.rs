//! Layers that prepare data.

mod center_crop;
mod images;
mod normalization;
mod rescaling;
mod resizing;

pub use center_crop::CenterCrop;
pub use normalization::Normalization;
pub use rescaling::Rescaling;
pub use resizing::Resizing;

use keras_spec::{Error, HostTensor, Result, Shape};
use serde_json::Value;

/// An array of numbers as files have it: a number, or nested lists.
pub(super) fn array(argument: &str, value: &Value) -> Result<HostTensor> {
    let wrong = || Error::argument(argument, "a number, or lists of numbers of one length", value);
    let mut shape = Vec::new();
    let mut first = value;
    while let Value::Array(list) = first {
        shape.push(list.len());
        first = list.first().ok_or_else(wrong)?;
    }
    let mut numbers = Vec::new();
    collect(value, &shape, &mut numbers).ok_or_else(wrong)?;
    HostTensor::new(Shape::from(shape), numbers)
}

fn collect(value: &Value, shape: &[usize], out: &mut Vec<f32>) -> Option<()> {
    match (value, shape) {
        (Value::Array(list), [length, rest @ ..]) if list.len() == *length => {
            list.iter().try_for_each(|v| collect(v, rest, out))
        }
        (Value::Number(n), []) => {
            out.push(n.as_f64()? as f32);
            Some(())
        }
        _ => None,
    }
}
