//! True and false positives and negatives at thresholds, and what is made of them (`keras.metrics`, Keras 3.15.1).

use keras_spec::{DType, Device, Error, HostTensor, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::state::{State, add};
use crate::class::{builders, keras_class};
use crate::losses::divide_no_nan;
use crate::losses::functions::same_rank;

/// One threshold, or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Thresholds {
    /// One.
    One(f64),
    /// Several.
    Many(Vec<f64>),
}

impl From<f64> for Thresholds {
    fn from(t: f64) -> Self {
        Thresholds::One(t)
    }
}

impl From<Vec<f64>> for Thresholds {
    fn from(t: Vec<f64>) -> Self {
        Thresholds::Many(t)
    }
}

impl Thresholds {
    fn list(&self) -> Vec<f64> {
        match self {
            Thresholds::One(t) => vec![*t],
            Thresholds::Many(t) => t.clone(),
        }
    }
}

fn check_thresholds(thresholds: Option<&Thresholds>) -> Result<()> {
    let all = thresholds.map(Thresholds::list).unwrap_or_default();
    match all.iter().find(|t| !(0.0..=1.0).contains(*t)) {
        Some(wrong) => Err(Error::argument("thresholds", "numbers in 0..=1", wrong)),
        None => Ok(()),
    }
}

/// What is counted, in the order of [`Counts::rows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Condition {
    TruePositives,
    FalsePositives,
    TrueNegatives,
    FalseNegatives,
}

/// How a batch is counted.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) top_k: Option<usize>,
    pub(super) class_id: Option<usize>,
    /// Counts each label for itself; predictions are `(samples, labels)`.
    pub(super) multi_label: bool,
    pub(super) label_weights: Option<Vec<f32>>,
}

/// Weighted counts by condition, then threshold, then label (one if labels are not kept apart).
pub(super) struct Counts {
    pub(super) rows: [Vec<f32>; 4],
}

/// Counts a batch on the host: there is no gradient to keep, and the result is a few numbers.
pub(super) fn count(
    y_true: &Tensor,
    y_pred: &Tensor,
    sample_weight: Option<&Tensor>,
    thresholds: &[f32],
    options: &Options,
) -> Result<Counts> {
    let (p, t) = same_rank(&y_pred.cast(DType::F32)?, &y_true.cast(DType::F32)?)?;
    let (mut p, mut t) = (p, t.broadcast_to(p_shape(y_pred, y_true)?)?);
    let weight = match sample_weight {
        None => None,
        Some(w) => {
            let w = w.cast(DType::F32)?.expand_dims(-1)?;
            let w = if w.rank() == t.rank() + 1 { w.squeeze(-1)? } else { w };
            Some(w)
        }
    };
    if let Some(k) = options.top_k {
        p = only_top_k(&p, k)?;
    }
    if let Some(class) = options.class_id {
        if p.rank() < 2 || class >= p.shape()[p.rank() - 1] {
            let expected = format!("predictions (samples, classes) with a class {class}");
            return Err(Error::argument("class_id", expected, p.shape()));
        }
        p = p.narrow(-1, class, class + 1)?;
        t = t.narrow(-1, class, class + 1)?;
    }
    let shape = p.shape().clone();
    let labels = if shape.rank() > 1 { shape[1..].iter().product() } else { 1 };
    let weights = match weight {
        Some(w) => w.broadcast_to(shape.clone())?.to_vec::<f32>()?,
        None => vec![1.0; shape.size()],
    };
    if let Some(lw) = options.label_weights.as_ref().filter(|lw| lw.len() != labels) {
        let found = format!("{} numbers", lw.len());
        return Err(Error::argument(
            "label_weights",
            format!("one number for each of {labels} labels"),
            found,
        ));
    }
    let (p, t) = (p.to_vec::<f32>()?, t.to_vec::<f32>()?);
    let columns = if options.multi_label { labels } else { 1 };
    let evenly = is_even(thresholds);
    let mut totals = [vec![0f64; columns], vec![0f64; columns]];
    let mut buckets = [vec![0f64; columns * thresholds.len()], vec![0f64; columns * thresholds.len()]];
    for (i, (&p, &t)) in p.iter().zip(&t).enumerate() {
        let column = if options.multi_label { i % labels } else { 0 };
        let own = options.label_weights.as_ref().map_or(1.0, |lw| lw[i % labels]);
        let w = f64::from(weights[i] * own);
        let positive = usize::from(t == 0.0);
        totals[positive][column] += w;
        // The highest threshold that the prediction exceeds; those below it are exceeded too.
        let exceeded = match evenly {
            true => even_bucket(p, thresholds),
            false => None,
        };
        match exceeded {
            Some(bucket) => {
                for n in 0..=bucket {
                    buckets[positive][n * columns + column] += w;
                }
            }
            None if evenly => {}
            None => {
                for (n, &threshold) in thresholds.iter().enumerate() {
                    if p > threshold {
                        buckets[positive][n * columns + column] += w;
                    }
                }
            }
        }
    }
    let [tp, fp] = &buckets;
    let rest = |total: &[f64], counted: &[f64]| {
        counted.iter().enumerate().map(|(i, c)| (total[i % columns] - c) as f32).collect()
    };
    let narrow = |v: &[f64]| v.iter().map(|&x| x as f32).collect();
    Ok(Counts { rows: [narrow(tp), narrow(fp), rest(&totals[1], fp), rest(&totals[0], tp)] })
}

