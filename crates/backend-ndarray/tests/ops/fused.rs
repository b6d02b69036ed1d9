use backend_ndarray::Buffer;
use keras_kernels::par;
use keras_spec::{
    Activ, BinaryOp, ConvSpec, DType, Device, Fused, HostTensor, Op, ReduceOp, RnnSpec, Shape, Tensor,
    UnaryOp, Variable, WindowSpec, scope,
};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];
const ACTIVATIONS: [Activ; 6] =
    [Activ::Linear, Activ::Relu, Activ::Sigmoid, Activ::Tanh, Activ::HardSigmoid, Activ::LegacyHardSigmoid];

/// Numbers between -1 and 1 that differ with `seed`.
fn random(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let data: Vec<f64> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        })
        .collect();
    let host = HostTensor::new(shape.to_vec(), data).unwrap().cast(dtype);
    Tensor::from_host(host, &Device::new("ndarray").unwrap()).unwrap()
}

fn all(shapes: &[&[usize]], dtype: DType) -> Vec<Tensor> {
    shapes.iter().enumerate().map(|(i, s)| random(s, dtype, i as u64 + 1)).collect()
}

fn run(op: &Fused, operands: &[Tensor]) -> Vec<Tensor> {
    let device = operands[0].device();
    assert!(device.backend().fuses(op, operands[0].dtype()), "{op:?} is not fused");
    Tensor::apply(Op::Fused(op.clone()), operands.to_vec()).unwrap().into_vec()
}

fn close(name: &str, got: &Tensor, expected: &Tensor) {
    assert_eq!((got.shape(), got.dtype()), (expected.shape(), expected.dtype()), "{name}");
    let tolerance = if got.dtype() == DType::F32 { 2e-5 } else { 1e-12 };
    let (got, expected) = (got.to_host().unwrap().to_f64_vec(), expected.to_host().unwrap().to_f64_vec());
    for (i, (g, e)) in got.iter().zip(&expected).enumerate() {
        let equal = (g.is_nan() && e.is_nan()) || (g - e).abs() <= tolerance * (1.0 + e.abs());
        assert!(equal, "{name}: {g} instead of {e} at {i}");
    }
}

/// Compares a fused operation with its composition, on operands as they are and on the same ones in another order in
/// memory; gives the fused results. Results in `unspecified` are compared by shape only.
fn same(op: &Fused, operands: &[Tensor], unspecified: &[usize]) -> Vec<Tensor> {
    let composed = scope::decomposed(|| Tensor::apply(Op::Fused(op.clone()), operands.to_vec())).unwrap();
    let before: Vec<_> = operands.iter().map(|x| x.to_host().unwrap()).collect();
    let fused = run(op, operands);
    let strided: Vec<Tensor> = operands
        .iter()
        .map(|x| {
            let axes: Vec<usize> = (0..x.rank()).rev().collect();
            let copy = Tensor::from_host(x.permute(&axes).unwrap().to_host().unwrap(), x.device()).unwrap();
            copy.permute(&axes).unwrap()
        })
        .collect();
    let again = run(op, &strided);
    for (x, before) in operands.iter().zip(before) {
        assert_eq!(x.to_host().unwrap(), before, "{op:?} has changed an operand");
    }
    for (i, ((f, a), c)) in fused.iter().zip(&again).zip(&composed).enumerate() {
        if unspecified.contains(&i) {
            assert_eq!(f.shape(), c.shape());
        } else {
            close(&format!("{op:?} result {i}"), f, c);
            close(&format!("{op:?} result {i}, strided"), a, c);
        }
    }
    fused
}

#[test]
fn dense() {
    for dtype in DTYPES {
        for activation in ACTIVATIONS {
            let op = Fused::Dense { activation };
            for x in [&[5, 3][..], &[3], &[2, 4, 3], &[0, 3]] {
                same(&op, &all(&[x, &[3, 4], &[4]], dtype), &[]);
            }
            same(&op, &all(&[&[2, 0], &[0, 3], &[3]], dtype), &[]);
        }
    }
}

