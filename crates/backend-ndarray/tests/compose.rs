//! The composed default of every fused operation on the reference backend: its value against an independent statement of
//! the mathematics, its gradients against finite differences in float64, its backward operation against the tape.

#[allow(dead_code, reason = "shared by several tests")]
mod support;

use keras_spec::op::Op;
use keras_spec::{Activ, ConvSpec, DType, Fused, ReduceOp, Result, RnnSpec, Tensor, WindowSpec, scope};
use proptest::prelude::*;
use support::{assert_close, check, random, tape};

const ACTIVATIONS: [Activ; 6] =
    [Activ::Linear, Activ::Relu, Activ::Sigmoid, Activ::Tanh, Activ::HardSigmoid, Activ::LegacyHardSigmoid];

fn run(op: Fused) -> impl Fn(&[Tensor]) -> Result<Vec<Tensor>> {
    move |x| Ok(Tensor::apply(Op::Fused(op.clone()), x.iter().cloned())?.into_vec())
}

/// Derivatives of the fused operation, and equality with those of its composition.
fn check_fused(op: Fused, operands: &[Tensor]) {
    check(&format!("{op:?}"), &run(op.clone()), operands);
    agrees_with_composition(op, operands);
}

fn agrees_with_composition(op: Fused, operands: &[Tensor]) {
    results_agree_with_composition(op, operands, usize::MAX);
}

/// Compares the first `visible` results, and gradients through them. What recurrent operations save for their gradients is
/// unspecified at masked steps.
fn results_agree_with_composition(op: Fused, operands: &[Tensor], visible: usize) {
    let what = format!("{op:?}");
    let all = run(op);
    let f = |x: &[Tensor]| all(x).map(|results| results.into_iter().take(visible).collect::<Vec<_>>());
    let composed = |x: &[Tensor]| scope::decomposed(|| f(x));
    let (found, expected) = (f(operands).unwrap(), composed(operands).unwrap());
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(&what, found, expected, 1e-12);
    }
    let (found, expected) = (tape(&f, operands, false).unwrap(), tape(&composed, operands, false).unwrap());
    for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("{what}: gradient {k}"), found, expected, 1e-11);
    }
}

fn window(size: &[usize], strides: &[usize], padding: &[(usize, usize)]) -> WindowSpec {
    WindowSpec { size: size.into(), strides: strides.into(), padding: padding.iter().copied().collect() }
}

#[test]
fn dense() {
    for activation in ACTIVATIONS {
        for shape in [&[3][..], &[2, 3], &[2, 2, 3]] {
            let operands =
                [random(1, shape, -2.0, 2.0), random(2, &[3, 4], -2.0, 2.0), random(3, &[4], -1.0, 1.0)];
            let linear = (operands[0].matmul(&operands[1]).unwrap() + &operands[2]).unwrap();
            let expected = match activation {
                Activ::Linear => linear,
                Activ::Relu => linear.relu().unwrap(),
                Activ::Sigmoid => linear.sigmoid().unwrap(),
                Activ::Tanh => linear.tanh().unwrap(),
                Activ::LegacyHardSigmoid => ((linear * 0.2).unwrap() + 0.5).unwrap().clip(0.0, 1.0).unwrap(),
                _ => ((linear + 3.0).unwrap().clip(0.0, 6.0).unwrap() / 6.0).unwrap(),
            };
            let op = Fused::Dense { activation };
            assert_close("dense", &run(op.clone())(&operands).unwrap()[0], &expected, 1e-12);
            check_fused(op, &operands);
        }
    }
}

fn spec(
    strides: &[usize],
    padding: &[(isize, isize)],
    dilation: (&[usize], &[usize]),
    groups: usize,
) -> ConvSpec {
    ConvSpec {
        strides: strides.into(),
        padding: padding.iter().copied().collect(),
        input_dilation: dilation.0.into(),
        filter_dilation: dilation.1.into(),
        groups,
    }
}

