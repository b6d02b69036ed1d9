//! F-scores: the harmonic mean of precision and recall (`keras.metrics.FBetaScore`, `F1Score`, Keras 3.15.1).

use keras_spec::{CompareOp, DType, Device, Error, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::state::{State, add};
use crate::class::{builders, keras_class};

/// How the scores of classes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Counts are added over classes first.
    Micro,
    /// The mean.
    Macro,
    /// The mean, weighted by how often each class occurs.
    Weighted,
}

const NAMES: [&str; 4] = ["true_positives", "false_positives", "false_negatives", "intermediate_weights"];
const EPSILON: f64 = 1e-7;

/// How scores are made.
struct Scores {
    average: Option<Average>,
    beta: f64,
    threshold: Option<f64>,
    dtype: DType,
}

impl Scores {
    fn validate(&self) -> Result<()> {
        if self.beta <= 0.0 {
            return Err(Error::argument("beta", "a number above 0", self.beta));
        }
        match self.threshold {
            Some(t) if t <= 0.0 || t > 1.0 => {
                Err(Error::argument("threshold", "a number above 0 and at most 1", t))
            }
            _ => Ok(()),
        }
    }

    fn update(&self, state: &State, y_true: &Tensor, y_pred: &Tensor, weight: Option<&Tensor>) -> Result<()> {
        self.validate()?;
        let (2, &[_, classes]) = (y_true.rank(), y_pred.shape().dims()) else {
            let found = format!("{} and {}", y_true.shape(), y_pred.shape());
            return Err(Error::argument("y_pred", "targets and predictions (samples, classes)", found));
        };
        let micro = self.average == Some(Average::Micro);
        let shape = if micro { Shape::scalar() } else { Shape::from([classes]) };
        let (t, p) = (y_true.cast(self.dtype)?, y_pred.cast(self.dtype)?);
        let p = match self.threshold {
            None => {
                let greatest = p.greater_equal(&p.max(&[-1], true)?)?;
                greatest.and(&p.abs()?.compare_with(CompareOp::Gt, 1e-9)?)?
            }
            Some(threshold) => p.compare_with(CompareOp::Gt, threshold)?,
        };
        let p = p.cast(self.dtype)?;
        let weight = weight.map(|w| w.cast(self.dtype)?.expand_dims(1)).transpose()?;
        let sum = |x: Tensor| -> Result<Tensor> {
            let x = if let Some(w) = &weight { (x * w)? } else { x };
            if micro { x.sum(&[], false) } else { x.sum(&[0], false) }
        };
        let variables = state.get(&NAMES, &shape, self.dtype, y_pred.device())?;
        add(&variables[0], &sum((&p * &t)?)?)?;
        add(&variables[1], &sum((&p * (1.0 - &t)?)?)?)?;
        add(&variables[2], &sum(((1.0 - &p)? * &t)?)?)?;
        add(&variables[3], &sum(t)?)
    }

    fn result(&self, state: &State) -> Result<Tensor> {
        let variables = state.variables();
        let [tp, fp, missed, weights] = &variables[..] else {
            return Tensor::full([], self.dtype, 0.0, &Device::default_device()?);
        };
        let tp = tp.get();
        let precision = (&tp / ((&tp + fp.get())? + EPSILON)?)?;
        let recall = (&tp / ((&tp + missed.get())? + EPSILON)?)?;
        let square = self.beta * self.beta;
        let sum = ((&precision * square)? + &recall)?;
        let score = (((precision * recall)? / (sum + EPSILON)?)? * (1.0 + square))?;
        match self.average {
            None => Ok(score),
            Some(Average::Weighted) => {
                let weights = weights.get();
                let share = (&weights / (weights.sum(&[], false)? + EPSILON)?)?;
                (score * share)?.sum(&[], false)
            }
            Some(_) => score.mean(&[], false),
        }
    }
}

macro_rules! f_score {
    ($(#[$doc:meta])* $Metric:ident, $name:literal, $alias:literal, { $($(#[$beta_doc:meta])* $beta:ident: f64 = $default:expr,)? }, $value:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $Metric {
            name: String,
            dtype: DType,
            average: Option<Average>,
            $($beta: f64,)?
            threshold: Option<f64>,
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric, aliases [$alias], check validate);

        impl Default for $Metric {
            fn default() -> Self {
                $Metric {
                    name: $name.to_owned(),
                    dtype: DType::F32,
                    average: None,
                    $($beta: $default,)?
                    threshold: None,
                    state: State::default(),
                }
            }
        }

        impl $Metric {
            /// The metric with Keras's defaults: a score per class.
            pub fn new() -> Self {
                $Metric::default()
            }

            builders! {
                /// How the scores of classes become one. Default: they do not.
                some average: Average;
                $($(#[$beta_doc])* $beta: f64;)?
                /// What a prediction must exceed to be positive. Default: the greatest of a sample is.
                some threshold: f64;
                /// The name in logs.
                name: String;
            }

            fn scores(&self) -> Scores {
                let value: fn(&Self) -> f64 = $value;
                Scores { average: self.average, beta: value(self), threshold: self.threshold, dtype: self.dtype }
            }

            fn validate(&self) -> Result<()> {
                self.scores().validate()
            }
        }

        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                self.scores().update(&self.state, y_true, y_pred, sample_weight)
            }

            fn result(&self) -> Result<Tensor> {
                self.scores().result(&self.state)
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

f_score! {
    /// The harmonic mean of precision and recall, in which recall counts `beta` times as much (`keras.metrics.FBetaScore`).
    FBetaScore, "fbeta_score", "f_beta_score",
    {
        /// How much more recall counts than precision.
        beta: f64 = 1.0,
    },
    |this| this.beta
}
f_score! {
    /// The harmonic mean of precision and recall (`keras.metrics.F1Score`).
    F1Score, "f1_score", "f1_score", {}, |_| 1.0
}
