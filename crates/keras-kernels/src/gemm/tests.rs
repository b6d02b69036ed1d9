use super::*;
use proptest::prelude::*;

/// Small integers, so that sums are exact in any order.
fn numbers<T: Num>(count: usize, seed: usize) -> Vec<T> {
    (0..count)
        .map(|i| T::from_usize((i * 7 + seed * 13 + i / 5) % 5).minus(T::from_usize(seed % 2)))
        .collect()
}

fn check<T: Num>(batch: [usize; 2], m: usize, n: usize, k: usize, flip: [bool; 3], shared: [bool; 2]) {
    let count = batch[0] * batch[1];
    let layout = |rows: usize, cols: usize, flip: bool| {
        if flip { Layout::row_major(rows).transposed() } else { Layout::row_major(cols) }
    };
    let strides = |len: usize, shared: bool| {
        if shared { [0, len as isize] } else { [(batch[1] * len) as isize, len as isize] }
    };
    let (sa, sb, sc) = (strides(m * k, shared[0]), strides(k * n, shared[1]), strides(m * n, false));
    let la = Layout { batch: &sa, ..layout(m, k, flip[0]) };
    let lb = Layout { batch: &sb, ..layout(k, n, flip[1]) };
    let lc = Layout { batch: &sc, ..layout(m, n, flip[2]) };
    let (a, b) = (numbers::<T>(count * m * k, 1), numbers::<T>(count * k * n, 2));
    let mut c = numbers::<T>(count * m * n, 3);
    let before = c.clone();
    let two = T::from_usize(2);
    gemm(&Gemm { batch: &batch, m, n, k, alpha: two, beta: two }, &a, la, &b, lb, &mut c, lc).unwrap();
    let at = |l: Layout, b: [usize; 2], i: usize, j: usize| {
        (b[0] as isize * l.batch[0] + b[1] as isize * l.batch[1] + i as isize * l.row + j as isize * l.col)
            as usize
    };
    for b0 in 0..batch[0] {
        for b1 in 0..batch[1] {
            for i in 0..m {
                for j in 0..n {
                    let sum = (0..k).fold(T::ZERO, |s, l| {
                        s.plus(a[at(la, [b0, b1], i, l)].times(b[at(lb, [b0, b1], l, j)]))
                    });
                    let place = at(lc, [b0, b1], i, j);
                    assert_eq!(c[place], two.times(sum).plus(two.times(before[place])), "{i} {j}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn equals_nested_loops(
        batch in [0..4usize, 1..4usize],
        m in 0..20usize, n in 0..20usize, k in 0..20usize,
        flip in any::<[bool; 3]>(), shared in any::<[bool; 2]>(),
    ) {
        check::<f32>(batch, m, n, k, flip, shared);
        check::<f64>(batch, m, n, k, flip, shared);
        check::<f16>(batch, m, n, k, flip, shared);
        check::<i8>(batch, m, n, k, flip, shared);
        check::<i64>(batch, m, n, k, flip, shared);
        check::<u16>(batch, m, n, k, flip, shared);
    }
}

#[test]
fn large_products_equal_nested_loops() {
    check::<f32>([1, 1], 70, 65, 300, [false; 3], [false; 2]);
    check::<i32>([1, 1], 70, 65, 300, [true, false, false], [false; 2]);
    check::<f32>([1, 1], 1, 700, 300, [false; 3], [false; 2]);
    check::<f32>([1, 1], 700, 1, 300, [false; 3], [false; 2]);
    check::<bf16>([1, 1], 1, 70, 30, [true, false, true], [false; 2]);
    check::<f32>([1, 1], 700, 1, 301, [true; 3], [false; 2]);
    check::<f64>([1, 1], 1, 70_000, 6, [false; 3], [false; 2]);
    check::<f32>([5, 3], 16, 17, 200, [false; 3], [false, true]);
}

/// Numbers whose sums round, so that another order of summation would show.
fn rounding(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f32 * 0.618).fract() - 0.5) * 3.0).collect()
}

#[test]
fn thread_count_does_not_change_bits() {
    let shapes = [
        (300, 200, 1000),
        (1, 3000, 700),
        (3000, 1, 700),
        (1, 1024, 1023),
        (64, 64, 5000),
        (32, 30, 784),
        (257, 33, 1290),
        (1300, 3, 600),
        (5, 1300, 600),
        (650, 1290, 3),
    ];
    for (m, n, k) in shapes {
        let (a, b) = (rounding(m * k), rounding(k * n));
        let product = |threads| {
            par::with_threads(threads, || {
                let mut c = vec![0.0; m * n];
                let dims = Gemm::new(m, n, k);
                let (la, lb, lc) = (Layout::row_major(k), Layout::row_major(n), Layout::row_major(n));
                gemm(&dims, &a, la, &b, lb, &mut c, lc).unwrap();
                c.iter().map(|v: &f32| v.to_bits()).collect::<Vec<_>>()
            })
        };
        let one = product(1);
        assert!((2..=5).all(|threads| product(threads) == one), "{m}x{n}x{k}");
    }
}

#[test]
fn zero_beta_ignores_what_c_held() {
    let mut c = [f32::NAN; 4];
    let l = Layout::row_major(2);
    gemm(&Gemm::new(2, 2, 1), &[1.0, 2.0], Layout::row_major(1), &[3.0, 4.0], l, &mut c, l).unwrap();
    assert_eq!(c, [3.0, 4.0, 6.0, 8.0]);
    gemm(&Gemm::new(2, 2, 0), &[], Layout::row_major(0), &[], l, &mut c, l).unwrap();
    assert_eq!(c, [0.0; 4]);
}

#[test]
fn layouts_that_do_not_fit_are_errors() {
    let l = Layout::row_major(2);
    let dims = Gemm::new(2, 2, 2);
    let (a, mut c) = ([1f32; 4], [0f32; 4]);
    assert_eq!(
        gemm(&dims, &a[..3], l, &a, l, &mut c, l),
        Err(Error::Length { operand: "a", expected: 4, found: 3 })
    );
    let overlapping = Layout { row: 1, ..l };
    assert!(matches!(gemm(&dims, &a, l, &a, l, &mut c, overlapping), Err(Error::Shape { .. })));
    let before = Layout { row: -2, ..l };
    assert!(matches!(gemm(&dims, &a, before, &a, l, &mut c, l), Err(Error::Shape { .. })));
    assert!(matches!(
        gemm(&dims, &a, Layout { batch: &[0], ..l }, &a, l, &mut c, l),
        Err(Error::Shape { .. })
    ));
    gemm(&dims, &a, before.at(2), &a, l, &mut c, l).unwrap();
    assert_eq!(c, [2.0; 4]);
}
