//! Reductions over windows and the gradient of the maximum.

use keras_kernels::Num;
use keras_spec::{DType, ReduceOp, Result, WindowSpec};

use crate::buffer::{Buffer, Item, Shared, array, dispatch, rows, standard, unsupported};
use crate::movement::in_wide;

/// Every index of a shape in row-major order.
pub(crate) struct Positions {
    shape: Vec<usize>,
    next: Option<Vec<usize>>,
}

impl Positions {
    pub(crate) fn new(shape: &[usize]) -> Self {
        let next = if shape.contains(&0) { None } else { Some(vec![0; shape.len()]) };
        Positions { shape: shape.to_vec(), next }
    }
}

impl Iterator for Positions {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let current = self.next.take()?;
        let mut after = current.clone();
        for (i, &n) in self.shape.iter().enumerate().rev() {
            after[i] += 1;
            if after[i] < n {
                self.next = Some(after);
                break;
            }
            after[i] = 0;
        }
        Some(current)
    }
}

/// How often a window of `window` elements fits into `n` with steps of `stride`.
pub(crate) fn steps(n: usize, window: usize, stride: usize) -> usize {
    if n < window { 0 } else { (n - window) / stride + 1 }
}

/// Windows over the spatial axes of `(batch, spatial…, channels)`.
struct Windows<'a> {
    spec: &'a WindowSpec,
    shape: Vec<usize>,
    out: Vec<usize>,
}

impl<'a> Windows<'a> {
    fn new(spec: &'a WindowSpec, shape: &[usize]) -> Self {
        let out = (0..spec.size.len())
            .map(|i| {
                let (low, high) = spec.padding[i];
                steps(shape[i + 1] + low + high, spec.size[i], spec.strides[i])
            })
            .collect();
        Windows { spec, shape: shape.to_vec(), out }
    }

    fn channels(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// The shape of one element for each window.
    fn result(&self) -> Vec<usize> {
        [&self.shape[..1], &self.out, &[self.channels()]].concat()
    }

    /// Calls `visit` with the number of each window, then of each of its pixels that is not padding, in order.
    fn visit(&self, mut visit: impl FnMut(usize, usize)) {
        let n = self.out.len();
        let mut window = 0;
        for b in 0..self.shape[0] {
            for o in Positions::new(&self.out) {
                for k in Positions::new(&self.spec.size) {
                    let pixel = (0..n).try_fold(b, |at, i| {
                        let here =
                            (o[i] * self.spec.strides[i] + k[i]).checked_sub(self.spec.padding[i].0)?;
                        (here < self.shape[i + 1]).then_some(at * self.shape[i + 1] + here)
                    });
                    if let Some(pixel) = pixel {
                        visit(window, pixel);
                    }
                }
                window += 1;
            }
        }
    }
}

pub(crate) fn reduce_window(op: ReduceOp, x: Buffer, spec: &WindowSpec) -> Result<Buffer> {
    let dtype = x.dtype();
    let refuse = || unsupported("reduce_window", dtype);
    match op {
        ReduceOp::Sum | ReduceOp::Prod if dtype == DType::Bool => refuse(),
        ReduceOp::Sum => {
            in_wide(x, |x| dispatch!(wide x, x => reduce(x, spec, Num::ZERO, Num::plus), else _x => refuse()))
        }
        ReduceOp::Prod => {
            in_wide(x, |x| dispatch!(wide x, x => reduce(x, spec, Num::ONE, Num::times), else _x => refuse()))
        }
        ReduceOp::Max => dispatch!(all x, x => reduce(x, spec, Item::LEAST, Item::larger)),
        ReduceOp::Min => dispatch!(all x, x => reduce(x, spec, Item::GREATEST, Item::smaller)),
        _ => refuse(),
    }
}

fn reduce<T: Item>(x: Shared<T>, spec: &WindowSpec, first: T, combine: impl Fn(T, T) -> T) -> Result<Buffer> {
    let x = standard(x);
    let data = rows(&x)?;
    let windows = Windows::new(spec, x.shape());
    let (shape, c) = (windows.result(), windows.channels());
    let mut sums = vec![first; shape.iter().product()];
    windows.visit(|window, pixel| {
        for (sum, &v) in sums[window * c..][..c].iter_mut().zip(&data[pixel * c..][..c]) {
            *sum = combine(*sum, v);
        }
    });
    array("reduce_window", &shape, sums).map(T::wrap)
}

pub(crate) fn select_and_scatter<T: Item + Num>(
    x: Shared<T>,
    g: Buffer,
    spec: &WindowSpec,
) -> Result<Buffer> {
    let (x, g) = (standard(x), standard(T::unwrap(g)?));
    let (data, grads) = (rows(&x)?, rows(&g)?);
    let windows = Windows::new(spec, x.shape());
    let c = windows.channels();
    let mut best: Vec<Option<usize>> = vec![None; grads.len()];
    windows.visit(|window, pixel| {
        for (k, best) in best[window * c..][..c].iter_mut().enumerate() {
            let at = pixel * c + k;
            let beaten = best.is_none_or(|b| !data[b].is_nan() && (data[at].is_nan() || data[at] > data[b]));
            if beaten {
                *best = Some(at);
            }
        }
    });
    let mut sums = vec![T::ZERO; data.len()];
    for (&g, at) in grads.iter().zip(best) {
        if let Some(at) = at {
            sums[at] = sums[at].plus(g);
        }
    }
    array("select_and_scatter", x.shape(), sums).map(T::wrap)
}
