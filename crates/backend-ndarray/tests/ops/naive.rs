//! The same operations on plain lists of numbers, element by element, and tensors to run both on.

use backend_ndarray::{Buffer, NdArray};
use keras_spec::{Backend, DType, HostTensor, Result};
use proptest::prelude::*;

/// Row-major numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Naive {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

/// Every index of a shape in row-major order.
pub(crate) fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    (0..shape.iter().product::<usize>())
        .map(|mut at| {
            let mut index = vec![0; shape.len()];
            for (i, &n) in shape.iter().enumerate().rev() {
                index[i] = at % n;
                at /= n;
            }
            index
        })
        .collect()
}

impl Naive {
    /// The tensor whose element at each index is `f` of the index.
    pub(crate) fn build(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Naive {
        let mut f = f;
        Naive { shape: shape.to_vec(), data: indices(shape).iter().map(|i| f(i)).collect() }
    }

    /// The element at an index.
    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        let flat = index.iter().zip(&self.shape).fold(0, |at, (&i, &n)| at * n + i);
        self.data[flat]
    }

    /// The element at an index of a shape that this one is broadcast to.
    pub(crate) fn spread(&self, index: &[usize]) -> f64 {
        let own = &index[index.len() - self.shape.len()..];
        let own: Vec<usize> =
            own.iter().zip(&self.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
        self.at(&own)
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Naive {
        Naive { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    pub(crate) fn permute(&self, axes: &[usize]) -> Naive {
        let shape: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        Naive::build(&shape, |index| {
            let mut from = vec![0; axes.len()];
            axes.iter().zip(index).for_each(|(&a, &i)| from[a] = i);
            self.at(&from)
        })
    }

    pub(crate) fn slice(&self, start: &[usize], limit: &[usize], stride: &[usize]) -> Naive {
        let shape: Vec<usize> =
            (0..self.shape.len()).map(|i| (limit[i] - start[i]).div_ceil(stride[i])).collect();
        Naive::build(&shape, |index| {
            let from: Vec<usize> = (0..index.len()).map(|i| start[i] + index[i] * stride[i]).collect();
            self.at(&from)
        })
    }

    pub(crate) fn reverse(&self, axes: &[usize]) -> Naive {
        Naive::build(&self.shape, |index| {
            let mut from = index.to_vec();
            axes.iter().for_each(|&a| from[a] = self.shape[a] - 1 - from[a]);
            self.at(&from)
        })
    }

    /// The lists along `axis`, in the order of the other axes.
    pub(crate) fn lanes(&self, axis: usize) -> Vec<Vec<f64>> {
        let mut rest = self.shape.clone();
        let n = rest.remove(axis);
        let lane = |mut index: Vec<usize>| {
            index.insert(axis, 0);
            (0..n)
                .map(|i| {
                    index[axis] = i;
                    self.at(&index)
                })
                .collect()
        };
        indices(&rest).into_iter().map(lane).collect()
    }

    /// The inverse of [`lanes`](Naive::lanes).
    pub(crate) fn of_lanes(shape: &[usize], axis: usize, lanes: &[Vec<f64>]) -> Naive {
        let mut rest = shape.to_vec();
        rest.remove(axis);
        let others = Naive { data: (0..lanes.len()).map(|i| i as f64).collect(), shape: rest };
        Naive::build(shape, |index| {
            let mut other = index.to_vec();
            let i = other.remove(axis);
            lanes[others.at(&other) as usize][i]
        })
    }

    pub(crate) fn host(&self, dtype: DType) -> HostTensor {
        HostTensor::new(self.shape.clone(), self.data.clone()).unwrap().cast(dtype)
    }

    pub(crate) fn buffer(&self, dtype: DType) -> Buffer {
        NdArray.from_host(self.host(dtype)).unwrap()
    }
}

/// The numbers of a buffer.
pub(crate) fn read(x: &Buffer) -> Naive {
    let host = NdArray.to_host(x.clone()).unwrap();
    Naive { shape: host.shape().to_vec(), data: host.to_f64_vec() }
}

/// A tensor under both forms, the buffer permuted, sliced and reversed in memory.
#[derive(Clone, Debug)]
pub(crate) struct Both {
    pub(crate) naive: Naive,
    order: Vec<usize>,
    base: Naive,
    start: Vec<usize>,
    stride: Vec<usize>,
    reversed: Vec<usize>,
}

impl Both {
    /// A new buffer that nobody else holds.
    pub(crate) fn buffer(&self, dtype: DType) -> Buffer {
        let x = self.base.buffer(dtype);
        let x = NdArray.permute(x, &self.order).unwrap();
        let limit: Vec<usize> = NdArray.shape(&x).to_vec();
        let x = NdArray.slice(x, &self.start, &limit, &self.stride).unwrap();
        NdArray.reverse(x, &self.reversed).unwrap()
    }
}

/// What numbers a dtype holds of those that the tests draw: no negative ones if unsigned, 0 and 1 if `bool`.
pub(crate) fn fit(dtype: DType, v: f64) -> f64 {
    match dtype {
        DType::Bool => f64::from(v != 0.0),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => v.abs(),
        _ => v,
    }
}

/// A tensor of `shape`, its memory in any order and with gaps, of small integers.
pub(crate) fn tensor_of(shape: Vec<usize>, dtype: DType) -> impl Strategy<Value = Both> {
    let rank = shape.len();
    let per_axis = prop::collection::vec((0usize..2, 1usize..3, any::<bool>()), rank);
    (per_axis, Just((0..rank).collect::<Vec<_>>()).prop_shuffle(), any::<u64>()).prop_map(
        move |(axes, order, seed)| {
            let mut base_shape = vec![0; rank];
            for (i, &o) in order.iter().enumerate() {
                let (start, stride, _) = axes[i];
                base_shape[o] = start + if shape[i] == 0 { 0 } else { (shape[i] - 1) * stride + 1 };
            }
            let mut state = seed | 1;
            let base = Naive::build(&base_shape, |_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                fit(dtype, ((state >> 33) % 9) as f64 - 4.0)
            });
            let start: Vec<usize> = axes.iter().map(|a| a.0).collect();
            let stride: Vec<usize> = axes.iter().map(|a| a.1).collect();
            let reversed: Vec<usize> = (0..rank).filter(|&i| axes[i].2).collect();
            let permuted = base.permute(&order);
            let naive = permuted.slice(&start, &permuted.shape, &stride).reverse(&reversed);
            assert_eq!(naive.shape, shape);
            Both { naive, order, base, start, stride, reversed }
        },
    )
}

/// Shapes with 0 to 4 axes, some of them empty.
pub(crate) fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1 => Just(0usize), 9 => 1usize..5], 0..5)
}

