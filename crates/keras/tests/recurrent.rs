//! Recurrent layers and wrappers: what is refused, states, and both ways through the steps.

use keras::activations::Activation;
use keras::layers::{Bidirectional, Dense, GRU, LSTM, SimpleRNN, TimeDistributed};
use keras_spec::{Call, LayerRef, PartialShape, Result, Tensor};
use serde_json::json;

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

fn sequences() -> Tensor {
    Tensor::new([2, 4, 3], (0..24).map(|i| (i as f32 - 9.0) / 10.0).collect()).unwrap()
}

#[test]
fn wrong_arguments_and_inputs_are_named() {
    let build = |layer: LayerRef, shape: PartialShape| message(layer.build(&[shape]));
    let known = || PartialShape::from([2, 4, 3]);
    let some = |dims: [Option<usize>; 3]| PartialShape::from(dims);
    for (found, expected) in [
        (build(LSTM::new(0).into(), known()), "`units`"),
        (build(GRU::new(2).dropout(1.5).into(), known()), "`dropout`"),
        (build(SimpleRNN::new(2).recurrent_dropout(-0.5).into(), known()), "`recurrent_dropout`"),
        (build(LSTM::new(2).into(), [2usize, 4].into()), "expected ndim=3, found ndim=2"),
        (build(LSTM::new(2).into(), [2usize, 0, 3].into()), "at least one step"),
        (build(LSTM::new(2).stateful(true).into(), some([None, Some(4), Some(3)])), "known batch size"),
        (build(LSTM::new(2).unroll(true).into(), some([None, None, Some(3)])), "known number of steps"),
        (build(Bidirectional::new(Dense::new(2)).into(), known()), "expected a recurrent layer"),
        (
            build(Bidirectional::new(GRU::new(2)).backward_layer(GRU::new(2)).into(), known()),
            "`go_backwards`",
        ),
        (build(TimeDistributed::new(Dense::new(2)).into(), [2usize, 3].into()), "expected min_ndim=3"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let call = |layer: LayerRef, inputs: &[Tensor]| message(layer.call(inputs, &Call::inference()));
    let state = Tensor::new([2, 2], vec![0.5f32; 4]).unwrap();
    assert!(call(LSTM::new(2).into(), &[sequences(), state.clone()]).contains("`initial_state`"));
    assert!(call(GRU::new(3).into(), &[sequences(), state]).contains("`initial_state`"));
    let layer = LSTM::new(2).activation(Activation::Softsign).use_cudnn(true);
    assert!(call(layer.into(), &[sequences()]).contains("`use_cudnn`"));
    for config in [json!({"units": 2, "unit": 1}), json!({"units": 2, "dropout": "much"}), json!({})] {
        let form = json!({"module": "keras.layers", "class_name": "GRU", "config": config});
        let found = message(LayerRef::from_value(&form));
        assert!(
            found.contains("`unit`") || found.contains("`dropout`") || found.contains("`units`"),
            "{found}"
        );
    }
}

#[test]
fn one_operation_and_its_steps_agree() {
    let mask = Tensor::new([2, 4], vec![false, true, false, true, true, true, true, false]).unwrap();
    let run = |layer: LayerRef, weights: Option<&LayerRef>| -> Result<(LayerRef, Vec<f32>)> {
        layer.build(&[[2usize, 4, 3].into()])?;
        for (to, from) in layer.weights().iter().zip(weights.iter().flat_map(|l| l.weights())) {
            to.assign(&from.get())?;
        }
        let call = Call::inference().with_masks(vec![Some(mask.clone())]);
        let outputs = layer.call(&[sequences()], &call)?.tensors;
        Ok((layer, outputs[0].to_vec::<f32>()?))
    };
    for reset_after in [true, false] {
        for backwards in [true, false] {
            let gru = || GRU::new(2).reset_after(reset_after).go_backwards(backwards).return_sequences(true);
            let (fused, expected) = run(gru().into(), None).unwrap();
            let (_, got) = run(gru().use_cudnn(false).into(), Some(&fused)).unwrap();
            for (a, b) in got.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-6, "{got:?} {expected:?}");
            }
        }
    }
}

#[test]
fn states_last_until_they_are_reset() {
    let layer = LayerRef::from(LSTM::new(2).stateful(true));
    let run = || layer.call(&[sequences()], &Call::inference()).unwrap().tensors[0].to_vec::<f32>().unwrap();
    let (first, second) = (run(), run());
    assert_ne!(first, second);
    layer.downcast::<LSTM>().unwrap().reset_state().unwrap();
    assert_eq!(run(), first);
    let other = Tensor::new([1, 4, 3], vec![0.5f32; 12]).unwrap();
    assert!(message(layer.call(&[other], &Call::inference())).contains("length 2 along axis 0"));
}
