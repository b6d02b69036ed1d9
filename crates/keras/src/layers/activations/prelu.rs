use keras_spec::{
    Builder, Call, Constraint, Error, Initializer, Layer, PartialShape, Regularizer, Result, Shared, Tensor,
    Weight,
};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::constraints::Axes;
use crate::initializers::Zeros;
use crate::layers::common::{axis_length, input_of_rank, keras_layer, one, weight_spec};

/// `x` where it is positive, else `alpha · x` with an `alpha` that is learnt; the shape stays (`keras.layers.PReLU`,
/// Keras 3.15.1).
///
/// Weight: `alpha`, of the input's shape without the batch, and of length 1 along `shared_axes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PReLU {
    alpha_initializer: Shared<dyn Initializer>,
    alpha_regularizer: Option<Shared<dyn Regularizer>>,
    alpha_constraint: Option<Shared<dyn Constraint>>,
    #[serde(deserialize_with = "axes")]
    shared_axes: Option<Vec<isize>>,
    #[serde(skip)]
    alpha: Weight,
}

keras_layer!(PReLU);

fn axes<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Vec<isize>>, D::Error> {
    Ok(Option::<Axes>::deserialize(d)?.map(|a| a.as_slice().to_vec()))
}

impl Default for PReLU {
    fn default() -> Self {
        PReLU {
            alpha_initializer: Zeros::new().into(),
            alpha_regularizer: None,
            alpha_constraint: None,
            shared_axes: None,
            alpha: Weight::default(),
        }
    }
}

impl PReLU {
    /// An `alpha`, at first 0, for each feature at each place.
    pub fn new() -> Self {
        Self::default()
    }

    builders! {
        /// First values of `alpha`.
        alpha_initializer: Shared<dyn Initializer>;
        /// A penalty on `alpha`.
        some alpha_regularizer: Shared<dyn Regularizer>;
        /// Where `alpha` is moved after each step.
        some alpha_constraint: Shared<dyn Constraint>;
        /// Axes along which one `alpha` serves all places, counted from 1, the axis after the batch.
        some shared_axes: Vec<isize>;
    }

    fn shares(&self, axis: usize, rank: usize) -> bool {
        let axis = axis as isize;
        self.shared_axes.as_ref().is_some_and(|a| a.contains(&axis) || a.contains(&(axis - rank as isize)))
    }
}

impl Layer for PReLU {
    fn draw_seeds(&self) {
        self.alpha_initializer.draw_seed();
    }

    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let Some(alpha) = self.alpha.get() else { return one(inputs).map(drop) };
        let input = input_of_rank(inputs, alpha.shape().rank() + 1)?;
        for (i, &length) in alpha.shape().iter().enumerate() {
            if self.shared_axes.is_some() && !self.shares(i + 1, input.rank()) {
                axis_length(input, i as isize + 1, length)?;
            }
        }
        Ok(())
    }

    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let input = one(inputs)?;
        let rank = input.rank();
        for &axis in self.shared_axes.iter().flatten() {
            if !input.axis(axis).is_ok_and(|a| a > 0) {
                let expected = format!("axes in 1..{rank}, after the batch");
                return Err(Error::argument("shared_axes", expected, axis));
            }
        }
        let length = |axis: usize| match self.shares(axis, rank) {
            true => Ok(1),
            false => builder.known_dim(input, axis as isize),
        };
        let shape = (1..rank).map(length).collect::<Result<Vec<usize>>>()?;
        let (regularizer, constraint) = (self.alpha_regularizer.as_ref(), self.alpha_constraint.as_ref());
        let alpha = weight_spec("alpha", shape, &self.alpha_initializer, regularizer, constraint)?;
        builder.weight(&self.alpha, alpha)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let negative = (-x)?.relu()? * self.alpha.value()?;
        Ok(vec![(x.relu()? - negative?)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }
}
