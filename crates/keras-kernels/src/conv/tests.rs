//! Against plain nested loops, and gradients against the adjoint.

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;

/// Everything about a random convolution.
#[derive(Debug, Clone)]
struct Case {
    x: Vec<usize>,
    w: Vec<usize>,
    strides: Vec<usize>,
    padding: Vec<(isize, isize)>,
    lhs_dilation: Vec<usize>,
    rhs_dilation: Vec<usize>,
    groups: usize,
}

impl Case {
    fn params(&self) -> ConvParams<'_> {
        ConvParams {
            strides: &self.strides,
            padding: &self.padding,
            lhs_dilation: &self.lhs_dilation,
            rhs_dilation: &self.rhs_dilation,
            groups: self.groups,
        }
    }

    fn output(&self) -> Vec<usize> {
        output_shape(&self.x, &self.w, &self.params()).unwrap()
    }

    /// Calls `visit` with the places of `x`, `w` and `y` of every product, straight from the definition.
    fn products(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (rank, y) = (self.strides.len(), self.output());
        let group_in = self.w[rank];
        let group_out = self.w[rank + 1] / self.groups;
        for at in indices(&y) {
            for k in indices(&self.w[..rank]) {
                let source: Option<Vec<usize>> = (0..rank)
                    .map(|d| {
                        let p = (at[d + 1] * self.strides[d] + k[d] * self.rhs_dilation[d]) as isize
                            - self.padding[d].0;
                        let i = p / self.lhs_dilation[d] as isize;
                        let inside = p >= 0 && p % self.lhs_dilation[d] as isize == 0;
                        (inside && i < self.x[d + 1] as isize).then_some(i as usize)
                    })
                    .collect();
                let Some(source) = source else { continue };
                for c in 0..group_in {
                    let o = at[rank + 1];
                    let x_at = [vec![at[0]], source.clone(), vec![o / group_out * group_in + c]].concat();
                    let w_at = [k.clone(), vec![c, o]].concat();
                    visit(flat(&x_at, &self.x), flat(&w_at, &self.w), flat(&at, &y));
                }
            }
        }
    }
}

