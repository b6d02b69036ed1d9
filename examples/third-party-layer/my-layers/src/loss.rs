use keras_spec::{Class, Loss, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The loss of quantile regression: `mean(max(q · e, (q − 1) · e))` over the last axis, with `e = y_true − y_pred`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pinball {
    quantile: f64,
}

keras_spec::class!(dyn Loss, Class::of("my_layers", "Pinball"), Pinball);

impl Pinball {
    /// The loss that leads to this quantile, between 0 and 1.
    pub fn new(quantile: f64) -> Self {
        Pinball { quantile }
    }
}

impl Loss for Pinball {
    fn name(&self) -> String {
        "pinball".to_owned()
    }

    fn call(&self, y_true: &Tensor, y_pred: &Tensor) -> Result<Tensor> {
        let error = (y_true - y_pred)?;
        (&error * self.quantile)?.maximum(&(&error * (self.quantile - 1.0))?)?.mean(&[-1], false)
    }
}
