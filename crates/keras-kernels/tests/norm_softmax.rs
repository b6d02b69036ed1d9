//! Normalisation, softmax and cross-entropy against plain loops, and their gradients against differences.

mod common;

use common::{assert_close, dot, gradient, values};
use half::bf16;
use keras_kernels::norm::{BatchNorm, RowNorm, moments};
use keras_kernels::par;
use keras_kernels::softmax::{
    cross_entropy, cross_entropy_backward, log_softmax, log_softmax_backward, softmax, softmax_backward,
    sparse_cross_entropy, sparse_cross_entropy_backward,
};

const SHAPES: [[usize; 3]; 6] = [[1, 1, 1], [4, 7, 1], [40, 3, 1], [3, 5, 4], [2, 70, 33], [3, 2, 50]];

fn run(n: usize, op: impl Fn(&mut [f64]) -> keras_kernels::Result<()> + Sync) -> Vec<f64> {
    let mut out = vec![0.0; n];
    op(&mut out).unwrap();
    out
}

/// Positions of the elements of channel or column `c` of `(outer, n, inner)`.
fn middle([outer, n, inner]: [usize; 3], c: usize) -> impl Iterator<Item = usize> {
    (0..outer).flat_map(move |o| (0..inner).map(move |i| (o * n + c) * inner + i))
}

#[test]
fn softmax_is_normalised_exponentials() {
    for shape in SHAPES {
        let [outer, n, inner] = shape;
        let x: Vec<f64> = values(outer * n * inner, 1).iter().map(|x| x * 30.0).collect();
        let (mut y, mut log) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |c: usize| (o * n + c) * inner + i;
            let sum: f64 = (0..n).map(|c| x[at(c)].exp()).sum();
            for c in 0..n {
                y[at(c)] = x[at(c)].exp() / sum;
                log[at(c)] = x[at(c)] - sum.ln();
            }
        }
        assert_close("softmax", &run(x.len(), |out| softmax(&x, shape, out)), &y, 1e-13);
        assert_close("log_softmax", &run(x.len(), |out| log_softmax(&x, shape, out)), &log, 1e-13);
    }
}

#[test]
fn softmax_gradients() {
    for shape in SHAPES {
        let size = shape.iter().product();
        if size > 500 {
            continue;
        }
        let (x, dy) = (values(size, 2), values(size, 3));
        let y = run(size, |out| softmax(&x, shape, out));
        let dx = run(size, |out| softmax_backward(&y, &dy, shape, out));
        let expected = gradient(&x, |x| dot(&dy, &run(size, |out| softmax(x, shape, out))));
        assert_close("softmax", &dx, &expected, 1e-9);
        let y = run(size, |out| log_softmax(&x, shape, out));
        let dx = run(size, |out| log_softmax_backward(&y, &dy, shape, out));
        let expected = gradient(&x, |x| dot(&dy, &run(size, |out| log_softmax(x, shape, out))));
        assert_close("log_softmax", &dx, &expected, 1e-9);
    }
}

#[test]
fn cross_entropies() {
    let (rows, n) = (5, 7);
    let (x, t, g) = (values(rows * n, 4), values(rows * n, 5), values(rows, 6));
    let labels = [0, 6, 3, -1, 7];
    let log = run(x.len(), |out| log_softmax(&x, [rows, n, 1], out));
    let expected: Vec<f64> =
        (0..rows).map(|r| if r < 3 { -log[r * n + labels[r] as usize] } else { 0.0 }).collect();
    assert_close("sparse", &run(rows, |out| sparse_cross_entropy(&x, n, &labels, out)), &expected, 1e-14);
    let expected: Vec<f64> = (0..rows).map(|r| -dot(&log[r * n..][..n], &t[r * n..][..n])).collect();
    assert_close("dense", &run(rows, |out| cross_entropy(&x, n, &t, out)), &expected, 1e-14);
    let dx = run(x.len(), |out| sparse_cross_entropy_backward(&x, n, &labels, &g, out));
    let loss = |x: &[f64]| dot(&g, &run(rows, |out| sparse_cross_entropy(x, n, &labels, out)));
    assert_close("sparse gradient", &dx, &gradient(&x, loss), 1e-9);
    let dx = run(x.len(), |out| cross_entropy_backward(&x, n, &t, &g, out));
    let loss = |x: &[f64]| dot(&g, &run(rows, |out| cross_entropy(x, n, &t, out)));
    assert_close("dense gradient", &dx, &gradient(&x, loss), 1e-9);
}

