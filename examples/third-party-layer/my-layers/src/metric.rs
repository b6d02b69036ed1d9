use keras::metrics::Mean;
use keras_spec::{Class, CompareOp, DType, Metric, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

/// The share of predictions that are no further than `tolerance` from their targets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Within {
    tolerance: f64,
    /// Keeps the running mean; brings the arguments `name` and `dtype`.
    #[serde(flatten)]
    mean: Mean,
}

keras_spec::class!(dyn Metric, Class::of("my_layers", "Within"), Within);

impl Within {
    /// With this tolerance.
    pub fn new(tolerance: f64) -> Self {
        Within { tolerance, mean: Mean::new().name("within") }
    }
}

impl Metric for Within {
    fn name(&self) -> String {
        Metric::name(&self.mean)
    }

    fn update_state(&self, y_true: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> Result<()> {
        let error = (y_true - y_pred)?.abs()?;
        let near = error.compare_with(CompareOp::Le, self.tolerance)?.cast(DType::F32)?;
        self.mean.update_state(&near, &near, sample_weight)
    }

    fn result(&self) -> Result<Tensor> {
        self.mean.result()
    }

    fn reset_state(&self) -> Result<()> {
        self.mean.reset_state()
    }

    fn variables(&self) -> Vec<Variable> {
        self.mean.variables()
    }
}
