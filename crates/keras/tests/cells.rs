//! `RNN` and the cells it takes: Keras's, stacked ones and those of others; convolutional LSTMs.

use keras::activations::Activation;
use keras::initializers::Zeros;
use keras::layers::{
    Bidirectional, ConvLSTM2D, DataFormat, Dense, GRUCell, LSTM, LSTMCell, Padding, RNN, SimpleRNN,
    SimpleRNNCell, StackedRNNCells,
};
use keras_spec::layer::Cell;
use keras_spec::{
    Builder, Call, Class, Layer, LayerExt, LayerRef, PartialShape, Result, Tensor, TensorSpec, Weight,
    WeightSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What Keras's documentation of `RNN` shows: a cell without a bias or an activation.
#[derive(Debug, Serialize, Deserialize)]
struct Minimal {
    units: usize,
    #[serde(skip)]
    kernel: Weight,
    #[serde(skip)]
    recurrent_kernel: Weight,
}

keras_spec::class!(dyn Layer, Class::of("cells_test", "Minimal"), Minimal);

impl Minimal {
    fn new(units: usize) -> Self {
        Minimal { units, kernel: Weight::default(), recurrent_kernel: Weight::default() }
    }
}

impl Layer for Minimal {
    fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
        let features = builder.known_dim(&inputs[0], -1)?;
        builder.weight(&self.kernel, WeightSpec::new("kernel", [features, self.units]))?;
        builder.weight(&self.recurrent_kernel, WeightSpec::new("recurrent_kernel", [self.units, self.units]))
    }

    fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
        let projected = inputs[0].matmul(&self.kernel.value()?)?;
        let y = (projected + inputs[1].matmul(&self.recurrent_kernel.value()?)?)?;
        Ok(vec![y.clone(), y])
    }

    fn as_cell(&self) -> Option<&dyn Cell> {
        Some(self)
    }
}

impl Cell for Minimal {
    fn state_size(&self) -> Vec<usize> {
        vec![self.units]
    }
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn sequences() -> Tensor {
    Tensor::new([2, 4, 3], (0..24).map(|i| (i as f32 - 9.0) / 10.0).collect()).unwrap()
}

fn outputs(layer: &LayerRef, inputs: &[Tensor], call: &Call) -> Vec<Vec<f32>> {
    layer.call(inputs, call).unwrap().tensors.iter().map(|t| t.to_vec().unwrap()).collect()
}

fn assert_close(got: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(got.len(), expected.len());
    for (a, b) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - b).abs() < 1e-6, "{got:?} {expected:?}");
    }
}

/// Gives both layers the same weights and compares what they compute.
fn assert_same(layer: LayerRef, other: LayerRef, call: &Call) {
    for layer in [&layer, &other] {
        layer.build(&[[2usize, 4, 3].into()]).unwrap();
    }
    for (to, from) in other.weights().iter().zip(layer.weights()) {
        to.assign(&from.get()).unwrap();
    }
    let [got, expected] = [&layer, &other].map(|l| outputs(l, &[sequences()], call));
    assert_close(&got, &expected);
    let spec = TensorSpec::new([None, None, Some(3)], keras_spec::DType::F32);
    let [got, expected] =
        [&layer, &other].map(|l| l.output_spec(std::slice::from_ref(&spec), &Call::inference()).unwrap());
    assert_eq!(got, expected);
}

#[test]
fn a_cell_of_another_crate_makes_a_recurrent_layer() {
    let mask = Tensor::new([2, 4], vec![false, true, false, true, true, true, true, false]).unwrap();
    for call in [Call::inference(), Call::inference().with_masks(vec![Some(mask)])] {
        for sequences in [true, false] {
            let own = RNN::new(Minimal::new(2)).return_sequences(sequences).return_state(true);
            let known = SimpleRNN::new(2).activation(Activation::Linear).use_bias(false);
            let known = known.return_sequences(sequences).return_state(true);
            assert_same(own.into(), known.into(), &call);
        }
    }
    let layer = LayerRef::from(RNN::new(Minimal::new(2)));
    let copy = LayerRef::from_value(&layer.serialize().unwrap().to_value()).unwrap();
    assert_eq!(copy.serialize().unwrap(), layer.serialize().unwrap());
}

#[test]
fn cells_of_keras_compute_what_their_layers_do() {
    let call = Call::inference();
    let rnn = RNN::new(LSTMCell::new(2)).go_backwards(true).return_state(true);
    assert_same(rnn.into(), LSTM::new(2).go_backwards(true).return_state(true).into(), &call);
    let both = Bidirectional::new(RNN::new(LSTMCell::new(2)).return_sequences(true));
    assert_same(both.into(), Bidirectional::new(LSTM::new(2).return_sequences(true)).into(), &call);
}

