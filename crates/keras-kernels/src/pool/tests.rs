//! Against plain nested loops, and gradients against the adjoint.

use half::f16;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Case {
    x: Vec<usize>,
    window: Vec<usize>,
    strides: Vec<usize>,
    padding: Vec<(isize, isize)>,
    dilation: Vec<usize>,
}

impl Case {
    fn params(&self) -> PoolParams<'_> {
        PoolParams {
            window: &self.window,
            strides: &self.strides,
            padding: &self.padding,
            dilation: &self.dilation,
        }
    }

    fn outputs(&self) -> usize {
        output_shape(&self.x, &self.params()).unwrap().iter().product()
    }

    /// For each element of the output, the elements of the input it sees, in scan order.
    fn windows(&self) -> Vec<Vec<usize>> {
        let rank = self.window.len();
        let shape = output_shape(&self.x, &self.params()).unwrap();
        let mut all = Vec::new();
        for at in indices(&shape) {
            let mut seen = Vec::new();
            for k in indices(&self.window) {
                let mut place = at[0];
                let mut inside = true;
                for d in 0..rank {
                    let i =
                        (at[d + 1] * self.strides[d] + k[d] * self.dilation[d]) as isize - self.padding[d].0;
                    inside &= (0..self.x[d + 1] as isize).contains(&i);
                    place = place * self.x[d + 1] + i.max(0) as usize;
                }
                if inside {
                    seen.push(place * self.x[rank + 1] + at[rank + 1]);
                }
            }
            all.push(seen);
        }
        all
    }
}

fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    (0..shape.iter().product())
        .map(|i: usize| {
            let mut rest = i;
            let mut at: Vec<usize> = shape.iter().rev().map(|n| (rest % n, rest /= n).0).collect();
            at.reverse();
            at
        })
        .collect()
}

/// Small integers, with many equal ones.
fn numbers<T: Num>(count: usize, seed: usize) -> Vec<T> {
    (0..count).map(|i| T::from_usize((i * 7 + i / 3 + seed * 13) % 4)).collect()
}

fn case() -> impl Strategy<Value = Case> {
    let axis = (0..9usize, 1..4usize, 1..4usize, (-1..3isize, -1..3isize), 1..3usize);
    (prop::collection::vec(axis, 1..4usize), 0..3usize, 1..4usize).prop_map(|(axes, batch, channels)| Case {
        x: [batch].into_iter().chain(axes.iter().map(|a| a.0)).chain([channels]).collect(),
        window: axes.iter().map(|a| a.1).collect(),
        strides: axes.iter().map(|a| a.2).collect(),
        padding: axes.iter().map(|a| a.3).collect(),
        dilation: axes.iter().map(|a| a.4).collect(),
    })
}

