use keras_spec::{
    Builder, Call, Initializer, Layer, PartialShape, Result, Shared, Tensor, Weight, WeightSpec,
};
use serde::{Deserialize, Serialize};

use super::{element_shape, legacy_layer};
use crate::class::builders;
use crate::layers::common::one;
use crate::layers::defaults::{glorot_uniform, ones, zeros};

/// Three straight lines, of which the outer ones are learnt; the shape stays
/// (`keras.layers.advanced_activations.SReLU`, Keras 0.3 to 1.2.2).
///
/// With `l = t_left` and `r = t_left + |t_right|` it is `l + a_left · (x - l)` up to `l`, `x` from there to `r`, and
/// `r + a_right · (x - r)` behind it.
///
/// Weights: `t_left`, `a_left`, `t_right`, `a_right`, of the input's shape without the batch, and of length 1 along
/// `shared_axes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SReLU {
    t_left_initializer: Shared<dyn Initializer>,
    a_left_initializer: Shared<dyn Initializer>,
    t_right_initializer: Shared<dyn Initializer>,
    a_right_initializer: Shared<dyn Initializer>,
    shared_axes: Vec<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left_below_middle: bool,
    #[serde(skip)]
    t_left: Weight,
    #[serde(skip)]
    a_left: Weight,
    #[serde(skip)]
    t_right: Weight,
    #[serde(skip)]
    a_right: Weight,
}

legacy_layer!(SReLU);

impl Default for SReLU {
    fn default() -> Self {
        SReLU {
            t_left_initializer: zeros(),
            a_left_initializer: glorot_uniform(),
            t_right_initializer: glorot_uniform(),
            a_right_initializer: ones(),
            shared_axes: Vec::new(),
            left_below_middle: false,
            t_left: Weight::default(),
            a_left: Weight::default(),
            t_right: Weight::default(),
            a_right: Weight::default(),
        }
    }
}

impl SReLU {
    /// Lines of their own for each element of a sample.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// First values of the left end of the middle line. Default: `Zeros`.
        t_left_initializer: Shared<dyn Initializer>;
        /// First values of the left slope. Default: `GlorotUniform`.
        a_left_initializer: Shared<dyn Initializer>;
        /// First values of the length of the middle line. Default: `GlorotUniform`.
        t_right_initializer: Shared<dyn Initializer>;
        /// First values of the right slope. Default: `Ones`.
        a_right_initializer: Shared<dyn Initializer>;
        /// Axes along which one set of lines serves all places, counted from 1, the axis after the batch.
        shared_axes: Vec<usize>;
        /// Whether the left line goes no higher than the middle one, as on Theano. Default: no.
        left_below_middle = bool;
    }
}

impl Layer for SReLU {
    fn draw_seeds(&self) {
        self.t_left_initializer.draw_seed();
        self.a_left_initializer.draw_seed();
        self.t_right_initializer.draw_seed();
        self.a_right_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        one(inputs).map(drop)
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let shape = element_shape(builder, one(inputs)?, &self.shared_axes)?;
        let weights = [
            (&self.t_left, "t_left", &self.t_left_initializer),
            (&self.a_left, "a_left", &self.a_left_initializer),
            (&self.t_right, "t_right", &self.t_right_initializer),
            (&self.a_right, "a_right", &self.a_right_initializer),
        ];
        for (slot, name, initializer) in weights {
            let spec = WeightSpec::new(name, shape.as_slice()).initializer(initializer.clone())?;
            builder.weight(slot, spec)?;
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let left = self.t_left.value()?;
        let length = self.t_right.value()?.abs()?;
        let from_left = (x - &left)?;
        let below = ((-&from_left)?.relu()? * self.a_left.value()?)?;
        let middle = match self.left_below_middle {
            true => (from_left.relu()? - below)?.minimum(&length)?,
            false => (from_left.relu()?.minimum(&length)? - below)?,
        };
        let above = ((from_left - length)?.relu()? * self.a_right.value()?)?;
        Ok(vec![((left + middle)? + above)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
