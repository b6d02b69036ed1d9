use keras_spec::{
    Builder, Call, Config, Constraint, Error, Fused, Initializer, Layer, LayerRef, Op, PartialShape,
    Regularizer, Result, Shape, Shared, Tensor, Weight,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{uncast, weight_or, widened};
use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::{axis_length, keras_layer, one, weight_spec};
use crate::layers::defaults::{ones, yes, zeros};

/// Each sample with mean 0 and variance 1 over one or several axes, then scaled by `gamma` and moved by `beta`; the shape
/// stays (`keras.layers.LayerNormalization`, Keras 3.15.1).
///
/// Weights: `gamma` and `beta`, of the lengths of the axes. Computes in float32 at least.
///
/// ```
/// use keras::layers::LayerNormalization;
///
/// let over_features = LayerNormalization::new().epsilon(1e-6);
/// let over_all_but_the_batch = LayerNormalization::new().axis([1, 2, 3]);
/// # let _ = (over_features, over_all_but_the_batch);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerNormalization {
    axis: Axes,
    epsilon: f64,
    center: bool,
    scale: bool,
    rms_scaling: bool,
    beta_initializer: Shared<dyn Initializer>,
    gamma_initializer: Shared<dyn Initializer>,
    beta_regularizer: Option<Shared<dyn Regularizer>>,
    gamma_regularizer: Option<Shared<dyn Regularizer>>,
    beta_constraint: Option<Shared<dyn Constraint>>,
    gamma_constraint: Option<Shared<dyn Constraint>>,
    #[serde(skip)]
    gamma: Weight,
    #[serde(skip)]
    beta: Weight,
}

keras_layer!(LayerNormalization, check validate);

impl Default for LayerNormalization {
    fn default() -> Self {
        LayerNormalization {
            axis: Axes::One(-1),
            epsilon: 1e-3,
            center: yes(),
            scale: yes(),
            rms_scaling: false,
            beta_initializer: zeros(),
            gamma_initializer: ones(),
            beta_regularizer: None,
            gamma_regularizer: None,
            beta_constraint: None,
            gamma_constraint: None,
            gamma: Weight::default(),
            beta: Weight::default(),
        }
    }
}

impl LayerNormalization {
    /// Over the last axis, with scale and offset.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// The axis, or axes, to normalise over. Default: the last.
        axis: Axes;
        /// Added to the variance. Default: 0.001.
        epsilon: f64;
        /// Whether there is an offset `beta`. Default: yes.
        center = bool;
        /// Whether there is a factor `gamma`. Default: yes.
        scale = bool;
        /// Divides by the root of the variance without taking the mean away, which Keras keeps for old models only; there is a
        /// factor then, and no offset. Default: no.
        rms_scaling = bool;
        /// First values of `beta`. Default: `Zeros`.
        beta_initializer: Shared<dyn Initializer>;
        /// First values of `gamma`. Default: `Ones`.
        gamma_initializer: Shared<dyn Initializer>;
        /// A penalty on `beta`.
        some beta_regularizer: Shared<dyn Regularizer>;
        /// A penalty on `gamma`.
        some gamma_regularizer: Shared<dyn Regularizer>;
        /// Where `beta` is moved after each step.
        some beta_constraint: Shared<dyn Constraint>;
        /// Where `gamma` is moved after each step.
        some gamma_constraint: Shared<dyn Constraint>;
    }

    fn validate(&self) -> Result<()> {
        if self.axis.as_slice().is_empty() {
            return Err(Error::argument("axis", "at least one axis", "none"));
        }
        Ok(())
    }

    /// The axes in the order of the weights' axes: as numbers, the negative ones first.
    fn sorted(&self) -> Vec<isize> {
        let mut axes = self.axis.as_slice().to_vec();
        axes.sort_unstable();
        axes
    }

    /// The axes from the front, each once.
    fn places(&self, input: &PartialShape) -> Result<Vec<usize>> {
        let mut places = self.sorted().iter().map(|&a| input.axis(a)).collect::<Result<Vec<_>>>()?;
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::argument("axis", "different axes", format!("{:?}", self.axis.as_slice())));
        }
        Ok(places)
    }
}

impl Layer for LayerNormalization {
    fn draw_seeds(&self) {
        self.beta_initializer.draw_seed();
        self.gamma_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = one(inputs)?;
        self.places(input)?;
        let Some(weight) = self.gamma.get().or(self.beta.get()) else { return Ok(()) };
        let lengths = weight.shape().iter();
        self.sorted().iter().zip(lengths).try_for_each(|(&axis, &length)| axis_length(input, axis, length))
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        let lengths = self.sorted().into_iter().map(|axis| builder.known_dim(input, axis));
        let shape: Vec<usize> = lengths.collect::<Result<_>>()?;
        if self.scale || self.rms_scaling {
            let (regularizer, constraint) = (self.gamma_regularizer.as_ref(), self.gamma_constraint.as_ref());
            let gamma = weight_spec("gamma", &shape, &self.gamma_initializer, regularizer, constraint)?;
            builder.weight(&self.gamma, gamma)?;
        }
        if self.center && !self.rms_scaling {
            let (regularizer, constraint) = (self.beta_regularizer.as_ref(), self.beta_constraint.as_ref());
            let beta = weight_spec("beta", &shape, &self.beta_initializer, regularizer, constraint)?;
            builder.weight(&self.beta, beta)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], call: &Call) -> Result<Vec<Tensor>> {
        let input = one(inputs)?;
        let x = input.cast(widened(input.dtype()))?;
        let places = self.places(&x.shape().into())?;
        let features: Shape = places.iter().map(|&axis| x.shape()[axis]).collect();
        let rows = x.rank() - places.len();
        let mut order: Vec<usize> = (0..x.rank()).filter(|axis| !places.contains(axis)).collect();
        order.extend(&places);
        let gamma = weight_or(uncast(&self.gamma, x.dtype())?, &features, 1.0, &x)?;
        let x = x.permute(&order)?;
        let y = if self.rms_scaling {
            let axes: Vec<isize> = (rows..x.rank()).map(|axis| axis as isize).collect();
            let rstd = (x.variance(&axes, true)? + self.epsilon)?.rsqrt()?;
            ((x * rstd)? * gamma)?
        } else {
            let beta = weight_or(uncast(&self.beta, x.dtype())?, &features, 0.0, &x)?;
            let op = Fused::LayerNorm { features: places.len(), epsilon: self.epsilon };
            let mut results = Tensor::apply(Op::Fused(op), [x, gamma, beta])?;
            results.swap_remove(0)
        };
        let mut back = vec![0; order.len()];
        for (now, &before) in order.iter().enumerate() {
            back[before] = now;
        }
        // Integers come back as integers, rounded towards zero, as in Keras.
        let y = y.permute(&back)?.into_dtype(input.dtype())?;
        Ok(vec![y.into_dtype(call.compute_dtype())?])
    }

    /// Inputs are not rounded to the compute dtype.
    fn autocast(&self) -> bool {
        false
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn adjust_config(&self, layer: &LayerRef, config: &mut Config) {
        if layer.is_built() {
            config.insert("axis".to_owned(), json!(self.sorted()));
        }
    }
}
