//! Fused operations and their gradients against their compositions of required operations.

use backend_tch as _;
use keras_spec::{
    Activ, AttentionSpec, ConvSpec, DType, Device, Fused, GradientOptions, HostTensor, Op, Result, RnnSpec,
    Shape, Tensor, WindowSpec, gradients_with, scope,
};

fn device() -> Device {
    Device::new("tch:cpu").unwrap()
}

/// Numbers in `low..high` that look random, the same for the same `seed`.
fn random(seed: u64, shape: &[usize], low: f64, high: f64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let values = (0..shape.iter().product::<usize>()).map(next).collect::<Vec<f64>>();
    Tensor::from_host(HostTensor::new(shape, values).unwrap(), &device()).unwrap()
}

fn close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((found.shape(), found.dtype()), (expected.shape(), expected.dtype()), "{what}");
    let (found, expected) = (found.to_host().unwrap().to_f64_vec(), expected.to_host().unwrap().to_f64_vec());
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let same = (f - e).abs() <= tolerance * e.abs().max(1.0) || f == e || (f.is_nan() && e.is_nan());
        assert!(same, "{what}: element {i} is {f}, expected {e}");
    }
}

/// The first results, and the gradients of a weighted sum of them.
fn values(op: &Fused, operands: &[Tensor], results: usize) -> Result<Vec<Tensor>> {
    let watch = |x: &Tensor| if x.dtype().is_float() { x.watch() } else { x.clone() };
    let operands: Vec<Tensor> = operands.iter().map(watch).collect();
    let y = Tensor::apply(Op::Fused(op.clone()), operands.iter().cloned())?;
    let y: Vec<&Tensor> = y.iter().take(results).collect();
    let weigh = |(i, y): (usize, &&Tensor)| random(90 + i as u64, y.shape(), 0.5, 1.5).cast(y.dtype());
    let weights = y.iter().enumerate().map(weigh).collect::<Result<Vec<_>>>()?;
    let sources: Vec<&Tensor> = operands.iter().filter(|x| x.dtype().is_float()).collect();
    let options = GradientOptions { cotangents: Some(weights), create_graph: false };
    let gradients = gradients_with(&y, &sources, &options)?;
    Ok(y.into_iter().cloned().chain(gradients.into_iter().flatten()).collect())
}

/// Compares the first `results` and all gradients with the composition's. What recurrent operations save for their gradients
/// is not compared: the gradients that come of it are.
fn check(op: Fused, operands: &[Tensor], results: usize) {
    assert!(device().backend().fuses(&op, DType::F64), "{op:?} is not fused");
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
        let cast = |x: &Tensor| if x.dtype().is_float() { x.cast(dtype) } else { Ok(x.clone()) };
        let operands = operands.iter().map(cast).collect::<Result<Vec<_>>>().unwrap();
        let found = values(&op, &operands, results).unwrap_or_else(|e| panic!("{op:?}: {e}"));
        let expected = scope::decomposed(|| values(&op, &operands, results)).unwrap();
        assert_eq!(found.len(), expected.len(), "{op:?}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            close(&format!("{op:?}: value {i}"), found, expected, tolerance);
        }
    }
}

#[test]
fn dense() {
    for activation in [Activ::Linear, Activ::Relu, Activ::Sigmoid, Activ::Tanh, Activ::HardSigmoid] {
        for shape in [&[3][..], &[2, 3], &[2, 2, 3], &[0, 3]] {
            let operands =
                [random(1, shape, -2.0, 2.0), random(2, &[3, 4], -2.0, 2.0), random(3, &[4], -1.0, 1.0)];
            check(Fused::Dense { activation }, &operands, 1);
        }
    }
}

#[test]
fn dense_of_all_sizes() {
    // From one thread's work to libtorch's; one number may stand for a whole bias, and a kernel may be transposed.
    for (rows, inputs, units) in [(1, 300, 40), (64, 128, 127), (64, 128, 128), (200, 130, 90)] {
        let scaled = |seed, shape: &[usize]| random(seed, shape, -0.2, 0.2);
        let x = scaled(1, &[rows, inputs]);
        let one = Tensor::full([units], DType::F64, 0.1, &device()).unwrap();
        let turned = scaled(2, &[units, inputs]).swap_axes(0, 1).unwrap();
        for (kernel, bias) in [(scaled(2, &[inputs, units]), scaled(3, &[units])), (turned, one)] {
            for activation in [Activ::Linear, Activ::Relu, Activ::Tanh, Activ::HardSigmoid] {
                check(Fused::Dense { activation }, &[x.clone(), kernel.clone(), bias.clone()], 1);
            }
        }
    }
}

