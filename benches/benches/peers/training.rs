//! Whole training steps: forward, loss, gradients, Adam; against the same model on candle-nn.

use benches::{candle, compare, numbers};
use candle_core::{DType, Device, Result, Tensor as CandleTensor};
use candle_nn::{AdamW, Conv2dConfig, Module, Optimizer, ParamsAdamW, RNN, VarBuilder, VarMap};
use criterion::Criterion;
use keras::layers::{Activation, Conv2D, Dense, Flatten, Input, LSTM, MaxPooling2D, Padding};
use keras::losses::SparseCategoricalCrossentropy;
use keras::models::{Model, Sequential};
use keras::optimizers::Adam;
use keras::training::{Batch, Compile};
use keras_spec::HostTensor;

/// What one step of candle computes from an image or sequence: scores of ten classes.
type Forward = Box<dyn Fn(&CandleTensor) -> Result<CandleTensor>>;

/// Times a step on `batch` samples of ten classes.
fn step<const N: usize, const M: usize>(
    c: &mut Criterion,
    case: &str,
    model: Sequential,
    shape: [usize; N],
    their_shape: [usize; M],
    make: impl Fn(VarBuilder) -> Result<Forward>,
) {
    let mut model: Model = model.build().unwrap();
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Compile::new(Adam::new(1e-3), loss)).unwrap();
    let labels: Vec<u32> = (0..shape[0] as u32).map(|i| i % 10).collect();
    let x = HostTensor::new(shape, numbers(shape.iter().product())).unwrap();
    let y = HostTensor::new([shape[0]], labels.iter().map(|&l| l as i32).collect::<Vec<_>>()).unwrap();
    let batch = Batch::new(x, y);

    let map = VarMap::new();
    let forward = make(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu)).unwrap();
    let parameters = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(map.all_vars(), parameters).unwrap();
    let (x, y) = (candle(their_shape), CandleTensor::new(labels, &Device::Cpu).unwrap());
    let mut theirs = || -> Result<f32> {
        let loss = candle_nn::loss::cross_entropy(&forward(&x)?, &y)?;
        optimizer.backward_step(&loss)?;
        loss.to_scalar::<f32>()
    };
    compare(
        c,
        ["training step", case, "candle"],
        || model.train_on_batch(&batch).unwrap(),
        || theirs().unwrap(),
    );
}

pub(crate) fn run(c: &mut Criterion) {
    let mlp = |hidden: usize| {
        Sequential::new()
            .add(Input::new([784]))
            .add(Dense::new(hidden).activation(Activation::Relu))
            .add(Dense::new(hidden).activation(Activation::Relu))
            .add(Dense::new(10))
    };
    for (hidden, batch) in [(32, 32), (256, 128)] {
        let case = format!("MLP 784-{hidden}-{hidden}-10, batch {batch}");
        step(c, &case, mlp(hidden), [batch, 784], [batch, 784], |b| {
            let first = candle_nn::linear(784, hidden, b.pp(0))?;
            let second = candle_nn::linear(hidden, hidden, b.pp(1))?;
            let last = candle_nn::linear(hidden, 10, b.pp(2))?;
            Ok(Box::new(move |x| last.forward(&second.forward(&first.forward(x)?.relu()?)?.relu()?)))
        });
    }
    let same = |filters| Conv2D::new(filters, 3).padding(Padding::Same).activation(Activation::Relu);
    let cnn = Sequential::new()
        .add(Input::new([28, 28, 1]))
        .add(same(32))
        .add(MaxPooling2D::new(2))
        .add(same(64))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dense::new(10));
    step(c, "CNN 28×28, 32 and 64 filters, batch 32", cnn, [32, 28, 28, 1], [32, 1, 28, 28], |b| {
        let config = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let first = candle_nn::conv2d(1, 32, 3, config, b.pp(0))?;
        let second = candle_nn::conv2d(32, 64, 3, config, b.pp(1))?;
        let hidden = candle_nn::linear(7 * 7 * 64, 128, b.pp(2))?;
        let last = candle_nn::linear(128, 10, b.pp(3))?;
        Ok(Box::new(move |x| {
            let x = first.forward(x)?.relu()?.max_pool2d(2)?;
            let x = second.forward(&x)?.relu()?.max_pool2d(2)?;
            last.forward(&hidden.forward(&x.flatten_from(1)?)?.relu()?)
        }))
    });
    let lstm = Sequential::new().add(Input::new([50, 32])).add(LSTM::new(64)).add(Dense::new(10));
    step(c, "LSTM 50 steps, 32→64, batch 32", lstm, [32, 50, 32], [32, 50, 32], |b| {
        let cell = candle_nn::lstm(32, 64, Default::default(), b.pp(0))?;
        let last = candle_nn::linear(64, 10, b.pp(1))?;
        Ok(Box::new(move |x| match cell.seq(x)?.last() {
            Some(state) => last.forward(state.h()),
            None => candle_core::bail!("no steps"),
        }))
    });
}