fn flat(at: &[usize], shape: &[usize]) -> usize {
    at.iter().zip(shape).fold(0, |sum, (i, n)| sum * n + i)
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

/// Small integers, so that sums are exact in any order.
fn numbers<T: Num>(shape: &[usize], seed: usize) -> Vec<T> {
    (0..shape.iter().product::<usize>())
        .map(|i| T::from_usize((i * 7 + i / 3 + seed * 13) % 4).minus(T::from_usize(seed % 2)))
        .collect()
}

fn axis() -> impl Strategy<Value = (usize, usize, usize, (isize, isize), usize, usize)> {
    (0..8usize, 1..4usize, 1..4usize, (-2..4isize, -2..4isize), 1..4usize, 1..4usize)
}

fn case() -> impl Strategy<Value = Case> {
    let channels = (1..4usize, 1..4usize, 1..4usize);
    (prop::collection::vec(axis(), 1..4usize), 0..3usize, channels).prop_map(
        |(axes, batch, (groups, i, o))| {
            let spatial = axes.iter().map(|a| a.0);
            Case {
                x: [batch].into_iter().chain(spatial).chain([groups * i]).collect(),
                w: axes.iter().map(|a| a.1).chain([i, groups * o]).collect(),
                strides: axes.iter().map(|a| a.2).collect(),
                padding: axes.iter().map(|a| a.3).collect(),
                lhs_dilation: axes.iter().map(|a| a.4).collect(),
                rhs_dilation: axes.iter().map(|a| a.5).collect(),
                groups,
            }
        },
    )
}

/// All three passes equal the definition, bit for bit.
fn check<T: Num>(case: &Case) {
    let (x, w): (Vec<T>, Vec<T>) = (numbers(&case.x, 1), numbers(&case.w, 2));
    let dy: Vec<T> = numbers(&case.output(), 3);
    let params = case.params();
    let (mut y, mut dx, mut dw) = (vec![T::ONE; dy.len()], vec![T::ONE; x.len()], vec![T::ONE; w.len()]);
    forward(&x, &case.x, &w, &case.w, &params, &Epilogue::NONE, &mut y).unwrap();
    backward_input(&dy, &w, &case.x, &case.w, &params, &mut dx).unwrap();
    backward_filter(&x, &dy, &case.x, &case.w, &params, &mut dw).unwrap();

    let mut expected = [y.len(), x.len(), w.len()].map(|n| vec![T::Acc::ZERO; n]);
    case.products(|i, k, o| {
        let [y, dx, dw] = &mut expected;
        y[o] = y[o].plus(x[i].widen().times(w[k].widen()));
        dx[i] = dx[i].plus(dy[o].widen().times(w[k].widen()));
        dw[k] = dw[k].plus(dy[o].widen().times(x[i].widen()));
    });
    let [want_y, want_dx, want_dw] = expected.map(|v| v.into_iter().map(T::narrow).collect::<Vec<_>>());
    assert_eq!(y, want_y, "forward of {case:?}");
    assert_eq!(dx, want_dx, "gradient of the input of {case:?}");
    assert_eq!(dw, want_dw, "gradient of the filter of {case:?}");

    let geometry = Geometry::new(&case.x, &case.w, &params).unwrap();
    let plan = Plan::transposed(geometry.axes);
    if geometry.groups == 1 && !dx.is_empty() {
        for way in [forward::backward_input::<T>, spread::backward_input::<T>] {
            dx.fill(T::ONE);
            way(&geometry, &plan, &dy, &w, (&mut dx).into()).unwrap();
            assert_eq!(dx, want_dx, "gradient of the input of {case:?}, both ways");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn equals_nested_loops(case in case()) {
        check::<f32>(&case);
        check::<i16>(&case);
        check::<f16>(&case);
    }

    #[test]
    fn gradients_are_adjoint(case in case()) {
        let (x, w): (Vec<f64>, Vec<f64>) = (numbers(&case.x, 1), numbers(&case.w, 2));
        let dy: Vec<f64> = numbers(&case.output(), 3);
        let params = case.params();
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        forward(&x, &case.x, &w, &case.w, &params, &Epilogue::NONE, &mut y).unwrap();
        backward_input(&dy, &w, &case.x, &case.w, &params, &mut dx).unwrap();
        backward_filter(&x, &dy, &case.x, &case.w, &params, &mut dw).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        prop_assert_eq!(dot(&y, &dy), dot(&x, &dx));
        prop_assert_eq!(dot(&y, &dy), dot(&w, &dw));
    }
}

fn case_2d(x: [usize; 4], w: [usize; 4], stride: usize, pad: isize, lhs: usize, groups: usize) -> Case {
    Case {
        x: x.to_vec(),
        w: w.to_vec(),
        strides: vec![stride; 2],
        padding: vec![(pad, pad); 2],
        lhs_dilation: vec![lhs; 2],
        rhs_dilation: vec![1; 2],
        groups,
    }
}

/// Large enough for several tiles and blocks, and for every path.
fn large_cases() -> Vec<Case> {
    vec![
        case_2d([2, 40, 40, 8], [3, 3, 8, 12], 1, 1, 1, 1),
        case_2d([3, 41, 39, 6], [3, 3, 3, 8], 2, 1, 1, 2),
        case_2d([2, 30, 30, 5], [4, 4, 5, 7], 1, 2, 2, 1),
        case_2d([2, 40, 40, 16], [1, 1, 8, 24], 1, 0, 1, 2),
        case_2d([2, 40, 41, 70], [3, 3, 1, 70], 1, 1, 1, 70),
        case_2d([2, 33, 33, 10], [3, 3, 1, 30], 2, 1, 1, 10),
        case_2d([1, 6, 6, 128], [3, 3, 128, 96], 1, 1, 1, 1),
        case_2d([3, 60, 60, 3], [5, 5, 3, 16], 2, 2, 1, 1),
    ]
}

#[test]
fn large_shapes_equal_nested_loops() {
    for case in large_cases() {
        check::<f32>(&case);
    }
    check::<i32>(&large_cases()[0]);
    check::<bf16>(&case_2d([1, 9, 9, 2], [3, 3, 2, 3], 1, 1, 1, 1));
}

#[test]
fn thread_count_does_not_change_bits() {
    let rounding = |shape: &[usize], by: f32| -> Vec<f32> {
        (0..shape.iter().product()).map(|i: usize| (i as f32 * by).fract() - 0.5).collect()
    };
    for case in large_cases() {
        let (x, w, dy) =
            (rounding(&case.x, 0.618), rounding(&case.w, 0.417), rounding(&case.output(), 0.731));
        let params = case.params();
        let all = |threads| {
            par::with_threads(threads, || {
                let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
                let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; case.w[3]]);
                forward(&x, &case.x, &w, &case.w, &params, &Epilogue::NONE, &mut y).unwrap();
                backward_input(&dy, &w, &case.x, &case.w, &params, &mut dx).unwrap();
                backward_filter(&x, &dy, &case.x, &case.w, &params, &mut dw).unwrap();
                backward_bias(&dy, &mut db).unwrap();
                [y, dx, dw, db].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let one = all(1);
        assert!(one == all(2) && one == all(5), "{case:?}");
    }
}

#[test]
fn epilogue_adds_the_bias_and_then_activates() {
    for groups in [1, 2] {
        let case = case_2d([1, 5, 5, 2], [3, 3, 2 / groups, 4], 1, 1, 1, groups);
        let (x, w): (Vec<f32>, Vec<f32>) = (numbers(&case.x, 1), numbers(&case.w, 2));
        let bias = [-9.0, 0.0, 2.0, -20.0];
        let mut plain = vec![0.0; 100];
        forward(&x, &case.x, &w, &case.w, &case.params(), &Epilogue::NONE, &mut plain).unwrap();
        let relu = |y: &mut [f32]| y.iter_mut().for_each(|v| *v = v.max(0.0));
        let mut y = vec![0.0; 100];
        let epilogue = Epilogue { bias: Some(&bias), activation: Some(&relu) };
        forward(&x, &case.x, &w, &case.w, &case.params(), &epilogue, &mut y).unwrap();
        let expected: Vec<f32> = plain.iter().enumerate().map(|(i, v)| (v + bias[i % 4]).max(0.0)).collect();
        assert_eq!(y, expected);
        assert!(y.contains(&0.0) && y.iter().any(|v| *v > 0.0));
    }
}

#[test]
fn bias_gradient_is_the_sum_of_pixels() {
    let dy: Vec<i32> = (0..60_000).collect();
    let mut db = [0; 3];
    backward_bias(&dy, &mut db).unwrap();
    let expected = [0, 1, 2].map(|c| dy.iter().skip(c).step_by(3).fold(0i32, |s, v| s.wrapping_add(*v)));
    assert_eq!(db, expected);
    assert!(backward_bias(&dy[..4], &mut db).is_err());
    assert!(backward_bias(&dy, &mut []).is_err());
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let good = case_2d([1, 4, 4, 4], [3, 3, 2, 4], 1, 0, 1, 2);
    let run = |case: &Case, lens: [usize; 3]| {
        let [x, w, mut y] = lens.map(|n| vec![0f32; n]);
        forward(&x, &case.x, &w, &case.w, &case.params(), &Epilogue::NONE, &mut y)
    };
    assert_eq!(run(&good, [64, 72, 16]), Ok(()));
    assert_eq!(run(&good, [64, 72, 15]), Err(Error::Length { operand: "y", expected: 16, found: 15 }));
    assert_eq!(run(&good, [63, 72, 16]), Err(Error::Length { operand: "x", expected: 64, found: 63 }));
    assert_eq!(run(&good, [64, 71, 16]), Err(Error::Length { operand: "w", expected: 72, found: 71 }));
    for bad in [
        Case { groups: 0, ..good.clone() },
        Case { groups: 3, ..good.clone() },
        Case { x: vec![1, 4, 4], ..good.clone() },
        Case { x: vec![], w: vec![], ..good.clone() },
        Case { x: vec![1, 4, 4, usize::MAX], w: vec![3, 3, usize::MAX, 4], groups: 1, ..good.clone() },
        Case { w: vec![3, 0, 2, 4], ..good.clone() },
        Case { strides: vec![1, 0], ..good.clone() },
        Case { strides: vec![], padding: vec![], lhs_dilation: vec![], rhs_dilation: vec![], ..good.clone() },
        Case { strides: vec![1; 4], ..good.clone() },
        Case { padding: vec![(0, 0)], ..good.clone() },
        Case { lhs_dilation: vec![1, 0], ..good.clone() },
        Case { rhs_dilation: vec![usize::MAX, 1], ..good.clone() },
    ] {
        assert!(run(&bad, [64, 72, 16]).is_err(), "{bad:?}");
    }
}