#[test]
fn gradients_of_activations() {
    for activation in [Activ::Linear, Activ::Relu, Activ::Sigmoid, Activ::Tanh] {
        for shape in [&[][..], &[5], &[0, 3], &[300, 200]] {
            let y = random(1, shape, -1.0, 1.0).relu().unwrap();
            check(Fused::ActivationBackward { activation }, &[y, random(2, shape, -1.0, 1.0)], 1);
        }
    }
}

#[test]
fn cross_entropies_of_few_and_of_many() {
    for rows in [1, 40, 2000] {
        let logits = random(1, &[rows, 7], -3.0, 3.0);
        let labels =
            HostTensor::new([rows], (0..rows as i32).map(|i| i % 9 - 1).collect::<Vec<_>>()).unwrap();
        let labels = Tensor::from_host(labels, &device()).unwrap();
        check(Fused::SoftmaxCrossEntropy { sparse: true }, &[logits.clone(), labels], 1);
        check(Fused::SoftmaxCrossEntropy { sparse: false }, &[logits, random(2, &[rows, 7], 0.0, 1.0)], 1);
    }
}

/// Strides, padding, dilation of the input and of the filter, in one or two dimensions.
type Geometry<'a> = (&'a [usize], &'a [(isize, isize)], &'a [usize], &'a [usize]);

#[test]
fn convolution() {
    let all: [Geometry<'_>; 10] = [
        (&[1], &[(0, 0)], &[1], &[1]),
        (&[2], &[(0, 1)], &[1], &[1]),
        (&[1], &[(-1, 2)], &[1], &[2]),
        (&[1], &[(1, 2)], &[3], &[2]),
        (&[1], &[(5, 7)], &[2], &[1]),
        (&[1], &[(0, -1)], &[2], &[1]),
        (&[1, 2], &[(1, 1), (0, 1)], &[1, 1], &[1, 2]),
        (&[1, 1], &[(1, 0), (2, 2)], &[2, 1], &[1, 1]),
        (&[1, 1], &[(2, 1), (0, 0)], &[2, 3], &[2, 1]),
        (&[1, 2, 1], &[(1, 1), (0, 1), (0, 0)], &[1, 1, 1], &[1, 1, 2]),
    ];
    for (strides, padding, input, filter) in all {
        for groups in [1, 2] {
            let n = strides.len();
            let spec = ConvSpec {
                strides: strides.into(),
                padding: padding.iter().copied().collect(),
                input_dilation: input.into(),
                filter_dilation: filter.into(),
                groups,
            };
            let x = random(4, &[&[2][..], &[6, 5, 4][..n], &[4]].concat(), -1.0, 1.0);
            let f = random(5, &[&[3, 2, 2][..n], &[4 / groups, 6]].concat(), -1.0, 1.0);
            let bias = random(6, &[6], -1.0, 1.0);
            check(Fused::ConvBias { spec, activation: Activ::Tanh }, &[x, f, bias], 1);
        }
    }
}

#[test]
fn embedding() {
    let places = |shape: &[usize], v: &[i32]| {
        Tensor::from_host(HostTensor::new(shape, v.to_vec()).unwrap(), &device()).unwrap()
    };
    let table = random(1, &[3, 4], -1.0, 1.0);
    for indices in [places(&[2, 2], &[0, -1, 2, 2]), places(&[3], &[3, -4, i32::MIN]), places(&[0], &[])] {
        check(Fused::Embedding, &[table.clone(), indices], 1);
    }
}

