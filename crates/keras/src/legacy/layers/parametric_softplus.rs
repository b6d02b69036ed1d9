use keras_spec::{Builder, Call, Layer, PartialShape, Result, Tensor, Weight, WeightSpec};
use serde::{Deserialize, Serialize};

use super::{element_shape, legacy_layer};
use crate::class::builders;
use crate::initializers::Constant;
use crate::layers::common::one;

/// `alpha · ln(1 + e^(beta · x))` with an `alpha` and a `beta` that are learnt; the shape stays
/// (`keras.layers.advanced_activations.ParametricSoftplus`, Keras 0.3 to 1.2.2).
///
/// Weights: `alphas` and `betas`, of the input's shape without the batch, and of length 1 along `shared_axes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParametricSoftplus {
    alpha_init: f64,
    beta_init: f64,
    shared_axes: Vec<usize>,
    #[serde(skip)]
    alphas: Weight,
    #[serde(skip)]
    betas: Weight,
}

legacy_layer!(ParametricSoftplus);

impl Default for ParametricSoftplus {
    fn default() -> Self {
        ParametricSoftplus {
            alpha_init: 0.2,
            beta_init: 5.0,
            shared_axes: Vec::new(),
            alphas: Weight::default(),
            betas: Weight::default(),
        }
    }
}

impl ParametricSoftplus {
    /// A factor within and one before for each element of a sample, at first 5 and 0.2.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The first value of the factor before the logarithm.
        alpha_init: f64;
        /// The first value of the factor of `x`.
        beta_init: f64;
        /// Axes along which one factor serves all places, counted from 1, the axis after the batch.
        shared_axes: Vec<usize>;
    }
}

impl Layer for ParametricSoftplus {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let shape = element_shape(builder, one(inputs)?, &self.shared_axes)?;
        for (slot, name, first) in
            [(&self.alphas, "alphas", self.alpha_init), (&self.betas, "betas", self.beta_init)]
        {
            let spec = WeightSpec::new(name, shape.as_slice()).initializer(Constant::new(first))?;
            builder.weight(slot, spec)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let inner = (one(inputs)? * self.betas.value()?)?;
        Ok(vec![(inner.softplus()? * self.alphas.value()?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
