//! Shapes: known ([`Shape`]) and with unknown dimensions ([`PartialShape`]).

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::error::{Error, Result};

/// The dimensions of a tensor; up to six without an allocation.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Clone for Shape {
    // `SmallVec`'s own goes element by element.
    fn clone(&self) -> Self {
        Shape(SmallVec::from_slice(&self.0))
    }
}

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Self {
        Shape::default()
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements (1 for a scalar); `usize::MAX` if it is greater than that.
    pub fn size(&self) -> usize {
        match self.0.contains(&0) {
            true => 0,
            false => self.0.iter().fold(1, |n, &d| n.saturating_mul(d)),
        }
    }

    /// The dimensions as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// The dimensions, to change in place.
    pub fn dims_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }

    /// Adds a last dimension.
    pub fn push(&mut self, dim: usize) {
        self.0.push(dim);
    }

    /// Inserts a dimension before `axis` (`axis ≤ rank`).
    pub fn insert(&mut self, axis: usize, dim: usize) {
        self.0.insert(axis, dim);
    }

    /// Removes the dimension `axis` (`axis < rank`).
    pub fn remove(&mut self, axis: usize) -> usize {
        self.0.remove(axis)
    }

    /// This shape with `n` elements along an axis.
    #[must_use]
    pub fn with(&self, axis: usize, n: usize) -> Shape {
        let mut shape = self.clone();
        shape.dims_mut()[axis] = n;
        shape
    }

    /// A non-negative axis from one that may count from the end.
    ///
    /// # Errors
    /// [`Error::Argument`] for an axis outside `-rank..rank`.
    pub fn axis(&self, axis: isize) -> Result<usize> {
        normalize_axis(axis, self.rank())
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> SmallVec<[usize; 6]> {
        let mut strides = SmallVec::from_elem(1, self.rank());
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }

    /// The shape that two operands have in common after broadcasting (NumPy's rule), or `None`.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(self.clone());
        }
        let rank = self.rank().max(other.rank());
        let at = |s: &Shape, i: usize| {
            let lead = rank - s.rank();
            if i < lead { 1 } else { s[i - lead] }
        };
        (0..rank)
            .map(|i| match (at(self, i), at(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<SmallVec<_>>>()
            .map(Shape)
    }

    /// Whether a tensor of this shape can be broadcast to `target`.
    pub fn broadcasts_to(&self, target: &Shape) -> bool {
        self == target || self.broadcast(target).is_some_and(|s| s == *target)
    }
}

/// A non-negative axis from one that may count from the end of `rank` dimensions.
///
/// # Errors
/// [`Error::Argument`] for an axis outside `-rank..rank`.
pub fn normalize_axis(axis: isize, rank: usize) -> Result<usize> {
    let n = rank as isize;
    if axis < -n || axis >= n {
        return Err(Error::argument("axis", format!("a value in {}..{n} for rank {rank}", -n), axis));
    }
    Ok(if axis < 0 { (axis + n) as usize } else { axis as usize })
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tuple(f, self.0.iter())
    }
}

fn write_tuple<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    dims: impl ExactSizeIterator<Item = T>,
) -> fmt::Result {
    let n = dims.len();
    f.write_str("(")?;
    for (i, d) in dims.enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{d}")?;
    }
    f.write_str(if n == 1 { ",)" } else { ")" })
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape(SmallVec::from_vec(dims))
    }
}

impl From<&Vec<usize>> for Shape {
    fn from(dims: &Vec<usize>) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&dims))
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        Shape(iter.into_iter().collect())
    }
}

/// A shape in which dimensions may be unknown: Keras's `(None, 28, 28, 1)`.
///
/// In JSON it is a list with `null` for an unknown dimension.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartialShape(pub Vec<Option<usize>>);