#[test]
fn attention() {
    let mask = |shape: [usize; 4], every: usize| {
        let given: Vec<bool> = (0..shape.iter().product()).map(|i| i % every == 1).collect();
        Tensor::from_host(HostTensor::new(shape, given).unwrap(), &device()).unwrap()
    };
    // As many, fewer and more features of the value; more steps than libtorch takes at once; none.
    for (queries, keys, features, values) in [(3, 5, 4, 4), (40, 600, 3, 2), (600, 40, 2, 5), (2, 0, 3, 3)] {
        let heads = |seed, steps, n| random(seed, &[2, steps, 2, n], -1.0, 1.0);
        let operands = [heads(1, queries, features), heads(2, keys, features), heads(3, keys, values)];
        for causal in [false, true] {
            let spec = AttentionSpec { scale: 0.7, causal, mask: false };
            check(Fused::ScaledDotProductAttention(spec), &operands, 1);
            if keys == 0 {
                continue;
            }
            let op = Fused::ScaledDotProductAttention(AttentionSpec { mask: true, ..spec });
            // Some queries may take from no key.
            for mask in
                [mask([2, 1, queries, 1], 2), mask([1, 2, 1, keys], 3), mask([2, 2, queries, keys], 2)]
            {
                check(op.clone(), &[operands.as_slice(), &[mask]].concat(), 1);
            }
        }
    }
}

#[test]
fn cross_entropy() {
    let logits = random(1, &[2, 2, 5], -3.0, 3.0);
    let labels = HostTensor::new([2, 2], vec![4i32, 0, -1, 5]).unwrap();
    let labels = Tensor::from_host(labels, &device()).unwrap();
    check(Fused::SoftmaxCrossEntropy { sparse: true }, &[logits.clone(), labels], 1);
    check(Fused::SoftmaxCrossEntropy { sparse: false }, &[logits, random(2, &[2, 2, 5], 0.0, 1.0)], 1);
}

#[test]
fn backward_passes_come_from_libtorch() {
    let spec = ConvSpec::new(2);
    let ops = [
        Fused::ConvBackwardInput { spec: spec.clone(), input: Shape::from([1, 4, 4, 1]) },
        Fused::ConvBackwardFilter { spec, filter: Shape::from([2, 2, 1, 1]) },
        Fused::BatchNormBackward { axis: 1, epsilon: 1e-3 },
        Fused::LayerNormBackward { features: 1 },
        Fused::Sgd { learning_rate: 0.1, decay: 0.0 },
    ];
    for op in ops {
        assert_eq!(device().backend().fuses(&op, DType::F32), cfg!(feature = "shim"), "{op:?}");
    }
}

#[test]
fn mean_pooling() {
    let windows = [
        (&[2][..], &[2][..], &[(0, 0)][..]),
        (&[3], &[1], &[(1, 1)]),
        (&[2, 3], &[2, 1], &[(1, 1), (0, 0)]),
        (&[2, 2, 2], &[1, 2, 2], &[(0, 0), (1, 1), (0, 0)]),
    ];
    for (size, strides, padding) in windows {
        let window = WindowSpec {
            size: size.into(),
            strides: strides.into(),
            padding: padding.iter().copied().collect(),
        };
        let x = random(7, &[&[2][..], &[6, 5, 4][..size.len()], &[3]].concat(), -1.0, 1.0);
        check(Fused::AvgPool(window), &[x], 1);
    }
}

#[test]
fn softmax() {
    for axis in 0..3 {
        let x = random(8, &[2, 3, 4], -3.0, 3.0);
        check(Fused::Softmax { axis }, std::slice::from_ref(&x), 1);
        check(Fused::LogSoftmax { axis }, &[x], 1);
    }
}

#[test]
fn normalization() {
    for (shape, axis) in [(&[5, 3][..], 1), (&[4, 2, 3], 2), (&[4, 3, 2, 2], 1), (&[3, 4], 0), (&[1, 3], 1)] {
        let channels = [shape[axis]];
        let operands =
            [random(9, shape, -1.0, 2.0), random(10, &channels, 0.5, 2.0), random(11, &channels, -1.0, 1.0)];
        check(Fused::BatchNorm { axis, epsilon: 1e-3 }, &operands, 3);
    }
    for features in 1..=2 {
        let last = [3, 4];
        let last = &last[2 - features..];
        let operands =
            [random(12, &[2, 3, 4], -1.0, 2.0), random(13, last, 0.5, 2.0), random(14, last, -1.0, 1.0)];
        check(Fused::LayerNorm { features, epsilon: 1e-3 }, &operands, 3);
    }
}

