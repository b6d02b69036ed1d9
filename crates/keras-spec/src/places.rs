//! Where elements lie in row-major tensors: for backends that walk over them in plain loops.

use crate::op::ConvSpec;
use crate::shape::Shape;

/// The places on the way through all indices of `shape` in row-major order, from `first` on, with a stride for each axis:
/// 0 stays where it is, which repeats elements, and a negative one walks backwards.
///
/// ```
/// use keras_spec::{Shape, places::places};
///
/// // The columns of a matrix of two rows of three, one after the other.
/// assert_eq!(places(&Shape::from([3, 2]), 0, &[1, 3]), [0, 3, 1, 4, 2, 5]);
/// ```
pub fn places(shape: &Shape, first: usize, strides: &[isize]) -> Vec<usize> {
    let mut places = vec![first as isize];
    for (&n, &stride) in shape.iter().zip(strides) {
        places = places.iter().flat_map(|place| (0..n as isize).map(move |i| place + i * stride)).collect();
    }
    places.into_iter().map(|place| place as usize).collect()
}

/// The distance between neighbours along each axis.
pub fn strides(shape: &Shape) -> Vec<isize> {
    shape.strides().iter().map(|&stride| stride as isize).collect()
}

/// Where the elements of a tensor of shape `from` are found when it is broadcast to `shape`.
///
/// ```
/// use keras_spec::{Shape, places::broadcast};
///
/// assert_eq!(broadcast(&Shape::from([2, 1]), &Shape::from([2, 3])), [0, 0, 0, 1, 1, 1]);
/// ```
pub fn broadcast(from: &Shape, shape: &Shape) -> Vec<usize> {
    let mut along = vec![0; shape.rank() - from.rank()];
    along.extend(from.iter().zip(strides(from)).map(|(&n, stride)| if n == 1 { 0 } else { stride }));
    places(shape, 0, &along)
}

/// For each index of `shape`, where the line along `axis` that it belongs to begins in a tensor of shape `from`.
pub fn starts(from: &Shape, axis: usize, shape: &Shape) -> Vec<usize> {
    let mut along = strides(from);
    along[axis] = 0;
    places(shape, 0, &along)
}

/// The places of each line along `axis`.
///
/// ```
/// use keras_spec::{Shape, places::lines};
///
/// assert_eq!(lines(&Shape::from([2, 3]), 0), [[0, 3], [1, 4], [2, 5]]);
/// ```
pub fn lines(shape: &Shape, axis: usize) -> Vec<Vec<usize>> {
    let (n, stride) = (shape[axis], shape.strides()[axis]);
    let line = |first: usize| (0..n).map(|i| first + i * stride).collect();
    starts(shape, axis, &shape.with(axis, 1)).into_iter().map(line).collect()
}

/// The index along `axis` of the element at a place.
pub fn index(shape: &Shape, axis: usize, place: usize) -> i32 {
    (place / shape.strides()[axis] % shape[axis]) as i32
}

/// For each place of a window of `taps` that slides over `x (batch, spatial…, …)` as `spec` says and makes `y`, the pairs
/// of a tap and the pixel that it meets, all counted in row-major order; taps that meet padding are left out.
pub fn windows(x: &Shape, taps: &[usize], spec: &ConvSpec, y: &Shape) -> Vec<Vec<(usize, usize)>> {
    let mut windows: Vec<_> = (0..x[0]).map(|item| vec![(0, item)]).collect();
    for (axis, &taps) in taps.iter().enumerate() {
        let (pixels, spread) = (x[axis + 1], spec.input_dilation[axis]);
        let meets = |step: usize, tap: usize| {
            let at = (step * spec.strides[axis] + tap * spec.filter_dilation[axis]) as isize;
            let at = usize::try_from(at - spec.padding[axis].0).ok()?;
            (at % spread == 0 && at / spread < pixels).then_some(at / spread)
        };
        let all = windows.iter().flat_map(|window| (0..y[axis + 1]).map(move |step| (window, step)));
        let refine = |(window, step): (&Vec<(usize, usize)>, usize)| {
            let pairs = window.iter().flat_map(|&(t, p)| (0..taps).map(move |tap| (t, p, tap)));
            pairs.filter_map(|(t, p, tap)| Some((t * taps + tap, p * pixels + meets(step, tap)?))).collect()
        };
        windows = all.map(refine).collect();
    }
    windows
}
