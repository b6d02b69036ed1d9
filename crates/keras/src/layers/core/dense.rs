use keras_spec::{
    Builder, Call, Config, Constraint, Error, Fused, Initializer, Layer, LayerRef, Op, PartialShape,
    Regularizer, Result, Shared, Tensor, Weight, WeightSpec, result_type,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::activations::Activation;
use crate::class::builders;
use crate::initializers::{HeUniform, Zeros};
use crate::layers::common::{
    axis_length, input_of_min_rank, keras_layer, no_quantization, one, positive, weight_spec,
};
use crate::layers::defaults::{glorot_uniform, yes, zeros};

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
    #[serde(default = "glorot_uniform")]
    kernel_initializer: Shared<dyn Initializer>,
    #[serde(default = "zeros")]
    bias_initializer: Shared<dyn Initializer>,
    #[serde(default)]
    kernel_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    bias_regularizer: Option<Shared<dyn Regularizer>>,
    #[serde(default)]
    kernel_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    bias_constraint: Option<Shared<dyn Constraint>>,
    #[serde(default)]
    quantization_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lora_alpha: Option<f64>,
    #[serde(skip)]
    kernel: Weight,
    #[serde(skip)]
    bias: Weight,
    #[serde(skip)]
    lora_kernel_a: Weight,
    #[serde(skip)]
    lora_kernel_b: Weight,
}

keras_layer!(Dense, check validate);

impl Dense {
    /// A layer of `units` outputs per sample, with bias and without activation.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: glorot_uniform(),
            bias_initializer: zeros(),
            kernel_regularizer: None,
            bias_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            quantization_config: None,
            lora_rank: None,
            lora_alpha: None,
            kernel: Weight::default(),
            bias: Weight::default(),
            lora_kernel_a: Weight::default(),
            lora_kernel_b: Weight::default(),
        }
    }

    builders! {
        /// Applied last. Default: none.
        activation: Activation;
        /// Whether there is a bias. Default: yes.
        use_bias = bool;
        /// First values of the kernel. Default: `GlorotUniform`.
        kernel_initializer: Shared<dyn Initializer>;
        /// First values of the bias. Default: `Zeros`.
        bias_initializer: Shared<dyn Initializer>;
        /// A penalty on the kernel.
        some kernel_regularizer: Shared<dyn Regularizer>;
        /// A penalty on the bias.
        some bias_regularizer: Shared<dyn Regularizer>;
        /// Where the kernel is moved after each step.
        some kernel_constraint: Shared<dyn Constraint>;
        /// Where the bias is moved after each step.
        some bias_constraint: Shared<dyn Constraint>;
        /// Trains a product of two matrices of this rank instead of the kernel.
        some lora_rank = usize;
        /// The numerator of the product's scale `lora_alpha / lora_rank`. Keras 3.15.1 replaces it by the rank when the
        /// layer is built, and so does this.
        some lora_alpha: f64;
    }

    fn validate(&self) -> Result<()> {
        positive("units", self.units)?;
        if let Some(rank) = self.lora_rank {
            positive("lora_rank", rank)?;
            if self.kernel_constraint.is_some() {
                let found = "both `lora_rank` and `kernel_constraint`";
                return Err(Error::argument("kernel_constraint", "none beside `lora_rank`", found));
            }
        }
        no_quantization(self.quantization_config.as_ref())
    }

    fn effective_kernel(&self, call: &Call) -> Result<Tensor> {
        let kernel = self.kernel.value()?;
        let (Some(a), Some(b)) = (self.lora_kernel_a.optional()?, self.lora_kernel_b.optional()?) else {
            return Ok(kernel);
        };
        (kernel + a.matmul(&b)?)?.into_dtype(call.compute_dtype())
    }
}

impl Layer for Dense {
    fn draw_seeds(&self) {
        self.kernel_initializer.draw_seed();
        self.bias_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_min_rank(inputs, 2)?;
        match self.kernel.get() {
            Some(kernel) => axis_length(input, -1, kernel.shape()[0]),
            None => Ok(()),
        }
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(one(inputs)?, -1)?;
        let regularizer = self.kernel_regularizer.as_ref();
        let kernel = weight_spec(
            "kernel",
            [features, self.units],
            &self.kernel_initializer,
            regularizer,
            self.kernel_constraint.as_ref(),
        )?;
        builder.weight(&self.kernel, kernel)?;
        if self.use_bias {
            let bias = weight_spec(
                "bias",
                [self.units],
                &self.bias_initializer,
                self.bias_regularizer.as_ref(),
                self.bias_constraint.as_ref(),
            )?;
            builder.weight(&self.bias, bias)?;
        }
        if let Some(rank) = self.lora_rank {
            let lora = |name: &str, shape: [usize; 2]| {
                WeightSpec::new(name, shape).dtype(keras_spec::DType::F32).regularizer(regularizer)
            };
            let a = lora("lora_kernel_a", [features, rank]).initializer(HeUniform::new())?;
            builder.weight(&self.lora_kernel_a, a)?;
            let b = lora("lora_kernel_b", [rank, self.units]).initializer(Zeros::new())?;
            builder.weight(&self.lora_kernel_b, b)?;
            self.kernel.variable()?.set_trainable(false);
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let kernel = self.effective_kernel(call)?;
        let x = one(inputs)?;
        let dtype = result_type(&[x.dtype().into(), kernel.dtype().into()]);
        let (x, kernel) = (x.cast(dtype)?, kernel.into_dtype(dtype)?);
        let Some(bias) = self.bias.optional()? else {
            // The leading axes as one: a single matrix product instead of many.
            let mut shape = x.shape().clone();
            let features = shape.remove(x.rank() - 1);
            let rows = x.reshape([shape.size(), features])?;
            shape.push(self.units);
            return Ok(vec![self.activation.call(&rows.matmul(&kernel)?.reshape(shape)?)?]);
        };
        let fused = self.activation.fused();
        let activation = fused.unwrap_or(keras_spec::Activ::Linear);
        let op = Op::Fused(Fused::Dense { activation });
        let y = Tensor::apply1(op, [x, kernel, bias.into_dtype(dtype)?])?;
        Ok(vec![if fused.is_some() { y } else { self.activation.call(&y)? }])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        if let Some(rank) = self.lora_rank {
            let alpha = if layer.is_built() { None } else { self.lora_alpha };
            config.insert("lora_alpha".to_owned(), alpha.map_or_else(|| rank.into(), Value::from));
        }
    }
}
