//! Images made of what stands at other places of theirs: `affine_transform` of `keras.ops.image`, and what is like it.

use keras_spec::{DType, Error, HostTensor, Result, Tensor, scope};
use serde::{Deserialize, Serialize};

use crate::layers::interpolation::Interpolation;

/// What stands beyond the borders of an image: `fill_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillMode {
    /// `k k k | a b c | k k k`, with the fill value
    Constant,
    /// `a a a | a b c | c c c`
    Nearest,
    /// `a b c | a b c | a b c`
    Wrap,
    /// `c b | a b c | b a`
    Mirror,
    /// `c b a | a b c | c b a`
    #[default]
    Reflect,
}

impl FillMode {
    /// Which of `size` elements stands at an index; none where the fill value does.
    fn element(self, index: i64, size: i64) -> Option<i64> {
        let mirrored = |index: i64, size: i64| {
            let last = size - 1;
            ((index + last).rem_euclid(2 * last) - last).abs()
        };
        match self {
            FillMode::Constant => (0..size).contains(&index).then_some(index),
            FillMode::Nearest => Some(index.clamp(0, size - 1)),
            FillMode::Wrap => Some(index.rem_euclid(size)),
            FillMode::Mirror if size == 1 => Some(0),
            FillMode::Mirror => Some(mirrored(index, size)),
            FillMode::Reflect => Some((mirrored(2 * index + 1, 2 * size + 1) - 1).div_euclid(2)),
        }
    }
}

/// How a number is found for a place between elements or beyond the borders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampling {
    pub(super) interpolation: Interpolation,
    pub(super) fill_mode: FillMode,
    pub(super) fill_value: f64,
}

/// The default of `interpolation`.
pub(super) fn bilinear() -> Interpolation {
    Interpolation::Bilinear
}

/// Refuses what only resizing knows.
pub(super) fn check(interpolation: Interpolation) -> Result<()> {
    match interpolation {
        Interpolation::Nearest | Interpolation::Bilinear => Ok(()),
        other => Err(Error::argument("interpolation", "`nearest` or `bilinear`", format!("{other:?}"))),
    }
}

/// Refuses what random layers do not know, but for that of elastic transforms.
pub(super) fn check_fill_mode(fill_mode: FillMode) -> Result<()> {
    match fill_mode {
        FillMode::Mirror => {
            let expected = "`reflect`, `wrap`, `constant` or `nearest`";
            Err(Error::argument("fill_mode", expected, "`mirror`"))
        }
        _ => Ok(()),
    }
}

/// An affine transform of the plane: the element at `(x, y)` of the result is that at `(a₀x + a₁y + a₂, b₀x + b₁y + b₂)`.
pub(super) type Affine = [f32; 6];

impl Sampling {
    /// Images `(batch, height, width, channels)`, each after its transform.
    pub(super) fn affine(self, images: &Tensor, transforms: &[Affine]) -> Result<Tensor> {
        self.sample(images, |image, y, x| {
            let [a0, a1, a2, b0, b1, b2] = transforms[image];
            [y * b1 + x * b0 + b2, y * a1 + x * a0 + a2]
        })
    }

    /// Images `(batch, height, width, channels)` of which the element at `y` and `x` stands at `place(image, y, x)`, again the
    /// row and then the column.
    pub(super) fn sample(
        self,
        images: &Tensor,
        place: impl Fn(usize, f32, f32) -> [f32; 2],
    ) -> Result<Tensor> {
        let &[batch, height, width, channels] = images.shape().dims() else {
            return Err(Error::argument("images", "4 axes", images.shape()));
        };
        if scope::is_abstract() {
            return Ok(images.clone());
        }
        let pixels = batch * height * width;
        if i32::try_from(pixels).is_err() {
            return Err(Error::argument("images", "fewer than 2³¹ pixels", images.shape()));
        }
        let corners = if self.interpolation == Interpolation::Nearest { 1 } else { 4 };
        let mut rows = vec![0i32; corners * pixels];
        let mut weights = vec![0f32; corners * pixels];
        for pixel in 0..pixels {
            let (image, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
            let [y, x] = place(image, y as f32, x as f32).map(|at| self.neighbours(at));
            for corner in 0..corners {
                let ((y, wy), (x, wx)) = (y[corner / 2], x[corner % 2]);
                let found = self.fill_mode.element(y, height as i64);
                let found = found.zip(self.fill_mode.element(x, width as i64));
                // After all pixels there is one of the fill value.
                let row = found.map_or(pixels, |(y, x)| (image * height + y as usize) * width + x as usize);
                rows[corner * pixels + pixel] = row as i32;
                weights[corner * pixels + pixel] = wy * wx;
            }
        }
        let device = images.device();
        let rows = Tensor::from_host(HostTensor::new([corners, pixels], rows)?, device)?;
        let weights = Tensor::from_host(HostTensor::new([corners, pixels, 1], weights)?, device)?;
        let outside = Tensor::full([1, channels], images.dtype(), self.fill_value, device)?;
        let all = Tensor::concatenate(&[images.reshape([pixels, channels])?, outside], 0)?;
        let wide = if images.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let parts = (all.take(&rows, 0)?.cast(wide)? * weights.cast(wide)?)?;
        parts.sum(&[0], false)?.reshape(images.shape())?.into_dtype(images.dtype())
    }

    /// The two elements around a place along an axis, with their weights. `nearest` rounds away from zero.
    fn neighbours(self, at: f32) -> [(i64, f32); 2] {
        if self.interpolation == Interpolation::Nearest {
            return [(at.round() as i32 as i64, 1.0); 2];
        }
        let lower = at.floor();
        let upper_weight = at - lower;
        let index = i64::from(lower as i32);
        [(index, 1.0 - upper_weight), (index + 1, upper_weight)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beyond_the_borders() {
        let line = |mode: FillMode, size: i64| -> String {
            let letter = |i| mode.element(i, size).map_or('k', |i| char::from(b'a' + i as u8));
            (-4..size + 4).map(letter).collect()
        };
        assert_eq!(line(FillMode::Constant, 3), "kkkkabckkkk");
        assert_eq!(line(FillMode::Nearest, 3), "aaaaabccccc");
        assert_eq!(line(FillMode::Wrap, 3), "cabcabcabca");
        assert_eq!(line(FillMode::Mirror, 3), "abcbabcbabc");
        assert_eq!(line(FillMode::Reflect, 3), "ccbaabccbaa");
        assert_eq!(line(FillMode::Mirror, 1), "aaaaaaaaa");
        assert_eq!(line(FillMode::Reflect, 1), "aaaaaaaaa");
    }
}