fn p_shape(y_pred: &Tensor, y_true: &Tensor) -> Result<Shape> {
    let (p, t) = same_rank(y_pred, y_true)?;
    if t.shape().broadcasts_to(p.shape()) {
        return Ok(p.shape().clone());
    }
    Err(Error::argument("y_true", format!("the shape of `y_pred`, {}", y_pred.shape()), y_true.shape()))
}

/// Whether thresholds are `0, 1/n, …, 1` up to 1e-7 and a little: Keras then counts by buckets, which decides ties
/// otherwise.
fn is_even(thresholds: &[f32]) -> bool {
    let n = thresholds.len();
    let even = |i: usize| i as f32 / (n - 1) as f32;
    n >= 3 && thresholds.iter().enumerate().all(|(i, &t)| (t - even(i)).abs() <= 1e-7 + 1e-5 * even(i).abs())
}

fn even_bucket(p: f32, thresholds: &[f32]) -> Option<usize> {
    let n = thresholds.len();
    let bucket = (p.clamp(0.0, 1.0) * (n as f32 - 1.0)).ceil() - 1.0;
    let with_epsilon = thresholds[0] < 0.0 || thresholds[n - 1] > 1.0;
    match bucket < 0.0 || bucket.is_nan() {
        true => with_epsilon.then_some(0),
        false => Some(bucket as usize),
    }
}

/// Everything but the `k` greatest of each row far below zero.
fn only_top_k(p: &Tensor, k: usize) -> Result<Tensor> {
    let classes = p.shape().last().copied().unwrap_or(1);
    if k == 0 || k > classes {
        return Err(Error::argument("top_k", format!("a number in 1..={classes}"), k));
    }
    let best = p.argsort(-1, true)?.narrow(-1, 0, k)?;
    let mask = best.one_hot(classes, DType::F32)?.sum(&[-2], false)?;
    (p * &mask)? + ((1.0 - mask)? * -1e10)?
}

/// Adds counts to variables.
pub(super) fn accumulate(
    state: &State,
    conditions: &[(Condition, &str)],
    counts: &Counts,
    shape: &Shape,
    device: &Device,
) -> Result<()> {
    let names: Vec<&str> = conditions.iter().map(|c| c.1).collect();
    let variables = state.get(&names, shape, DType::F32, device)?;
    for (variable, (condition, _)) in variables.iter().zip(conditions) {
        let row = counts.rows[*condition as usize].clone();
        add(variable, &Tensor::from_host(HostTensor::new(shape.clone(), row)?, device)?)?;
    }
    Ok(())
}

/// A scalar for one threshold.
fn one_or_all(x: &Tensor, thresholds: usize) -> Result<Tensor> {
    if thresholds == 1 { x.reshape(Shape::scalar()) } else { Ok(x.clone()) }
}

fn zeros(thresholds: usize) -> Result<Tensor> {
    let shape = if thresholds == 1 { Shape::scalar() } else { Shape::from([thresholds]) };
    Tensor::full(shape, DType::F32, 0.0, &Device::default_device()?)
}

