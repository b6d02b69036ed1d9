use keras::optimizers::{LearningRate, SGD};
use keras_spec::{Class, Optimizer, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

/// Steps of one size, in the direction of each gradient's sign (Riedmiller and Braun, 1993, without adaptive steps).
#[derive(Debug, Serialize, Deserialize)]
pub struct SignSgd {
    /// Makes the steps; brings the arguments that all optimizers have, and momentum.
    #[serde(flatten)]
    sgd: SGD,
}

keras_spec::class!(dyn Optimizer, Class::of("my_layers", "SignSgd"), SignSgd);

impl SignSgd {
    /// With this learning rate, a number or a schedule.
    pub fn new(learning_rate: impl Into<LearningRate>) -> Self {
        SignSgd { sgd: SGD::new(learning_rate).name("sign_sgd") }
    }
}

impl Optimizer for SignSgd {
    fn apply(&self, gradients: &[Option<Tensor>], variables: &[Variable]) -> Result<()> {
        let sign = |g: &Option<Tensor>| g.as_ref().map(Tensor::sign).transpose();
        let signs = gradients.iter().map(sign).collect::<Result<Vec<_>>>()?;
        self.sgd.apply(&signs, variables)
    }

    fn name(&self) -> String {
        Optimizer::name(&self.sgd)
    }

    fn build(&self, variables: &[Variable]) -> Result<()> {
        self.sgd.build(variables)
    }

    fn variables(&self) -> Vec<Variable> {
        self.sgd.variables()
    }

    fn iterations(&self) -> u64 {
        self.sgd.iterations()
    }

    fn learning_rate(&self) -> f32 {
        self.sgd.learning_rate()
    }

    fn set_learning_rate(&self, rate: f32) -> Result<()> {
        self.sgd.set_learning_rate(rate)
    }

    fn loss_scale(&self) -> Option<f32> {
        self.sgd.loss_scale()
    }

    fn finalize(&self, variables: &[Variable]) -> Result<()> {
        self.sgd.finalize(variables)
    }
}
