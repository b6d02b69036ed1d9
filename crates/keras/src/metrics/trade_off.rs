//! The best of one rate where another is high enough (`keras.metrics.SensitivityAtSpecificity` and its like, Keras 3.15.1).

use keras_spec::layer::auto_name;
use keras_spec::{DType, Device, Error, HostTensor, Metric, Result, Shape, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::confusion::{Condition, Options, accumulate, count};
use super::state::State;
use crate::class::{builders, keras_class};

const NAMES: [(Condition, &str); 4] = [
    (Condition::TruePositives, "true_positives"),
    (Condition::FalsePositives, "false_positives"),
    (Condition::TrueNegatives, "true_negatives"),
    (Condition::FalseNegatives, "false_negatives"),
];

/// Counts at one threshold.
struct At {
    tp: f32,
    fp: f32,
    tn: f32,
    missed: f32,
}

/// `a / (a + b)`, and 0 where that is 0.
fn share(a: f32, b: f32) -> f32 {
    if a + b == 0.0 { 0.0 } else { a / (a + b) }
}

impl At {
    fn sensitivity(&self) -> f32 {
        share(self.tp, self.missed)
    }

    fn specificity(&self) -> f32 {
        share(self.tn, self.fp)
    }

    fn precision(&self) -> f32 {
        share(self.tp, self.fp)
    }
}

/// Thresholds from 0 to 1.
fn thresholds(n: usize) -> Vec<f32> {
    match n {
        1 => vec![0.5],
        n => (0..n).map(|i| (i as f64 / (n - 1) as f64) as f32).collect(),
    }
}

fn default_thresholds() -> usize {
    200
}

fn float32() -> DType {
    DType::F32
}

fn update(
    state: &State,
    num_thresholds: usize,
    class_id: Option<usize>,
    (y_true, y_pred, weight): (&Tensor, &Tensor, Option<&Tensor>),
) -> Result<()> {
    let thresholds = thresholds(num_thresholds);
    let options = Options { class_id, ..Options::default() };
    let counts = count(y_true, y_pred, weight, &thresholds, &options)?;
    accumulate(state, &NAMES, &counts, &Shape::from([thresholds.len()]), y_pred.device())
}

/// The greatest `sought` where `limited` is at least `least`; 0 if it never is.
fn best(state: &State, least: f64, limited: fn(&At) -> f32, sought: fn(&At) -> f32) -> Result<Tensor> {
    let variables = state.variables();
    if variables.len() != NAMES.len() {
        return Tensor::full([], DType::F32, 0.0, &Device::default_device()?);
    }
    let all = variables.iter().map(|v| v.get().to_vec::<f32>()).collect::<Result<Vec<_>>>()?;
    let at = |i: usize| At { tp: all[0][i], fp: all[1][i], tn: all[2][i], missed: all[3][i] };
    let fits = (0..all[0].len()).map(at).filter(|at| limited(at) >= least as f32);
    let best = fits.map(|at| sought(&at)).fold(0.0, f32::max);
    Tensor::from_host(HostTensor::from(best), variables[0].get().device())
}

macro_rules! trade_off {
    ($(#[$doc:meta])* $Metric:ident, $auto:literal, $(#[$value_doc:meta])* $value:ident, $limited:expr, $sought:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $Metric {
            #[serde(default = $auto)]
            name: String,
            #[serde(default = "float32")]
            dtype: DType,
            #[serde(default)]
            class_id: Option<usize>,
            #[serde(default = "default_thresholds")]
            num_thresholds: usize,
            $value: f64,
            #[serde(skip)]
            state: State,
        }

        keras_class!(dyn Metric, "keras.metrics", $Metric, check validate);

        impl $Metric {
            /// Where the other rate is at least this much, from 0 to 1.
            pub fn new($value: f64) -> Self {
                let (name, dtype, num_thresholds) = (Self::auto(), DType::F32, default_thresholds());
                $Metric { name, dtype, class_id: None, num_thresholds, $value, state: State::default() }
            }

            fn auto() -> String {
                auto_name(stringify!($Metric))
            }

            builders! {
                /// How many thresholds, evenly over `0..=1`.
                num_thresholds = usize;
                /// Only this class is looked at.
                some class_id = usize;
                /// The name in logs.
                name: String;
            }

            fn validate(&self) -> Result<()> {
                if !(0.0..=1.0).contains(&self.$value) {
                    return Err(Error::argument(stringify!($value), "a number in the range [0, 1]", self.$value));
                }
                if self.num_thresholds == 0 {
                    return Err(Error::argument("num_thresholds", "an integer > 0", 0));
                }
                Ok(())
            }
        }

        impl Metric for $Metric {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
                self.validate()?;
                update(&self.state, self.num_thresholds, self.class_id, (y_true, y_pred, sample_weight))
            }

            fn result(&self) -> Result<Tensor> {
                best(&self.state, self.$value, $limited, $sought)
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

trade_off! {
    /// The best sensitivity at thresholds where the specificity is high enough (`keras.metrics.SensitivityAtSpecificity`).
    SensitivityAtSpecificity, "SensitivityAtSpecificity::auto", specificity, At::specificity, At::sensitivity
}
trade_off! {
    /// The best specificity at thresholds where the sensitivity is high enough (`keras.metrics.SpecificityAtSensitivity`).
    SpecificityAtSensitivity, "SpecificityAtSensitivity::auto", sensitivity, At::sensitivity, At::specificity
}
trade_off! {
    /// The best precision at thresholds where the recall is high enough (`keras.metrics.PrecisionAtRecall`).
    PrecisionAtRecall, "PrecisionAtRecall::auto", recall, At::sensitivity, At::precision
}
trade_off! {
    /// The best recall at thresholds where the precision is high enough (`keras.metrics.RecallAtPrecision`).
    RecallAtPrecision, "RecallAtPrecision::auto", precision, At::precision, At::sensitivity
}
