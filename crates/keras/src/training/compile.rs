//! What `compile` takes, and what training makes of it once it has seen data.

use std::sync::{Mutex, OnceLock};

use keras_spec::{Error, Identifier, Loss, Metric, Nested, Optimizer, Result, Shared, Tensor};
use serde_json::{Value, json};

use crate::class::builders;
use crate::{losses, metrics};

/// The arguments of `compile` (`keras.Model.compile`, Keras 3.15.1).
///
/// ```
/// use keras::prelude::*;
///
/// let compile = Compile::new("adam", "sparse_categorical_crossentropy").metrics(["accuracy"]);
/// # let _ = compile;
/// ```
#[derive(Clone, Debug)]
pub struct Compile {
    pub(crate) optimizer: Identifier<dyn Optimizer>,
    pub(crate) loss: Nested<Identifier<dyn Loss>>,
    pub(crate) loss_weights: Nested<f64>,
    pub(crate) metrics: Nested<Identifier<dyn Metric>>,
    pub(crate) weighted_metrics: Nested<Identifier<dyn Metric>>,
}

impl Compile {
    /// An optimizer and a loss: names or objects; for several outputs a list of losses or, with [`Nested::by_name`], losses
    /// by output.
    pub fn new(
        optimizer: impl Into<Identifier<dyn Optimizer>>,
        loss: impl Into<Nested<Identifier<dyn Loss>>>,
    ) -> Self {
        Compile {
            optimizer: optimizer.into(),
            loss: loss.into(),
            loss_weights: Nested::None,
            metrics: Nested::None,
            weighted_metrics: Nested::None,
        }
    }

    builders! {
        /// What each loss is multiplied with.
        loss_weights: Nested<f64>;
        /// Metrics that count every sample alike.
        metrics: Nested<Identifier<dyn Metric>>;
        /// Metrics that count samples by their weights.
        weighted_metrics: Nested<Identifier<dyn Metric>>;
    }

    /// Keras's `compile_config`.
    ///
    /// # Errors
    /// If an object's configuration cannot be written.
    pub fn to_value(&self) -> Result<Value> {
        Ok(json!({
            "optimizer": self.optimizer.to_value()?,
            "loss": self.loss.to_value(&Identifier::to_value)?,
            "loss_weights": self.loss_weights.to_value(&|w| Ok((*w).into()))?,
            "metrics": self.metrics.to_value(&Identifier::to_value)?,
            "weighted_metrics": self.weighted_metrics.to_value(&Identifier::to_value)?,
            "run_eagerly": false,
            "steps_per_execution": 1,
            "jit_compile": true,
        }))
    }

    /// From Keras's `compile_config`.
    ///
    /// # Errors
    /// If a class is not registered or its configuration is wrong.
    pub fn from_value(value: &Value) -> Result<Self> {
        let field = |key: &str| value.get(key).unwrap_or(&Value::Null);
        let number = |v: &Value| {
            v.as_f64().ok_or_else(|| {
                Error::config("compile_config", format!("`loss_weights`: {v} is not a number"))
            })
        };
        Ok(Compile {
            optimizer: Identifier::from_value(field("optimizer"))?,
            loss: Nested::from_value(field("loss"), &Identifier::from_value)?,
            loss_weights: Nested::from_value(field("loss_weights"), &number)?,
            metrics: Nested::from_value(field("metrics"), &Identifier::from_value)?,
            weighted_metrics: Nested::from_value(field("weighted_metrics"), &Identifier::from_value)?,
        })
    }
}

/// A compiled model's state: the optimizer, and losses and metrics once their outputs are known.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) arguments: Compile,
    pub(crate) optimizer: Shared<dyn Optimizer>,
    resolved: Mutex<Option<std::sync::Arc<Resolved>>>,
    pub(crate) loss_tracker: Mutex<Mean>,
    /// Names of the model's outputs, once they were needed: asking the layers takes as long as calling small ones.
    pub(crate) outputs: OnceLock<Vec<String>>,
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    total: f64,
    count: f64,
}

