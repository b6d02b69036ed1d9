//! Reductions against loops that are plainly right.

use half::bf16;
use keras_kernels::reduce::{ArgOp, ReduceOp, all, any, arg_reduce, cumulative, reduce};
use keras_kernels::{Num, par};
use proptest::prelude::*;

fn values(n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| ((i * 2654435761 + 12345) % 1000003) as f64 / 500001.5 - 1.0).collect()
}

/// Calls `op(position in the output, element)` for every element.
fn walk<T: Copy>(x: &[T], shape: &[usize], axes: &[usize], mut op: impl FnMut(usize, T)) {
    for (linear, &value) in x.iter().enumerate() {
        let (mut rest, mut at, mut step) = (linear, 0, 1);
        for (axis, &n) in shape.iter().enumerate().rev() {
            if !axes.contains(&axis) {
                at += rest % n * step;
                step *= n;
            }
            rest /= n;
        }
        op(at, value);
    }
}

fn kept(shape: &[usize], axes: &[usize]) -> usize {
    shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, n)| n).product()
}

fn shapes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    (prop::collection::vec((0usize..14, proptest::bool::ANY), 0..5)).prop_map(|axes| {
        let shape = axes.iter().map(|&(n, _)| n).collect();
        (shape, (0..axes.len()).filter(|&axis| axes[axis].1).collect())
    })
}

/// Long axes in each position, so that segments and column blocks are cut.
const LONG: [([usize; 3], &[usize]); 7] = [
    ([1, 50_000, 1], &[1]),
    ([3, 20_001, 1], &[1]),
    ([1, 9_000, 5], &[1]),
    ([2, 777, 40], &[1]),
    ([1, 70, 3_000], &[1]),
    ([40, 33, 65], &[0, 2]),
    ([100, 7, 90], &[0, 1, 2]),
];

fn check(shape: &[usize], axes: &[usize]) {
    let x = values(shape.iter().product());
    let n = kept(shape, axes);
    let (mut sum, mut squares, mut max, mut min) =
        (vec![0.0; n], vec![0.0; n], vec![f64::NEG_INFINITY; n], vec![f64::INFINITY; n]);
    walk(&x, shape, axes, |at, x| {
        sum[at] += x;
        squares[at] += x * x;
        max[at] = x.max(max[at]);
        min[at] = x.min(min[at]);
    });
    let run = |op| {
        let once = |threads| {
            let mut out = vec![0.0; n];
            par::with_threads(threads, || reduce(op, &x, shape, axes, &mut out, |sum| sum)).unwrap();
            out
        };
        let out = once(1);
        assert_eq!(out, once(3), "{op:?} of {shape:?} over {axes:?} depends on the number of threads");
        out
    };
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-11 * (1.0 + b.abs()));
    assert!(close(&run(ReduceOp::Sum), &sum), "{shape:?} {axes:?}");
    assert!(close(&run(ReduceOp::SumOfSquares), &squares), "{shape:?} {axes:?}");
    assert_eq!(run(ReduceOp::Max), max);
    assert_eq!(run(ReduceOp::Min), min);
    let integers: Vec<i32> = x.iter().map(|x| (x * 1e9) as i32).collect();
    let mut product = vec![1i32; n];
    walk(&integers, shape, axes, |at, x| product[at] = product[at].wrapping_mul(x | 1));
    let odd: Vec<i32> = integers.iter().map(|x| x | 1).collect();
    let mut out = vec![0; n];
    reduce(ReduceOp::Product, &odd, shape, axes, &mut out, |x| x).unwrap();
    assert_eq!(out, product);
    let flags: Vec<bool> = x.iter().map(|&x| x > 0.9).collect();
    let (mut some, mut every) = (vec![false; n], vec![true; n]);
    walk(&flags, shape, axes, |at, x| {
        some[at] |= x;
        every[at] &= x;
    });
    let mut out = vec![false; n];
    any(&flags, shape, axes, &mut out).unwrap();
    assert_eq!(out, some);
    all(&flags, shape, axes, &mut out).unwrap();
    assert_eq!(out, every);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_axes((shape, axes) in shapes()) {
        check(&shape, &axes);
    }

    #[test]
    fn positions_and_running(outer in 1usize..5, n in 1usize..90, inner in 1usize..40, nan in proptest::bool::ANY, reverse in proptest::bool::ANY) {
        let mut x: Vec<f32> = values(outer * n * inner).iter().map(|x| (x * 9.0).round() as f32).collect();
        if nan {
            x[outer * n * inner / 2] = f32::NAN;
        }
        let at = |o: usize, i: usize, c: usize| x[(o * n + i) * inner + c];
        let (mut largest, mut smallest) = (vec![0i32; outer * inner], vec![0u64; outer * inner]);
        arg_reduce(ArgOp::Max, &x, [outer, n, inner], &mut largest).unwrap();
        arg_reduce(ArgOp::Min, &x, [outer, n, inner], &mut smallest).unwrap();
        let mut sums = vec![0.0; x.len()];
        cumulative(ReduceOp::Sum, &x, [outer, n, inner], reverse, &mut sums).unwrap();
        let mut maxima = vec![0.0; x.len()];
        cumulative(ReduceOp::Max, &x, [outer, n, inner], reverse, &mut maxima).unwrap();
        for o in 0..outer {
            for c in 0..inner {
                let (mut max, mut min) = (0, 0);
                for i in 1..n {
                    let beats = |best: usize, larger: bool| {
                        let (new, old) = (at(o, i, c), at(o, best, c));
                        (if larger { new > old } else { new < old }) || (new.is_nan() && !old.is_nan())
                    };
                    max = if beats(max, true) { i } else { max };
                    min = if beats(min, false) { i } else { min };
                }
                prop_assert_eq!(largest[o * inner + c], max as i32);
                prop_assert_eq!(smallest[o * inner + c], min as u64);
                let (mut sum, mut running) = (0.0f32, f32::NEG_INFINITY);
                for step in 0..n {
                    let i = if reverse { n - 1 - step } else { step };
                    sum += at(o, i, c);
                    running = Num::maximum(running, at(o, i, c));
                    let k = (o * n + i) * inner + c;
                    prop_assert!(sums[k] == sum || (sums[k].is_nan() && sum.is_nan()));
                    prop_assert!(maxima[k] == running || (maxima[k].is_nan() && running.is_nan()));
                }
            }
        }
    }
}

