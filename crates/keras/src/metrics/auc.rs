//! The area under a curve over thresholds (`keras.metrics.AUC`, Keras 3.15.1).

use keras_spec::{DType, Device, Error, HostTensor, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::confusion::{Condition, Options, accumulate, count};
use super::state::State;
use crate::class::{builders, keras_class};

/// Which curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// True over false positive rate.
    #[default]
    #[serde(alias = "roc")]
    ROC,
    /// Precision over recall.
    #[serde(alias = "pr")]
    PR,
    /// Precision gain over recall gain.
    #[serde(alias = "prgain")]
    PRGAIN,
}

/// How the area between two thresholds is approximated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SummationMethod {
    /// By trapezoids; for the PR curve by the interpolation of Davis and Goadrich.
    #[default]
    #[serde(alias = "Interpolation")]
    Interpolation,
    /// From above.
    #[serde(alias = "Majoring")]
    Majoring,
    /// From below.
    #[serde(alias = "Minoring")]
    Minoring,
}

/// The area under the ROC or PR curve, approximated at thresholds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AUC {
    name: String,
    dtype: DType,
    num_thresholds: usize,
    curve: Curve,
    summation_method: SummationMethod,
    multi_label: bool,
    num_labels: Option<usize>,
    label_weights: Option<Vec<f32>>,
    from_logits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<Vec<f64>>,
    #[serde(skip)]
    state: State,
}

keras_class!(dyn Metric, "keras.metrics", AUC, aliases ["auc"], check validate);

impl Default for AUC {
    fn default() -> Self {
        AUC {
            name: "auc".to_owned(),
            dtype: DType::F32,
            num_thresholds: 200,
            curve: Curve::default(),
            summation_method: SummationMethod::default(),
            multi_label: false,
            num_labels: None,
            label_weights: None,
            from_logits: false,
            thresholds: None,
            state: State::default(),
        }
    }
}

const NAMES: [(Condition, &str); 4] = [
    (Condition::TruePositives, "true_positives"),
    (Condition::FalsePositives, "false_positives"),
    (Condition::TrueNegatives, "true_negatives"),
    (Condition::FalseNegatives, "false_negatives"),
];

impl AUC {
    /// The metric with Keras's defaults.
    pub fn new() -> Self {
        AUC::default()
    }

    builders! {
        /// How many thresholds, evenly over `0..=1`.
        num_thresholds: usize;
        /// Which curve.
        curve: Curve;
        /// How the area is approximated.
        summation_method: SummationMethod;
        /// Whether each label has a curve of its own, over whose areas the mean is taken.
        multi_label: bool;
        /// How many labels there are, with `multi_label`.
        some num_labels: usize;
        /// How much each label counts.
        some label_weights: Vec<f32>;
        /// Whether predictions are logits instead of probabilities.
        from_logits: bool;
        /// Thresholds between 0 and 1, instead of evenly spaced ones.
        some thresholds: Vec<f64>;
        /// The name in logs.
        name: String;
    }

    fn validate(&self) -> Result<()> {
        if self.thresholds.is_none() && self.num_thresholds <= 1 {
            return Err(Error::argument("num_thresholds", "an integer > 1", self.num_thresholds));
        }
        if self.num_labels.is_some() && !self.multi_label {
            return Err(Error::argument("num_labels", "`multi_label=True` beside it", "False"));
        }
        Ok(())
    }

    fn list(&self) -> Vec<f32> {
        let mut inner = match &self.thresholds {
            Some(given) => given.clone(),
            None => {
                let n = self.num_thresholds;
                (1..n.saturating_sub(1)).map(|i| i as f64 / (n - 1) as f64).collect()
            }
        };
        inner.sort_by(f64::total_cmp);
        let all = std::iter::once(-1e-7).chain(inner).chain(std::iter::once(1.0 + 1e-7));
        all.map(|t| t as f32).collect()
    }