#[test]
fn convolutions() {
    // The second leaves rows over at the end; the third crops.
    for (spec, input, filter) in [
        (ConvSpec::new(1), vec![2, 4, 2], vec![3, 2, 2]),
        (spec(&[3], &[(0, 0)], (&[1], &[1]), 1), vec![1, 8, 1], vec![2, 1, 2]),
        (spec(&[2], &[(-1, 2)], (&[2], &[2]), 2), vec![2, 5, 4], vec![2, 2, 2]),
        (spec(&[1, 2], &[(1, 1), (0, 1)], (&[1, 1], &[1, 1]), 1), vec![1, 3, 4, 2], vec![3, 2, 2, 1]),
    ] {
        let (x, w) = (random(1, &input, -1.0, 1.0), random(2, &filter, -1.0, 1.0));
        let y = x.convolution(&w, spec.clone()).unwrap();
        let g = random(3, y.shape(), -1.0, 1.0);
        check_fused(
            Fused::ConvBackwardInput { spec: spec.clone(), input: x.shape().clone() },
            &[g.clone(), w.clone()],
        );
        check_fused(
            Fused::ConvBackwardFilter { spec: spec.clone(), filter: w.shape().clone() },
            &[x.clone(), g],
        );
        let bias = random(4, &[filter[filter.len() - 1]], -1.0, 1.0);
        for activation in ACTIVATIONS {
            let op = Fused::ConvBias { spec: spec.clone(), activation };
            agrees_with_composition(op, &[x.clone(), w.clone(), bias.clone()]);
        }
        check_fused(Fused::ConvBias { spec, activation: Activ::Tanh }, &[x, w, bias]);
    }
}

#[test]
fn convolutions_without_elements() {
    let spec = ConvSpec::new(1);
    let (x, w) = (random(1, &[0, 4, 2], -1.0, 1.0).watch(), random(2, &[3, 2, 2], -1.0, 1.0).watch());
    let y = x.convolution(&w, spec).unwrap();
    let g = keras_spec::gradients(&[&y], &[&x, &w]).unwrap();
    assert_eq!(g[0].as_ref().unwrap().shape(), x.shape());
    assert_eq!(g[1].as_ref().unwrap().to_vec::<f64>().unwrap(), [0.0; 12]);
}

#[test]
fn average_pooling() {
    let x = random(1, &[2, 5, 4, 2], -1.0, 1.0);
    for window in [
        window(&[2, 2], &[2, 2], &[(0, 0), (0, 0)]),
        window(&[3, 2], &[1, 2], &[(1, 1), (0, 1)]),
        window(&[2, 3], &[3, 1], &[(1, 0), (2, 2)]),
    ] {
        let f = run(Fused::AvgPool(window.clone()));
        let sums = x.reduce_window(ReduceOp::Sum, window.clone()).unwrap();
        let ones = Tensor::full(x.shape(), DType::F64, 1.0, x.device()).unwrap();
        let counts = ones.reduce_window(ReduceOp::Sum, window.clone()).unwrap();
        assert_close("average", &f(std::slice::from_ref(&x)).unwrap()[0], &(sums / counts).unwrap(), 1e-14);
        check(&format!("squares of {window:?}"), &|x| Ok(vec![f(x)?[0].square()?]), std::slice::from_ref(&x));
        let y = f(std::slice::from_ref(&x)).unwrap().remove(0);
        check_fused(Fused::AvgPoolBackward { window, input: x.shape().clone() }, &[y]);
    }
}

#[test]
fn softmax() {
    let x = random(1, &[2, 3, 2], -2.0, 2.0);
    for axis in 0..3 {
        let e = x.exp().unwrap();
        let expected = (&e / e.sum(&[axis as isize], true).unwrap()).unwrap();
        let y = run(Fused::Softmax { axis })(std::slice::from_ref(&x)).unwrap().remove(0);
        assert_close("softmax", &y, &expected, 1e-14);
        let logs = run(Fused::LogSoftmax { axis })(std::slice::from_ref(&x)).unwrap().remove(0);
        assert_close("log_softmax", &logs, &expected.log().unwrap(), 1e-13);
        check_fused(Fused::Softmax { axis }, std::slice::from_ref(&x));
        check_fused(Fused::LogSoftmax { axis }, std::slice::from_ref(&x));
        let g = random(2, x.shape(), -1.0, 1.0);
        check_fused(Fused::SoftmaxBackward { axis }, &[y, g.clone()]);
        check_fused(Fused::LogSoftmaxBackward { axis }, &[logs, g]);
    }
}

