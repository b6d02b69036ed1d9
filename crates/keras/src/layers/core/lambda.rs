use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keras_spec::{Call, Class, Config, Error, Layer, Object, Result, Tensor};
use serde_json::{Value, json};

type Function = Arc<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;

type MaskFunction = Arc<dyn Fn(&[Tensor], &[Option<Tensor>]) -> Result<Option<Tensor>> + Send + Sync>;

static FUNCTIONS: Mutex<BTreeMap<String, Function>> = Mutex::new(BTreeMap::new());

fn functions() -> MutexGuard<'static, BTreeMap<String, Function>> {
    FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what the [`Lambda`] layer of the name `layer` computes, for all models that are loaded from then on. Files hold its
/// Python code, which is never run. It serves for functions of TensorFlow in graphs of tf.keras too, by the names of their
/// layers, such as `tf.math.lgamma_1`: `inputs` are the tensors that they are called on.
///
/// ```
/// keras::layers::register_lambda("double", |inputs| &inputs[0] * 2.0);
/// ```
pub fn register_lambda(
    layer: impl Into<String>,
    function: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) {
    functions().insert(layer.into(), Arc::new(function));
}

/// A layer that is a function of its inputs, without weights (`keras.layers.Lambda`, Keras 3.15.1). In a file it is Python
/// code; [`register_lambda`] says what it is here, by the layer's name. The code is kept, and written again.
#[derive(Clone)]
pub struct Lambda {
    function: Function,
    mask: Option<MaskFunction>,
    config: Config,
}

const CLASS: Class = Class::keras("keras.layers", "Lambda");

/// The argument by which a configuration names its function.
const REGISTERED: &str = "registered";

keras_spec::register!(dyn Layer, CLASS, |config| {
    let name = config.get(REGISTERED).and_then(Value::as_str).unwrap_or_default();
    let function = functions().get(name).cloned().ok_or_else(|| unknown(name))?;
    let mut config = config.clone();
    config.shift_remove(REGISTERED);
    Ok(Box::new(Lambda { function, mask: None, config }))
});

impl Lambda {
    /// The layer that computes `function`.
    pub fn new(function: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        let mut config = Config::new();
        config.insert("function".to_owned(), Value::Null);
        config.insert("arguments".to_owned(), json!({}));
        Lambda { function: Arc::new(function), mask: None, config }
    }

    /// What masks the output, from the inputs and their masks; without it no mask goes on. Like the function, it is not in
    /// files.
    #[must_use]
    pub fn mask(
        mut self,
        mask: impl Fn(&[Tensor], &[Option<Tensor>]) -> Result<Option<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        self.mask = Some(Arc::new(mask));
        self
    }
}

impl Lambda {
    /// The same layer with other arguments beside the function.
    pub(crate) fn with_arguments(mut self, arguments: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.config.extend(arguments);
        self
    }
}

/// Whether [`register_lambda`] said what the layer of a name computes.
pub(crate) fn has_function(layer: &str) -> bool {
    functions().contains_key(layer)
}

/// Names the functions of all `Lambda` layers in a model's configuration.
///
/// # Errors
/// There is none for a layer of that name.
pub(crate) fn name_lambdas(value: &mut Value) -> Result<()> {
    match value {
        Value::Array(list) => list.iter_mut().try_for_each(name_lambdas),
        Value::Object(map) => {
            if map.get("class_name").is_some_and(|c| c == CLASS.name)
                && let Some(Value::Object(config)) = map.get_mut("config")
            {
                let name = config.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                if !has_function(&name) {
                    return Err(unknown(&name));
                }
                config.insert(REGISTERED.to_owned(), name.into());
                return Ok(());
            }
            map.values_mut().try_for_each(name_lambdas)
        }
        _ => Ok(()),
    }
}

fn unknown(layer: &str) -> Error {
    let line = format!("keras::layers::register_lambda(\"{layer}\", |inputs| &inputs[0] * 2.0)");
    Error::config(
        CLASS.name,
        format!(
            "layer `{layer}` is Python code, which is never run; say what it computes before loading: {line}"
        ),
    )
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lambda")
    }
}

impl Object for Lambda {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        Ok(self.config.clone())
    }
}

impl Layer for Lambda {
    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        (self.function)(inputs).map(|y| vec![y])
    }

    fn supports_masking(&self) -> bool {
        self.mask.is_some()
    }

    fn compute_mask(&self, inputs: &[Tensor], masks: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        match &self.mask {
            Some(mask) => mask(inputs, masks).map(|m| vec![m]),
            None => Ok(Vec::new()),
        }
    }
}
