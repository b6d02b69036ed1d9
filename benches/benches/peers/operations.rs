//! Layers and operations against candle-core and candle-nn, whose gradients are candle's own.

use benches::{candle, compare, compare_candle, compare_layer, compare_work, tensor, variable, work};
use candle_core::{D, DType, Device, Result, Tensor as CandleTensor};
use candle_nn::{Module, ModuleT, RNN, VarBuilder, VarMap};
use criterion::Criterion;
use keras::layers::{
    AveragePooling2D, BatchNormalization, Conv2D, Dense, DepthwiseConv2D, GRU, LSTM, LayerNormalization,
    MaxPooling2D, Padding, Softmax,
};
use keras_spec::{LayerRef, scope};

fn variables() -> (VarMap, VarBuilder<'static>) {
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    (map, builder)
}

/// A convolution over `(batch, size, size, c_in)` with "same" padding.
struct Conv {
    name: &'static str,
    window: usize,
    stride: usize,
    size: usize,
    c_in: usize,
    c_out: usize,
    depthwise: bool,
}

fn convolution(c: &mut Criterion) {
    let base = Conv { name: "", window: 3, stride: 1, size: 56, c_in: 64, c_out: 64, depthwise: false };
    for (conv, batch) in [
        (Conv { name: "3×3, 64→64, 56×56", ..base }, 1),
        (Conv { name: "3×3, 64→64, 56×56", ..base }, 8),
        (Conv { name: "1×1, 256→64, 56×56", window: 1, c_in: 256, ..base }, 1),
        (Conv { name: "3×3, 512→512, 7×7", c_in: 512, c_out: 512, size: 7, ..base }, 1),
        (
            Conv {
                name: "7×7, 3→64, 224×224, stride 2", window: 7, stride: 2, size: 224, c_in: 3, ..base
            },
            1,
        ),
        (Conv { name: "3×3, 1→32, 28×28", c_in: 1, c_out: 32, size: 28, ..base }, 32),
        (Conv { name: "depthwise 3×3, 64, 56×56", depthwise: true, ..base }, 1),
    ] {
        let Conv { window, stride, size, c_in, c_out, .. } = conv;
        let layer: LayerRef = if conv.depthwise {
            DepthwiseConv2D::new(window).padding(Padding::Same).into()
        } else {
            Conv2D::new(c_out, window).strides(stride).padding(Padding::Same).into()
        };
        let (_map, builder) = variables();
        let config = candle_nn::Conv2dConfig {
            padding: window / 2,
            stride,
            groups: if conv.depthwise { c_in } else { 1 },
            ..Default::default()
        };
        let theirs = candle_nn::conv2d(c_in, c_out, window, config, builder).unwrap();
        let case = format!("{}, batch {batch}", conv.name);
        let shape = [batch, size, size, c_in];
        compare_layer(c, ["convolution", &case], layer, shape, [batch, c_in, size, size], |x| {
            theirs.forward(x)
        });
    }
}

fn pooling(c: &mut Criterion) {
    let (ours, theirs) = ([8, 56, 56, 64], [8, 64, 56, 56]);
    compare_layer(c, ["pooling", "max 2×2"], MaxPooling2D::new(2), ours, theirs, |x| x.max_pool2d(2));
    compare_layer(c, ["pooling", "average 2×2"], AveragePooling2D::new(2), ours, theirs, |x| {
        x.avg_pool2d(2)
    });
}

fn normalization(c: &mut Criterion) {
    let rows = [512, 768];
    compare_layer(c, ["normalization", "softmax, 512×768"], Softmax::new(), rows, rows, |x| {
        candle_nn::ops::softmax(x, D::Minus1)
    });
    let (_map, builder) = variables();
    let (gamma, beta) = (builder.get(768, "gamma").unwrap(), builder.get(768, "beta").unwrap());
    // The fused one has no gradient.
    compare_layer(c, ["normalization", "layer norm, 512×768"], LayerNormalization::new(), rows, rows, |x| {
        candle_nn::ops::layer_norm_slow(x, &gamma, &beta, 1e-3)
    });
    let (_map, builder) = variables();
    let norm = candle_nn::batch_norm(64, 1e-3, builder).unwrap();
    compare_layer(
        c,
        ["normalization", "batch norm, 8×56×56×64"],
        BatchNormalization::new(),
        [8, 56, 56, 64],
        [8, 64, 56, 56],
        |x| norm.forward_t(x, true),
    );
}

fn dense(c: &mut Criterion) {
    let (_map, builder) = variables();
    let theirs = candle_nn::linear(784, 256, builder).unwrap();
    let layer = Dense::new(256).activation(keras::activations::Activation::Relu);
    compare_layer(c, ["dense", "784→256, relu, batch 64"], layer, [64, 784], [64, 784], |x| {
        theirs.forward(x)?.relu()
    });
}

