//! LSTM and GRU against a cell written step by step, and their gradients against differences.

mod common;

use common::{assert_close, dot, gradient, values};
use keras_kernels::par;
use keras_kernels::rnn::{Activation, Gru, GruOutput, Lstm, LstmOutput, Sequence};

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Linear => x,
        Activation::Relu => x.max(0.0),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::LegacyHardSigmoid => (0.2 * x + 0.5).clamp(0.0, 1.0),
        Activation::Tanh => x.tanh(),
        Activation::Elu => {
            if x > 0.0 {
                x
            } else {
                x.exp() - 1.0
            }
        }
        Activation::Softplus => (1.0 + x.exp()).ln(),
        Activation::Softsign => x / (1.0 + x.abs()),
        Activation::Exponential => x.exp(),
    }
}

const ACTIVATIONS: [(Activation, Activation); 6] = [
    (Activation::Tanh, Activation::Sigmoid),
    (Activation::Relu, Activation::HardSigmoid),
    (Activation::Tanh, Activation::LegacyHardSigmoid),
    (Activation::Linear, Activation::Sigmoid),
    (Activation::Elu, Activation::Softsign),
    (Activation::Softplus, Activation::Sigmoid),
];

/// Sizes, then all combinations of mask, zeros for it, and direction.
fn sequences<'a>(sizes: [usize; 4], mask: &'a [bool]) -> impl Iterator<Item = Sequence<'a>> {
    let [batch, steps, features, units] = sizes;
    (0..8).map(move |bits| Sequence {
        batch,
        steps,
        features,
        units,
        mask: (bits & 1 == 1).then_some(mask),
        zero_output_for_mask: bits & 2 == 2,
        go_backwards: bits & 4 == 4,
    })
}

/// `bias + x · weights` of one row, columns `from..from + n` of `width`.
fn affine(x: &[f64], weights: &[f64], width: usize, from: usize, n: usize) -> Vec<f64> {
    (from..from + n).map(|j| x.iter().enumerate().map(|(i, x)| x * weights[i * width + j]).sum()).collect()
}

/// Runs a cell `(x, states) -> states` over a sequence as Keras does; the outputs, then the final states.
fn walk(
    s: &Sequence,
    x: &[f64],
    states: Vec<Vec<f64>>,
    cell: impl Fn(&[f64], &[Vec<f64>]) -> Vec<Vec<f64>>,
) -> Vec<Vec<f64>> {
    let mut outputs = vec![0.0; s.batch * s.steps * s.units];
    let mut finals = states.clone();
    for b in 0..s.batch {
        let mut now: Vec<Vec<f64>> =
            states.iter().map(|state| state[b * s.units..][..s.units].to_vec()).collect();
        for i in 0..s.steps {
            let t = if s.go_backwards { s.steps - 1 - i } else { i };
            let masked = s.mask.is_some_and(|mask| !mask[b * s.steps + t]);
            if !masked {
                now = cell(&x[(b * s.steps + t) * s.features..][..s.features], &now);
            }
            if !(masked && s.zero_output_for_mask) {
                outputs[(b * s.steps + i) * s.units..][..s.units].copy_from_slice(&now[0]);
            }
        }
        for (state, now) in finals.iter_mut().zip(now) {
            state[b * s.units..][..s.units].copy_from_slice(&now);
        }
    }
    [vec![outputs], finals].concat()
}

fn naive_lstm(cell: &Lstm<f64>, x: &[f64]) -> Vec<Vec<f64>> {
    let (s, u) = (&cell.sequence, cell.sequence.units);
    let zeros = vec![0.0; s.batch * u];
    let states = vec![cell.h0.map_or(zeros.clone(), <[f64]>::to_vec), cell.c0.map_or(zeros, <[f64]>::to_vec)];
    walk(s, x, states, |x, states| {
        let z = affine(x, cell.kernel, 4 * u, 0, 4 * u);
        let r = affine(&states[0], cell.recurrent_kernel, 4 * u, 0, 4 * u);
        let z: Vec<f64> = (0..4 * u).map(|j| z[j] + r[j] + cell.bias.map_or(0.0, |b| b[j])).collect();
        let gate = |k: usize, j: usize| activate(cell.recurrent_activation, z[k * u + j]);
        let c: Vec<f64> = (0..u)
            .map(|j| gate(1, j) * states[1][j] + gate(0, j) * activate(cell.activation, z[2 * u + j]))
            .collect();
        vec![(0..u).map(|j| gate(3, j) * activate(cell.activation, c[j])).collect(), c]
    })
}