impl Mean {
    pub(crate) fn update(&mut self, value: f64, weight: f64) {
        self.total += value * weight;
        self.count += weight;
    }

    pub(crate) fn result(&self) -> f64 {
        if self.count == 0.0 { 0.0 } else { self.total / self.count }
    }
}

/// Losses and metrics by output.
#[derive(Debug)]
pub(crate) struct Resolved {
    losses: Vec<OutputLoss>,
    metrics: Vec<OutputMetric>,
}

#[derive(Debug)]
struct OutputLoss {
    output: usize,
    loss: Shared<dyn Loss>,
    weight: Option<f64>,
    name: String,
    tracker: Mutex<Mean>,
}

#[derive(Debug)]
struct OutputMetric {
    output: usize,
    weighted: bool,
    name: String,
    metric: Shared<dyn Metric>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Compiled {
    pub(crate) fn new(arguments: Compile) -> Result<Self> {
        let optimizer = match &arguments.optimizer {
            Identifier::Object(o) => o.clone(),
            Identifier::Name(name) => name.as_str().try_into()?,
        };
        Ok(Compiled {
            arguments: Compile { optimizer: Identifier::Object(optimizer.clone()), ..arguments },
            optimizer,
            resolved: Mutex::new(None),
            loss_tracker: Mutex::default(),
            outputs: OnceLock::new(),
        })
    }

    /// Losses and metrics for these outputs; chosen by the first batch, since `"accuracy"` depends on shapes.
    pub(crate) fn resolve(
        &self,
        names: &[String],
        y_true: &[Tensor],
        y_pred: &[Tensor],
    ) -> Result<std::sync::Arc<Resolved>> {
        let mut resolved = lock(&self.resolved);
        if let Some(r) = &*resolved {
            return Ok(r.clone());
        }
        let made = std::sync::Arc::new(Resolved::new(&self.arguments, names, y_true, y_pred)?);
        *resolved = Some(made.clone());
        Ok(made)
    }

    /// Forgets what metrics have seen.
    pub(crate) fn reset_metrics(&self) -> Result<()> {
        *lock(&self.loss_tracker) = Mean::default();
        if let Some(r) = &*lock(&self.resolved) {
            r.losses.iter().for_each(|l| *lock(&l.tracker) = Mean::default());
            r.metrics.iter().try_for_each(|m| m.metric.reset_state())?;
        }
        Ok(())
    }

    /// The loss and every metric by name.
    pub(crate) fn results(&self) -> Result<keras_spec::Logs> {
        let mut logs = keras_spec::Logs::new();
        logs.insert("loss", lock(&self.loss_tracker).result());
        if let Some(r) = &*lock(&self.resolved) {
            if r.losses.len() > 1 {
                for l in &r.losses {
                    logs.insert(format!("{}_loss", l.name), lock(&l.tracker).result());
                }
            }
            for m in &r.metrics {
                let result = m.metric.result()?;
                match result.shape().iter().product() {
                    1 => logs.insert(m.name.clone(), result.item()?),
                    _ => logs.insert_array(m.name.clone(), result.to_host()?),
                }
            }
        }
        Ok(logs)
    }
}

/// Brings what was given for outputs to one entry per output.
fn per_output<T: Clone>(given: &Nested<T>, names: &[String], what: &str) -> Result<Vec<Nested<T>>> {
    match given {
        Nested::None => Ok(vec![Nested::None; names.len()]),
        one @ Nested::One(_) => Ok(vec![one.clone(); names.len()]),
        list @ Nested::List(_) if names.len() == 1 => Ok(vec![list.clone()]),
        Nested::List(list) if list.len() == names.len() => Ok(list.clone()),
        Nested::Dict(map) => {
            if let Some((unknown, _)) = map.iter().find(|(n, _)| !names.contains(n)) {
                return Err(Error::argument(
                    what,
                    format!("names of outputs: {}", names.join(", ")),
                    unknown,
                ));
            }
            let find = |n: &String| map.iter().find(|(k, _)| k == n).map_or(Nested::None, |(_, v)| v.clone());
            Ok(names.iter().map(find).collect())
        }
        Nested::List(list) => {
            let expected = format!("one entry per output ({})", names.join(", "));
            Err(Error::argument(what, expected, format!("{} entries", list.len())))
        }
    }
}

impl Resolved {
    fn new(compile: &Compile, names: &[String], y_true: &[Tensor], y_pred: &[Tensor]) -> Result<Self> {
        let given = per_output(&compile.loss, names, "loss")?;
        let weights = per_output(&compile.loss_weights, names, "loss_weights")?;
        let mut out = Resolved { losses: Vec::new(), metrics: Vec::new() };
        for (output, (loss, weight)) in given.iter().zip(&weights).enumerate() {
            for identifier in loss.flatten() {
                let loss = match identifier {
                    Identifier::Object(o) => o.clone(),
                    Identifier::Name(n) => losses::for_output(n, &y_true[output], &y_pred[output])?,
                };
                let weight = weight.flatten().first().map(|w| **w);
                let (name, tracker) = (names[output].clone(), Mutex::default());
                out.losses.push(OutputLoss { output, loss, weight, name, tracker });
            }
        }
        for (weighted, given) in [(false, &compile.metrics), (true, &compile.weighted_metrics)] {
            for (output, given) in per_output(given, names, "metrics")?.iter().enumerate() {
                for identifier in given.flatten() {
                    let metric = match identifier {
                        Identifier::Object(o) => o.clone(),
                        Identifier::Name(n) => metrics::for_output(n, &y_true[output], &y_pred[output])?,
                    };
                    let name = match names.len() {
                        1 => metric.name(),
                        _ => format!("{}_{}", names[output], metric.name()),
                    };
                    let name = out.unused(name, weighted);
                    out.metrics.push(OutputMetric { output, weighted, name, metric });
                }
            }
        }
        Ok(out)
    }