#[test]
fn softmax_of_special_values_and_half_precision() {
    let mut y = [0.0f32; 3];
    softmax(&[f32::NEG_INFINITY, 0.0, 0.0], [1, 3, 1], &mut y).unwrap();
    assert_eq!(y, [0.0, 0.5, 0.5]);
    softmax(&[1000.0f32, -1000.0, 1000.0], [1, 3, 1], &mut y).unwrap();
    assert_eq!(y, [0.5, 0.0, 0.5]);
    for bad in [f32::NAN, f32::INFINITY] {
        softmax(&[0.0, bad, 0.0], [1, 3, 1], &mut y).unwrap();
        assert!(y[1].is_nan());
    }
    let mut y = [bf16::ZERO; 512];
    softmax(&[bf16::ONE; 512], [1, 512, 1], &mut y).unwrap();
    assert!(y.iter().all(|y| y.to_f32() == 1.0 / 512.0));
    softmax::<f32>(&[], [0, 3, 1], &mut []).unwrap();
    softmax::<f32>(&[], [3, 0, 1], &mut []).unwrap();
    sparse_cross_entropy::<f32>(&[], 3, &[], &mut []).unwrap();
}

fn statistics(x: &[f64], shape: [usize; 3]) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut variance) = (vec![0.0; shape[1]], vec![0.0; shape[1]]);
    moments(x, shape, &mut mean, &mut variance).unwrap();
    (mean, variance)
}

#[test]
fn batch_norm() {
    for shape in SHAPES {
        let size: usize = shape.iter().product();
        let channels = shape[1];
        let x = values(size, 7);
        let (mean, variance) = statistics(&x, shape);
        let count = (shape[0] * shape[2]) as f64;
        for c in 0..channels {
            let expected = middle(shape, c).map(|i| x[i]).sum::<f64>() / count;
            assert!((mean[c] - expected).abs() < 1e-14);
            let expected = middle(shape, c).map(|i| (x[i] - expected).powi(2)).sum::<f64>() / count;
            assert!((variance[c] - expected).abs() < 1e-14);
        }
        let (gamma, beta) = (values(channels, 8), values(channels, 9));
        let norm = BatchNorm {
            shape,
            mean: &mean,
            variance: &variance,
            gamma: Some(&gamma),
            beta: Some(&beta),
            epsilon: 1e-3,
        };
        let y = run(size, |out| norm.forward(&x, out));
        for c in 0..channels {
            for i in middle(shape, c) {
                let expected = (x[i] - mean[c]) / (variance[c] + 1e-3).sqrt() * gamma[c] + beta[c];
                assert!((y[i] - expected).abs() < 1e-12);
            }
        }
        let plain = BatchNorm { gamma: None, beta: None, ..norm };
        let y = run(size, |out| plain.forward(&x, out));
        assert!((y[0] - (x[0] - mean[0]) / (variance[0] + 1e-3).sqrt()).abs() < 1e-12);
    }
}

#[test]
fn batch_norm_gradients() {
    for shape in SHAPES {
        let size: usize = shape.iter().product();
        let channels = shape[1];
        if size > 500 {
            continue;
        }
        let (x, dy) = (values(size, 10), values(size, 11));
        let (gamma, beta) = (values(channels, 12), values(channels, 13));
        let (fixed_mean, fixed_variance) = (values(channels, 14), vec![0.7; channels]);
        for training in [true, false] {
            let forward = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                let (mean, variance) = if training {
                    statistics(x, shape)
                } else {
                    (fixed_mean.clone(), fixed_variance.clone())
                };
                let (mean, variance, gamma, beta) = (&mean, &variance, Some(gamma), Some(beta));
                let norm = BatchNorm { shape, mean, variance, gamma, beta, epsilon: 0.1 };
                dot(&dy, &run(size, |out| norm.forward(x, out)))
            };
            let (mean, variance) =
                if training { statistics(&x, shape) } else { (fixed_mean.clone(), fixed_variance.clone()) };
            let norm = BatchNorm {
                shape,
                mean: &mean,
                variance: &variance,
                gamma: Some(&gamma),
                beta: Some(&beta),
                epsilon: 0.1,
            };
            let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; size], vec![0.0; channels], vec![0.0; channels]);
            norm.backward(&x, &dy, training, &mut dx, &mut dgamma, &mut dbeta).unwrap();
            assert_close("x", &dx, &gradient(&x, |x| forward(x, &gamma, &beta)), 1e-8);
            assert_close("gamma", &dgamma, &gradient(&gamma, |gamma| forward(&x, gamma, &beta)), 1e-8);
            assert_close("beta", &dbeta, &gradient(&beta, |beta| forward(&x, &gamma, beta)), 1e-8);
        }
    }
}

