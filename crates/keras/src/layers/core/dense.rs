use keras_spec::{
    Activ, Builder, Call, Config, Constraint, Fused, Initializer, Layer, LayerRef, Op, PartialShape,
    Regularizer, Result, Shared, Tensor, Variable, result_type,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::activations::Activation;
use crate::class::builders;
use crate::flattened::flattened;
use crate::layers::common::{axis_length, input_of_min_rank, keras_layer, no_quantization, one, positive};
use crate::layers::defaults::yes;
use crate::layers::parameters::{Bias, Kernel, Lora};

/// `activation(x · kernel + bias)` over the last axis: `(batch, …, features)` → `(batch, …, units)`
/// (`keras.layers.Dense`, Keras 3.15.1).
///
/// Weights: `kernel` `(features, units)`, `bias` `(units,)`; with `lora_rank` also `lora_kernel_a` `(features, rank)` and
/// `lora_kernel_b` `(rank, units)`, of which the product is added to the kernel, and the kernel itself is frozen.
///
/// ```
/// use keras::activations::Activation;
/// use keras::layers::Dense;
/// use keras::regularizers::L2;
///
/// let layer = Dense::new(64).activation(Activation::Relu).kernel_regularizer(L2::new(1e-4));
/// # let _ = layer;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    units: usize,
    #[serde(default)]
    activation: Activation,
    #[serde(default = "yes")]
    use_bias: bool,
    #[serde(flatten, deserialize_with = "flattened")]
    kernel: Kernel,
    #[serde(flatten, deserialize_with = "flattened")]
    bias: Bias,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(flatten, deserialize_with = "flattened")]
    lora: Lora,
}

keras_layer!(Dense, check validate);

impl Dense {
    /// A layer of `units` outputs per sample, with bias and without activation.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel: Kernel::default(),
            bias: Bias::default(),
            quantization_config: None,
            lora: Lora::default(),
        }
    }

    builders! {
        /// Applied last. Default: none.
        activation: Activation;
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
        /// Trains a product of two matrices of this rank instead of the kernel.
        some lora_rank in lora = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Keras 3.15.1 replaces it by the rank when the
        /// layer is built, and so does this.
        some lora_alpha in lora: f64;
    }

    fn validate(&self) -> Result<()> {
        positive("units", self.units)?;
        self.lora.validate("kernel_constraint", self.kernel.kernel_constraint.as_ref())?;
        no_quantization(self.quantization_config.as_ref())
    }
}

impl Layer for Dense {
    fn draw_seeds(&self) {
        self.kernel.draw_seed();
        self.bias.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_min_rank(inputs, 2)?;
        match self.kernel.weight.get() {
            Some(kernel) => axis_length(input, -1, kernel.shape()[0]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(one(inputs)?, -1)?;
        self.kernel.build(builder, "kernel", [features, self.units])?;
        if self.use_bias {
            self.bias.build(builder, "bias", [self.units])?;
        }
        let Kernel { weight, kernel_regularizer, .. } = &self.kernel;
        self.lora.build(builder, "kernel", weight, kernel_regularizer.as_ref())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let kernel = self.lora.merged(self.kernel.weight.value()?, 1.0, call.compute_dtype())?;
        let x = one(inputs)?;
        let dtype = result_type(&[x.dtype().into(), kernel.dtype().into()]);
        let (x, kernel) = (x.cast(dtype)?, kernel.into_dtype(dtype)?);
        let Some(bias) = self.bias.weight.optional()? else {
            // The leading axes as one: a single matrix product instead of many.
            let mut shape = x.shape().clone();
            let features = shape.remove(x.rank() - 1);
            let rows = x.reshape([shape.size(), features])?;
            shape.push(self.units);
            return Ok(vec![self.activation.call(&rows.matmul(&kernel)?.reshape(shape)?)?]);
        };
        let fused = self.activation.fused();
        let activation = fused.unwrap_or(Activ::Linear);
        let op = Op::Fused(Fused::Dense { activation });
        let y = Tensor::apply1(op, [x, kernel, bias.into_dtype(dtype)?])?;
        Ok(vec![if fused.is_some() { y } else { self.activation.call(&y)? }])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn saved_weights(&self, own: &[Variable]) -> Result<Option<Vec<(Variable, Tensor)>>> {
        self.lora.saved(own, 1.0)
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        if let Some(rank) = self.lora.lora_rank {
            let alpha = if layer.is_built() { None } else { self.lora.lora_alpha };
            config.insert("lora_alpha".to_owned(), alpha.map_or_else(|| rank.into(), Value::from));
        }
    }
}
