//! What the benchmarks share: each times this project and a peer on the same work, one after the other.

pub mod models;
pub mod work;

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Result as CandleResult, Tensor as CandleTensor, Var};
use criterion::{BenchmarkId, Criterion};
use keras_spec::{LayerRef, Tensor};

use crate::work::Work;

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

/// Times `work` against a peer: forward alone, and with its gradients.
pub fn compare_work<A, B>(
    c: &mut Criterion,
    [group, case, peer]: [&str; 3],
    work: &Work,
    their_forward: impl FnMut() -> A,
    their_gradients: impl FnMut() -> B,
) {
    compare(c, [group, &format!("{case}, forward"), peer], || work.forward(), their_forward);
    let case = format!("{case}, forward + backward");
    compare(c, [group, &case, peer], || work.gradients(), their_gradients);
}

/// Times `work` against candle; `theirs` maps `inputs`, which are variables, to an output. Its weights are variables, too.
pub fn compare_candle(
    c: &mut Criterion,
    [group, case]: [&str; 2],
    work: &Work,
    inputs: &[CandleTensor],
    theirs: impl Fn(&[CandleTensor]) -> CandleResult<CandleTensor>,
) {
    let constants: Vec<CandleTensor> = inputs.iter().map(CandleTensor::detach).collect();
    let backward = || theirs(inputs).unwrap().sum_all().unwrap().backward().unwrap();
    compare_work(c, [group, case, "candle"], work, || theirs(&constants).unwrap(), backward);
}

/// Times a layer of one input against candle's on an input of shape `their_shape`.
pub fn compare_layer<const N: usize, const M: usize>(
    c: &mut Criterion,
    names: [&str; 2],
    layer: impl Into<LayerRef>,
    shape: [usize; N],
    their_shape: [usize; M],
    theirs: impl Fn(&CandleTensor) -> CandleResult<CandleTensor>,
) {
    let work = Work::layer(layer, vec![tensor(shape)]);
    compare_candle(c, names, &work, &[variable(their_shape)], |x| theirs(&x[0]));
}

/// A variable of candle's, with the numbers of [`tensor`].
pub fn variable<const N: usize>(shape: [usize; N]) -> CandleTensor {
    Var::from_tensor(&candle(shape)).unwrap().into_inner()
}
