use keras_spec::{
    Builder, Call, Constraint, Initializer, Layer, PartialShape, Regularizer, Result, Shared, Tensor, Weight,
};
use serde::{Deserialize, Serialize};

use super::legacy_layer;
use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{axis_length, input_of_rank, one, weight_spec};
use crate::layers::defaults::{ones, yes};
use crate::layers::parameters::{Bias, Kernel};

/// A dense layer whose output is mixed with its input, as much as a gate says: `(batch, features)` → `(batch, features)`
/// (`keras.layers.Highway`, Keras 0.3 to 2.3.1).
///
/// With `t = sigmoid(x · carry_kernel + carry_bias)` it is `t · activation(x · kernel + bias) + (1 - t) · x`.
///
/// Weights: `kernel` and `carry_kernel` `(features, features)`, `bias` and `carry_bias` `(features,)`. The second bias begins
/// as ones, as that of Keras 1.2 does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Highway {
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(skip)]
    carry_kernel: Weight,
    #[serde(skip)]
    carry_bias: Weight,
}

legacy_layer!(Highway);

impl Default for Highway {
    fn default() -> Self {
        Highway {
            activation: Activation::Linear,
            use_bias: true,
            kernel: Kernel::default(),
            bias: Bias::default(),
            carry_kernel: Weight::default(),
            carry_bias: Weight::default(),
        }
    }
}

impl Highway {
    /// As many outputs as inputs, with biases and without activation.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// Of the dense layer. Default: none.
        activation: Activation;
        /// Whether there are biases. Default: yes.
        use_bias = bool;
        /// First values of the kernels. Default: `GlorotUniform`.
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
}

impl Layer for Highway {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let input = input_of_rank(inputs, 2)?;
        match self.kernel.weight.get() {
            Some(kernel) => axis_length(input, -1, kernel.shape()[0]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(one(inputs)?, -1)?;
        let square = [features, features];
        self.kernel.build(builder, "kernel", square)?;
        let carry = weight_spec("carry_kernel", square, &self.kernel.kernel_initializer, None, None)?;
        builder.weight(&self.carry_kernel, carry)?;
        if self.use_bias {
            self.bias.build(builder, "bias", [features])?;
            builder.weight(&self.carry_bias, weight_spec("carry_bias", [features], &ones(), None, None)?)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let dense = |kernel: &Weight, bias: &Weight| {
            let y = x.matmul(&kernel.value()?)?;
            match bias.optional()? {
                Some(bias) => y + bias,
                None => Ok(y),
            }
        };
        let gate = dense(&self.carry_kernel, &self.carry_bias)?.sigmoid()?;
        let y = self.activation.call(&dense(&self.kernel.weight, &self.bias.weight)?)?;
        let carried = ((1.0 - &gate)? * x)?;
        Ok(vec![((y * gate)? + carried)?])
    }
}