fn check_reducers<T: Num>(case: &Case) {
    let x: Vec<T> = numbers(case.x.iter().product(), 1);
    for (reducer, start, combine) in [
        (Reducer::Max, T::Acc::LOWEST, Num::maximum as fn(T::Acc, T::Acc) -> T::Acc),
        (Reducer::Min, T::Acc::HIGHEST, Num::minimum),
        (Reducer::Sum, T::Acc::ZERO, Num::plus),
        (Reducer::Prod, T::Acc::ONE, Num::times),
    ] {
        let mut y = vec![T::ONE; case.outputs()];
        reduce_window(reducer, &x, &case.x, &case.params(), &mut y).unwrap();
        let fold =
            |seen: Vec<usize>| T::narrow(seen.into_iter().fold(start, |all, i| combine(all, x[i].widen())));
        assert_eq!(y, case.windows().into_iter().map(fold).collect::<Vec<_>>(), "{reducer:?} {case:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn reducers_equal_nested_loops(case in case()) {
        check_reducers::<f32>(&case);
        check_reducers::<f16>(&case);
        check_reducers::<i8>(&case);
        check_reducers::<u64>(&case);
    }

    #[test]
    fn means_and_gradients_equal_nested_loops(case in case()) {
        let (x, dy): (Vec<f64>, Vec<f64>) = (numbers(case.x.iter().product(), 1), numbers(case.outputs(), 2));
        let params = case.params();
        let mut mean = vec![0.0; dy.len()];
        reduce_window(Reducer::Mean, &x, &case.x, &params, &mut mean).unwrap();
        let [mut max_dx, mut sum_dx, mut mean_dx] = [(); 3].map(|()| vec![9.0; x.len()]);
        max_backward(&x, &case.x, &dy, &params, &mut max_dx).unwrap();
        sum_backward(&dy, &case.x, &params, &mut sum_dx).unwrap();
        mean_backward(&dy, &case.x, &params, &mut mean_dx).unwrap();

        let [mut want_max, mut want_sum, mut want_mean] = [(); 3].map(|()| vec![0.0; x.len()]);
        for (o, seen) in case.windows().into_iter().enumerate() {
            let count = seen.len() as f64;
            let expected = seen.iter().map(|&i| x[i]).sum::<f64>() / count;
            prop_assert!(mean[o] == expected || (mean[o].is_nan() && seen.is_empty()));
            let first = seen.iter().copied().reduce(|best, i| if x[best] >= x[i] { best } else { i });
            if let Some(i) = first {
                want_max[i] += dy[o];
            }
            for i in seen {
                want_sum[i] += dy[o];
                want_mean[i] += dy[o] / count;
            }
        }
        prop_assert_eq!(max_dx, want_max);
        prop_assert_eq!(sum_dx, want_sum);
        prop_assert_eq!(mean_dx, want_mean);
    }
}

/// Large enough for several tiles.
fn large() -> Case {
    Case {
        x: vec![3, 41, 40, 37],
        window: vec![3, 2],
        strides: vec![2, 1],
        padding: vec![(1, 1), (0, 1)],
        dilation: vec![1, 2],
    }
}

#[test]
fn large_shapes_equal_nested_loops() {
    check_reducers::<f32>(&large());
    check_reducers::<i32>(&large());
}

#[test]
fn thread_count_does_not_change_bits() {
    let case = large();
    let params = case.params();
    let rounding =
        |count: usize, by: f32| -> Vec<f32> { (0..count).map(|i| (i as f32 * by).fract() - 0.5).collect() };
    let (x, dy) = (rounding(case.x.iter().product(), 0.618), rounding(case.outputs(), 0.731));
    let all = |threads| {
        par::with_threads(threads, || {
            let mut out: Vec<Vec<f32>> = Vec::new();
            for reducer in [Reducer::Max, Reducer::Sum, Reducer::Mean, Reducer::Prod] {
                let mut y = vec![0.0; dy.len()];
                reduce_window(reducer, &x, &case.x, &params, &mut y).unwrap();
                out.push(y);
            }
            let mut dx = [(); 3].map(|()| vec![0.0; x.len()]);
            max_backward(&x, &case.x, &dy, &params, &mut dx[0]).unwrap();
            sum_backward(&dy, &case.x, &params, &mut dx[1]).unwrap();
            mean_backward(&dy, &case.x, &params, &mut dx[2]).unwrap();
            out.extend(dx);
            out.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = all(1);
    assert!(one == all(2) && one == all(5));
}

#[test]
fn nan_wins_and_its_gradient_goes_where_xla_sends_it() {
    let params = PoolParams { window: &[3], strides: &[3], padding: &[(0, 0)], dilation: &[1] };
    let nan = f32::NAN;
    let x = [1.0, nan, 0.5, nan, 2.0, 3.0, 4.0, 5.0, nan];
    let (mut y, mut dx) = ([0.0; 3], [9.0; 9]);
    reduce_window(Reducer::Max, &x, &[1, 9, 1], &params, &mut y).unwrap();
    assert!(y.iter().all(|v| v.is_nan()));
    max_backward(&x, &[1, 9, 1], &[1.0, 2.0, 3.0], &params, &mut dx).unwrap();
    assert_eq!(dx, [0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0]);
}

#[test]
fn integer_means_round_towards_zero() {
    let params = PoolParams { window: &[3], strides: &[2], padding: &[(0, 1)], dilation: &[1] };
    let mut y = [0i32; 2];
    reduce_window(Reducer::Mean, &[1, 2, 5, -3], &[1, 4, 1], &params, &mut y).unwrap();
    assert_eq!(y, [2, 1]);
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let good = PoolParams { window: &[2], strides: &[2], padding: &[(0, 0)], dilation: &[1] };
    let run = |params: &PoolParams, x: &[usize], lens: [usize; 2]| {
        reduce_window(Reducer::Max, &vec![0f32; lens[0]], x, params, &mut vec![0f32; lens[1]])
    };
    assert_eq!(run(&good, &[1, 4, 3], [12, 6]), Ok(()));
    assert_eq!(run(&good, &[1, 4, 3], [12, 5]), Err(Error::Length { operand: "y", expected: 6, found: 5 }));
    assert!(run(&good, &[1, 4, 3], [11, 6]).is_err());
    assert!(run(&good, &[4, 3], [12, 6]).is_err());
    assert!(run(&good, &[usize::MAX, 4, 3], [12, 6]).is_err());
    for bad in [
        PoolParams { window: &[0], ..good },
        PoolParams { window: &[], strides: &[], padding: &[], dilation: &[] },
        PoolParams { strides: &[0], ..good },
        PoolParams { strides: &[2, 2], ..good },
        PoolParams { padding: &[(isize::MIN, 0)], ..good },
        PoolParams { padding: &[], ..good },
        PoolParams { dilation: &[0], ..good },
    ] {
        assert!(run(&bad, &[1, 4, 3], [12, 6]).is_err(), "{bad:?}");
    }
}