#[test]
fn operands_may_be_views() {
    // One number stands for all channels, and memory is in another order.
    let turned = |seed: u64, shape: &[usize]| {
        let axes: Vec<usize> = (0..shape.len()).rev().collect();
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        random(seed, &reversed, -1.0, 1.0).permute(&axes).unwrap()
    };
    let spread = |seed: u64, n: usize| random(seed, &[1], 0.5, 1.5).broadcast_to([n]).unwrap();
    for shape in [&[2, 3][..], &[4, 2, 3], &[2, 5, 4, 3]] {
        let x = turned(40, shape);
        check(
            Fused::BatchNorm { axis: shape.len() - 1, epsilon: 1e-3 },
            &[x.clone(), spread(41, 3), spread(42, 3)],
            3,
        );
        check(Fused::LayerNorm { features: 1, epsilon: 1e-3 }, &[x.clone(), spread(43, 3), spread(44, 3)], 3);
        let operands = [x, turned(45, &[3, 4]), spread(46, 4)];
        check(Fused::Dense { activation: Activ::Tanh }, &operands, 1);
    }
    for (n, dilation) in [(1, 1), (2, 1), (2, 2), (3, 1)] {
        let mut spec = ConvSpec::new(n);
        spec.input_dilation[0] = dilation;
        let x = turned(47, &[&[2][..], &[5, 4, 3][..n], &[3]].concat());
        let filter = turned(48, &[&[2, 2, 1][..n], &[3, 4]].concat());
        check(Fused::ConvBias { spec, activation: Activ::Linear }, &[x, filter, spread(49, 4)], 1);
    }
    let rnn = recurrences().next().unwrap();
    let operands = [
        turned(50, &[3, 4, 2]),
        turned(51, &[2, 12]),
        turned(52, &[3, 12]),
        spread(53, 12),
        turned(54, &[3, 3]),
        random(55, &[1, 3], -1.0, 1.0).broadcast_to([3, 3]).unwrap(),
    ];
    check(Fused::Lstm(rnn), &operands, 3);
}

/// Every combination of direction and mask.
fn recurrences() -> impl Iterator<Item = RnnSpec> {
    let masks = [(false, false), (true, false), (true, true)];
    [false, true].into_iter().flat_map(move |reverse| {
        masks.into_iter().map(move |(mask, zero_output_for_mask)| RnnSpec {
            activation: Activ::Tanh,
            recurrent_activation: Activ::Sigmoid,
            reverse,
            mask,
            zero_output_for_mask,
        })
    })
}

fn mask() -> Tensor {
    let mask = vec![true, true, false, true, false, true, true, true, true, true, false, false];
    Tensor::from_host(HostTensor::new([3, 4], mask).unwrap(), &device()).unwrap()
}

#[test]
fn recurrent() {
    let (features, units) = (2, 3);
    for rnn in recurrences() {
        let operands = |gates: usize, bias: &[usize], states: u64| {
            let mut all = vec![
                random(15, &[3, 4, features], -1.0, 1.0),
                random(16, &[features, gates * units], -1.0, 1.0),
                random(17, &[units, gates * units], -1.0, 1.0),
                random(18, bias, -1.0, 1.0),
            ];
            all.extend((0..states).map(|i| random(19 + i, &[3, units], -1.0, 1.0)));
            all.extend(rnn.mask.then(mask));
            all
        };
        check(Fused::Lstm(rnn), &operands(4, &[4 * units], 2), 3);
        check(Fused::Gru { rnn, reset_after: true }, &operands(3, &[2, 3 * units], 1), 2);
        // What only this project's kernels do.
        if cfg!(feature = "shim") {
            check(Fused::Gru { rnn, reset_after: false }, &operands(3, &[3 * units], 1), 2);
            let rnn = RnnSpec { activation: Activ::Relu, recurrent_activation: Activ::HardSigmoid, ..rnn };
            check(Fused::Lstm(rnn), &operands(4, &[4 * units], 2), 3);
        }
    }
}

/// Several threads, and sizes at which they are worth it.
#[test]
fn long_recurrences_of_many() {
    let rnn = RnnSpec { reverse: true, ..recurrences().next().unwrap() };
    let operands = |gates: usize, bias: &[usize], states: u64| {
        let mut all = vec![
            random(60, &[17, 9, 20], -1.0, 1.0),
            random(61, &[20, gates * 40], -0.2, 0.2),
            random(62, &[40, gates * 40], -0.2, 0.2),
            random(63, bias, -1.0, 1.0),
        ];
        all.extend((0..states).map(|i| random(64 + i, &[17, 40], -1.0, 1.0)));
        all
    };
    check(Fused::Lstm(rnn), &operands(4, &[160], 2), 3);
    check(Fused::Gru { rnn, reset_after: true }, &operands(3, &[2, 120], 1), 2);
}