#[test]
fn softmax_of_large_numbers() {
    let x = Tensor::new([3], vec![1000.0f32, 999.0, -1000.0]).unwrap();
    let y = x.softmax(-1).unwrap();
    let expected = Tensor::new([3], vec![0.731_058_6f32, 0.268_941_4, 0.0]).unwrap();
    assert_close("softmax", &y, &expected, 1e-6);
    let logs = Tensor::new([3], vec![-0.313_261_7f32, -1.313_261_7, -2_000.313_2]).unwrap();
    assert_close("log_softmax", &x.log_softmax(-1).unwrap(), &logs, 1e-6);
}

#[test]
fn batch_normalization() {
    let epsilon = 1e-3;
    for (shape, axis) in [(&[4, 2][..], 1), (&[3, 2, 2], 2), (&[3, 2, 2], 1)] {
        let c = shape[axis];
        let operands = [random(1, shape, -2.0, 2.0), random(2, &[c], 0.5, 1.5), random(3, &[c], -1.0, 1.0)];
        let results = run(Fused::BatchNorm { axis, epsilon })(&operands).unwrap();
        let over: Vec<isize> = (0..shape.len() as isize).filter(|&i| i != axis as isize).collect();
        assert_close("mean", &results[1], &operands[0].mean(&over, false).unwrap(), 1e-13);
        assert_close("variance", &results[2], &operands[0].variance(&over, false).unwrap(), 1e-13);
        let y = results[0].mean(&over, false).unwrap();
        assert_close("mean of the result", &y, &operands[2], 1e-13);
        check_fused(Fused::BatchNorm { axis, epsilon }, &operands);
        let [x, gamma, _] = operands;
        let g = random(4, shape, -1.0, 1.0);
        let backward = [x, gamma, results[1].clone(), results[2].clone(), g];
        check_fused(Fused::BatchNormBackward { axis, epsilon }, &backward);
    }
}

#[test]
fn layer_normalization() {
    let epsilon = 1e-3;
    for (shape, features) in [(&[2, 4][..], 1), (&[2, 3, 2], 2), (&[2, 3, 2], 1), (&[5], 1)] {
        let columns = &shape[shape.len() - features..];
        let operands =
            [random(1, shape, -2.0, 2.0), random(2, columns, 0.5, 1.5), random(3, columns, -1.0, 1.0)];
        let results = run(Fused::LayerNorm { features, epsilon })(&operands).unwrap();
        let over: Vec<isize> = (1..=features as isize).map(|i| -i).collect();
        assert_close("mean", &results[1], &operands[0].mean(&over, false).unwrap(), 1e-13);
        let rstd = (operands[0].variance(&over, false).unwrap() + epsilon).unwrap().rsqrt().unwrap();
        assert_close("rstd", &results[2], &rstd, 1e-13);
        check_fused(Fused::LayerNorm { features, epsilon }, &operands);
        let [x, gamma, _] = operands;
        let g = random(4, shape, -1.0, 1.0);
        check_fused(
            Fused::LayerNormBackward { features },
            &[x, gamma, results[1].clone(), results[2].clone(), g],
        );
    }
}

/// float16 sums of squares would overflow.
#[test]
fn half_precision_is_normalized_in_float32() {
    let x = (random(1, &[4, 64], 100.0, 300.0)).cast(DType::F16).unwrap();
    let ones = Tensor::full([64], DType::F16, 1.0, x.device()).unwrap();
    let op = Fused::LayerNorm { features: 1, epsilon: 1e-3 };
    let found = run(op.clone())(&[x.clone(), ones.clone(), ones.clone()]).unwrap();
    let wide = [x, ones.clone(), ones].map(|t| t.cast(DType::F32).unwrap());
    for (found, wide) in found.iter().zip(run(op)(&wide).unwrap()) {
        assert_close("float16", found, &wide.cast(DType::F16).unwrap(), 1e-3);
    }
}

/// One step of Keras's cells on single numbers, written out apart from the composition.
mod cells {
    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// `z` holds the four pre-activations; gives h, c.
    pub(crate) fn lstm(z: [f64; 4], c: f64) -> (f64, f64) {
        let c = sigmoid(z[1]) * c + sigmoid(z[0]) * z[2].tanh();
        (sigmoid(z[3]) * c.tanh(), c)
    }

    /// `x` and `inner` hold input and recurrent products with their biases; `outer` the recurrent kernel of the candidate.
    pub(crate) fn gru(x: [f64; 3], inner: [f64; 3], h: f64, candidate: Option<f64>) -> f64 {
        let (z, r) = (sigmoid(x[0] + inner[0]), sigmoid(x[1] + inner[1]));
        let recurrent = candidate.map_or(r * inner[2], |u| r * h * u);
        z * h + (1.0 - z) * (x[2] + recurrent).tanh()
    }
}