/// A tensor of any shape.
pub(crate) fn tensor(dtype: DType) -> impl Strategy<Value = Both> {
    shapes().prop_flat_map(move |shape| tensor_of(shape, dtype))
}

/// Shapes with at least one axis.
pub(crate) fn shape_and_axis() -> impl Strategy<Value = (Vec<usize>, usize)> {
    prop::collection::vec(prop_oneof![1 => Just(0usize), 9 => 1usize..5], 1..5)
        .prop_flat_map(|shape| (Just(shape.clone()), 0..shape.len()))
}

/// A tensor with at least one axis, and one of its axes.
pub(crate) fn tensor_and_axis(dtype: DType) -> impl Strategy<Value = (Both, usize)> {
    shape_and_axis().prop_flat_map(move |(shape, axis)| (tensor_of(shape, dtype), Just(axis)))
}

/// Runs `op` on buffers that somebody else holds, which must stay as they are, and on buffers that nobody else holds;
/// both must give `expected` within `ulp` times the precision of its dtype.
pub(crate) fn check(
    dtype: DType,
    operands: &[(&Both, DType)],
    op: impl Fn(Vec<Buffer>) -> Result<Buffer>,
    (expected, tolerance): (&Naive, f64),
) {
    let held: Vec<Buffer> = operands.iter().map(|(x, d)| x.buffer(*d)).collect();
    let shared = op(held.clone()).unwrap();
    for ((x, _), held) in operands.iter().zip(&held) {
        assert_eq!(&read(held), &x.naive, "an operand has changed");
    }
    drop(held);
    let own = op(operands.iter().map(|(x, d)| x.buffer(*d)).collect()).unwrap();
    for (way, y) in [("shared", shared), ("own", own)] {
        assert_eq!(NdArray.dtype(&y), dtype, "{way}");
        same(&read(&y), expected, tolerance, way);
    }
}

/// Same shape, NaN and infinities in the same places, and elements within `tolerance`, relative and absolute.
pub(crate) fn same(got: &Naive, expected: &Naive, tolerance: f64, what: &str) {
    assert_eq!(got.shape, expected.shape, "{what}");
    for (i, (&g, &e)) in got.data.iter().zip(&expected.data).enumerate() {
        let equal = g == e || (g.is_nan() && e.is_nan()) || (g - e).abs() <= tolerance * (1.0 + e.abs());
        assert!(equal, "{what}: {g} instead of {e} at {i} of {:?}", got.shape);
    }
}
