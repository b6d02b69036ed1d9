//! The models that are timed whole. Peers write the same by hand.

use keras::layers::{Activation, Conv2D, Dense, Flatten, Input, LSTM, MaxPooling2D, Padding};
use keras::losses::SparseCategoricalCrossentropy;
use keras::models::{Model, Sequential};
use keras::optimizers::Adam;
use keras::training::{Batch, Compile};
use keras_spec::layer::Outputs;
use keras_spec::{Call, HostTensor, Tensor};

use crate::numbers;

/// 784-32-32-10 in batches of 32: costs beside the products count.
pub const SMALL_MLP: &str = "MLP 784-32-32-10, batch 32";
/// 784-256-256-10 in batches of 128.
pub const MLP: &str = "MLP 784-256-256-10, batch 128";
/// Two convolutions with pooling and two dense layers.
pub const CNN: &str = "CNN 28×28, 32 and 64 filters, batch 32";
/// The last of 50 steps, and a dense layer.
pub const LSTM_50: &str = "LSTM 50 steps, 32→64, batch 32";

/// A model that gives scores of ten classes, with a batch for it.
pub struct Case {
    /// One of the constants of this module.
    pub name: &'static str,
    /// Not built yet.
    pub model: Sequential,
    /// Of the inputs, channels last.
    pub shape: Vec<usize>,
    /// A class a sample.
    pub labels: Vec<u32>,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mlp = |hidden: usize| {
        Sequential::new()
            .add(Input::new([784]))
            .add(Dense::new(hidden).activation(Activation::Relu))
            .add(Dense::new(hidden).activation(Activation::Relu))
            .add(Dense::new(10))
    };
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
    let lstm = Sequential::new().add(Input::new([50, 32])).add(LSTM::new(64)).add(Dense::new(10));
    let case = |name, model, shape: &[usize]| {
        let labels = (0..shape[0] as u32).map(|i| i % 10).collect();
        Case { name, model, shape: shape.to_vec(), labels }
    };
    vec![
        case(SMALL_MLP, mlp(32), &[32, 784]),
        case(MLP, mlp(256), &[128, 784]),
        case(CNN, cnn, &[32, 28, 28, 1]),
        case(LSTM_50, lstm, &[32, 50, 32]),
    ]
}

/// A model of this project, compiled with Adam.
pub struct Ours {
    model: Model,
    batch: Batch,
    x: Tensor,
}

impl Ours {
    /// The model of `case` on a backend, which stays the default of the program.
    pub fn new(backend: &str, case: Case) -> Self {
        keras::set_backend(backend).unwrap();
        let mut model = case.model.build().unwrap();
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        model.compile(Compile::new(Adam::new(1e-3), loss)).unwrap();
        let x = numbers(case.shape.iter().product());
        let y: Vec<i32> = case.labels.iter().map(|&label| label as i32).collect();
        let host = HostTensor::new(case.shape.clone(), x.clone()).unwrap();
        let batch = Batch::new(host, HostTensor::new([y.len()], y).unwrap());
        Ours { model, batch, x: Tensor::new(case.shape.clone(), x).unwrap() }
    }

    /// The scores of the batch, from a tensor that is on the device.
    pub fn forward(&self) -> Outputs {
        self.model.call(std::slice::from_ref(&self.x), &Call::inference()).unwrap()
    }

    /// `train_on_batch`: data from the host, loss, gradients, update, the loss back.
    pub fn step(&mut self) {
        self.model.train_on_batch(&self.batch).unwrap();
    }
}