#[test]
fn convolutions() {
    let pairs = |a: usize, b: usize| [a, b].into_iter().collect();
    let specs = [
        (ConvSpec::new(2), [2, 5, 6, 3], [3, 2, 3, 4]),
        (
            ConvSpec {
                strides: pairs(2, 1),
                padding: [(1, 1), (0, 2)].into_iter().collect(),
                ..ConvSpec::new(2)
            },
            [2, 7, 5, 3],
            [3, 3, 3, 4],
        ),
        (
            ConvSpec { filter_dilation: pairs(2, 1), groups: 2, ..ConvSpec::new(2) },
            [1, 6, 5, 4],
            [2, 3, 2, 6],
        ),
        (
            ConvSpec {
                input_dilation: pairs(2, 3),
                padding: [(2, 1), (1, 2)].into_iter().collect(),
                ..ConvSpec::new(2)
            },
            [2, 3, 3, 2],
            [3, 3, 2, 5],
        ),
        (
            ConvSpec { groups: 3, padding: [(1, 1), (1, 1)].into_iter().collect(), ..ConvSpec::new(2) },
            [2, 4, 4, 3],
            [3, 3, 1, 6],
        ),
    ];
    for dtype in DTYPES {
        for (spec, x, w) in &specs {
            for activation in ACTIVATIONS {
                let op = Fused::ConvBias { spec: spec.clone(), activation };
                same(&op, &all(&[x, w, &w[3..]], dtype), &[]);
            }
            let (x, w) = (random(x, dtype, 1), random(w, dtype, 2));
            let y = x.convolution(&w, spec.clone()).unwrap();
            let dy = random(y.shape(), dtype, 3);
            let op = Fused::ConvBackwardInput { spec: spec.clone(), input: x.shape().clone() };
            same(&op, &[dy.clone(), w.clone()], &[]);
            let op = Fused::ConvBackwardFilter { spec: spec.clone(), filter: w.shape().clone() };
            same(&op, &[x, dy], &[]);
        }
    }
}

#[test]
fn average_pooling() {
    let window = WindowSpec {
        size: [2, 3].into_iter().collect(),
        strides: [2, 1].into_iter().collect(),
        padding: [(0, 1), (1, 1)].into_iter().collect(),
    };
    for dtype in DTYPES {
        let x = random(&[2, 5, 4, 3], dtype, 1);
        let y = same(&Fused::AvgPool(window.clone()), std::slice::from_ref(&x), &[]).remove(0);
        let op = Fused::AvgPoolBackward { window: window.clone(), input: x.shape().clone() };
        same(&op, &[random(y.shape(), dtype, 2)], &[]);
    }
}

#[test]
fn softmax() {
    for dtype in DTYPES {
        for (shape, axis) in [(&[4, 5][..], 1), (&[4, 5], 0), (&[2, 3, 4], 1), (&[7], 0), (&[0, 3], 1)] {
            let (x, dy) = (random(shape, dtype, 1), random(shape, dtype, 2));
            let y = same(&Fused::Softmax { axis }, std::slice::from_ref(&x), &[]).remove(0);
            same(&Fused::SoftmaxBackward { axis }, &[y, dy.clone()], &[]);
            let y = same(&Fused::LogSoftmax { axis }, &[x], &[]).remove(0);
            same(&Fused::LogSoftmaxBackward { axis }, &[y, dy], &[]);
        }
    }
}

#[test]
fn normalizations() {
    let epsilon = 1e-3;
    for dtype in DTYPES {
        for (shape, axis) in [(&[4, 3, 5][..], 2), (&[4, 3, 5], 1), (&[6, 2], 1)] {
            let (c, x) = ([shape[axis]], random(shape, dtype, 1));
            let (gamma, beta, dy) = (random(&c, dtype, 2), random(&c, dtype, 3), random(shape, dtype, 4));
            let out = same(&Fused::BatchNorm { axis, epsilon }, &[x.clone(), gamma.clone(), beta], &[]);
            let operands = [x, gamma, out[1].clone(), out[2].clone(), dy];
            same(&Fused::BatchNormBackward { axis, epsilon }, &operands, &[]);
        }
        for (shape, features) in [(&[4, 5][..], 1), (&[3, 2, 4], 2), (&[6], 1)] {
            let (f, x) = (&shape[shape.len() - features..], random(shape, dtype, 1));
            let (gamma, beta, dy) = (random(f, dtype, 2), random(f, dtype, 3), random(shape, dtype, 4));
            let out = same(&Fused::LayerNorm { features, epsilon }, &[x.clone(), gamma.clone(), beta], &[]);
            let operands = [x, gamma, out[1].clone(), out[2].clone(), dy];
            same(&Fused::LayerNormBackward { features }, &operands, &[]);
        }
    }
}

