use keras_spec::{Call, Error, Layer, PartialShape, Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

use crate::class::builders;
use crate::constraints::Axes;
use crate::layers::common::keras_layer;
use crate::regularizers::l2_normalized;

/// Scalar products of two inputs along an axis of each, sample by sample: `(batch, a…, n)` and `(batch, n, b…)` →
/// `(batch, a…, b…)`, or `(batch, 1)` where no other axes are left (`keras.layers.Dot`, Keras 3.15.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dot {
    axes: Axes,
    #[serde(default)]
    normalize: bool,
}

keras_layer!(Dot, check validate);

impl Dot {
    /// Along axis `1`, or `[1, 2]`: axis 1 of the first input and axis 2 of the second. The batch is axis 0.
    pub fn new(axes: impl Into<Axes>) -> Self {
        Dot { axes: axes.into(), normalize: false }
    }

    builders! {
        /// Whether inputs are divided by their norms before, which gives cosines.
        normalize = bool;
    }

    fn validate(&self) -> Result<()> {
        if matches!(self.axes.as_slice().len(), 1 | 2) {
            return Ok(());
        }
        Err(Error::argument("axes", "one axis or two", format!("{:?}", self.axes.as_slice())))
    }

    /// The axis of each input.
    fn axes(&self, inputs: [&PartialShape; 2]) -> Result<[usize; 2]> {
        self.validate()?;
        let given = self.axes.as_slice();
        let axes = [inputs[0].axis(given[0])?, inputs[1].axis(given[given.len() - 1])?];
        if axes.contains(&0) {
            return Err(Error::argument("axes", "axes behind the batch", format!("{given:?}")));
        }
        Ok(axes)
    }
}

impl Layer for Dot {
    fn check_inputs(&self, inputs: &[PartialShape]) -> Result<()> {
        let [a, b] = inputs else {
            return Err(Error::argument("inputs", "a list of 2 inputs", inputs.len()));
        };
        let axes = self.axes([a, b])?;
        match (a[axes[0]], b[axes[1]]) {
            (Some(x), Some(y)) if x != y => {
                let expected = format!("equal lengths along axis {} and axis {}", axes[0], axes[1]);
                Err(Error::argument("inputs", expected, format!("shapes {a} and {b}")))
            }
            _ => Ok(()),
        }
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let [a, b] = inputs else {
            return Err(Error::argument("inputs", "a list of 2 inputs", inputs.len()));
        };
        let axes = self.axes([&a.shape().into(), &b.shape().into()])?.map(|axis| axis as isize);
        let (mut a, mut b) = (a.clone(), b.clone());
        if self.normalize {
            (a, b) = (l2_normalized(&a, axes[0])?, l2_normalized(&b, axes[1])?);
        }
        let (a, b) = (a.move_axis(axes[0], -1)?, b.move_axis(axes[1], 1)?);
        let (batch, n) = (a.shape()[0], b.shape()[1]);
        let (rows, columns) = (&a.shape()[1..a.rank() - 1], &b.shape()[2..]);
        let mut shape: Shape = [&[batch], rows, columns].concat().into();
        if shape.rank() == 1 {
            shape.push(1);
        }
        let a = a.reshape([batch, rows.iter().product(), n])?;
        let b = b.reshape([b.shape()[0], n, columns.iter().product()])?;
        Ok(vec![a.matmul(&b)?.reshape(shape)?])
    }

    fn supports_masking(&self) -> bool {
        true
    }

    fn compute_mask(&self, _: &[Tensor], _: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}