fn rnn(reverse: bool, mask: bool, zero_output_for_mask: bool) -> RnnSpec {
    RnnSpec {
        activation: Activ::Tanh,
        recurrent_activation: Activ::Sigmoid,
        reverse,
        mask,
        zero_output_for_mask,
    }
}

/// Masked at the start, in the middle and at the end.
fn mask() -> Tensor {
    Tensor::new([2, 4], vec![false, true, false, true, true, true, true, false]).unwrap()
}

fn modes() -> impl Iterator<Item = RnnSpec> {
    [false, true].into_iter().flat_map(|reverse| {
        [(false, false), (true, false), (true, true)].map(|(mask, zero)| rnn(reverse, mask, zero))
    })
}

/// The operands of one unit and one feature for sequences of four steps.
fn small(gates: usize, bias: &[usize], states: usize) -> Vec<Tensor> {
    let mut operands = vec![
        random(1, &[2, 4, 1], -1.0, 1.0),
        random(2, &[1, gates], -1.0, 1.0),
        random(3, &[1, gates], -1.0, 1.0),
        random(4, bias, -1.0, 1.0),
    ];
    operands.extend((0..states).map(|i| random(5 + i as u64, &[2, 1], -1.0, 1.0)));
    operands
}

/// Runs `step(batch, x)` over the sequences as `spec` says; gives outputs.
fn walk(spec: RnnSpec, x: &[f64], h0: &[f64], mut step: impl FnMut(usize, f64, bool) -> f64) -> Vec<f64> {
    let masked = mask().to_vec::<bool>().unwrap();
    let mut outputs = vec![];
    for (b, &first) in h0.iter().enumerate() {
        let mut h = first;
        for t in 0..4 {
            let at = b * 4 + if spec.reverse { 3 - t } else { t };
            let live = !spec.mask || masked[at];
            let new = step(b, x[at], live);
            if live {
                h = new;
            }
            outputs.push(if live || !spec.zero_output_for_mask { h } else { 0.0 });
        }
    }
    outputs
}

#[test]
fn lstm_values() {
    for spec in modes() {
        let mut operands = small(4, &[4], 2);
        let v: Vec<Vec<f64>> = operands.iter().map(|t| t.to_vec().unwrap()).collect();
        let (mut h, mut c) = (v[4].clone(), v[5].clone());
        let outputs = walk(spec, &v[0], &v[4], |b, x, live| {
            let z = std::array::from_fn(|k| x * v[1][k] + h[b] * v[2][k] + v[3][k]);
            let (new_h, new_c) = cells::lstm(z, c[b]);
            if live {
                (h[b], c[b]) = (new_h, new_c);
            }
            new_h
        });
        operands.extend(spec.mask.then(mask));
        let results = run(Fused::Lstm(spec))(&operands).unwrap();
        let new = |shape: &[usize], v: Vec<f64>| Tensor::new(shape, v).unwrap();
        assert_close("outputs", &results[0], &new(&[2, 4, 1], outputs), 1e-12);
        assert_close("h", &results[1], &new(&[2, 1], h), 1e-12);
        assert_close("c", &results[2], &new(&[2, 1], c), 1e-12);
        assert_close("last cell", &results[4].index(1, 3).unwrap(), &results[2], 0.0);
    }
}

#[test]
fn gru_values() {
    for (spec, reset_after) in modes().flat_map(|m| [(m, true), (m, false)]) {
        let mut operands = small(3, if reset_after { &[2, 3] } else { &[3] }, 1);
        let v: Vec<Vec<f64>> = operands.iter().map(|t| t.to_vec().unwrap()).collect();
        let mut h = v[4].clone();
        let outputs = walk(spec, &v[0], &v[4], |b, x, live| {
            let from_x = std::array::from_fn(|k| x * v[1][k] + v[3][k]);
            let recurrent_bias = |k: usize| if reset_after { v[3][3 + k] } else { 0.0 };
            let inner = std::array::from_fn(|k| h[b] * v[2][k] + recurrent_bias(k));
            let new = cells::gru(from_x, inner, h[b], (!reset_after).then(|| v[2][2]));
            if live {
                h[b] = new;
            }
            new
        });
        operands.extend(spec.mask.then(mask));
        let results = run(Fused::Gru { rnn: spec, reset_after })(&operands).unwrap();
        assert_close("outputs", &results[0], &Tensor::new([2, 4, 1], outputs).unwrap(), 1e-12);
        assert_close("h", &results[1], &Tensor::new([2, 1], h).unwrap(), 1e-12);
    }
}