fn naive_gru(cell: &Gru<f64>, x: &[f64]) -> Vec<Vec<f64>> {
    let (s, u) = (&cell.sequence, cell.sequence.units);
    let states = vec![cell.h0.map_or(vec![0.0; s.batch * u], <[f64]>::to_vec)];
    let bias = |j: usize| cell.bias.map_or(0.0, |b| b[j]);
    let state_bias = |j: usize| if cell.reset_after { bias(3 * u + j) } else { 0.0 };
    walk(s, x, states, |x, states| {
        let h = &states[0];
        let z = affine(x, cell.kernel, 3 * u, 0, 3 * u);
        let r = affine(h, cell.recurrent_kernel, 3 * u, 0, 3 * u);
        let gate = |j: usize| activate(cell.recurrent_activation, z[j] + bias(j) + r[j] + state_bias(j));
        let product: Vec<f64> = if cell.reset_after {
            (0..u).map(|j| gate(u + j) * (r[2 * u + j] + state_bias(2 * u + j))).collect()
        } else {
            let reset: Vec<f64> = (0..u).map(|j| gate(u + j) * h[j]).collect();
            affine(&reset, cell.recurrent_kernel, 3 * u, 2 * u, u)
        };
        let candidate = |j: usize| activate(cell.activation, z[2 * u + j] + bias(2 * u + j) + product[j]);
        vec![(0..u).map(|j| gate(j) * h[j] + (1.0 - gate(j)) * candidate(j)).collect()]
    })
}

fn lstm_results(out: &LstmOutput<f64>) -> [&[f64]; 3] {
    [&out.outputs, &out.h, &out.c]
}

fn gru_results(out: &GruOutput<f64>) -> [&[f64]; 2] {
    [&out.outputs, &out.h]
}

const MASK: [bool; 8] = [false, true, true, false, true, false, true, true];

#[test]
fn lstm() {
    let sizes @ [batch, steps, features, units] = [2, 4, 3, 2];
    let x = values(batch * steps * features, 1);
    let (kernel, recurrent) = (values(features * 4 * units, 2), values(units * 4 * units, 3));
    let (bias, h0, c0) = (values(4 * units, 4), values(batch * units, 5), values(batch * units, 6));
    let (dy, dh, dc) = (values(batch * steps * units, 7), values(batch * units, 8), values(batch * units, 9));
    for sequence in sequences(sizes, &MASK) {
        // An unbounded gate, where it does not make the state explode.
        let gates = [(Activation::Softsign, Activation::Exponential)];
        for (activation, recurrent_activation) in ACTIVATIONS.into_iter().chain(gates) {
            let cell = Lstm {
                sequence,
                kernel: &kernel,
                recurrent_kernel: &recurrent,
                bias: Some(&bias),
                activation,
                recurrent_activation,
                h0: Some(&h0),
                c0: Some(&c0),
            };
            for cell in [cell, Lstm { bias: None, h0: None, c0: None, ..cell }] {
                let out = cell.forward(&x).unwrap();
                for (found, expected) in lstm_results(&out).iter().zip(naive_lstm(&cell, &x)) {
                    assert_close("forward", found, &expected, 1e-12);
                }
            }
            let saved = cell.forward(&x).unwrap();
            let found = cell.backward(&x, saved.saved(), Some(&dy), Some(&dh), Some(&dc)).unwrap();
            let loss = |cell: Lstm<f64>, x: &[f64]| {
                let out = naive_lstm(&cell, x);
                dot(&out[0], &dy) + dot(&out[1], &dh) + dot(&out[2], &dc)
            };
            assert_close("x", &found.x, &gradient(&x, |x| loss(cell, x)), 1e-7);
            let expected = gradient(&kernel, |kernel| loss(Lstm { kernel, ..cell }, &x));
            assert_close("kernel", &found.kernel, &expected, 1e-7);
            let expected = gradient(&recurrent, |r| loss(Lstm { recurrent_kernel: r, ..cell }, &x));
            assert_close("recurrent kernel", &found.recurrent_kernel, &expected, 1e-7);
            let expected = gradient(&bias, |bias| loss(Lstm { bias: Some(bias), ..cell }, &x));
            assert_close("bias", &found.bias, &expected, 1e-7);
            assert_close("h0", &found.h0, &gradient(&h0, |h0| loss(Lstm { h0: Some(h0), ..cell }, &x)), 1e-7);
            assert_close("c0", &found.c0, &gradient(&c0, |c0| loss(Lstm { c0: Some(c0), ..cell }, &x)), 1e-7);
        }
    }
}

