use keras_spec::{Call, Config, Error, Layer, LayerRef, Object, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::sides::Sides;
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_rank, keras_layer, one};

/// Inputs without the ends of `N` spatial axes: [`Cropping1D`], [`Cropping2D`] and [`Cropping3D`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cropping<const N: usize> {
    #[serde(default = "usual")]
    cropping: Sides<N>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

/// Sequences `(batch, steps, channels)` without their first and last steps (`keras.layers.Cropping1D`, Keras 3.15.1).
pub type Cropping1D = Cropping<1>;

/// Images `(batch, height, width, channels)` without their borders (`keras.layers.Cropping2D`, Keras 3.15.1).
pub type Cropping2D = Cropping<2>;

/// Volumes `(batch, depth, height, width, channels)` without their borders (`keras.layers.Cropping3D`, Keras 3.15.1).
pub type Cropping3D = Cropping<3>;

keras_layer!(Cropping1D, check validate);
keras_layer!(Cropping2D, check validate);
keras_layer!(Cropping3D, check validate);

/// Keras's default.
fn usual<const N: usize>() -> Sides<N> {
    Sides::from(if N == 2 { 0 } else { 1 })
}

impl<const N: usize> Default for Cropping<N> {
    fn default() -> Self {
        Cropping::new(usual())
    }
}

impl<const N: usize> Cropping<N> {
    /// So many elements less: one number for all sides, one per axis, or a pair per axis (over sequences `[before, after]`).
    /// Keras's default is 0 over images, else 1.
    pub fn new(cropping: impl Into<Sides<N>>) -> Self {
        Cropping { cropping: cropping.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are; last over sequences.
        data_format: DataFormat;
    }

    fn validate(&self) -> Result<()> {
        if N == 1 { self.data_format.only_last() } else { Ok(()) }
    }
}

impl<const N: usize> Layer for Cropping<N>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        self.validate()?;
        let input = input_of_rank(inputs, N + 2)?;
        let first = self.data_format.first_spatial_axis();
        for (i, sides) in self.cropping.0.iter().enumerate() {
            let cut = sides[0].saturating_add(sides[1]);
            if input[first + i].is_some_and(|length| cut >= length) {
                let expected = format!("less than the lengths of the inputs, of shape {input}");
                return Err(Error::argument("cropping", expected, format!("{:?}", self.cropping.0)));
            }
        }
        Ok(())
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let mut x = one(inputs)?.clone();
        let first = self.data_format.first_spatial_axis();
        for (i, [before, after]) in self.cropping.0.into_iter().enumerate() {
            let length = x.shape()[first + i];
            x = x.narrow((first + i) as isize, before, length - after)?;
        }
        Ok(vec![x])
    }

    /// Over sequences Keras has no `data_format`.
    fn adjust_config(&self, _layer: &LayerRef, config: &mut Config) {
        if N == 1 {
            config.shift_remove("data_format");
        }
    }
}
