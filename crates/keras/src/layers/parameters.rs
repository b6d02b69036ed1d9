//! Weights together with the arguments that Keras names after them (`kernel_initializer`, …), as parts of layers.
//!
//! Layers hold them with `#[serde(flatten)]` (see [`crate::flattened`]): in files their arguments stand among the layer's own.

use keras_spec::{
    Builder, Constraint, DType, Error, Initializer, Regularizer, Result, Shape, Shared, Tensor, Variable,
    Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};

use super::common::{positive, weight_spec};
use super::defaults::{glorot_uniform, ones, random_uniform, zeros};
use crate::initializers::{HeUniform, Zeros};

macro_rules! parameter {
    ($(#[$doc:meta])* $Parameter:ident: $initializer:ident = $default:ident, $regularizer:ident, $constraint:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct $Parameter {
            pub(crate) $initializer: Shared<dyn Initializer>,
            pub(crate) $regularizer: Option<Shared<dyn Regularizer>>,
            pub(crate) $constraint: Option<Shared<dyn Constraint>>,
            #[serde(skip)]
            pub(crate) weight: Weight,
        }

        impl Default for $Parameter {
            fn default() -> Self {
                $Parameter {
                    $initializer: $default(),
                    $regularizer: None,
                    $constraint: None,
                    weight: Weight::default(),
                }
            }
        }

        impl $Parameter {
            pub(crate) fn draw_seed(&self) {
                self.$initializer.draw_seed();
            }

            pub(crate) fn build(&self, builder: &mut Builder, name: &str, shape: impl Into<Shape>) -> Result<()> {
                let (regularizer, constraint) = (self.$regularizer.as_ref(), self.$constraint.as_ref());
                builder.weight(&self.weight, weight_spec(name, shape, &self.$initializer, regularizer, constraint)?)
            }
        }
    };
}

parameter! {
    /// `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`.
    Kernel: kernel_initializer = glorot_uniform, kernel_regularizer, kernel_constraint
}
parameter! {
    /// `depthwise_initializer`, `depthwise_regularizer`, `depthwise_constraint`.
    DepthwiseKernel: depthwise_initializer = glorot_uniform, depthwise_regularizer, depthwise_constraint
}
parameter! {
    /// `pointwise_initializer`, `pointwise_regularizer`, `pointwise_constraint`.
    PointwiseKernel: pointwise_initializer = glorot_uniform, pointwise_regularizer, pointwise_constraint
}
parameter! {
    /// `bias_initializer`, `bias_regularizer`, `bias_constraint`.
    Bias: bias_initializer = zeros, bias_regularizer, bias_constraint
}
parameter! {
    /// `gamma_initializer`, `gamma_regularizer`, `gamma_constraint`.
    Gamma: gamma_initializer = ones, gamma_regularizer, gamma_constraint
}
parameter! {
    /// `beta_initializer`, `beta_regularizer`, `beta_constraint`.
    Beta: beta_initializer = zeros, beta_regularizer, beta_constraint
}
parameter! {
    /// `embeddings_initializer`, `embeddings_regularizer`, `embeddings_constraint`.
    Table: embeddings_initializer = random_uniform, embeddings_regularizer, embeddings_constraint
}

/// `lora_rank` and `lora_alpha`: a product of two small matrices that is trained in the place of a weight and added to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lora {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lora_rank: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lora_alpha: Option<f64>,
    #[serde(skip)]
    a: Weight,
    #[serde(skip)]
    b: Weight,
}

impl Lora {
    /// Refuses a rank of zero, and the `constraint` called `argument` of the weight that would be frozen.
    pub(crate) fn validate(&self, argument: &str, constraint: Option<&Shared<dyn Constraint>>) -> Result<()> {
        let Some(rank) = self.lora_rank else { return Ok(()) };
        positive("lora_rank", rank)?;
        match constraint {
            None => Ok(()),
            Some(_) => {
                let found = format!("both `lora_rank` and `{argument}`");
                Err(Error::argument(argument, "none beside `lora_rank`", found))
            }
        }
    }

    /// Creates `lora_{name}_a` and `lora_{name}_b` for a weight called `name`, which is frozen.
    pub(crate) fn build(
        &self,
        builder: &mut Builder,
        name: &str,
        weight: &Weight,
        regularizer: Option<&Shared<dyn Regularizer>>,
    ) -> Result<()> {
        let Some(rank) = self.lora_rank else { return Ok(()) };
        let weight = weight.variable()?;
        let mut a_shape = weight.shape().clone();
        let last = a_shape.remove(a_shape.rank() - 1);
        a_shape.push(rank);
        let spec = |half: &str, shape: Shape| {
            WeightSpec::new(&format!("lora_{name}_{half}"), shape).dtype(DType::F32).regularizer(regularizer)
        };
        builder.weight(&self.a, spec("a", a_shape).initializer(HeUniform::new())?)?;
        builder.weight(&self.b, spec("b", [rank, last].into()).initializer(Zeros::new())?)?;
        weight.set_trainable(false);
        Ok(())
    }

    /// The weight with `scale` times the product added, in `dtype`; as it is where there is no `lora_rank`.
    pub(crate) fn merged(&self, weight: Tensor, scale: f64, dtype: DType) -> Result<Tensor> {
        match (self.a.optional()?, self.b.optional()?) {
            (Some(a), Some(b)) => (weight + (a.matmul(&b)? * scale)?)?.into_dtype(dtype),
            _ => Ok(weight),
        }
    }

    /// What files have in the place of `own` weights: the first merged, and not those made here.
    pub(crate) fn saved(&self, own: &[Variable], scale: f64) -> Result<Option<Vec<(Variable, Tensor)>>> {
        let (Some(a), Some(b), Some((first, others))) = (self.a.get(), self.b.get(), own.split_first())
        else {
            return Ok(None);
        };
        let value = first.get();
        let dtype = value.dtype();
        let mut saved = vec![(first.clone(), self.merged(value, scale, dtype)?)];
        let kept = others.iter().filter(|v| !Variable::same(v, a) && !Variable::same(v, b));
        saved.extend(kept.map(|v| (v.clone(), v.get())));
        Ok(Some(saved))
    }
}
