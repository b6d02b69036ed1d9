use keras_spec::{DType, Device, Error, HostTensor, Initializer, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::class::keras_class;

/// A number in every place, each with memory of its own: what [`Tensor::full`] makes may repeat a single one, which kernels read
/// more slowly than a weight should be.
fn filled(shape: &Shape, dtype: DType, value: f64, device: &Device) -> Result<Tensor> {
    Tensor::from_fn(shape, dtype, device, |_| value)
}

/// Zeros (`keras.initializers.Zeros`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zeros {}

keras_class!(dyn Initializer, "keras.initializers", Zeros, aliases ["zeros", "zero"]);

impl Zeros {
    /// Zeros.
    pub fn new() -> Self {
        Zeros {}
    }
}

impl Initializer for Zeros {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        filled(shape, dtype, 0.0, device)
    }
}

/// Ones (`keras.initializers.Ones`, Keras 3.15.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ones {}

keras_class!(dyn Initializer, "keras.initializers", Ones, aliases ["ones", "one"]);

impl Ones {
    /// Ones.
    pub fn new() -> Self {
        Ones {}
    }
}

impl Initializer for Ones {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        filled(shape, dtype, 1.0, device)
    }
}

/// One number everywhere, or an array that is broadcast (`keras.initializers.Constant`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    #[serde(default = "zero")]
    value: Value,
}

keras_class!(dyn Initializer, "keras.initializers", Constant, aliases ["constant"], check validate);

fn zero() -> Value {
    0.0.into()
}

impl Constant {
    /// A number, or nested lists of numbers: `Constant::new(0.1)`, `Constant::new(vec![1.0, 2.0])`.
    pub fn new(value: impl Into<Value>) -> Self {
        Constant { value: value.into() }
    }

    fn validate(&self) -> Result<()> {
        self.array().map(drop)
    }

    fn array(&self) -> Result<HostTensor> {
        let wrong = || Error::argument("value", "a number or a rectangular array of numbers", &self.value);
        // The file form of a NumPy array or a tensor.
        let value = match &self.value {
            Value::Object(form) => form.get("config").and_then(|c| c.get("value")).ok_or_else(wrong)?,
            plain => plain,
        };
        let (mut shape, mut first) = (Vec::new(), value);
        while let Value::Array(list) = first {
            shape.push(list.len());
            first = list.first().ok_or_else(wrong)?;
        }
        let mut level = vec![value];
        for &length in &shape {
            let mut below = Vec::new();
            for item in level {
                let list = item.as_array().filter(|l| l.len() == length).ok_or_else(wrong)?;
                below.extend(list);
            }
            level = below;
        }
        let number = |v: &Value| v.as_f64().or_else(|| v.as_bool().map(|b| f64::from(u8::from(b))));
        let numbers = level.into_iter().map(number).collect::<Option<Vec<f64>>>().ok_or_else(wrong)?;
        HostTensor::new(shape, numbers)
    }
}

impl Initializer for Constant {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let array = self.array()?;
        if !array.shape().broadcasts_to(shape) {
            return Err(Error::argument("value", format!("a shape that fits {shape}"), array.shape()));
        }
        Tensor::from_host(array.cast(dtype), device)?.broadcast_to(shape)
    }
}

/// The identity matrix, cut off where it is not square (`keras.initializers.Identity`, Keras 3.15.1).
///
/// As in Keras, the configuration in files is without the gain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    #[serde(skip_serializing)]
    gain: f64,
}

keras_class!(dyn Initializer, "keras.initializers", Identity, aliases ["identity", "IdentityInitializer"]);

impl Default for Identity {
    fn default() -> Self {
        Identity { gain: 1.0 }
    }
}

impl Identity {
    /// With gain 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the matrix is multiplied by.
    #[must_use]
    pub fn gain(mut self, gain: f64) -> Self {
        self.gain = gain;
        self
    }
}

impl Initializer for Identity {
    fn call(&self, shape: &Shape, dtype: DType, device: &Device) -> Result<Tensor> {
        let [rows, columns] = *shape.dims() else {
            return Err(Error::argument("shape", "two dimensions", shape));
        };
        let mut data = vec![0.0; rows * columns];
        data.iter_mut().step_by(columns + 1).take(rows.min(columns)).for_each(|v| *v = self.gain);
        Tensor::from_host(HostTensor::new(shape, data)?.cast(dtype), device)
    }
}
