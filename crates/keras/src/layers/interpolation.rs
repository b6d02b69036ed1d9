//! Elements between elements, along one axis.

use std::f64::consts::PI;

use keras_spec::{Result, Shape, Tensor};
use serde::{Deserialize, Serialize};

/// How the elements between those of the input are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Those of the input, repeated.
    #[default]
    Nearest,
    /// On straight lines between two neighbours.
    Bilinear,
    /// On Keys's cubic curves through four neighbours.
    Bicubic,
    /// By Lanczos's kernel of six neighbours.
    Lanczos3,
    /// By Lanczos's kernel of ten neighbours.
    Lanczos5,
}

impl Interpolation {
    /// The elements of a float tensor at `length` places along an axis, which divide it evenly. With `antialias`, a shorter
    /// result has the averages of what lies between its places.
    pub(crate) fn resize(self, x: &Tensor, axis: usize, length: usize, antialias: bool) -> Result<Tensor> {
        let (before, rest) = x.shape().split_at(axis);
        let (old, after) = (rest[0], rest[1..].iter().product());
        if old == length {
            return Ok(x.clone());
        }
        let weights = self.weights(old, length, antialias, x)?;
        let flat = x.reshape([before.iter().product(), old, after])?;
        weights.matmul(&flat)?.reshape(x.shape().with(axis, length))
    }

    /// What each element of the input adds to each of the result: `(new, old)`.
    fn weights(self, old: usize, new: usize, antialias: bool, like: &Tensor) -> Result<Tensor> {
        let shape = Shape::from([new, old]);
        let scale = new as f64 / old as f64;
        let width = if antialias { (1.0 / scale).max(1.0) } else { 1.0 };
        let mut sum = 1.0;
        Tensor::from_fn(shape, like.dtype(), like.device(), |at| {
            let (i, j) = (at / old, at % old);
            if self == Interpolation::Nearest {
                let nearest = (2 * i + 1) * old / (2 * new);
                return f64::from(u8::from(j == nearest));
            }
            let place = (i as f64 + 0.5) / scale - 0.5;
            let weight = |j: usize| self.weight((place - j as f64).abs() / width);
            if j == 0 {
                sum = (0..old).map(weight).sum();
            }
            weight(j) / sum
        })
    }

    /// The weight of an element at a distance.
    fn weight(self, x: f64) -> f64 {
        match self {
            Interpolation::Nearest => f64::from(u8::from(x <= 0.5)),
            Interpolation::Bilinear => (1.0 - x).max(0.0),
            Interpolation::Bicubic if x >= 2.0 => 0.0,
            Interpolation::Bicubic if x >= 1.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Interpolation::Bicubic => (1.5 * x - 2.5) * x * x + 1.0,
            Interpolation::Lanczos3 => lanczos(3.0, x),
            Interpolation::Lanczos5 => lanczos(5.0, x),
        }
    }
}

fn lanczos(radius: f64, x: f64) -> f64 {
    if x > radius {
        0.0
    } else if x > 1e-3 {
        radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * x).powi(2)
    } else {
        1.0
    }
}