macro_rules! count_metric {
    ($(#[$doc:meta])* $Metric:ident, $name:literal, $Condition:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Metric {
            name: String,
            dtype: DType,
            thresholds: Option<Thresholds>,
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric, aliases [$name], check validate);


        impl Default for $Metric {
            fn default() -> Self {
                $Metric { name: $name.to_owned(), dtype: DType::F32, thresholds: None, state: State::default() }
            }
        }

        impl $Metric {
            /// The metric with Keras's defaults.
            pub fn new() -> Self {
                $Metric::default()
            }

            builders! {
                /// What a prediction must exceed to be positive; 0.5 unless given.
                some thresholds: Thresholds;
                /// The name in logs.
                name: String;
            }

            fn validate(&self) -> Result<()> {
                check_thresholds(self.thresholds.as_ref())
            }

            fn list(&self) -> Vec<f32> {
                self.thresholds.as_ref().map_or(vec![0.5], |t| t.list().iter().map(|&t| t as f32).collect())
            }
        }

        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                self.validate()?;
                let thresholds = self.list();
                let counts = count(y_true, y_pred, sample_weight, &thresholds, &Options::default())?;
                let conditions = [(Condition::$Condition, "accumulator")];
                accumulate(&self.state, &conditions, &counts, &[thresholds.len()].into(), y_pred.device())
            }

            fn result(&self) -> Result<Tensor> {
                match &self.state.variables()[..] {
                    [counted] => one_or_all(&counted.get(), self.list().len()),
                    _ => zeros(self.list().len()),
                }
            }

            fn reset_state(&self) -> Result<()> {
                self.state.reset()
            }

            fn variables(&self) -> Vec<Variable> {
                self.state.variables()
            }
        }
    };
}

count_metric! {
    /// How many positive predictions are right (`keras.metrics.TruePositives`).
    TruePositives, "true_positives", TruePositives
}
count_metric! {
    /// How many positive predictions are wrong (`keras.metrics.FalsePositives`).
    FalsePositives, "false_positives", FalsePositives
}
count_metric! {
    /// How many negative predictions are right (`keras.metrics.TrueNegatives`).
    TrueNegatives, "true_negatives", TrueNegatives
}
count_metric! {
    /// How many negative predictions are wrong (`keras.metrics.FalseNegatives`).
    FalseNegatives, "false_negatives", FalseNegatives
}

macro_rules! ratio_metric {
    ($(#[$doc:meta])* $Metric:ident, $name:literal, $Other:ident, $other:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Metric {
            name: String,
            dtype: DType,
            thresholds: Option<Thresholds>,
            top_k: Option<usize>,
            class_id: Option<usize>,
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric, aliases [$name], check validate);


        impl Default for $Metric {
            fn default() -> Self {
                $Metric {
                    name: $name.to_owned(),
                    dtype: DType::F32,
                    thresholds: None,
                    top_k: None,
                    class_id: None,
                    state: State::default(),
                }
            }
        }

        impl $Metric {
            /// The metric with Keras's defaults.
            pub fn new() -> Self {
                $Metric::default()
            }

            builders! {
                /// What a prediction must exceed to be positive; 0.5 unless given.
                some thresholds: Thresholds;
                /// Only the `k` greatest predictions of a sample can be positive.
                some top_k: usize;
                /// Only this class is looked at.
                some class_id: usize;
                /// The name in logs.
                name: String;
            }

            fn validate(&self) -> Result<()> {
                check_thresholds(self.thresholds.as_ref())
            }

            fn list(&self) -> Vec<f32> {
                let default = if self.top_k.is_some() { -1e10 } else { 0.5 };
                self.thresholds.as_ref().map_or(vec![default], |t| t.list().iter().map(|&t| t as f32).collect())
            }
        }

        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                self.validate()?;
                let thresholds = self.list();
                let options = Options { top_k: self.top_k, class_id: self.class_id, ..Options::default() };
                let counts = count(y_true, y_pred, sample_weight, &thresholds, &options)?;
                let conditions = [(Condition::TruePositives, "true_positives"), (Condition::$Other, $other)];
                accumulate(&self.state, &conditions, &counts, &[thresholds.len()].into(), y_pred.device())
            }

            fn result(&self) -> Result<Tensor> {
                match &self.state.variables()[..] {
                    [right, other] => {
                        let ratio = divide_no_nan(&right.get(), &(right.get() + other.get())?)?;
                        one_or_all(&ratio, self.list().len())
                    }
                    _ => zeros(self.list().len()),
                }
            }

            fn reset_state(&self) -> Result<()> {
                self.state.reset()
            }

            fn variables(&self) -> Vec<Variable> {
                self.state.variables()
            }
        }
    };
}

ratio_metric! {
    /// The share of positive predictions that are right (`keras.metrics.Precision`).
    Precision, "precision", FalsePositives, "false_positives"
}
ratio_metric! {
    /// The share of positive targets that are found (`keras.metrics.Recall`).
    Recall, "recall", FalseNegatives, "false_negatives"
}
