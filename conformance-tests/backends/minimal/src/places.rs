//! Where elements lie in row-major tensors.

use keras_spec::{ConvSpec, Shape};

/// The places on the way through all indices of `shape` in row-major order, where each axis has a stride of its own: 0
/// stays where it is, which repeats elements, and a negative one walks backwards.
pub(crate) struct Places<'a> {
    shape: &'a Shape,
    strides: Vec<isize>,
    index: Vec<usize>,
    at: isize,
    left: usize,
}

impl<'a> Places<'a> {
    pub(crate) fn new(shape: &'a Shape, first: usize, strides: Vec<isize>) -> Self {
        Places { shape, strides, index: vec![0; shape.rank()], at: first as isize, left: shape.size() }
    }

    /// Where the elements of a tensor of shape `from` are found when it is broadcast to `shape`.
    pub(crate) fn broadcast(from: &Shape, shape: &'a Shape) -> Self {
        let mut strides = vec![0; shape.rank() - from.rank()];
        strides.extend(from.iter().zip(strides_of(from)).map(|(&n, stride)| if n == 1 { 0 } else { stride }));
        Places::new(shape, 0, strides)
    }

    /// For each index of `shape`, where the line along `axis` that it belongs to begins in a tensor of shape `from`.
    pub(crate) fn lines(from: &Shape, axis: usize, shape: &'a Shape) -> Self {
        let mut strides = strides_of(from);
        strides[axis] = 0;
        Places::new(shape, 0, strides)
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let here = self.at;
        for axis in (0..self.shape.rank()).rev() {
            self.index[axis] += 1;
            self.at += self.strides[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.at -= self.shape[axis] as isize * self.strides[axis];
            self.index[axis] = 0;
        }
        Some(here as usize)
    }
}

/// The distance between neighbours along each axis.
pub(crate) fn strides_of(shape: &Shape) -> Vec<isize> {
    shape.strides().iter().map(|&stride| stride as isize).collect()
}

/// For each place of a window of `taps` that slides over `x (batch, spatial…, …)` as `spec` says to make `y`, the pairs
/// of a tap and the pixel that it meets, all counted in row-major order; taps that meet padding are left out.
pub(crate) fn windows(x: &Shape, taps: &[usize], spec: &ConvSpec, y: &Shape) -> Vec<Vec<(usize, usize)>> {
    let mut windows: Vec<_> = (0..x[0]).map(|item| vec![(0, item)]).collect();
    for (axis, &taps) in taps.iter().enumerate() {
        let (pixels, spread) = (x[axis + 1], spec.input_dilation[axis]);
        let meet = |step: usize, tap: usize| {
            let at = (step * spec.strides[axis] + tap * spec.filter_dilation[axis]) as isize
                - spec.padding[axis].0;
            let at = usize::try_from(at).ok()?;
            (at % spread == 0 && at / spread < pixels).then_some(at / spread)
        };
        let mut finer = vec![];
        for (window, step) in
            windows.iter().flat_map(|window| (0..y[axis + 1]).map(move |step| (window, step)))
        {
            let pairs = window.iter().flat_map(|&(t, p)| (0..taps).map(move |tap| (t, p, tap)));
            let meets = |(t, p, tap)| Some((t * taps + tap, p * pixels + meet(step, tap)?));
            finer.push(pairs.filter_map(meets).collect());
        }
        windows = finer;
    }
    windows
}