#[test]
fn long_axes() {
    for (shape, axes) in LONG {
        check(&shape, axes);
    }
}

#[test]
fn sums_are_as_exact_as_pairwise_ones() {
    let n = 1_000_003;
    for (shape, axes) in [([n, 1], [0]), ([n / 3, 3], [0]), ([3, n / 3], [1])] {
        let x = vec![0.1f32; shape[0] * shape[1]];
        let mut out = vec![0.0; x.len() / shape[axes[0]]];
        reduce(ReduceOp::Sum, &x, &shape, &axes, &mut out, |sum| sum).unwrap();
        let exact = shape[axes[0]] as f64 * 0.1f32 as f64;
        assert!(out.iter().all(|&sum| (sum as f64 / exact - 1.0).abs() < 1e-6), "{out:?} is not {exact}");
    }
}

#[test]
fn special_values_and_half_precision() {
    let x = [1.0f32, f32::NAN, 3.0];
    for op in [ReduceOp::Sum, ReduceOp::Product, ReduceOp::Max, ReduceOp::Min] {
        let mut out = [0.0];
        reduce(op, &x, &[3], &[0], &mut out, |x| x).unwrap();
        assert!(out[0].is_nan());
        let mut running = [0.0; 3];
        cumulative(op, &x, [1, 3, 1], false, &mut running).unwrap();
        assert!(running[0] == 1.0 && running[1].is_nan() && running[2].is_nan());
    }
    let mut out = [0.0];
    reduce(ReduceOp::Max, &[] as &[f32], &[0], &[0], &mut out, |x| x).unwrap();
    assert_eq!(out, [f32::NEG_INFINITY]);
    // 300 ones would stop at 256 if they were added in bfloat16.
    let mut mean = [bf16::ZERO];
    let finish = |sum: f32| bf16::from_f32(sum / 300.0);
    reduce(ReduceOp::Sum, &[bf16::ONE; 300], &[300], &[0], &mut mean, finish).unwrap();
    assert_eq!(mean, [bf16::ONE]);
    let mut wrapped = [0u8];
    reduce(ReduceOp::Sum, &[200u8, 100], &[2], &[0], &mut wrapped, |x| x).unwrap();
    assert_eq!(wrapped, [44]);
}

#[test]
fn sizes_that_contradict_are_errors() {
    let x = [1.0f32; 6];
    let mut out = [0.0; 3];
    assert!(reduce(ReduceOp::Sum, &x, &[2, 4], &[0], &mut out, |x| x).is_err());
    assert!(reduce(ReduceOp::Sum, &x, &[2, 3], &[2], &mut out, |x| x).is_err());
    assert!(reduce(ReduceOp::Sum, &x, &[2, 3], &[1], &mut out, |x| x).is_err());
    assert!(any(&[true], &[1], &[0], &mut []).is_err());
    assert!(arg_reduce(ArgOp::Max, &[] as &[f32], [1, 0, 3], &mut [0i32; 3]).is_err());
    assert!(arg_reduce(ArgOp::Max, &x, [1, 2, 3], &mut [0i32; 2]).is_err());
    assert!(cumulative(ReduceOp::Sum, &x, [1, 2, 3], false, &mut [0.0; 5]).is_err());
}
