//! Whole models on `backend-tch`, forward and training step, against the same written by hand with tch's own modules and
//! gradients; and `backend-ndarray` against libtorch, by way of `backend-tch`: `cargo bench -p benches --features tch --bench tch`.

use benches::models::{self, Case, Ours, cases};
use benches::work::{self, Work};
use benches::{compare, compare_work, numbers};
use criterion::Criterion;
use tch::nn::{self, ConvConfig, Module, OptimizerConfig, RNN, RNNConfig, VarStore};
use tch::{Device, Tensor, no_grad};

/// What libtorch computes from images or sequences: scores of ten classes.
type Forward = Box<dyn Fn(&Tensor) -> Tensor>;

fn mlp(hidden: i64, p: &nn::Path) -> Forward {
    let net = nn::seq()
        .add(nn::linear(p / 0, 784, hidden, Default::default()))
        .add_fn(|x| x.relu())
        .add(nn::linear(p / 1, hidden, hidden, Default::default()))
        .add_fn(|x| x.relu())
        .add(nn::linear(p / 2, hidden, 10, Default::default()));
    Box::new(move |x| net.forward(x))
}

fn cnn(p: &nn::Path) -> Forward {
    let same = ConvConfig { padding: 1, ..ConvConfig::default() };
    let net = nn::seq()
        .add_fn(|x| x.view([32, 1, 28, 28]))
        .add(nn::conv2d(p / 0, 1, 32, 3, same))
        .add_fn(|x| x.relu().max_pool2d_default(2))
        .add(nn::conv2d(p / 1, 32, 64, 3, same))
        .add_fn(|x| x.relu().max_pool2d_default(2).flat_view())
        .add(nn::linear(p / 2, 7 * 7 * 64, 128, Default::default()))
        .add_fn(|x| x.relu())
        .add(nn::linear(p / 3, 128, 10, Default::default()));
    Box::new(move |x| net.forward(x))
}

fn lstm(p: &nn::Path) -> Forward {
    let cell = nn::lstm(p / 0, 32, 64, RNNConfig { batch_first: true, ..RNNConfig::default() });
    let last = nn::linear(p / 1, 64, 10, Default::default());
    Box::new(move |x| last.forward(&cell.seq(x).1.h().squeeze_dim(0)))
}

fn against_tch(c: &mut Criterion, case: Case) {
    let Case { name, ref labels, ref shape, .. } = case;
    let store = VarStore::new(Device::Cpu);
    let forward = match name {
        models::SMALL_MLP => mlp(32, &store.root()),
        models::MLP => mlp(256, &store.root()),
        models::CNN => cnn(&store.root()),
        _ => lstm(&store.root()),
    };
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    let x = Tensor::from_slice(&numbers(shape.iter().product::<i64>() as usize)).view(&shape[..]);
    let y = Tensor::from_slice(&labels.iter().map(|&label| i64::from(label)).collect::<Vec<_>>());
    let mut optimizer = nn::Adam::default().build(&store, 1e-3).unwrap();
    let mut step = || {
        let loss = forward(&x).cross_entropy_for_logits(&y);
        optimizer.backward_step(&loss);
        loss.double_value(&[])
    };
    let mut ours = Ours::new("tch", case);
    let their_forward = || no_grad(|| forward(&x));
    compare(c, ["models on tch", &format!("{name}, forward"), "tch"], || ours.forward(), their_forward);
    compare(c, ["models on tch", &format!("{name}, training step"), "tch"], || ours.step(), &mut step);
}

/// The same work on two backends.
fn ndarray_against_libtorch(c: &mut Criterion) {
    type List = fn() -> Vec<(&'static str, Work)>;
    let both = |list: List| {
        let on = |backend| {
            keras::set_backend(backend).unwrap();
            list()
        };
        on("ndarray").into_iter().zip(on("tch:cpu"))
    };
    for ((name, ours), (_, theirs)) in both(work::layers).chain(both(work::fused)) {
        let names = ["ndarray against libtorch", name, "libtorch"];
        compare_work(c, names, &ours, || theirs.forward(), || theirs.gradients());
    }
    for ((name, ours), (_, theirs)) in both(work::elementwise) {
        let names = ["ndarray against libtorch", name, "libtorch"];
        compare(c, names, || ours.forward(), || theirs.forward());
    }
}

fn main() {
    let mut c = benches::criterion();
    ndarray_against_libtorch(&mut c);
    cases().into_iter().for_each(|case| against_tch(&mut c, case));
    c.final_summary();
}
