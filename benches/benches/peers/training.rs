//! Whole models, forward and training step (loss, gradients, Adam): on the default backend and on `backend-candle`,
//! against the same written by hand with candle-nn.

use benches::models::{self, Case, Ours};
use benches::{candle, compare};
use candle_core::{DType, Device, Result, Tensor as CandleTensor};
use candle_nn::{AdamW, Conv2dConfig, Module, Optimizer, ParamsAdamW, RNN, VarBuilder, VarMap};
use criterion::Criterion;

/// What candle computes from images or sequences: scores of ten classes.
type Forward = Box<dyn Fn(&CandleTensor) -> Result<CandleTensor>>;

fn mlp(hidden: usize, b: VarBuilder) -> Result<Forward> {
    let first = candle_nn::linear(784, hidden, b.pp(0))?;
    let second = candle_nn::linear(hidden, hidden, b.pp(1))?;
    let last = candle_nn::linear(hidden, 10, b.pp(2))?;
    Ok(Box::new(move |x| last.forward(&second.forward(&first.forward(x)?.relu()?)?.relu()?)))
}

fn cnn(b: VarBuilder) -> Result<Forward> {
    let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
    let first = candle_nn::conv2d(1, 32, 3, config, b.pp(0))?;
    let second = candle_nn::conv2d(32, 64, 3, config, b.pp(1))?;
    let hidden = candle_nn::linear(7 * 7 * 64, 128, b.pp(2))?;
    let last = candle_nn::linear(128, 10, b.pp(3))?;
    Ok(Box::new(move |x| {
        let x = x.reshape((32, 1, 28, 28))?;
        let x = first.forward(&x)?.relu()?.max_pool2d(2)?;
        let x = second.forward(&x)?.relu()?.max_pool2d(2)?;
        last.forward(&hidden.forward(&x.flatten_from(1)?)?.relu()?)
    }))
}

fn lstm(b: VarBuilder) -> Result<Forward> {
    let cell = candle_nn::lstm(32, 64, Default::default(), b.pp(0))?;
    let last = candle_nn::linear(64, 10, b.pp(1))?;
    Ok(Box::new(move |x| match cell.seq(x)?.last() {
        Some(state) => last.forward(state.h()),
        None => candle_core::bail!("no steps"),
    }))
}

/// Times `case` on our backend `backend`.
fn against_candle(c: &mut Criterion, backend: &str, case: Case) {
    let Case { name, ref labels, ref shape, .. } = case;
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let forward = match name {
        models::SMALL_MLP => mlp(32, builder),
        models::MLP => mlp(256, builder),
        models::CNN => cnn(builder),
        _ => lstm(builder),
    };
    let forward = forward.unwrap();
    let x = candle([shape.iter().product()]).reshape(&shape[..]).unwrap();
    let y = CandleTensor::new(&labels[..], &Device::Cpu).unwrap();
    let parameters = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(map.all_vars(), parameters).unwrap();
    let mut step = || -> Result<f32> {
        let loss = candle_nn::loss::cross_entropy(&forward(&x)?, &y)?;
        optimizer.backward_step(&loss)?;
        loss.to_scalar::<f32>()
    };
    let mut ours = Ours::new(backend, case);
    let group = format!("models on {backend}");
    compare(
        c,
        [&group, &format!("{name}, forward"), "candle-nn"],
        || ours.forward(),
        || forward(&x).unwrap(),
    );
    compare(c, [&group, &format!("{name}, training step"), "candle-nn"], || ours.step(), || step().unwrap());
}

pub(crate) fn run(c: &mut Criterion) {
    for backend in ["ndarray", "candle"] {
        models::cases().into_iter().for_each(|case| against_candle(c, backend, case));
    }
}
