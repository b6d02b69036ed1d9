//! Muon: momenta of matrices made orthogonal.

use keras_spec::{Error, Fused, Result, Tensor, Variable};
use serde::{Deserialize, Serialize};

use super::base::{self, Base, LearningRate, Rule, Slot, Step, all, in_precision};
use super::declare::optimizer;
use super::rules::alpha;
use crate::Number;
use crate::class::builders;
use crate::flattened::flattened;

/// Moves matrices along their momenta made orthogonal, and everything else as AdamW does; the learning rate is 0.001 and the
/// weight decay 0.004 unless given (`keras.optimizers.Muon`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Muon {
    #[serde(flatten, deserialize_with = "flattened")]
    base: Base,
    adam_beta_1: f64,
    adam_beta_2: f64,
    epsilon: f64,
    exclude_layers: Vec<String>,
    muon_a: f64,
    muon_b: f64,
    muon_c: f64,
    adam_lr_ratio: Number,
    momentum: f64,
    ns_steps: u64,
    nesterov: bool,
    exclude_embeddings: bool,
    adam_weight_decay: Option<f64>,
    rms_rate: Option<f64>,
}

optimizer!(Muon, ["muon"]);

impl Default for Muon {
    fn default() -> Self {
        Muon {
            base: Base { weight_decay: Some(0.004), ..Base::default() },
            adam_beta_1: 0.9,
            adam_beta_2: 0.999,
            epsilon: 1e-7,
            exclude_layers: Vec::new(),
            muon_a: 3.4445,
            muon_b: -4.775,
            muon_c: 2.0315,
            adam_lr_ratio: 1.into(),
            momentum: 0.95,
            ns_steps: 5,
            nesterov: true,
            exclude_embeddings: true,
            adam_weight_decay: Some(0.004),
            rms_rate: Some(0.2),
        }
    }
}

impl Muon {
    builders! {
        /// Adam's decay of the running mean of gradients. Default: 0.9.
        adam_beta_1: f64;
        /// Adam's decay of the running mean of squared gradients. Default: 0.999.
        adam_beta_2: f64;
        /// What Adam adds to the root of the second moment. Default: 1e-7.
        epsilon: f64;
        /// The first coefficient of the iteration that makes a matrix orthogonal. Default: 3.4445.
        muon_a: f64;
        /// The second coefficient. Default: -4.775.
        muon_b: f64;
        /// The third coefficient. Default: 2.0315.
        muon_c: f64;
        /// Adam's learning rate in units of Muon's. Default: 1.
        adam_lr_ratio: Number;
        /// How much of the momentum of matrices is kept. Default: 0.95.
        momentum: f64;
        /// How often the iteration is repeated. Default: 5.
        ns_steps = u64;
        /// Whether the gradient is taken where the momentum leads. Default: yes.
        nesterov: bool;
        /// Whether Adam takes variables with "embedding" in their path. Default: yes.
        exclude_embeddings: bool;
        /// The weight decay of what Adam takes; `None` for none. Default: 0.004.
        adam_weight_decay: Option<f64>;
        /// Steps are scaled by this and the root of the longer side; `None` not to scale. Default: 0.2.
        rms_rate: Option<f64>;
    }

    /// Adam takes variables whose path has one of these parts. Keras takes regular expressions, here they are plain text:
    /// characters with a meaning in regular expressions are refused.
    #[must_use]
    pub fn exclude_layers(mut self, parts: &[&str]) -> Self {
        self.exclude_layers = parts.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    fn is_adams(&self, variable: &Variable) -> bool {
        let path = variable.path();
        variable.shape().len() != 2
            || self.exclude_embeddings && path.to_lowercase().contains("embedding")
            || self.exclude_layers.iter().any(|part| path.contains(part.as_str()))
    }

    /// A matrix with all singular values near 1, by Newton's and Schulz's iteration.
    fn orthogonal(&self, x: &Tensor) -> Result<Tensor> {
        let tall = x.shape()[0] > x.shape()[1];
        let x = if tall { x.swap_axes(0, 1)? } else { x.clone() };
        let norm = x.square()?.sum(&[], true)?.sqrt()?;
        let mut x = (x / (norm + 1e-7)?)?;
        for _ in 0..self.ns_steps {
            let a = x.matmul(&x.swap_axes(0, 1)?)?;
            let b = ((&a * self.muon_b)? + (&a * self.muon_c)?.matmul(&a)?)?;
            x = ((&x * self.muon_a)? + b.matmul(&x)?)?;
        }
        if tall { x.swap_axes(0, 1) } else { Ok(x) }
    }
}

type Update = Result<(Tensor, Vec<Tensor>)>;

impl Rule for Muon {
    const CLASS_NAME: &'static str = "Muon";

    fn base(&self) -> &Base {
        &self.base
    }

    fn validate(&self) -> Result<()> {
        self.base.validate()?;
        let special = |c: char| r"\^$.|?*+()[]{}".contains(c);
        match self.exclude_layers.iter().find(|part| part.contains(special)) {
            Some(part) => Err(Error::argument("exclude_layers", "plain text", format!("{part:?}"))),
            None => Ok(()),
        }
    }

    fn weight_decay(&self, variable: &Variable) -> Option<f64> {
        if self.is_adams(variable) { self.adam_weight_decay } else { self.base.weight_decay }
    }

    fn slots(&self, variable: &Variable) -> Result<Vec<Vec<Slot>>> {
        let names: &[&str] = if self.is_adams(variable) { &["momentum", "velocity"] } else { &["momentum"] };
        Ok(vec![Slot::zeros(variable, names)?])
    }

    fn fused(&self, step: Step, variable: &Variable) -> Option<Fused> {
        let (beta_1, beta_2, dtype) = (self.adam_beta_1, self.adam_beta_2, variable.dtype());
        let rate = in_precision(dtype, f64::from(step.learning_rate) * self.adam_lr_ratio.value());
        self.is_adams(variable).then(|| Fused::Adam {
            alpha: alpha(rate, [beta_1, beta_2], step, dtype),
            beta_1,
            beta_2,
            epsilon: self.epsilon,
            amsgrad: false,
            decay: step.decay,
        })
    }

    fn update(&self, step: Step, variable: Tensor, gradient: Tensor, slots: Vec<Tensor>) -> Update {
        let [m] = all(slots)?;
        let m = (&m + (&gradient + (&m * (self.momentum - 1.0))?)?)?;
        let ahead = if self.nesterov { (gradient + (&m * self.momentum)?)? } else { m.clone() };
        let mut change = (self.orthogonal(&ahead)? * f64::from(step.learning_rate))?;
        if let Some(rate) = self.rms_rate {
            let longer = variable.shape().iter().copied().max().unwrap_or(0);
            change = ((change * (longer as f64).sqrt())? * rate)?;
        }
        Ok(((variable - change)?, vec![m]))
    }
}