    /// The area of one label from its counts by threshold.
    fn area(&self, tp: &[f32], fp: &[f32], tn: &[f32], fneg: &[f32]) -> f32 {
        if self.curve == Curve::PR && self.summation_method == SummationMethod::Interpolation {
            return interpolated_pr(tp, fp, fneg);
        }
        let recall = |i: usize| ratio(tp[i], tp[i] + fneg[i]);
        let point = |i: usize| match self.curve {
            Curve::ROC => (ratio(fp[i], fp[i] + tn[i]), recall(i)),
            Curve::PR => (recall(i), ratio(tp[i], tp[i] + fp[i])),
            Curve::PRGAIN => {
                let scale = ratio(tp[i] + fneg[i], tn[i] + fp[i]);
                match tp[i] == 0.0 {
                    true => (0.0, 1.0),
                    false => {
                        ((1.0 - scale * ratio(fneg[i], tp[i])).max(0.0), 1.0 - scale * ratio(fp[i], tp[i]))
                    }
                }
            }
        };
        let points: Vec<(f32, f32)> = (0..tp.len()).map(point).collect();
        let height = |a: f32, b: f32| match self.summation_method {
            SummationMethod::Interpolation => (a + b) / 2.0,
            SummationMethod::Minoring => a.min(b),
            SummationMethod::Majoring => a.max(b),
        };
        points.windows(2).map(|w| (w[0].0 - w[1].0) * height(w[0].1, w[1].1)).sum()
    }
}

/// `a / b`, and 0 where `b` is 0.
fn ratio(a: f32, b: f32) -> f32 {
    if b == 0.0 { 0.0 } else { a / b }
}

fn interpolated_pr(tp: &[f32], fp: &[f32], fneg: &[f32]) -> f32 {
    let p: Vec<f32> = tp.iter().zip(fp).map(|(a, b)| a + b).collect();
    let part = |i: usize| {
        let dtp = tp[i] - tp[i + 1];
        let slope = ratio(dtp, (p[i] - p[i + 1]).max(0.0));
        let intercept = tp[i + 1] - slope * p[i + 1];
        let both = p[i] > 0.0 && p[i + 1] > 0.0;
        let safe = if both { ratio(p[i], p[i + 1].max(0.0)) } else { 1.0 };
        ratio(slope * (dtp + intercept * safe.ln()), (tp[i + 1] + fneg[i + 1]).max(0.0))
    };
    (0..tp.len() - 1).map(part).sum()
}

impl Metric for AUC {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        self.validate()?;
        let thresholds = self.list();
        let mut shape = Shape::from([thresholds.len()]);
        if self.multi_label {
            let (2, Some(&labels)) = (y_pred.rank(), y_pred.shape().last()) else {
                return Err(Error::argument("y_pred", "rank 2 with `multi_label=True`", y_pred.shape()));
            };
            shape.push(labels);
        }
        let y_pred = if self.from_logits { y_pred.sigmoid()? } else { y_pred.clone() };
        let options = Options {
            multi_label: self.multi_label,
            label_weights: self.label_weights.clone().filter(|_| !self.multi_label),
            ..Options::default()
        };
        let counts = count(y_true, &y_pred, sample_weight, &thresholds, &options)?;
        accumulate(&self.state, &NAMES, &counts, &shape, y_pred.device())
    }

    fn result(&self) -> Result<Tensor> {
        let variables = self.state.variables();
        if variables.len() != NAMES.len() {
            return Tensor::full([], DType::F32, 0.0, &Device::default_device()?);
        }
        let labels = variables[0].shape().get(1).copied().unwrap_or(1);
        let all = variables.iter().map(|v| v.get().to_vec::<f32>()).collect::<Result<Vec<_>>>()?;
        let column =
            |v: &[f32], label: usize| v.iter().skip(label).step_by(labels).copied().collect::<Vec<_>>();
        let area = |label: usize| {
            let c: Vec<Vec<f32>> = all.iter().map(|v| column(v, label)).collect();
            self.area(&c[0], &c[1], &c[2], &c[3])
        };
        let areas: Vec<f32> = (0..labels).map(area).collect();
        let mean = match self.label_weights.as_ref().filter(|_| self.multi_label) {
            Some(w) if w.len() == labels => {
                ratio(areas.iter().zip(w).map(|(a, w)| a * w).sum(), w.iter().sum())
            }
            _ => areas.iter().sum::<f32>() / labels as f32,
        };
        Tensor::from_host(HostTensor::from(mean), variables[0].get().device())
    }

    fn reset_state(&self) -> Result<()> {
        self.state.reset()
    }

    fn variables(&self) -> Vec<Variable> {
        self.state.variables()
    }
}
