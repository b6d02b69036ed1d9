use keras_spec::{Call, Layer, Object, PartialShape, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::sides::Sides;
use crate::class::builders;
use crate::layers::common::{DataFormat, data_format, input_of_rank, keras_layer, one};

/// Zeros around `N` spatial axes: [`ZeroPadding1D`], [`ZeroPadding2D`] and [`ZeroPadding3D`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZeroPadding<const N: usize> {
    #[serde(default = "one_everywhere")]
    padding: Sides<N>,
    #[serde(default, deserialize_with = "data_format")]
    data_format: DataFormat,
}

/// Zeros before and after sequences `(batch, steps, channels)` (`keras.layers.ZeroPadding1D`, Keras 3.15.1).
///
/// ```
/// use keras::layers::ZeroPadding1D;
///
/// let causal = ZeroPadding1D::new([2, 0]); // two steps before
/// # let _ = causal;
/// ```
pub type ZeroPadding1D = ZeroPadding<1>;

/// Zeros around images `(batch, height, width, channels)` (`keras.layers.ZeroPadding2D`, Keras 3.15.1).
pub type ZeroPadding2D = ZeroPadding<2>;

/// Zeros around volumes `(batch, depth, height, width, channels)` (`keras.layers.ZeroPadding3D`, Keras 3.15.1).
pub type ZeroPadding3D = ZeroPadding<3>;

keras_layer!(ZeroPadding1D);
keras_layer!(ZeroPadding2D);
keras_layer!(ZeroPadding3D);

fn one_everywhere<const N: usize>() -> Sides<N> {
    Sides::from(1)
}

impl<const N: usize> Default for ZeroPadding<N> {
    fn default() -> Self {
        ZeroPadding::new(one_everywhere())
    }
}

impl<const N: usize> ZeroPadding<N> {
    /// So many zeros: one number for all sides, one per axis, or a pair per axis (over sequences `[before, after]`). Keras's
    /// default is 1.
    pub fn new(padding: impl Into<Sides<N>>) -> Self {
        ZeroPadding { padding: padding.into(), data_format: DataFormat::default() }
    }

    builders! {
        /// Where the channels are.
        data_format: DataFormat;
    }
}

impl<const N: usize> Layer for ZeroPadding<N>
where
    Self: Object,
{
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        input_of_rank(inputs, N + 2).map(drop)
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let x = one(inputs)?;
        let mut amounts = vec![(0, 0); x.rank()];
        let spatial = &mut amounts[self.data_format.first_spatial_axis()..];
        for (amount, [before, after]) in spatial.iter_mut().zip(self.padding.0) {
            *amount = (before, after);
        }
        Ok(vec![x.pad(&amounts, 0.0)?])
    }
}
