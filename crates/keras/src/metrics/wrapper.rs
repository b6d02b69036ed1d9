//! `MeanMetricWrapper`: a metric made of a function.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use keras_spec::layer::auto_name;
use keras_spec::object::make;
use keras_spec::{Class, Config, DType, Error, Loss, Metric, Object, Result, Tensor, Variable};
use serde_json::{Value, json};

use super::accuracy;
use super::mean::{mean_result, update_mean};
use super::state::State;

type Function = dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync;

/// The mean of what a function of targets and predictions gives per sample (`keras.metrics.MeanMetricWrapper`, Keras 3.15.1).
/// Files know the function by its name.
///
/// ```
/// use keras::metrics::MeanMetricWrapper;
///
/// let worst = MeanMetricWrapper::register("my_package", "worst", |t, p| (p - t)?.abs()?.max(&[-1], false));
/// let loaded = MeanMetricWrapper::new("my_package>worst")?;
/// let huber = MeanMetricWrapper::with_arguments("huber", [("delta".to_owned(), 0.5.into())])?;
/// # Ok::<(), keras::Error>(())
/// ```
pub struct MeanMetricWrapper {
    name: String,
    dtype: DType,
    function: String,
    arguments: Config,
    compute: Arc<Function>,
    state: State,
}

const CLASS: Class = Class::keras("keras.metrics", "MeanMetricWrapper");

keras_spec::register!(dyn Metric, CLASS, |config| Ok(Box::new(MeanMetricWrapper::from_config(config)?)));

static REGISTERED: Mutex<Vec<(String, Arc<Function>)>> = Mutex::new(Vec::new());

impl MeanMetricWrapper {
    /// The mean of a function of `keras.losses` or `keras.metrics`, or of one that has been [`register`](Self::register)ed.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing has the name.
    pub fn new(function: &str) -> Result<Self> {
        MeanMetricWrapper::with_arguments(function, [])
    }

    /// [`new`](Self::new) with keyword arguments for the function.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nothing has the name; if the function has no such arguments.
    pub fn with_arguments(
        function: &str,
        arguments: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Self> {
        let arguments: Config = arguments.into_iter().collect();
        Ok(MeanMetricWrapper {
            name: auto_name(CLASS.name),
            dtype: DType::F32,
            function: function.to_owned(),
            compute: find(function, &arguments)?,
            arguments,
            state: State::default(),
        })
    }

    /// The mean of a function of one's own, which gives a value per sample for targets and predictions. Files that have the
    /// metric can be loaded once this has been called; a later function of the name replaces an earlier one.
    pub fn register(
        package: &str,
        name: &str,
        function: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        let compute: Arc<Function> = Arc::new(function);
        let function = format!("{package}>{name}");
        let mut all = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != function);
        all.push((function.clone(), compute.clone()));
        MeanMetricWrapper {
            name: name.to_owned(),
            dtype: DType::F32,
            function,
            arguments: Config::new(),
            compute,
            state: State::default(),
        }
    }

    /// The name in logs.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The dtype of the state.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    fn from_config(config: &Config) -> Result<Self> {
        let mut arguments = config.clone();
        let mut take = |key: &str| arguments.shift_remove(key).filter(|v| !v.is_null());
        let (name, dtype, function) = (take("name"), take("dtype"), take("fn"));
        let function = function.ok_or_else(|| Error::config(CLASS.name, "`fn` is missing"))?;
        let function = function.as_str().or_else(|| function.get("config")?.as_str()).ok_or_else(|| {
            Error::config(CLASS.name, format!("`fn` is no function with a name: {function}"))
        })?;
        let mut metric = MeanMetricWrapper::with_arguments(function, arguments)?;
        if let Some(name) = name {
            let text = name.as_str().map(str::to_owned);
            let wrong = || Error::config(CLASS.name, format!("`name` must be a string, found {name}"));
            metric.name = text.ok_or_else(wrong)?;
        }
        if let Some(dtype) = dtype {
            metric.dtype = serde_json::from_value(dtype)
                .map_err(|e| Error::config(CLASS.name, format!("`dtype`: {e}")))?;
        }
        Ok(metric)
    }
}

/// The function of a name, with its keyword arguments.
fn find(name: &str, arguments: &Config) -> Result<Arc<Function>> {
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, function)) = registered.iter().find(|(known, _)| known == name) {
        return match arguments.keys().next() {
            None => Ok(function.clone()),
            Some(key) => Err(Error::config(CLASS.name, format!("functions registered here have no `{key}`"))),
        };
    }
    let k = || match arguments.get("k") {
        None => Ok(5),
        Some(k) => k.as_u64().map(|k| k as usize).ok_or_else(|| Error::argument("k", "an integer", k)),
    };
    Ok(match name {
        "accuracy" => Arc::new(accuracy::accuracy),
        "categorical_accuracy" => Arc::new(accuracy::categorical_accuracy),
        "sparse_categorical_accuracy" => Arc::new(accuracy::sparse_categorical_accuracy),
        "binary_accuracy" => {
            let threshold = arguments.get("threshold").and_then(Value::as_f64).unwrap_or(0.5);
            Arc::new(move |t, p| accuracy::binary_accuracy(t, p, threshold))
        }
        "top_k_categorical_accuracy" => {
            let k = k()?;
            Arc::new(move |t, p| accuracy::top_k_categorical_accuracy(t, p, k))
        }
        "sparse_top_k_categorical_accuracy" => {
            let k = k()?;
            Arc::new(move |t, p| accuracy::sparse_top_k_categorical_accuracy(t, p, k, false))
        }
        // Before it is reduced, a loss is the function of its name.
        _ => {
            let loss = make::<dyn Loss>(&json!({ "class_name": name, "config": arguments }))?;
            Arc::new(move |t, p| loss.call(t, p))
        }
    })
}

impl fmt::Debug for MeanMetricWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(CLASS.name)
            .field("name", &self.name)
            .field("function", &self.function)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl Object for MeanMetricWrapper {
    fn class(&self) -> Class {
        CLASS
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::new();
        config.insert("name".to_owned(), self.name.clone().into());
        config.insert("dtype".to_owned(), self.dtype.name().into());
        let function = json!({
            "module": "builtins",
            "class_name": "function",
            "config": self.function,
            "registered_name": "function",
        });
        config.insert("fn".to_owned(), function);
        config.extend(self.arguments.clone());
        Ok(config)
    }
}

impl Metric for MeanMetricWrapper {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        let values = (self.compute)(y_true, y_pred)?;
        update_mean(&self.state, self.dtype, &values, sample_weight)
    }

    fn result(&self) -> Result<Tensor> {
        mean_result(&self.state, self.dtype)
    }

    fn reset_state(&self) -> Result<()> {
        self.state.reset()
    }

    fn variables(&self) -> Vec<Variable> {
        self.state.variables()
    }
}