/// Every combination of the options, with a mask that has gaps at the start, within and at the end.
fn recurrences() -> Vec<(RnnSpec, Option<Tensor>)> {
    let device = Device::new("ndarray").unwrap();
    let mask = vec![true, true, true, true, false, true, false, true, true, true, false, false];
    let mask = Tensor::from_host(HostTensor::new([3, 4], mask).unwrap(), &device).unwrap();
    let mut all = Vec::new();
    for reverse in [false, true] {
        for (masked, zero_output_for_mask) in [(false, false), (true, false), (true, true)] {
            for (activation, recurrent_activation) in
                [(Activ::Tanh, Activ::Sigmoid), (Activ::Relu, Activ::HardSigmoid)]
            {
                let spec =
                    RnnSpec { activation, recurrent_activation, reverse, mask: masked, zero_output_for_mask };
                all.push((spec, masked.then(|| mask.clone())));
            }
        }
    }
    all
}

const B: usize = 3;
const T: usize = 4;
const F: usize = 2;
const U: usize = 3;

#[test]
fn lstm() {
    for dtype in DTYPES {
        for (rnn, mask) in recurrences() {
            let o = all(&[&[B, T, F], &[F, 4 * U], &[U, 4 * U], &[4 * U], &[B, U], &[B, U]], dtype);
            let forward: Vec<Tensor> = o.iter().cloned().chain(mask.clone()).collect();
            let gates: &[usize] = if rnn.mask { &[3] } else { &[] };
            let y = same(&Fused::Lstm(rnn), &forward, gates);
            let mut backward: Vec<Tensor> = [0, 1, 2, 4, 5].map(|i: usize| o[i].clone()).to_vec();
            backward.extend([0, 3, 4].map(|i: usize| y[i].clone()));
            backward.extend([&[B, T, U][..], &[B, U], &[B, U]].iter().map(|s| random(s, dtype, 9)));
            backward.extend(mask);
            same(&Fused::LstmBackward(rnn), &backward, &[]);
        }
    }
}

#[test]
fn gru() {
    for dtype in DTYPES {
        for (rnn, mask) in recurrences() {
            for reset_after in [false, true] {
                let bias: &[usize] = if reset_after { &[2, 3 * U] } else { &[3 * U] };
                let o = all(&[&[B, T, F], &[F, 3 * U], &[U, 3 * U], bias, &[B, U]], dtype);
                let forward: Vec<Tensor> = o.iter().cloned().chain(mask.clone()).collect();
                let gates: &[usize] = if rnn.mask || !reset_after { &[2] } else { &[] };
                let y = same(&Fused::Gru { rnn, reset_after }, &forward, gates);
                let mut backward: Vec<Tensor> = [0, 1, 2, 4].map(|i: usize| o[i].clone()).to_vec();
                backward.extend([0, 2].map(|i: usize| y[i].clone()));
                backward.extend([&[B, T, U][..], &[B, U]].iter().map(|s| random(s, dtype, 9)));
                backward.extend(mask.clone());
                same(&Fused::GruBackward { rnn, reset_after }, &backward, &[]);
            }
        }
    }
}

#[test]
fn optimizer_steps() {
    for dtype in DTYPES {
        let shape: &[usize] = &[3, 4];
        let o = all(&[shape; 3], dtype);
        // The last is a mean, whose square is below the mean square.
        let v = random(shape, dtype, 4).abs().unwrap();
        let small = (random(shape, dtype, 5) * 0.1).unwrap();
        for decay in [0.0, 0.01] {
            same(&Fused::Sgd { learning_rate: 0.1, decay }, &o[..2], &[]);
            for nesterov in [false, true] {
                same(&Fused::SgdMomentum { learning_rate: 0.1, momentum: 0.9, nesterov, decay }, &o, &[]);
            }
            for amsgrad in [false, true] {
                let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-7);
                let op = Fused::Adam { alpha: 0.01, beta_1, beta_2, epsilon, amsgrad, decay };
                let operands = [&o[..], &[v.clone(), v.square().unwrap()]].concat();
                same(&op, &operands[..4 + usize::from(amsgrad)], &[]);
            }
            for (momentum, centered) in [(None, false), (Some(0.9), false), (None, true), (Some(0.9), true)] {
                let epsilon = 1.0;
                let op = Fused::RmsProp { learning_rate: 0.1, rho: 0.9, momentum, epsilon, centered, decay };
                let last = momentum.map(|_| &o[2]);
                let average = centered.then_some(&small);
                let operands = [&o[0], &o[1], &v].into_iter().chain(last).chain(average).cloned();
                same(&op, &operands.collect::<Vec<_>>(), &[]);
            }
        }
    }
}