    fn unused(&self, name: String, weighted: bool) -> String {
        let taken = |n: &str| self.metrics.iter().any(|m| m.name == n);
        if !taken(&name) {
            return name;
        }
        let base = if weighted { format!("weighted_{name}") } else { name };
        let numbered = (1..).map(|i| format!("{base}_{i}"));
        std::iter::once(base.clone()).chain(numbered).find(|n| !taken(n)).unwrap_or(base)
    }

    /// The sum of the weighted losses, `None` if there are none; keeps the losses per output for logs.
    pub(crate) fn loss(
        &self,
        y_true: &[Tensor],
        y_pred: &[Tensor],
        masks: &[Option<Tensor>],
        weights: &[Option<Tensor>],
    ) -> Result<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        for l in &self.losses {
            let (y, p) = (&y_true[l.output], &y_pred[l.output]);
            let mut value =
                losses::compute(&*l.loss, y, p, weights[l.output].as_ref(), masks[l.output].as_ref())?;
            if self.losses.len() > 1 {
                let samples = p.shape().first().copied().unwrap_or(1);
                lock(&l.tracker).update(value.stop_gradient().item()?, samples as f64);
            }
            if let Some(w) = l.weight {
                value = (value * w)?;
            }
            total = Some(match total {
                Some(t) => (t + value)?,
                None => value,
            });
        }
        Ok(total)
    }

    /// Lets every metric see a batch.
    pub(crate) fn update_metrics(
        &self,
        y_true: &[Tensor],
        y_pred: &[Tensor],
        weights: &[Option<Tensor>],
    ) -> Result<()> {
        for m in &self.metrics {
            let weight = weights[m.output].as_ref().filter(|_| m.weighted);
            m.metric.update_state(&y_true[m.output], &y_pred[m.output], weight)?;
        }
        Ok(())
    }
}