#[test]
fn recurrences_without_steps_keep_their_state() {
    let rnn = recurrences().next().unwrap();
    let shapes: [&[usize]; 6] = [&[2, 0, 3], &[3, 8], &[2, 8], &[8], &[2, 2], &[2, 2]];
    let operands: Vec<Tensor> = shapes.iter().map(|shape| random(20, shape, -1.0, 1.0)).collect();
    let results = Tensor::apply(Op::Fused(Fused::Lstm(rnn)), operands.clone()).unwrap();
    close("h", &results[1], &operands[4], 0.0);
    close("c", &results[2], &operands[5], 0.0);
}

#[test]
#[cfg(feature = "shim")]
fn optimizers() {
    let x: Vec<Tensor> = (0..5).map(|i| random(30 + i, &[2, 3], 0.1, 1.0)).collect();
    let step = |op: Fused, operands: &[Tensor]| {
        assert!(device().backend().fuses(&op, DType::F64), "{op:?} is not fused");
        let run = || Tensor::apply(Op::Fused(op.clone()), operands.iter().cloned());
        let before: Vec<HostTensor> = operands.iter().map(|x| x.to_host().unwrap()).collect();
        for (found, expected) in run().unwrap().iter().zip(scope::decomposed(run).unwrap().iter()) {
            close(&format!("{op:?}"), found, expected, 1e-14);
        }
        // Others hold these, so the step was made on copies.
        assert_eq!(operands.iter().map(|x| x.to_host().unwrap()).collect::<Vec<_>>(), before);
    };
    for decay in [0.0, 0.01] {
        step(Fused::Sgd { learning_rate: 0.1, decay }, &x[..2]);
        for nesterov in [false, true] {
            step(Fused::SgdMomentum { learning_rate: 0.1, momentum: 0.9, nesterov, decay }, &x[..3]);
        }
        // The mean, which is below 0.1, is the last.
        let small = random(50, &[2, 3], 0.0, 0.1);
        for (momentum, centered) in [(None, false), (None, true), (Some(0.9), false), (Some(0.9), true)] {
            let op =
                Fused::RmsProp { learning_rate: 0.1, rho: 0.9, momentum, epsilon: 1e-7, centered, decay };
            let states = x[2..][..op.states().unwrap() - usize::from(centered)].iter();
            let all: Vec<Tensor> =
                x[..2].iter().chain(states).chain(centered.then_some(&small)).cloned().collect();
            step(op, &all);
        }
        // Of many elements, the step is another one.
        let many: Vec<Tensor> = (0..5).map(|i| random(40 + i, &[200, 200], 0.1, 1.0)).collect();
        for x in [&x, &many] {
            for amsgrad in [false, true] {
                let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-7);
                let op = Fused::Adam { alpha: 0.01, beta_1, beta_2, epsilon, amsgrad, decay };
                step(op, &x[..4 + usize::from(amsgrad)]);
            }
        }
    }
}

#[test]
#[cfg(feature = "shim")]
fn optimizers_change_what_nobody_else_sees_in_place() {
    use backend_tch::{Buffer, Tch};
    use keras_spec::Backend;

    let backend = Tch::new(tch::Device::Cpu).unwrap();
    let adam =
        Fused::Adam { alpha: 0.01, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false, decay: 0.0 };
    let new = |x: f32| backend.from_host(HostTensor::full([200, 200], DType::F32, x.into())).unwrap();
    let places = |all: &[Buffer]| all.iter().map(|x| x.tensor().data_ptr()).collect::<Vec<_>>();
    let mut operands = [new(1.0), new(0.5), new(0.0), new(0.0)];
    let before = places(&operands);
    backend.update(&adam, &mut operands).unwrap();
    assert_eq!(places(&operands), before);
    // Another handle on the variable: it keeps the old values.
    let shared = operands[0].clone();
    let held = backend.to_host(shared.clone()).unwrap();
    backend.update(&adam, &mut operands).unwrap();
    assert_ne!(operands[0].tensor().data_ptr(), before[0]);
    assert_eq!(places(&operands)[1..], before[1..]);
    assert_eq!(backend.to_host(shared).unwrap(), held);
}