fn recurrent(c: &mut Criterion) {
    let shape = [32, 50, 64];
    fn run<R: RNN>(cell: &R, x: &CandleTensor) -> Result<CandleTensor> {
        cell.states_to_tensor(&cell.seq(x)?)
    }
    let (_map, builder) = variables();
    let theirs = candle_nn::lstm(64, 128, Default::default(), builder).unwrap();
    let layer = LSTM::new(128).return_sequences(true);
    compare_layer(c, ["recurrent", "LSTM, 50 steps, 64→128, batch 32"], layer, shape, shape, |x| {
        run(&theirs, x)
    });
    let (_map, builder) = variables();
    let theirs = candle_nn::gru(64, 128, Default::default(), builder).unwrap();
    let layer = GRU::new(128).return_sequences(true);
    compare_layer(c, ["recurrent", "GRU, 50 steps, 64→128, batch 32"], layer, shape, shape, |x| {
        run(&theirs, x)
    });
}

/// Attention by candle's products and softmax; it has heads before steps.
fn attend(x: &[CandleTensor], mask: Option<&CandleTensor>) -> Result<CandleTensor> {
    let scale = (x[0].dim(D::Minus1)? as f64).sqrt().recip();
    let scores = (x[0].matmul(&x[1].t()?)? * scale)?;
    let scores = if let Some(mask) = mask { scores.broadcast_add(mask)? } else { scores };
    candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&x[2])
}

fn attention(c: &mut Criterion) {
    for ([batch, steps, heads, features], causal) in [([4, 128, 8, 64], false), ([1, 1024, 8, 64], true)] {
        let ours = work::attention([batch, steps, heads, features], causal);
        let inputs = [(); 3].map(|()| variable([batch, heads, steps, features]));
        let hidden = |i: usize| if i % steps > i / steps { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..steps * steps).map(hidden).collect();
        let mask = causal.then(|| CandleTensor::from_vec(mask, (steps, steps), &Device::Cpu).unwrap());
        let case = format!("{}{batch}×{steps}×{heads}×{features}", if causal { "causal, " } else { "" });
        compare_candle(c, ["attention", &case], &ours, &inputs, |x| attend(x, mask.as_ref()));
    }
}

fn lookups(c: &mut Criterion) {
    let labels = |count: u32, classes: u32| {
        let labels: Vec<u32> = (0..count).map(|i| i * 7919 % classes).collect();
        CandleTensor::new(labels, &Device::Cpu).unwrap()
    };
    let (ours, scores, classes) =
        (work::cross_entropy([512, 1000]), variable([512, 1000]), labels(512, 1000));
    compare_candle(c, ["lookup", "cross-entropy, 512×1000"], &ours, &[scores], |x| {
        candle_nn::loss::cross_entropy(&x[0], &classes)
    });
    let (ours, table) = (work::embedding([10_000, 64], [32, 50]), variable([10_000, 64]));
    let words = labels(1600, 10_000).reshape((32, 50)).unwrap();
    compare_candle(c, ["lookup", "embedding, 10000×64, batch 32×50"], &ours, &[table], |x| {
        candle_nn::Embedding::new(x[0].clone(), 64).forward(&words)
    });
}

/// What fusing gains: the same composed of required operations.
fn fused(c: &mut Criterion) {
    for (name, work) in work::fused() {
        compare_work(
            c,
            ["fused", name, "composed"],
            &work,
            || scope::decomposed(|| work.forward()),
            || scope::decomposed(|| work.gradients()),
        );
    }
}

fn elementwise(c: &mut Criterion) {
    let (a, b, row) = (tensor([1024, 1024]), tensor([1024, 1024]), tensor([1024]));
    let (x, y, z) = (candle([1024, 1024]), candle([1024, 1024]), candle([1024]));
    let group = "elementwise, 1024×1024";
    compare(c, [group, "a + b", "candle"], || (&a + &b).unwrap(), || (&x + &y).unwrap());
    compare(c, [group, "a + row", "candle"], || (&a + &row).unwrap(), || x.broadcast_add(&z).unwrap());
    compare(
        c,
        [group, "relu(a · 2 + b)", "candle"],
        || ((&a * 2.0).unwrap() + &b).unwrap().relu().unwrap(),
        || ((&x * 2.0).unwrap() + &y).unwrap().relu().unwrap(),
    );
    compare(c, [group, "exp", "candle"], || a.exp().unwrap(), || x.exp().unwrap());
    compare(c, [group, "tanh", "candle"], || a.tanh().unwrap(), || x.tanh().unwrap());
    compare(
        c,
        [group, "transpose, then + b", "candle"],
        || (a.permute(&[1, 0]).unwrap() + &b).unwrap(),
        || (x.t().unwrap() + &y).unwrap(),
    );
}

fn reduction(c: &mut Criterion) {
    let (a, x) = (tensor([64, 128, 256]), candle([64, 128, 256]));
    for axis in 0..3 {
        let case = |op: &str| format!("{op} over axis {axis}");
        compare(
            c,
            ["reduction, 64×128×256", &case("sum"), "candle"],
            || a.sum(&[axis as isize], false).unwrap(),
            || x.sum(axis).unwrap(),
        );
        compare(
            c,
            ["reduction, 64×128×256", &case("max"), "candle"],
            || a.max(&[axis as isize], false).unwrap(),
            || x.max(axis).unwrap(),
        );
    }
}

pub(crate) fn run(c: &mut Criterion) {
    convolution(c);
    pooling(c);
    normalization(c);
    dense(c);
    recurrent(c);
    attention(c);
    lookups(c);
    fused(c);
    elementwise(c);
    reduction(c);
}