/// Two features and two units, which numbers alone would not tell apart.
fn wide(gates: usize, bias: &[usize], states: usize, steps: usize) -> Vec<Tensor> {
    let mut operands = vec![
        random(1, &[2, steps, 2], -1.0, 1.0),
        random(2, &[2, 2 * gates], -1.0, 1.0),
        random(3, &[2, 2 * gates], -1.0, 1.0),
        random(4, bias, -1.0, 1.0),
    ];
    operands.extend((0..states).map(|i| random(5 + i as u64, &[2, 2], -1.0, 1.0)));
    operands
}

#[test]
fn lstm_gradients() {
    for spec in modes() {
        let mut operands = wide(4, &[8], 2, 4);
        operands.extend(spec.mask.then(mask));
        results_agree_with_composition(Fused::Lstm(spec), &operands, 3);
    }
    for (recurrent_activation, activation) in
        [(Activ::HardSigmoid, Activ::Relu), (Activ::Tanh, Activ::Linear)]
    {
        let spec = RnnSpec { activation, recurrent_activation, ..rnn(true, true, false) };
        let mut operands = small(4, &[4], 2);
        operands.push(mask());
        let f = run(Fused::Lstm(spec));
        check(&format!("{spec:?}"), &|x| Ok(f(x)?[..3].to_vec()), &operands);
    }
}

#[test]
fn gru_gradients() {
    for (spec, reset_after) in modes().flat_map(|m| [(m, true), (m, false)]) {
        let op = Fused::Gru { rnn: spec, reset_after };
        let mut operands = wide(3, if reset_after { &[2, 6] } else { &[6] }, 1, 4);
        operands.extend(spec.mask.then(mask));
        results_agree_with_composition(op.clone(), &operands, 2);
        let f = run(op.clone());
        let visible = |x: &[Tensor]| Ok(f(x)?[..2].to_vec());
        let mut operands = small(3, if reset_after { &[2, 3] } else { &[3] }, 1);
        operands.extend(spec.mask.then(mask));
        check(&format!("{op:?}"), &visible, &operands);
    }
}

#[test]
fn sequences_without_steps() {
    for steps in [0, 1] {
        let lstm = wide(4, &[8], 2, steps);
        let results = run(Fused::Lstm(rnn(false, false, false)))(&lstm).unwrap();
        assert_eq!(results[0].shape().dims(), [2, steps, 2]);
        agrees_with_composition(Fused::Lstm(rnn(false, false, false)), &lstm);
        let gru = wide(3, &[2, 6], 1, steps);
        agrees_with_composition(Fused::Gru { rnn: rnn(true, false, false), reset_after: true }, &gru);
    }
}

/// The derivative of a backward operation, which nobody needs to be fast.
#[test]
fn recurrent_backward_operations_have_gradients() {
    let spec = rnn(false, true, false);
    let operands = small(4, &[4], 2);
    let mut all = operands.clone();
    all.push(mask());
    let results = run(Fused::Lstm(spec))(&all).unwrap();
    let mut backward: Vec<Tensor> = [0, 1, 2, 4, 5].map(|i| operands[i].clone()).to_vec();
    backward.extend([0, 3, 4].map(|i| results[i].clone()));
    backward.extend([0, 1, 2].map(|i| random(20 + i as u64, results[i].shape(), -1.0, 1.0)));
    backward.push(mask());
    // An override may read the first state from either of two operands, which differ once one of them is moved.
    scope::decomposed(|| check("lstm_backward", &run(Fused::LstmBackward(spec)), &backward));
}