#[test]
fn gru() {
    let sizes @ [batch, steps, features, units] = [2, 4, 3, 2];
    let x = values(batch * steps * features, 11);
    let (kernel, recurrent) = (values(features * 3 * units, 12), values(units * 3 * units, 13));
    let (biases, h0) = (values(6 * units, 14), values(batch * units, 15));
    let (dy, dh) = (values(batch * steps * units, 16), values(batch * units, 17));
    for sequence in sequences(sizes, &MASK) {
        let candidates = [(Activation::Exponential, Activation::HardSigmoid)];
        for (activation, recurrent_activation) in ACTIVATIONS.into_iter().chain(candidates) {
            for reset_after in [true, false] {
                let bias = &biases[..if reset_after { 6 } else { 3 } * units];
                let cell = Gru {
                    sequence,
                    kernel: &kernel,
                    recurrent_kernel: &recurrent,
                    bias: Some(bias),
                    activation,
                    recurrent_activation,
                    reset_after,
                    h0: Some(&h0),
                };
                for cell in [cell, Gru { bias: None, h0: None, ..cell }] {
                    let out = cell.forward(&x).unwrap();
                    for (found, expected) in gru_results(&out).iter().zip(naive_gru(&cell, &x)) {
                        assert_close("forward", found, &expected, 1e-12);
                    }
                }
                let saved = cell.forward(&x).unwrap();
                let found = cell.backward(&x, saved.saved(), Some(&dy), Some(&dh)).unwrap();
                let loss = |cell: Gru<f64>, x: &[f64]| {
                    let out = naive_gru(&cell, x);
                    dot(&out[0], &dy) + dot(&out[1], &dh)
                };
                assert_close("x", &found.x, &gradient(&x, |x| loss(cell, x)), 1e-7);
                let expected = gradient(&kernel, |kernel| loss(Gru { kernel, ..cell }, &x));
                assert_close("kernel", &found.kernel, &expected, 1e-7);
                let expected = gradient(&recurrent, |r| loss(Gru { recurrent_kernel: r, ..cell }, &x));
                assert_close("recurrent kernel", &found.recurrent_kernel, &expected, 1e-7);
                let expected = gradient(bias, |bias| loss(Gru { bias: Some(bias), ..cell }, &x));
                assert_close("bias", &found.bias, &expected, 1e-7);
                let expected = gradient(&h0, |h0| loss(Gru { h0: Some(h0), ..cell }, &x));
                assert_close("h0", &found.h0, &expected, 1e-7);
            }
        }
    }
}