#[test]
fn row_norms() {
    for (rows, n) in [(1, 1), (5, 3), (20, 40)] {
        let (x, dy) = (values(rows * n, 15), values(rows * n, 16));
        let (gamma, beta) = (values(n, 17), values(n, 18));
        for (rms, gamma, beta) in [
            (false, Some(&gamma[..]), Some(&beta[..])),
            (false, None, Some(&beta[..])),
            (false, Some(&gamma[..]), None),
            (true, Some(&gamma[..]), None),
            (true, None, None),
        ] {
            let forward = |norm: RowNorm<f64>, x: &[f64]| {
                let (mut y, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; rows], vec![0.0; rows]);
                norm.forward(x, &mut y, &mut mean, &mut rstd).unwrap();
                (y, mean, rstd)
            };
            let norm = RowNorm { n, rms, gamma, beta, epsilon: 0.1 };
            let (y, mean, rstd) = forward(norm, &x);
            for (row, (y, x)) in y.chunks(n).zip(x.chunks(n)).enumerate() {
                let centre = if rms { 0.0 } else { x.iter().sum::<f64>() / n as f64 };
                let square = x.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / n as f64;
                assert!((mean[row] - centre).abs() < 1e-14);
                for i in 0..n {
                    let scale = gamma.map_or(1.0, |g| g[i]) / (square + 0.1).sqrt();
                    let expected = (x[i] - centre) * scale + beta.map_or(0.0, |b| b[i]);
                    assert!((y[i] - expected).abs() < 1e-13);
                }
            }
            let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; rows * n], vec![0.0; n], vec![0.0; n]);
            norm.backward(&x, &dy, &mean, &rstd, &mut dx, &mut dgamma, &mut dbeta).unwrap();
            assert_close("x", &dx, &gradient(&x, |x| dot(&dy, &forward(norm, x).0)), 1e-8);
            if let Some(gamma) = gamma {
                let loss = |gamma: &[f64]| dot(&dy, &forward(RowNorm { gamma: Some(gamma), ..norm }, &x).0);
                assert_close("gamma", &dgamma, &gradient(gamma, loss), 1e-8);
            }
            if let Some(beta) = beta {
                let loss = |beta: &[f64]| dot(&dy, &forward(RowNorm { beta: Some(beta), ..norm }, &x).0);
                assert_close("beta", &dbeta, &gradient(beta, loss), 1e-8);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let all = |threads| {
        par::with_threads(threads, || {
            let mut results = Vec::new();
            for shape in [[3000, 64, 1], [4, 8, 6000]] {
                let size: usize = shape.iter().product();
                let (x, dy) = (values(size, 19), values(size, 20));
                results.push(run(size, |out| softmax(&x, shape, out)));
                results.push(run(size, |out| log_softmax_backward(&x, &dy, shape, out)));
                let (mean, variance) = statistics(&x, shape);
                let (mean, variance) = (&mean[..], &variance[..]);
                let norm = BatchNorm { shape, mean, variance, gamma: None, beta: None, epsilon: 1e-3 };
                let (mut dx, mut dgamma, mut dbeta) =
                    (vec![0.0; size], vec![0.0; shape[1]], vec![0.0; shape[1]]);
                norm.backward(&x, &dy, true, &mut dx, &mut dgamma, &mut dbeta).unwrap();
                results.extend([dx, dgamma, dbeta]);
                let (n, rows) = (64, size / 64);
                let norm = RowNorm { n, rms: false, gamma: None, beta: None, epsilon: 1e-3 };
                let (mut y, mut mean, mut rstd) = (vec![0.0; size], vec![0.0; rows], vec![0.0; rows]);
                norm.forward(&x, &mut y, &mut mean, &mut rstd).unwrap();
                let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; size], vec![0.0; n], vec![0.0; n]);
                norm.backward(&x, &dy, &mean, &rstd, &mut dx, &mut dgamma, &mut dbeta).unwrap();
                results.extend([y, dx, dgamma, dbeta]);
            }
            results
        })
    };
    assert!(all(1) == all(3));
}

#[test]
fn sizes_that_contradict_are_errors() {
    let x = [1.0f64; 6];
    assert!(softmax(&x, [1, 7, 1], &mut [0.0; 6]).is_err());
    assert!(softmax_backward(&x, &x[1..], [2, 3, 1], &mut [0.0; 6]).is_err());
    assert!(sparse_cross_entropy(&x, 3, &[0], &mut [0.0; 2]).is_err());
    assert!(cross_entropy_backward(&x, 3, &x, &[1.0], &mut [0.0; 6]).is_err());
    assert!(moments(&x, [2, 3, 1], &mut [0.0; 2], &mut [0.0; 3]).is_err());
    let norm = RowNorm { n: 0, rms: false, gamma: None, beta: None, epsilon: 1e-3 };
    assert!(norm.forward(&x, &mut [0.0; 6], &mut [], &mut []).is_err());
    let norm = RowNorm { n: 3, gamma: Some(&x[..2]), ..norm };
    assert!(norm.forward(&x, &mut [0.0; 6], &mut [0.0; 2], &mut [0.0; 2]).is_err());
}