impl PartialShape {
    /// `dims` behind an unknown batch dimension.
    pub fn batch_of(dims: &PartialShape) -> Self {
        let mut v = Vec::with_capacity(dims.rank() + 1);
        v.push(None);
        v.extend_from_slice(&dims.0);
        PartialShape(v)
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The dimensions.
    pub fn dims(&self) -> &[Option<usize>] {
        &self.0
    }

    /// The shape, if every dimension is known.
    pub fn known(&self) -> Option<Shape> {
        self.0.iter().copied().collect::<Option<Vec<usize>>>().map(Shape::from)
    }

    /// The shape with `fill` in the place of unknown dimensions.
    pub fn filled(&self, fill: usize) -> Shape {
        self.0.iter().map(|d| d.unwrap_or(fill)).collect()
    }

    /// Whether a tensor of shape `shape` is one of those that this describes.
    pub fn matches(&self, shape: &Shape) -> bool {
        self.rank() == shape.rank() && self.0.iter().zip(shape.iter()).all(|(p, s)| p.is_none_or(|p| p == *s))
    }

    /// A non-negative axis from one that may count from the end.
    ///
    /// # Errors
    /// [`Error::Argument`] for an axis outside `-rank..rank`.
    pub fn axis(&self, axis: isize) -> Result<usize> {
        normalize_axis(axis, self.rank())
    }
}

impl Deref for PartialShape {
    type Target = [Option<usize>];

    fn deref(&self) -> &[Option<usize>] {
        &self.0
    }
}

impl fmt::Debug for PartialShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PartialShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tuple(f, self.0.iter().map(|d| d.map_or_else(|| "None".to_owned(), |d| d.to_string())))
    }
}

impl From<&Shape> for PartialShape {
    fn from(shape: &Shape) -> Self {
        PartialShape(shape.iter().map(|&d| Some(d)).collect())
    }
}

impl From<usize> for PartialShape {
    fn from(dim: usize) -> Self {
        PartialShape(vec![Some(dim)])
    }
}

impl<const N: usize> From<[usize; N]> for PartialShape {
    fn from(dims: [usize; N]) -> Self {
        PartialShape(dims.into_iter().map(Some).collect())
    }
}

impl<const N: usize> From<[Option<usize>; N]> for PartialShape {
    fn from(dims: [Option<usize>; N]) -> Self {
        PartialShape(dims.to_vec())
    }
}

impl From<Vec<Option<usize>>> for PartialShape {
    fn from(dims: Vec<Option<usize>>) -> Self {
        PartialShape(dims)
    }
}

impl FromIterator<Option<usize>> for PartialShape {
    fn from_iter<I: IntoIterator<Item = Option<usize>>>(iter: I) -> Self {
        PartialShape(iter.into_iter().collect())
    }
}

/// A shape and a dtype: all that is known of a tensor before there are numbers (Keras's `KerasTensor` without its
/// history).
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// The shape.
    pub shape: PartialShape,
    /// The element type.
    pub dtype: crate::dtype::DType,
}

impl TensorSpec {
    /// A spec of `shape` and `dtype`.
    pub fn new(shape: impl Into<PartialShape>, dtype: crate::dtype::DType) -> Self {
        TensorSpec { shape: shape.into(), dtype }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let s = |v: &[usize]| Shape::from(v);
        type Case = (&'static [usize], &'static [usize], Option<&'static [usize]>);
        let cases: [Case; 6] = [
            (&[], &[], Some(&[])),
            (&[3], &[], Some(&[3])),
            (&[2, 1], &[3], Some(&[2, 3])),
            (&[2, 1, 4], &[5, 1], Some(&[2, 5, 4])),
            (&[0], &[1], Some(&[0])),
            (&[2], &[3], None),
        ];
        for (a, b, want) in cases {
            assert_eq!(s(a).broadcast(&s(b)), want.map(s), "{a:?} {b:?}");
            assert_eq!(s(b).broadcast(&s(a)), want.map(s), "{b:?} {a:?}");
        }
        assert!(!s(&[2, 3]).broadcasts_to(&s(&[3])));
        assert!(s(&[3]).broadcasts_to(&s(&[2, 3])));
    }

    #[test]
    fn shapes_print_like_python_tuples() {
        assert_eq!(Shape::from([3]).to_string(), "(3,)");
        assert_eq!(Shape::scalar().to_string(), "()");
        assert_eq!(PartialShape::from([None, Some(4)]).to_string(), "(None, 4)");
    }

    #[test]
    fn axes_count_from_either_end() {
        let s = Shape::from([2, 3]);
        assert_eq!(s.axis(-1), Ok(1));
        assert_eq!(s.axis(0), Ok(0));
        assert!(s.axis(2).is_err());
        assert!(s.axis(-3).is_err());
    }
}
