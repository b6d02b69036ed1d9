//! Operations on tensors large enough that a backend may share them out among threads: what thread counts are tested with,
//! and what `bench` times.

use keras_spec::{
    Activ, AttentionSpec, ConvSpec, DType, Device, Fused, HostTensor, Op, ReduceOp, Result, RnnSpec,
    ScatterOp, Shape, Tensor, WindowSpec, gradients,
};

/// One operation, or a few.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The shapes of the operands: numbers between -1 and 1.
    operands: &'static [&'static [usize]],
    run: fn(&[Tensor]) -> Result<Vec<Tensor>>,
}

impl Workload {
    /// Its operands on a device.
    pub(crate) fn operands(&self, device: &Device) -> Result<Vec<Tensor>> {
        let bring = |(seed, shape): (usize, &&[usize])| Tensor::from_host(numbers(shape, seed)?, device);
        self.operands.iter().enumerate().map(bring).collect()
    }

    /// Runs it.
    pub(crate) fn run(&self, operands: &[Tensor]) -> Result<Vec<Tensor>> {
        (self.run)(operands)
    }
}

fn numbers(shape: &[usize], seed: usize) -> Result<HostTensor> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let shape = Shape::from(shape);
    let data: Vec<f32> = (0..shape.size()).map(|_| next()).collect();
    HostTensor::new(shape, data)
}

fn one(t: Result<Tensor>) -> Result<Vec<Tensor>> {
    t.map(|t| vec![t])
}

fn fused(op: Fused, operands: &[Tensor]) -> Result<Vec<Tensor>> {
    Ok(Tensor::apply(Op::Fused(op), operands.iter().cloned())?.into_vec())
}

/// The gradients of the sum of what `f` makes of the operands.
fn backward(operands: &[Tensor], f: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
    let watched: Vec<Tensor> = operands.iter().map(Tensor::watch).collect();
    let results = f(&watched)?;
    let sources: Vec<&Tensor> = watched.iter().collect();
    Ok(gradients(&[&results[0]], &sources)?.into_iter().flatten().collect())
}

/// Whole numbers from 0 to `n`, made of numbers between -1 and 1.
fn whole(x: &Tensor, n: f64) -> Result<Tensor> {
    (((x + 1.0)? * (n / 2.0))?).cast(DType::I32)
}

fn conv() -> ConvSpec {
    ConvSpec { padding: [(1, 1), (1, 1)].into_iter().collect(), ..ConvSpec::new(2) }
}

fn window() -> WindowSpec {
    let two = || [2, 2].into_iter().collect();
    WindowSpec { size: two(), strides: two(), padding: [(0, 0), (0, 0)].into_iter().collect() }
}

fn rnn() -> RnnSpec {
    RnnSpec {
        activation: Activ::Tanh,
        recurrent_activation: Activ::Sigmoid,
        reverse: false,
        mask: false,
        zero_output_for_mask: false,
    }
}

fn conv_bias(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::ConvBias { spec: conv(), activation: Activ::Relu }, o)
}

fn dense(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::Dense { activation: Activ::Relu }, o)
}

fn batch_norm(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::BatchNorm { axis: 3, epsilon: 1e-3 }, o)
}

fn layer_norm(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::LayerNorm { features: 1, epsilon: 1e-3 }, o)
}

fn lstm(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::Lstm(rnn()), o)
}

fn gru(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::Gru { rnn: rnn(), reset_after: true }, o)
}

fn max_pool(o: &[Tensor]) -> Result<Vec<Tensor>> {
    one(o[0].reduce_window(ReduceOp::Max, window()))
}

fn attention(o: &[Tensor]) -> Result<Vec<Tensor>> {
    let spec = AttentionSpec { scale: 0.125, causal: true, mask: false };
    Ok(fused(Fused::ScaledDotProductAttention(spec), o)?.into_iter().take(1).collect())
}

fn embedding(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::Embedding, &[o[0].clone(), whole(&o[1], 999.0)?])
}

fn cross_entropy(o: &[Tensor]) -> Result<Vec<Tensor>> {
    fused(Fused::SoftmaxCrossEntropy { sparse: true }, &[o[0].clone(), whole(&o[1], 511.0)?])
}

const HEADS: &[usize] = &[4, 128, 8, 64];
const IMAGES: &[usize] = &[8, 28, 28, 16];
const MATRIX: &[usize] = &[512, 512];
const SEQUENCES: &[usize] = &[32, 20, 32];
const VARIABLE: &[usize] = &[300_000];

