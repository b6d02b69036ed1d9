//! A call of Keras 1 on its way to today's layer.

use keras_spec::{
    Call, Class, Config, Error, Layer, LayerExt, LayerRef, Object, PartialShape, Result, Tensor,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::warn_once;
use crate::layers::Lambda;
use crate::models::Input;
use crate::saving::legacy::keras1::{input_of, upgrade_call};

/// A class of Keras 1 with the arguments that it was given.
#[derive(Clone, Debug)]
pub struct Arguments {
    class: &'static str,
    given: Config,
    error: Option<String>,
    /// What the layer computes, of a class that is given a function.
    function: Option<Lambda>,
}

/// What takes the place of classes that Keras 2 dropped.
fn replacement(class: &str) -> Option<&'static str> {
    Some(match class {
        "TimeDistributedDense" => "`Dense`, which does the same for each step",
        "MaxoutDense" => "`Maximum` of several `Dense` layers",
        "Highway" => "`Dense` layers with `Multiply` and `Add`",
        "SReLU" => "`PReLU`, or `ReLU` with `max_value` and `negative_slope`",
        "ParametricSoftplus" => "`Activation('softplus')`, with layers before and behind that scale",
        "Merge" => "`Add`, `Multiply`, `Concatenate`, `Average`, `Maximum` or `Dot`",
        _ => return None,
    })
}

/// The name that Keras 1 has for an argument: Rust's are in lower case.
fn keras1_name(name: &str) -> String {
    for (lower, upper) in [("w_", "W_"), ("u_", "U_")] {
        if let Some(rest) = name.strip_prefix(lower) {
            return format!("{upper}{rest}");
        }
    }
    match name {
        "dropout_w" => "dropout_W".to_owned(),
        "dropout_u" => "dropout_U".to_owned(),
        other => other.to_owned(),
    }
}

impl Arguments {
    pub(super) fn new(class: &'static str) -> Self {
        Arguments { class, given: Config::new(), error: None, function: None }
    }

    pub(super) fn of_function(class: &'static str, function: Lambda) -> Self {
        Arguments { function: Some(function), ..Arguments::new(class) }
    }

    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => drop(self.given.insert(keras1_name(name), value)),
            Err(e) => self.error = Some(format!("`{name}`: {e}")),
        }
        self
    }

    /// The function's mask.
    pub(super) fn with_mask(
        mut self,
        mask: impl Fn(&[Tensor], &[Option<Tensor>]) -> Result<Option<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        self.function = self.function.map(|function| function.mask(mask));
        self
    }

    /// What the inputs are, if the arguments say it.
    pub(super) fn input(&self) -> Option<Input> {
        let (shape, dtype) = input_of(&self.object())?;
        let shape: PartialShape = serde_json::from_value(shape).ok()?;
        let input = Input::with_batch_shape(shape);
        Some(if dtype == "int32" { input.dtype(keras_spec::DType::I32) } else { input })
    }

    fn object(&self) -> Value {
        let mut object = json!({ "class_name": self.class, "config": self.given });
        // Files have the shape with the batch, which calls may leave out.
        if self.class == "InputLayer"
            && let Some((shape, _)) = input_of(&object)
            && let Some(config) = object.get_mut("config").and_then(Value::as_object_mut)
        {
            config.shift_remove("input_shape");
            config.insert("batch_input_shape".to_owned(), shape);
        }
        object
    }

    /// Today's layer, and the call of Keras 2 in its words.
    fn convert(&self) -> Result<(LayerRef, String)> {
        if let Some(error) = &self.error {
            return Err(Error::config(self.class, error));
        }
        if let Some(function) = &self.function {
            return Ok(self.of_python(function));
        }
        let (second, third) = upgrade_call(&self.object())?;
        Ok((LayerRef::from_value(&third)?, python(&second)))
    }

    /// A `Lambda` of a Rust function, which takes its `arguments` from where it was made.
    fn of_python(&self, function: &Lambda) -> (LayerRef, String) {
        let kept = |key: &str| Some((key.to_owned(), self.given.get(key)?.clone()));
        let layer =
            function.clone().with_arguments(["output_shape", "arguments"].into_iter().filter_map(kept));
        let said: Config = ["output_shape", "arguments", "name"].into_iter().filter_map(kept).collect();
        let call = python(&json!({ "class_name": "Lambda", "config": said }));
        let mut first = "Lambda(function".to_owned();
        if function.supports_masking() {
            first += ", mask=mask";
        }
        if call != "Lambda()" {
            first += ", ";
        }
        let call = call.replacen("Lambda(", &first, 1);
        match self.given.get("name").and_then(Value::as_str) {
            Some(name) => (layer.name(name).into(), call),
            None => (layer.into(), call),
        }
    }

    pub(super) fn layer(self) -> LayerRef {
        match self.convert() {
            Ok((layer, call)) => {
                match replacement(self.class).filter(|_| self.function.is_none()) {
                    Some(other) => warn_once(format!("`{}` is not in Keras 2: use {other}", self.class)),
                    None => {
                        warn_once(format!("Update your `{}` call to the Keras 2 API: `{call}`", self.class))
                    }
                }
                layer
            }
            Err(error) => Refused(error.to_string()).into(),
        }
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.object().serialize(s)
    }
}

/// An object as the Python call that makes it.
pub(super) fn python(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(list) => match list.as_slice() {
            [one] => format!("({},)", python(one)),
            several => format!("({})", join(several.iter().map(python).collect())),
        },
        Value::Object(map) => match (map.get("class_name").and_then(Value::as_str), map.get("config")) {
            (Some(class), Some(Value::Object(config))) => {
                let arguments = config.iter().map(|(name, value)| format!("{name}={}", python(value)));
                format!("{class}({})", join(arguments.collect()))
            }
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// The layer of a call that makes no sense: an error as soon as it is used.
#[derive(Debug)]
struct Refused(String);

impl Object for Refused {
    fn class(&self) -> Class {
        Class::of("keras.legacy", "Refused")
    }

    fn config(&self) -> Result<Config> {
        Err(Error::other(&self.0))
    }
}

impl Layer for Refused {
    fn check_inputs(&self, _inputs: &[PartialShape]) -> Result<()> {
        Err(Error::other(&self.0))
    }

    fn call(&self, _inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        Err(Error::other(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_of_keras_2_is_written_as_python_has_it() {
        let call = Arguments::new("Convolution2D")
            .with("nb_filter", 8)
            .with("nb_row", 3)
            .with("nb_col", 5)
            .with("border_mode", "same")
            .with("w_regularizer", super::super::regularizers::l2(0.5))
            .with("bias", false);
        let found = call.convert().unwrap().1;
        let expected = "Conv2D(filters=8, padding=\"same\", kernel_regularizer=L1L2(l1=0.0, l2=0.5), use_bias=False, \
                        kernel_size=(3, 5))";
        assert_eq!(found, expected);
    }
}
