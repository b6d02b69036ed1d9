//! The coefficient of determination (`keras.metrics.R2Score`, Keras 3.15.1).

use keras_spec::{DType, Device, Error, HostTensor, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::state::{State, add};
use crate::class::{builders, keras_class};
use crate::losses::functions::same_rank;

/// How the scores of outputs become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassAggregation {
    /// The mean.
    UniformAverage,
    /// The mean, weighted by the variances of the targets.
    VarianceWeightedAverage,
}

/// The share of the targets' variance that predictions explain (`keras.metrics.R2Score`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct R2Score {
    name: String,
    dtype: DType,
    class_aggregation: Option<ClassAggregation>,
    num_regressors: u64,
    #[serde(skip)]
    samples: State,
    #[serde(skip)]
    state: State,
}

keras_class!(dyn Metric, "keras.metrics", R2Score, aliases["r2_score"]);

impl Default for R2Score {
    fn default() -> Self {
        R2Score {
            name: "r2_score".to_owned(),
            dtype: DType::F32,
            class_aggregation: Some(ClassAggregation::UniformAverage),
            num_regressors: 0,
            samples: State::default(),
            state: State::default(),
        }
    }
}

impl R2Score {
    /// The metric with Keras's defaults.
    pub fn new() -> Self {
        R2Score::default()
    }

    builders! {
        /// How many regressors there are: other than 0 the score is adjusted for them.
        num_regressors = u64;
        /// The name in logs.
        name: String;
        /// The dtype that errors are computed in; the state is float32.
        dtype: DType;
    }

    /// How the scores of outputs become one; `None` for a score each. Default: their mean.
    #[must_use]
    pub fn class_aggregation(mut self, aggregation: impl Into<Option<ClassAggregation>>) -> Self {
        self.class_aggregation = aggregation.into();
        self
    }

    fn adjusted(&self, score: f32, samples: f32) -> f32 {
        let p = self.num_regressors as f32;
        if self.num_regressors == 0 || p >= samples - 1.0 {
            if self.num_regressors != 0 {
                tracing::warn!("metric `{}`: too few samples for {p} regressors, not adjusted", self.name);
            }
            return score;
        }
        1.0 - (1.0 - score) * (samples - 1.0) / (samples - p - 1.0)
    }
}

impl Metric for R2Score {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        let (t, p) = same_rank(&y_true.cast(self.dtype)?, &y_pred.cast(self.dtype)?)?;
        let (2, &[_, outputs]) = (t.rank(), p.shape().dims()) else {
            let found = format!("{} and {}", y_true.shape(), y_pred.shape());
            return Err(Error::argument("y_pred", "targets and predictions (samples, outputs)", found));
        };
        let weight = match sample_weight {
            None => Tensor::full(t.shape().clone(), self.dtype, 1.0, t.device())?,
            Some(w) => {
                let w = w.cast(self.dtype)?;
                let w = if w.rank() == 1 { w.expand_dims(1)? } else { w };
                w.broadcast_to(t.shape().clone())?
            }
        };
        let samples = self.samples.get(&["num_samples"], &Shape::scalar(), DType::F32, t.device())?;
        let names = ["squared_sum", "sum", "residual", "count"];
        let state = self.state.get(&names, &Shape::from([outputs]), DType::F32, t.device())?;
        let weighted = (&t * &weight)?;
        let error = ((&t - &p)?.square()? * &weight)?;
        for (variable, value) in state.iter().zip([(&t * &weighted)?, weighted, error, weight]) {
            add(variable, &value.sum(&[0], false)?)?;
        }
        add(&samples[0], &Tensor::full([], DType::F32, t.shape().size() as f64, t.device())?)
    }

    fn result(&self) -> Result<Tensor> {
        let variables = self.state.variables();
        let ([squares, sum, residual, count], [samples]) = (&variables[..], &self.samples.variables()[..])
        else {
            return Tensor::full([], DType::F32, 0.0, &Device::default_device()?);
        };
        let device = *squares.get().device();
        let host = |v: &Variable| v.get().to_vec::<f32>();
        let (squares, sum, residual, count) = (host(squares)?, host(sum)?, host(residual)?, host(count)?);
        let samples = samples.get().item()? as f32;
        let totals: Vec<f32> = (0..sum.len()).map(|i| squares[i] - sum[i] * (sum[i] / count[i])).collect();
        let score = |i: usize| 1.0 - residual[i] / totals[i];
        let scores: Vec<f32> =
            (0..sum.len()).map(|i| if score(i).is_infinite() { 0.0 } else { score(i) }).collect();
        let one = match self.class_aggregation {
            None => {
                let all: Vec<f32> = scores.iter().map(|&s| self.adjusted(s, samples)).collect();
                let all = HostTensor::new([all.len()], all)?;
                return Tensor::from_host(all, &device);
            }
            Some(ClassAggregation::UniformAverage) => scores.iter().sum::<f32>() / scores.len() as f32,
            Some(ClassAggregation::VarianceWeightedAverage) => {
                let weighted: f32 = totals.iter().zip(&scores).map(|(t, s)| t * s).sum();
                weighted / totals.iter().sum::<f32>()
            }
        };
        Tensor::from_host(HostTensor::from(self.adjusted(one, samples)), &device)
    }

    fn reset_state(&self) -> Result<()> {
        self.samples.reset()?;
        self.state.reset()
    }

    fn variables(&self) -> Vec<Variable> {
        self.samples.variables().into_iter().chain(self.state.variables()).collect()
    }
}
