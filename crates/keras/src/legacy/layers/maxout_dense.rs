use keras_spec::{
    Builder, Call, Constraint, Initializer, Layer, PartialShape, Regularizer, Result, Shared, Tensor,
};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{axis_length, input_of_rank, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, Kernel};

/// The greatest of `nb_feature` dense layers: `(batch, features)` → `(batch, units)` (`keras.layers.MaxoutDense`, Keras 0.3
/// to 2.3.1).
///
/// Weights: `kernel` `(nb_feature, features, units)`, `bias` `(nb_feature, units)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxoutDense {
    units: usize,
    #[serde(default = "four")]
    nb_feature: usize,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
}

legacy_layer!(MaxoutDense, check validate);

fn four() -> usize {
    4
}

impl MaxoutDense {
    /// `units` outputs per sample, each the greatest of four.
    pub fn new(units: usize) -> Self {
        let (kernel, bias) = Default::default();
        MaxoutDense { units, nb_feature: four(), use_bias: true, kernel, bias }
    }

    builders! {
        /// Of how many values each output is the greatest. Default: 4.
        nb_feature = usize;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        kernel_initializer in kernel: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer in bias: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some kernel_regularizer in kernel: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer in bias: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some kernel_constraint in kernel: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint in bias: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        positive("units", self.units)?;
        positive("nb_feature", self.nb_feature)
    }
}

impl Layer for MaxoutDense {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, 2)?;
        match self.kernel.weight.get() {
            Some(kernel) => axis_length(input, -1, kernel.shape()[1]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(one(inputs)?, -1)?;
        self.kernel.build(builder, "kernel", [self.nb_feature, features, self.units])?;
        if self.use_bias {
            self.bias.build(builder, "bias", [self.nb_feature, self.units])?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let kernel = self.kernel.weight.value()?;
        let mut all = x.expand_dims(0)?.matmul(&kernel)?;
        if let Some(bias) = self.bias.weight.optional()? {
            all = (all + bias.expand_dims(1)?)?;
        }
        Ok(vec![all.max(&[0], false)?])
    }
}