/// Where the elements of a variable lie.
fn address(v: &Variable) -> *const f32 {
    let buffer = v.get().into_buffer();
    match buffer.downcast_ref::<Buffer>() {
        Some(Buffer::F32(x)) => x.as_ptr(),
        _ => panic!("another buffer"),
    }
}

#[test]
fn optimizer_steps_work_in_place_and_leave_the_old_values_if_they_fail() {
    let variable =
        |name: &str, data: Vec<f32>| Variable::new(name, Tensor::new([data.len()], data).unwrap(), true);
    let (w, m) = (variable("w", vec![1.0, 2.0]), variable("m", vec![0.5, 0.0]));
    let values = || [&w, &m].map(|v| v.get().to_vec::<f32>().unwrap());
    let op = || Fused::SgdMomentum { learning_rate: 1.0, momentum: 0.5, nesterov: false, decay: 0.0 };
    let gradient = Tensor::new([2], vec![0.25f32, 1.0]).unwrap();

    let before = [address(&w), address(&m)];
    w.update(op(), &gradient, std::slice::from_ref(&m)).unwrap();
    assert_eq!(values(), [[1.0, 1.0], [0.0, -1.0]]);
    assert_eq!([address(&w), address(&m)], before);

    let held = w.get();
    w.update(op(), &gradient, std::slice::from_ref(&m)).unwrap();
    assert_eq!(held.to_vec::<f32>().unwrap(), [1.0, 1.0]);
    assert_eq!(values(), [[0.75, -0.5], [-0.25, -1.5]]);

    let old = values();
    let wrong = Tensor::new([3], vec![1.0f32; 3]).unwrap();
    assert!(w.update(op(), &wrong, std::slice::from_ref(&m)).is_err());
    assert!(w.update(op(), &gradient, &[]).is_err());
    assert!(w.update(op(), &gradient, std::slice::from_ref(&w)).is_err());
    assert_eq!(values(), old);

    let composed = scope::decomposed(|| w.update(op(), &gradient, std::slice::from_ref(&m)));
    composed.unwrap();
    assert_eq!(values(), [[0.375, -2.25], [-0.375, -1.75]]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let f = DType::F32;
    let (x, k, b) = (random(&[300, 500], f, 1), random(&[500, 200], f, 2), random(&[200], f, 3));
    let (image, filter) = (random(&[4, 20, 20, 8], f, 4), random(&[3, 3, 8, 16], f, 5));
    let bias = random(&[16], f, 6);
    let (sequence, wx) = (random(&[8, 20, 30], f, 7), random(&[30, 160], f, 8));
    let (wh, b4, state) = (random(&[40, 160], f, 9), random(&[160], f, 10), random(&[8, 40], f, 11));
    let rnn = RnnSpec {
        activation: Activ::Tanh,
        recurrent_activation: Activ::Sigmoid,
        reverse: false,
        mask: false,
        zero_output_for_mask: false,
    };
    let cases: Vec<(Op, Vec<Tensor>)> = vec![
        (Op::Unary(UnaryOp::Exp), vec![x.clone()]),
        (Op::Binary(BinaryOp::Mul), vec![x.clone(), random(&[500], f, 12)]),
        (Op::Reduce { op: ReduceOp::Sum, axes: [0].into_iter().collect() }, vec![x.clone()]),
        (Op::Reduce { op: ReduceOp::Sum, axes: [0, 1].into_iter().collect() }, vec![x.clone()]),
        (Op::MatMul, vec![x.clone(), k.clone()]),
        (Op::Fused(Fused::Dense { activation: Activ::Tanh }), vec![x.clone(), k, b]),
        (Op::Fused(Fused::Softmax { axis: 1 }), vec![x]),
        (
            Op::Fused(Fused::ConvBias { spec: ConvSpec::new(2), activation: Activ::Relu }),
            vec![image.clone(), filter, bias],
        ),
        (
            Op::Fused(Fused::ConvBackwardFilter {
                spec: ConvSpec::new(2),
                filter: Shape::from([3, 3, 8, 16]),
            }),
            vec![image, random(&[4, 18, 18, 16], f, 13)],
        ),
        (Op::Fused(Fused::Lstm(rnn)), vec![sequence, wx, wh, b4, state.clone(), state]),
    ];
    for (op, operands) in cases {
        let with = |threads| {
            let results = par::with_threads(threads, || Tensor::apply(op.clone(), operands.clone())).unwrap();
            results.iter().map(|t| t.to_vec::<f32>().unwrap()).collect::<Vec<_>>()
        };
        let one = with(1);
        assert!(one == with(2) && one == with(5), "{op:?}");
    }
}