/// Expectations are those of the real Keras 3.15.1 on JAX.
#[test]
fn agrees_with_keras() {
    let x: Vec<f64> = (0..12).map(|i| (i % 5 - 2) as f64 / 4.0).collect();
    let weights = |n: usize| (0..n).map(|i| ((i * 3 % 7) as f64 - 3.0) / 8.0).collect::<Vec<f64>>();
    let sequence = Sequence {
        batch: 1,
        steps: 4,
        features: 3,
        units: 2,
        mask: Some(&[false, true, false, true]),
        zero_output_for_mask: false,
        go_backwards: true,
    };
    let cell = Lstm {
        sequence,
        kernel: &weights(24),
        recurrent_kernel: &weights(16),
        bias: Some(&weights(8)),
        activation: Activation::Tanh,
        recurrent_activation: Activation::Sigmoid,
        h0: Some(&[0.5; 2]),
        c0: Some(&[0.5; 2]),
    };
    let out = cell.forward(&x).unwrap();
    let (first, last) = (
        [0.243_698_626_756_668_1, 0.009_313_872_084_021_568],
        [0.160_287_946_462_631_23, -0.016_854_189_336_299_896],
    );
    assert_close("outputs", &out.outputs, &[first, first, last, last].concat(), 1e-7);
    assert_close("h", &out.h, &last, 1e-7);
    assert_close("c", &out.c, &[0.333_055_347_204_208_4, -0.052_498_478_442_430_496], 1e-7);
    for (reset_after, first, last) in [
        (
            true,
            [0.367_086_857_557_296_75, 0.005_531_939_212_232_828],
            [0.179_233_193_397_521_97, -0.018_201_308_324_933_052],
        ),
        (
            false,
            [0.422_273_099_422_454_83, 0.010_855_202_563_107_014],
            [0.247_159_317_135_810_85, -0.104_695_208_370_685_58],
        ),
    ] {
        let cell = Gru {
            sequence,
            kernel: &weights(18),
            recurrent_kernel: &weights(12),
            bias: Some(&weights(if reset_after { 12 } else { 6 })),
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            reset_after,
            h0: Some(&[0.5; 2]),
        };
        let out = cell.forward(&x).unwrap();
        assert_close("outputs", &out.outputs, &[first, first, last, last].concat(), 1e-7);
        assert_close("h", &out.h, &last, 1e-7);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let [steps, features] = [5, 40];
    let single = |n, seed| values(n, seed).into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    for [batch, units] in [[16, 48], [35, 33], [25, 8]] {
        let x = single(batch * steps * features, 21);
        let mask: Vec<bool> = (0..batch * steps).map(|i| i % 3 != 0).collect();
        let (kernel, recurrent) = (single(features * 4 * units, 22), single(units * 4 * units, 23));
        let bias = single(6 * units, 24);
        for sequence in sequences([batch, steps, features, units], &mask) {
            let lstm = Lstm {
                sequence,
                kernel: &kernel,
                recurrent_kernel: &recurrent,
                bias: None,
                activation: Activation::Tanh,
                recurrent_activation: Activation::Sigmoid,
                h0: None,
                c0: None,
            };
            let gru = |reset_after| Gru {
                sequence,
                kernel: &kernel[..features * 3 * units],
                recurrent_kernel: &recurrent[..units * 3 * units],
                bias: Some(&bias[..if reset_after { 6 } else { 3 } * units]),
                activation: Activation::Tanh,
                recurrent_activation: Activation::Sigmoid,
                reset_after,
                h0: None,
            };
            let all = |threads| {
                par::with_threads(threads, || {
                    let out = lstm.forward(&x).unwrap();
                    let back = lstm.backward(&x, out.saved(), Some(&out.outputs), None, None).unwrap();
                    let mut all = vec![out.outputs, back.x, back.kernel, back.recurrent_kernel, back.bias];
                    for gru in [gru(true), gru(false)] {
                        let out = gru.forward(&x).unwrap();
                        let back = gru.backward(&x, out.saved(), Some(&out.outputs), None).unwrap();
                        all.extend([out.outputs, back.x, back.kernel, back.recurrent_kernel, back.bias]);
                    }
                    all
                })
            };
            let one = all(1);
            assert!((2..=4).all(|threads| all(threads) == one), "{batch} {units}");
        }
    }
}

#[test]
fn sizes_that_contradict_are_errors_and_empty_ones_are_not() {
    let weights = [0.1f64; 64];
    let mut sequence = sequences([0, 4, 3, 2], &[]).next().unwrap();
    let cell = |sequence| Gru {
        sequence,
        kernel: &weights[..18],
        recurrent_kernel: &weights[..12],
        bias: None,
        activation: Activation::Tanh,
        recurrent_activation: Activation::Sigmoid,
        reset_after: true,
        h0: None,
    };
    let out = cell(sequence).forward(&[]).unwrap();
    assert!(out.outputs.is_empty());
    assert_eq!(cell(sequence).backward(&[], out.saved(), None, None).unwrap().kernel, [0.0; 18]);
    sequence.batch = 1;
    assert!(cell(sequence).forward(&weights[..11]).is_err());
    assert!(Gru { bias: Some(&weights[..6]), ..cell(sequence) }.forward(&weights[..12]).is_err());
    assert!(Gru { h0: Some(&weights[..1]), ..cell(sequence) }.forward(&weights[..12]).is_err());
    sequence.mask = Some(&[true]);
    assert!(cell(sequence).forward(&weights[..12]).is_err());
}