#[test]
fn optimizer_steps() {
    let tensors = [1, 2, 3].map(|seed| random(seed, &[4], -1.0, 1.0));
    let v = random(4, &[4], 0.1, 1.0);
    let numbers = |t: &Tensor| t.to_vec::<f64>().unwrap();
    let [w, g, m] = [0, 1, 2].map(|i| numbers(&tensors[i]));
    let expect = |what: &str, found: &Tensor, f: &dyn Fn(usize) -> f64| {
        let expected = Tensor::new([4], (0..4).map(f).collect()).unwrap();
        assert_close(what, found, &expected, 1e-14);
    };
    for decay in [0.0, 0.01] {
        let w = |i: usize| w[i] - w[i] * decay;
        let found = run(Fused::Sgd { learning_rate: 0.1, decay })(&tensors[..2]).unwrap();
        expect("sgd", &found[0], &|i| w(i) - 0.1 * g[i]);
        for nesterov in [false, true] {
            let op = Fused::SgdMomentum { learning_rate: 0.1, momentum: 0.9, nesterov, decay };
            let found = run(op)(&tensors).unwrap();
            let next = |i: usize| 0.9 * m[i] - 0.1 * g[i];
            expect("momentum", &found[1], &next);
            expect("variable", &found[0], &|i| {
                if nesterov { w(i) + 0.9 * next(i) - 0.1 * g[i] } else { w(i) + next(i) }
            });
        }
        let (alpha, beta_1, beta_2, epsilon) = (0.01, 0.9, 0.999, 1e-7);
        for amsgrad in [false, true] {
            let operands = [&tensors[..], &[v.clone(), random(5, &[4], 0.1, 1.0)]].concat();
            let largest = numbers(&operands[4]);
            let op = Fused::Adam { alpha, beta_1, beta_2, epsilon, amsgrad, decay };
            let found = run(op)(&operands[..4 + usize::from(amsgrad)]).unwrap();
            let v = numbers(&v);
            let m1 = |i: usize| beta_1 * m[i] + (1.0 - beta_1) * g[i];
            let v1 = |i: usize| beta_2 * v[i] + (1.0 - beta_2) * g[i] * g[i];
            let below = |i: usize| if amsgrad { v1(i).max(largest[i]) } else { v1(i) };
            expect("m", &found[1], &m1);
            expect("v", &found[2], &v1);
            expect("adam", &found[0], &|i| w(i) - alpha * m1(i) / (below(i).sqrt() + epsilon));
            if amsgrad {
                expect("largest", &found[3], &below);
            }
        }
        for (momentum, centered) in [(None, false), (Some(0.9), false), (None, true), (Some(0.9), true)] {
            let average = random(6, &[4], 0.0, 0.1);
            let mut operands = vec![tensors[0].clone(), tensors[1].clone(), v.clone()];
            operands.extend(momentum.map(|_| tensors[2].clone()));
            operands.extend(centered.then(|| average.clone()));
            let (rho, epsilon) = (0.9, 1e-7);
            let op = Fused::RmsProp { learning_rate: 0.1, rho, momentum, epsilon, centered, decay };
            let found = run(op)(&operands).unwrap();
            let (v, average) = (numbers(&v), numbers(&average));
            let v1 = |i: usize| rho * v[i] + (1.0 - rho) * g[i] * g[i];
            let average1 = |i: usize| rho * average[i] + (1.0 - rho) * g[i];
            let spread = |i: usize| v1(i) - if centered { average1(i) * average1(i) } else { 0.0 };
            let change = |i: usize| {
                momentum.map_or(0.0, |momentum| momentum * m[i]) + 0.1 * g[i] / (spread(i) + epsilon).sqrt()
            };
            expect("v", &found[1], &v1);
            expect("rms_prop", &found[0], &|i| w(i) - change(i));
            if momentum.is_some() {
                expect("last", &found[2], &change);
            }
            if centered {
                expect("average", &found[found.len() - 1], &average1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn average_pooling_of_any_window(
        spatial in prop::collection::vec((1usize..4, 1usize..4, 0usize..3, 0usize..3, 0usize..4), 1..3),
        seed in 0u64..1000,
    ) {
        let window = WindowSpec {
            size: spatial.iter().map(|s| s.0).collect(),
            strides: spatial.iter().map(|s| s.1).collect(),
            // A window never lies in the padding alone.
            padding: spatial.iter().map(|s| (s.2.min(s.0 - 1), s.3.min(s.0 - 1))).collect(),
        };
        let mut input = vec![2];
        input.extend(spatial.iter().map(|s| s.0 + s.4));
        input.push(2);
        let x = random(seed, &input, -1.0, 1.0);
        check_fused(Fused::AvgPool(window), &[x]);
    }
}