#[test]
fn dropout_is_the_same_at_all_steps() {
    let cell = || {
        SimpleRNNCell::new(64).dropout(0.5).activation(Activation::Linear).recurrent_initializer(Zeros::new())
    };
    let layer = LayerRef::from(RNN::new(StackedRNNCells::new([cell()])).return_sequences(true));
    let x = Tensor::new([1, 2, 3], vec![1.0f32; 6]).unwrap();
    let y = &outputs(&layer, &[x], &Call::training())[0];
    assert_eq!(y[..64], y[64..]);
}

#[test]
fn states_last_until_they_are_reset() {
    let cells: [LayerRef; 2] = [LSTMCell::new(3).into(), GRUCell::new(2).into()];
    let layer = LayerRef::from(RNN::new(StackedRNNCells::new(cells)).stateful(true));
    let run = || outputs(&layer, &[sequences()], &Call::inference());
    let (first, second) = (run(), run());
    assert_ne!(first, second);
    let rnn = layer.downcast::<RNN>().unwrap();
    assert_eq!(rnn.states().len(), 3);
    rnn.reset_state().unwrap();
    assert_eq!(run(), first);
}

#[test]
fn wrong_cells_and_states_are_named() {
    let build = |layer: LayerRef| message(layer.build(&[[2usize, 4, 3].into()]));
    assert!(build(RNN::new(Dense::new(2)).into()).contains("`cell`"));
    assert!(build(RNN::new(StackedRNNCells::new([Dense::new(2)])).into()).contains("`cell`"));
    assert!(build(RNN::new(StackedRNNCells::new(Vec::<LayerRef>::new())).into()).contains("`cells`"));
    let layer = LayerRef::from(RNN::new(LSTMCell::new(2)));
    let state = Tensor::new([2, 2], vec![0.5f32; 4]).unwrap();
    let found = message(layer.call(&[sequences(), state], &Call::inference()));
    assert!(found.contains("`initial_state`: expected 2 tensors of shapes (2, 2), (2, 2)"), "{found}");
    for (class, config, expected) in [
        ("RNN", json!({}), "layer"),
        ("RNN", json!({"cell": {"module": "keras.layers", "class_name": "Flatten", "config": {}}}), "`cell`"),
        ("StackedRNNCells", json!({"cells": []}), "`cells`"),
        ("ConvLSTM2D", json!({"filters": 2}), "kernel_size"),
        ("ConvLSTM2D", json!({"filters": 2, "kernel_size": 2, "units": 3}), "units"),
    ] {
        let form = json!({"module": "keras.layers", "class_name": class, "config": config});
        let found = message(LayerRef::from_value(&form));
        assert!(found.contains(expected), "{class}: {found}");
    }
}

#[test]
fn formats_of_convolutional_lstms_agree() {
    let make = || ConvLSTM2D::new(2, [2, 3]).padding(Padding::Same).strides([1, 2]).return_sequences(true);
    let last = LayerRef::from(make().return_state(true));
    let first = LayerRef::from(make().return_state(true).data_format(DataFormat::ChannelsFirst));
    let x = Tensor::new([2, 3, 4, 5, 2], (0..240).map(|i| ((i * 7) % 23) as f32 / 23.0).collect()).unwrap();
    let mask = Tensor::new([2, 3], vec![true, false, true, false, true, true]).unwrap();
    let call = Call::inference().with_masks(vec![Some(mask)]);
    let expected = last.call(std::slice::from_ref(&x), &call).unwrap().tensors;
    let moved = x.move_axis(-1, 2).unwrap();
    first.build(&[moved.shape().into()]).unwrap();
    for (to, from) in first.weights().iter().zip(last.weights()) {
        to.assign(&from.get()).unwrap();
    }
    let got = first.call(&[moved], &call).unwrap().tensors;
    let values = |t: &Tensor| t.to_vec::<f32>().unwrap();
    let got: Vec<_> =
        got.iter().zip([2, 1, 1]).map(|(t, axis)| values(&t.move_axis(axis, -1).unwrap())).collect();
    assert_close(&got, &expected.iter().map(values).collect::<Vec<_>>());
    let frozen = LayerRef::from(ConvLSTM2D::new(2, 3).trainable(false));
    frozen.build(&[[None, None, Some(4), Some(5), Some(2)].into()]).unwrap();
    assert!(frozen.trainable_weights().is_empty());
}