/// Every workload.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload { name: "add", operands: &[MATRIX, MATRIX], run: |o| one(&o[0] + &o[1]) },
    Workload { name: "multiply_broadcast", operands: &[MATRIX, &[512]], run: |o| one(&o[0] * &o[1]) },
    Workload { name: "exp", operands: &[MATRIX], run: |o| one(o[0].exp()) },
    Workload { name: "tanh", operands: &[MATRIX], run: |o| one(o[0].tanh()) },
    Workload { name: "erf", operands: &[MATRIX], run: |o| one(o[0].erf()) },
    Workload { name: "cast", operands: &[MATRIX], run: |o| one(o[0].cast(DType::F16)) },
    Workload { name: "transpose", operands: &[MATRIX], run: |o| one(o[0].permute(&[1, 0])?.exp()) },
    Workload { name: "concatenate", operands: &[MATRIX, MATRIX], run: |o| one(Tensor::concatenate(o, 1)) },
    Workload { name: "sum", operands: &[MATRIX], run: |o| one(o[0].sum(&[], false)) },
    Workload { name: "sum_rows", operands: &[MATRIX], run: |o| one(o[0].sum(&[1], false)) },
    Workload { name: "sum_columns", operands: &[MATRIX], run: |o| one(o[0].sum(&[0], false)) },
    Workload { name: "max", operands: &[MATRIX], run: |o| one(o[0].max(&[0], false)) },
    Workload { name: "argmax", operands: &[MATRIX], run: |o| one(o[0].argmax(-1)) },
    Workload { name: "cumsum", operands: &[MATRIX], run: |o| one(o[0].cumulative(ReduceOp::Sum, 0)) },
    Workload { name: "sort", operands: &[MATRIX], run: |o| one(o[0].sort(-1, false)) },
    Workload {
        name: "gather",
        operands: &[&[1000, 64], &[64, 50]],
        run: |o| one(o[0].take(&whole(&o[1], 999.0)?, 0)),
    },
    Workload {
        name: "scatter_add",
        operands: &[&[1000, 64], &[64, 50], &[64, 50, 64]],
        run: |o| one(o[0].scatter(ScatterOp::Add, &whole(&o[1], 999.0)?, &o[2], 0)),
    },
    Workload { name: "matmul", operands: &[MATRIX, MATRIX], run: |o| one(o[0].matmul(&o[1])) },
    Workload {
        name: "matmul_batched",
        operands: &[&[32, 64, 64], &[32, 64, 64]],
        run: |o| one(o[0].matmul(&o[1])),
    },
    Workload { name: "dense", operands: &[&[256, 512], MATRIX, &[512]], run: dense },
    Workload {
        name: "dense_gradients",
        operands: &[&[256, 512], MATRIX, &[512]],
        run: |o| backward(o, dense),
    },
    Workload { name: "conv", operands: &[IMAGES, &[3, 3, 16, 32], &[32]], run: conv_bias },
    Workload {
        name: "conv_gradients",
        operands: &[IMAGES, &[3, 3, 16, 32], &[32]],
        run: |o| backward(o, conv_bias),
    },
    Workload {
        name: "depthwise_conv",
        operands: &[IMAGES, &[3, 3, 1, 16]],
        run: |o| one(o[0].convolution(&o[1], ConvSpec { groups: 16, ..conv() })),
    },
    Workload { name: "max_pool", operands: &[IMAGES], run: max_pool },
    Workload { name: "max_pool_gradients", operands: &[IMAGES], run: |o| backward(o, max_pool) },
    Workload { name: "avg_pool", operands: &[IMAGES], run: |o| fused(Fused::AvgPool(window()), o) },
    Workload { name: "softmax", operands: &[MATRIX], run: |o| one(o[0].softmax(-1)) },
    Workload { name: "log_softmax", operands: &[MATRIX], run: |o| one(o[0].log_softmax(-1)) },
    Workload { name: "batch_norm", operands: &[IMAGES, &[16], &[16]], run: batch_norm },
    Workload {
        name: "batch_norm_gradients",
        operands: &[IMAGES, &[16], &[16]],
        run: |o| backward(o, batch_norm),
    },
    Workload { name: "layer_norm", operands: &[MATRIX, &[512], &[512]], run: layer_norm },
    Workload {
        name: "layer_norm_gradients",
        operands: &[MATRIX, &[512], &[512]],
        run: |o| backward(o, layer_norm),
    },
    Workload {
        name: "lstm",
        operands: &[SEQUENCES, &[32, 256], &[64, 256], &[256], &[32, 64], &[32, 64]],
        run: lstm,
    },
    Workload {
        name: "lstm_gradients",
        operands: &[SEQUENCES, &[32, 256], &[64, 256], &[256], &[32, 64], &[32, 64]],
        run: |o| backward(o, lstm),
    },
    Workload { name: "gru", operands: &[SEQUENCES, &[32, 192], &[64, 192], &[2, 192], &[32, 64]], run: gru },
    Workload {
        name: "gru_gradients",
        operands: &[SEQUENCES, &[32, 192], &[64, 192], &[2, 192], &[32, 64]],
        run: |o| backward(o, gru),
    },
    Workload { name: "embedding", operands: &[&[1000, 64], &[64, 50]], run: embedding },
    Workload {
        name: "embedding_gradients",
        operands: &[&[1000, 64], &[64, 50]],
        run: |o| backward(o, embedding),
    },
    Workload { name: "attention", operands: &[HEADS, HEADS, HEADS], run: attention },
    Workload {
        name: "attention_gradients",
        operands: &[HEADS, HEADS, HEADS],
        run: |o| backward(o, attention),
    },
    Workload { name: "cross_entropy", operands: &[MATRIX, &[512]], run: cross_entropy },
    Workload {
        name: "cross_entropy_gradients",
        operands: &[MATRIX, &[512]],
        run: |o| backward(o, cross_entropy),
    },
    Workload {
        name: "adam",
        operands: &[VARIABLE, VARIABLE, VARIABLE, VARIABLE],
        run: |o| {
            let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-7);
            let step = Fused::Adam { alpha: 1e-3, beta_1, beta_2, epsilon, amsgrad: false, decay: 1e-3 };
            fused(step, &[o[0].clone(), o[1].clone(), o[2].clone(), o[3].square()?])
        },
    },
];
