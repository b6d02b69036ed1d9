//! What the benchmarks share: each times this project and a peer on the same work, one after the other.

pub mod models;

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Result as CandleResult, Tensor as CandleTensor, Var};
use criterion::{BenchmarkId, Criterion};
use keras_spec::{Call, LayerRef, Tensor, Variable, gradients, scope};

/// The name under which this project's own time is kept; the peer's is its own.
pub const OURS: &str = "keras";

/// Short runs: the whole suite is to take less than four minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

/// Times `ours` and the peer's way of doing the same, as `group/keras/case` and `group/peer/case`.
pub fn compare<A, B>(
    c: &mut Criterion,
    [group, case, peer]: [&str; 3],
    mut ours: impl FnMut() -> A,
    mut theirs: impl FnMut() -> B,
) {
    let mut group = c.benchmark_group(group);
    group.bench_function(BenchmarkId::new(OURS, case), |b| b.iter(|| black_box(ours())));
    group.bench_function(BenchmarkId::new(peer, case), |b| b.iter(|| black_box(theirs())));
}

/// Numbers between -0.5 and 0.5 without a pattern that matters.
pub fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect()
}

/// A tensor of [`numbers`].
pub fn tensor<const N: usize>(shape: [usize; N]) -> Tensor {
    Tensor::new(shape, numbers(shape.iter().product())).unwrap()
}

/// The same for the peer.
pub fn candle<const N: usize>(shape: [usize; N]) -> CandleTensor {
    CandleTensor::from_vec(numbers(shape.iter().product()), &shape[..], &candle_core::Device::Cpu).unwrap()
}

/// Times a layer against candle: `forward` alone, and with the gradients of input and weights.
///
/// `theirs` maps an input of shape `their_shape` to an output; its weights are variables.
pub fn compare_layer<const N: usize, const M: usize>(
    c: &mut Criterion,
    [group, case]: [&str; 2],
    layer: impl Into<LayerRef>,
    shape: [usize; N],
    their_shape: [usize; M],
    theirs: impl Fn(&CandleTensor) -> CandleResult<CandleTensor>,
) {
    let (layer, x) = (layer.into(), tensor(shape));
    let input = Var::from_tensor(&candle(their_shape)).unwrap();
    let constant = input.as_tensor().detach();
    let forward = || layer.call(std::slice::from_ref(&x), &Call::training()).unwrap();
    forward();
    let weights = layer.trainable_weights();
    compare(c, [group, &format!("{case}, forward"), "candle"], forward, || theirs(&constant).unwrap());
    compare(
        c,
        [group, &format!("{case}, forward + backward"), "candle"],
        || {
            scope::recorded(|| {
                let x = x.watch();
                let y = layer.call(std::slice::from_ref(&x), &Call::training()).unwrap();
                let weights: Vec<Tensor> = weights.iter().map(Variable::watched).collect();
                let sources: Vec<&Tensor> = std::iter::once(&x).chain(&weights).collect();
                gradients(&[&y.tensors[0]], &sources).unwrap()
            })
        },
        || theirs(&input).unwrap().sum_all().unwrap().backward().unwrap(),
    );
}
