//! `keras.activations` of Keras 3.15.1: functions of a tensor, and [`Activation`], which names one of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keras_spec::object::{from_config, to_config};
use keras_spec::{
    Activ, Call, Class, CompareOp, Config, Error, HostTensor, Layer, LayerRef, Object, ReduceOp, Result,
    Tensor,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::constraints::Axes;
use crate::layers::common::{one, scalar_like};
use crate::legacy;

macro_rules! activations {
    ($($(#[$doc:meta])* $Variant:ident = $name:literal, $function:expr;)*) => {
        /// An activation function, as layers take it: `Dense::new(10).activation(Activation::Relu)`. It is also the layer
        /// `keras.layers.Activation` that applies the function: `.add(Activation::Relu)`.
        ///
        /// In files a built-in function is its name, a registered one Keras's object form.
        ///
        /// ```
        /// use keras::activations::Activation;
        ///
        /// let swish = Activation::try_from("swish")?;
        /// assert_eq!(swish.name(), "silu");
        /// # Ok::<(), keras_spec::Error>(())
        /// ```
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub enum Activation {
            $($(#[$doc])* $Variant,)*
            /// A function registered by [`register`].
            Custom(Function),
            /// A layer without weights, with its options: `Activation::from(LeakyReLU::new(0.1))`.
            Layer(LayerRef),
        }

        impl Activation {
            /// The built-in functions.
            pub const BUILT_IN: &[Activation] = &[$(Activation::$Variant),*];

            /// The function's name in Keras; that of a layer is its class's.
            pub fn name(&self) -> &str {
                match self {
                    $(Activation::$Variant => $name,)*
                    Activation::Custom(function) => &function.name,
                    Activation::Layer(layer) => layer.class().name,
                }
            }

            /// Applies the function; the result has the shape of `x` (half an axis for `glu`) and its dtype.
            ///
            /// # Errors
            /// If the function is not defined for the dtype or the shape.
            pub fn call(&self, x: &Tensor) -> Result<Tensor> {
                match self {
                    $(Activation::$Variant => $function(x),)*
                    Activation::Custom(function) => (function.call)(x),
                    Activation::Layer(layer) => {
                        let outputs = layer.call(std::slice::from_ref(x), &Call::inference())?;
                        if !layer.weights().is_empty() {
                            let found = format!("`{}`", layer.name());
                            return Err(Error::argument("activation", "a layer without weights", found));
                        }
                        one(&outputs.tensors).cloned()
                    }
                }
            }
        }
    };
}

activations! {
    /// `celu(x, alpha=1)`
    Celu = "celu", |x| celu(x, 1.0);
    /// `elu(x, alpha=1)`
    Elu = "elu", |x| elu(x, 1.0);
    /// `e^x`
    Exponential = "exponential", Tensor::exp;
    /// `gelu(x, approximate=False)`
    Gelu = "gelu", |x| gelu(x, false);
    /// `glu(x, axis=-1)`
    Glu = "glu", |x| glu(x, -1);
    /// `hard_shrink(x, threshold=0.5)`
    HardShrink = "hard_shrink", |x| hard_shrink(x, 0.5);
    /// [`hard_sigmoid`]
    HardSigmoid = "hard_sigmoid", hard_sigmoid;
    /// [`hard_silu`], also known as `hard_swish`
    HardSilu = "hard_silu", hard_silu;
    /// [`hard_tanh`]
    HardTanh = "hard_tanh", hard_tanh;
    /// `leaky_relu(x, negative_slope=0.2)`
    LeakyRelu = "leaky_relu", |x| leaky_relu(x, 0.2);
    /// [`legacy::hard_sigmoid`], that of Keras 1 and 2.
    LegacyHardSigmoid = "keras.legacy>hard_sigmoid", legacy::hard_sigmoid;
    /// `x`
    #[default]
    Linear = "linear", |x: &Tensor| Ok(x.clone());
    /// [`log_sigmoid`]
    LogSigmoid = "log_sigmoid", log_sigmoid;
    /// `log_softmax(x, axis=-1)`
    LogSoftmax = "log_softmax", |x: &Tensor| x.log_softmax(-1);
    /// [`mish`]
    Mish = "mish", mish;
    /// `max(x, 0)`
    Relu = "relu", Tensor::relu;
    /// [`relu6`]
    Relu6 = "relu6", relu6;
    /// [`selu`]
    Selu = "selu", selu;
    /// `1 / (1 + e^-x)`
    Sigmoid = "sigmoid", Tensor::sigmoid;
    /// [`silu`], also known as `swish`
    Silu = "silu", silu;
    /// `soft_shrink(x, threshold=0.5)`
    SoftShrink = "soft_shrink", |x| soft_shrink(x, 0.5);
    /// `softmax(x, axis=-1)`
    Softmax = "softmax", |x: &Tensor| x.softmax(-1);
    /// `ln(1 + e^x)`
    Softplus = "softplus", Tensor::softplus;
    /// [`softsign`]
    Softsign = "softsign", softsign;
    /// `sparsemax(x, axis=-1)`
    Sparsemax = "sparsemax", |x| sparsemax(x, -1);
    /// [`sparse_plus`]
    SparsePlus = "sparse_plus", sparse_plus;
    /// [`sparse_sigmoid`]
    SparseSigmoid = "sparse_sigmoid", sparse_sigmoid;
    /// `squareplus(x, b=4)`
    Squareplus = "squareplus", |x| squareplus(x, 4.0);
    /// `tanh x`
    Tanh = "tanh", Tensor::tanh;
    /// [`tanh_shrink`]
    TanhShrink = "tanh_shrink", tanh_shrink;
}

impl Activation {
    /// The function as kernels know it, if they do.
    pub fn fused(&self) -> Option<Activ> {
        match self {
            Activation::Linear => Some(Activ::Linear),
            Activation::Relu => Some(Activ::Relu),
            Activation::Sigmoid => Some(Activ::Sigmoid),
            Activation::Tanh => Some(Activ::Tanh),
            Activation::HardSigmoid => Some(Activ::HardSigmoid),
            Activation::LegacyHardSigmoid => Some(Activ::LegacyHardSigmoid),
            _ => None,
        }
    }

    /// The activation that a layer computes, with the layer's options. The layer must have no weights.
    pub fn layer(layer: impl Into<LayerRef>) -> Self {
        Activation::Layer(layer.into())
    }

    /// From what files hold (`keras.activations.get`): nothing, a name, or Keras's object form of a function or a layer.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing has the name.
    pub fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Null => Ok(Activation::Linear),
            Value::String(name) => Activation::try_from(name.as_str()),
            Value::Object(form) if form.get("class_name").is_some_and(|c| c == "function") => {
                match form.get("config") {
                    Some(Value::String(name)) => Activation::try_from(name.as_str()),
                    _ => Err(Error::config("activation", format!("the function has no name in {value}"))),
                }
            }
            Value::Object(_) if legacy::is_hard_sigmoid(value) => Ok(Activation::LegacyHardSigmoid),
            Value::Object(_) => Ok(Activation::Layer(LayerRef::from_value(value)?)),
            other => Err(Error::argument("activation", "a name or an object", other)),
        }
    }
}

impl TryFrom<&str> for Activation {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        let custom =
            functions().iter().rev().find(|f| f.name == name || f.registered_name() == name).cloned();
        if let Some(function) = custom {
            return Ok(Activation::Custom(function));
        }
        let canonical = match name {
            "swish" => "silu",
            "hard_swish" => "hard_silu",
            other => other,
        };
        if let Some(found) = Activation::BUILT_IN.iter().find(|a| a.name() == canonical) {
            return Ok(found.clone());
        }
        let mut known: Vec<String> = Activation::BUILT_IN.iter().map(|a| a.name().to_owned()).collect();
        known.extend(["swish".to_owned(), "hard_swish".to_owned()]);
        known.extend(functions().iter().map(Function::registered_name));
        let short =
            name.split_once('>').map(|(_, short)| short).filter(|short| !short.is_empty()).unwrap_or(name);
        let line = format!("keras::activations::register(\"my_package\", {short:?}, |x| x.relu())");
        known.push(format!("and those that a program registers, each with `{line}`"));
        Err(Error::unknown("activation function", name, known))
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Activation::Custom(function) => function_form(&function.registered_name()).serialize(s),
            Activation::LegacyHardSigmoid => legacy::hard_sigmoid_form().serialize(s),
            Activation::Layer(layer) => layer.serialize().map_err(serde::ser::Error::custom)?.serialize(s),
            built_in => built_in.name().serialize(s),
        }
    }
}

/// Keras's object form of a function that it has not got itself.
fn function_form(registered_name: &str) -> Value {
    json!({
        "module": "builtins",
        "class_name": "function",
        "config": registered_name,
        "registered_name": "function",
    })
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Activation::from_value(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A function that [`register`] has given a name.
#[derive(Clone)]
pub struct Function {
    package: String,
    name: String,
    call: Arc<Apply>,
}

type Apply = dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync;

impl Function {
    fn registered_name(&self) -> String {
        format!("{}>{}", self.package, self.name)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registered_name())
    }
}

fn functions() -> MutexGuard<'static, Vec<Function>> {
    static FUNCTIONS: Mutex<Vec<Function>> = Mutex::new(Vec::new());
    FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a function a name, under which files and [`Activation::try_from`] find it:
/// `keras.saving.register_keras_serializable(package, name)` on a function. A later one replaces an earlier one.
///
/// ```
/// use keras::activations::{Activation, register};
///
/// let twice = register("my_package", "twice", |x| x * 2.0);
/// assert_eq!(serde_json::to_value(&twice)?["config"], "my_package>twice");
/// assert!(Activation::try_from("twice").is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn register(
    package: &str,
    name: &str,
    call: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Activation {
    let function = Function { package: package.to_owned(), name: name.to_owned(), call: Arc::new(call) };
    let mut all = functions();
    all.retain(|f| f.registered_name() != function.registered_name());
    all.push(function.clone());
    Activation::Custom(function)
}

const CLASS: Class = Class::keras("keras.layers", "Activation");

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerConfig {
    activation: Activation,
}

keras_spec::register!(dyn Layer, CLASS, |config| {
    Ok(Box::new(from_config::<LayerConfig>(CLASS, config)?.activation))
});

impl Object for Activation {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        to_config(&LayerConfig { activation: self.clone() })
    }
}

impl Layer for Activation {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Ok(vec![Activation::call(self, one(inputs)?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}

/// `x` where `condition` holds, else a number.
fn x_or(condition: &Tensor, x: &Tensor, otherwise: f64) -> Result<Tensor> {
    condition.select(x, &scalar_like(x, otherwise)?)
}

/// `max(x, 0)` with options: `negative_slope · (x - threshold)` below the threshold, `x` from there, at most `max_value`
/// (`keras.activations.relu`).
///
/// # Errors
/// If the dtype is `bool`.
pub fn relu(x: &Tensor, negative_slope: f64, max_value: Option<f64>, threshold: f64) -> Result<Tensor> {
    if negative_slope != 0.0 && max_value.is_none() && threshold == 0.0 {
        return leaky_relu(x, negative_slope);
    }
    let (mut y, mut limit) = (x.clone(), max_value);
    if threshold != 0.0 {
        y = x_or(&x.compare_with(CompareOp::Gt, threshold)?, x, 0.0)?;
    } else if max_value == Some(6.0) {
        y = relu6(x)?;
        limit = None;
    } else {
        y = y.relu()?;
    }
    if let Some(max) = limit {
        y = y.clip(0.0, max)?;
    }
    if negative_slope == 0.0 {
        return Ok(y);
    }
    let below = if threshold == 0.0 { -x } else { (-x)? + threshold };
    y - (below?.relu()? * negative_slope)?
}

/// `e^x / Σ e^x` along an axis, or several together.
///
/// # Errors
/// If an axis does not exist or the dtype is not a float.
pub fn softmax(x: &Tensor, axis: impl Into<Axes>) -> Result<Tensor> {
    match axis.into().as_slice() {
        [axis] => x.softmax(*axis),
        axes => {
            let powers = (x - x.stop_gradient().max(axes, true)?)?.exp()?;
            let sum = powers.sum(axes, true)?;
            powers / sum
        }
    }
}

/// `x - ln Σ e^x` along an axis, or several together.
///
/// # Errors
/// If an axis does not exist or the dtype is not a float.
pub fn log_softmax(x: &Tensor, axis: impl Into<Axes>) -> Result<Tensor> {
    match axis.into().as_slice() {
        [axis] => x.log_softmax(*axis),
        axes => {
            let shifted = (x - x.stop_gradient().max(axes, true)?)?;
            let sum = shifted.exp()?.sum(axes, true)?;
            shifted - sum.log()?
        }
    }
}

/// `x` where it is not negative, else `negative_slope · x`.
///
/// # Errors
/// If the dtype is `bool`.
pub fn leaky_relu(x: &Tensor, negative_slope: f64) -> Result<Tensor> {
    x.compare_with(CompareOp::Ge, 0.0)?.select(x, &(x * negative_slope)?)
}

/// `min(max(x, 0), 6)`; the gradient is 0 at both ends.
///
/// # Errors
/// If the dtype is `bool`.
pub fn relu6(x: &Tensor) -> Result<Tensor> {
    let above = x.compare_with(CompareOp::Ge, 6.0)?;
    above.select(&scalar_like(x, 6.0)?, &x.relu()?)
}

/// `x` where it is positive, else `alpha · (e^x - 1)`.
///
/// # Errors
/// If the dtype is not a float.
pub fn elu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    let positive = x.compare_with(CompareOp::Gt, 0.0)?;
    // Without this the gradient of large numbers would be 0 · ∞.
    let negative = positive.select(&scalar_like(x, 0.0)?, x)?;
    positive.select(x, &(negative.expm1()? * alpha)?)
}

/// `max(x, 0) + alpha · (e^(min(x, 0) / alpha) - 1)`
///
/// # Errors
/// If the dtype is not a float.
pub fn celu(x: &Tensor, alpha: f64) -> Result<Tensor> {
    x.at_least(0.0)? + ((x.at_most(0.0)? / alpha)?.expm1()? * alpha)?
}

/// The `elu` with the scale and alpha that keep mean and variance.
///
/// # Errors
/// If the dtype is not a float.
pub fn selu(x: &Tensor) -> Result<Tensor> {
    elu(x, 1.673_263_242_354_377_2)? * 1.050_700_987_355_480_5
}

/// `x / (|x| + 1)`
///
/// # Errors
/// If the dtype is not a float.
pub fn softsign(x: &Tensor) -> Result<Tensor> {
    x / (x.abs()? + 1.0)?
}

/// `(x + sqrt(x² + b)) / 2`
///
/// # Errors
/// If the dtype is not a float.
pub fn squareplus(x: &Tensor, b: f64) -> Result<Tensor> {
    (x + (x.square()? + b)?.sqrt()?)? / 2.0
}

/// `x - threshold` above the threshold, `x + threshold` below its negative, else 0.
///
/// # Errors
/// If the dtype is not a float.
pub fn soft_shrink(x: &Tensor, threshold: f64) -> Result<Tensor> {
    let below = x_or(&x.compare_with(CompareOp::Lt, -threshold)?, &(x + threshold)?, 0.0)?;
    x.compare_with(CompareOp::Gt, threshold)?.select(&(x - threshold)?, &below)
}

/// `x` where `|x|` is above the threshold, else 0.
///
/// # Errors
/// If the dtype is `bool`.
pub fn hard_shrink(x: &Tensor, threshold: f64) -> Result<Tensor> {
    x_or(&x.abs()?.compare_with(CompareOp::Gt, threshold)?, x, 0.0)
}

/// `x` where it is above the threshold, else `default_value`.
///
/// # Errors
/// If the device fails.
pub fn threshold(x: &Tensor, threshold: f64, default_value: f64) -> Result<Tensor> {
    x_or(&x.compare_with(CompareOp::Gt, threshold)?, x, default_value)
}

/// 0 up to -1, `x` from 1, `(x + 1)² / 4` between.
///
/// # Errors
/// If the dtype is not a float.
pub fn sparse_plus(x: &Tensor) -> Result<Tensor> {
    let between = ((x + 1.0)?.square()? / 4.0)?;
    let upper = x.compare_with(CompareOp::Ge, 1.0)?.select(x, &between)?;
    x.compare_with(CompareOp::Le, -1.0)?.select(&scalar_like(x, 0.0)?, &upper)
}

/// 0 up to -1, 1 from 1, `(x + 1) / 2` between.
///
/// # Errors
/// If the dtype is not a float.
pub fn sparse_sigmoid(x: &Tensor) -> Result<Tensor> {
    (x + 1.0)?.clip(0.0, 2.0)? * 0.5
}

/// `x · sigmoid(x)`
///
/// # Errors
/// If the dtype is not a float.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x * x.sigmoid()?
}

/// `x · P(X <= x)` for a normally distributed `X`; `approximate` uses `tanh` instead of the error function.
///
/// # Errors
/// If the dtype is not a float.
pub fn gelu(x: &Tensor, approximate: bool) -> Result<Tensor> {
    let twice_cdf = if approximate {
        let cube = (x.square()? * x)?;
        (((x + (cube * 0.044715)?)? * (2.0 / std::f64::consts::PI).sqrt())?.tanh()? + 1.0)?
    } else {
        ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?
    };
    (x * twice_cdf)? * 0.5
}

/// `a · sigmoid(b)` where `a` and `b` are the halves of `x` along an axis.
///
/// # Errors
/// If the axis does not exist or has an odd length.
pub fn glu(x: &Tensor, axis: isize) -> Result<Tensor> {
    match x.split(2, axis)?.as_slice() {
        [a, b] => a * b.sigmoid()?,
        _ => Err(Error::other("splitting in two gave another number of parts")),
    }
}

/// `x - tanh x`
///
/// # Errors
/// If the dtype is not a float.
pub fn tanh_shrink(x: &Tensor) -> Result<Tensor> {
    x - x.tanh()?
}

/// `x` moved into `-1..=1`; the gradient is 1 at both ends.
///
/// # Errors
/// If the dtype is `bool`.
pub fn hard_tanh(x: &Tensor) -> Result<Tensor> {
    let one = scalar_like(x, 1.0)?;
    let above_minus_one = x.compare_with(CompareOp::Lt, -1.0)?.select(&(-&one)?, x)?;
    x.compare_with(CompareOp::Gt, 1.0)?.select(&one, &above_minus_one)
}

/// `relu6(x + 3) / 6`
///
/// # Errors
/// If the dtype is not a float.
pub fn hard_sigmoid(x: &Tensor) -> Result<Tensor> {
    relu6(&(x + 3.0)?)? / 6.0
}

/// `x · hard_sigmoid(x)`
///
/// # Errors
/// If the dtype is not a float.
pub fn hard_silu(x: &Tensor) -> Result<Tensor> {
    x * hard_sigmoid(x)?
}

/// `x · tanh(softplus(x))`
///
/// # Errors
/// If the dtype is not a float.
pub fn mish(x: &Tensor) -> Result<Tensor> {
    x * x.softplus()?.tanh()?
}

/// `ln sigmoid(x)`
///
/// # Errors
/// If the dtype is not a float.
pub fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    let y = (-x)?.softplus()?;
    -y
}

/// Keras's sparsemax: `max(x - τ, 0)`, where τ sums the cumulative sums of the supporting elements along an axis.
///
/// # Errors
/// If the axis does not exist or the dtype is not a float.
pub fn sparsemax(x: &Tensor, axis: isize) -> Result<Tensor> {
    let at = x.shape().axis(axis)?;
    let sorted = x.sort(axis, true)?;
    let sums = sorted.cumulative(ReduceOp::Sum, axis)?;
    let mut counts_shape = vec![1; x.rank()];
    counts_shape[at] = x.shape()[at];
    let counts: Vec<f64> = (1..=x.shape()[at]).map(|n| n as f64).collect();
    let counts = Tensor::from_host(HostTensor::new(counts_shape, counts)?.cast(x.dtype()), x.device())?;
    let bound = ((&sums - 1.0)? / counts)?;
    let support = (sorted - bound)?.compare_with(CompareOp::Gt, 0.0)?;
    let size = support.cast(x.dtype())?.sum(&[axis], true)?;
    let total = x_or(&support, &sums, 0.0)?.sum(&[axis], true)?;
    (x - ((total - 1.0)? / size)?)?.at_least(0.0)
}
