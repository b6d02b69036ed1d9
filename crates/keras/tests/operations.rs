//! Operations on symbolic tensors: what they compute, and what files say of them.

use keras::models::{Arg, operation};
use keras::prelude::*;
use serde_json::{Value, json};

fn input(values: Vec<f32>) -> HostTensor {
    HostTensor::new([values.len() / 3, 3], values).unwrap()
}

fn first(model: &Model, x: Vec<f32>) -> Vec<f32> {
    let y = model.predict_on_batch(vec![input(x)]).unwrap();
    y[0].clone().into_vec().unwrap()
}

#[test]
fn operators_are_recorded_as_keras_records_them() {
    let x = Input::new([3]).name("x").tensor().unwrap();
    let y = ((2.0 * &x).unwrap() + (&x / 4.0).unwrap()).unwrap();
    let y = (y - x.mean(&[-1], true).unwrap()).unwrap();
    let model = Model::named("m", &[x], &[y]).unwrap();
    assert_eq!(first(&model, vec![1.0, 2.0, 3.0]), [0.25, 2.5, 4.75]);

    let json: Value = serde_json::from_str(&model.to_json().unwrap()).unwrap();
    let nodes = json["config"]["layers"].as_array().unwrap();
    let of = |class: &str| nodes.iter().find(|n| n["class_name"] == class).unwrap();
    let multiply = of("Multiply");
    assert_eq!(multiply["module"], "keras.src.ops.numpy");
    assert_eq!(multiply["registered_name"], "Multiply");
    assert_eq!(multiply["config"].as_object().unwrap().keys().collect::<Vec<_>>(), ["name"]);
    assert_eq!(multiply["inbound_nodes"][0]["args"][0], json!(2.0));
    assert_eq!(of("Mean")["config"]["axis"], -1);
    assert_eq!(of("Mean")["config"]["keepdims"], true);

    let directory = tempfile::tempdir().unwrap();
    for name in ["m.keras", "m.h5"] {
        let path = directory.path().join(name);
        model.save(&path).unwrap();
        let loaded = keras::load_model(&path).unwrap();
        assert_eq!(first(&loaded, vec![1.0, 2.0, 3.0]), [0.25, 2.5, 4.75], "{name}");
        assert_eq!(loaded.layers().len(), 1, "operations are no layers");
    }
}

#[test]
fn gradients_flow_through_operations() {
    let x = Input::new([3]).tensor().unwrap();
    let h = Dense::new(3).apply(&x).unwrap();
    let y = (&h * &h).unwrap().sum(&[-1], true).unwrap();
    let mut model = Model::new(&[x], &[y]).unwrap();
    model.compile(Compile::new(SGD::new(0.01), MeanSquaredError::new())).unwrap();
    let before = model.get_weights().unwrap();
    let batch = Batch::new(input(vec![1.0; 6]), HostTensor::new([2, 1], vec![0.0_f32, 0.0]).unwrap());
    model.train_on_batch(&batch).unwrap();
    assert_ne!(before, model.get_weights().unwrap());
}

#[test]
fn what_an_operation_cannot_do_is_an_error() {
    let x = Input::new([4, 6]).tensor().unwrap();
    let message = |class: &str, operands: Vec<Arg>, arguments: Value| {
        let mut all = vec![Arg::from(&x)];
        all.extend(operands);
        operation(class, all, arguments).unwrap_err().to_string()
    };
    assert!(message("Fft", vec![], json!({})).contains("unknown operation in a graph `Fft`"));
    assert!(message("Sum", vec![], json!({ "axis": 7 })).contains("axis"));
    assert!(message("Sum", vec![], json!({ "axis": "a" })).contains("axis of Sum"));
    assert!(message("Reshape", vec![], json!({ "newshape": [-1, -1] })).contains("newshape of Reshape"));
    assert!(message("Reshape", vec![], json!({ "newshape": [u64::MAX, 2] })).contains("newshape"));
    assert!(message("Tile", vec![], json!({ "repeats": [1, i64::MAX, 4] })).contains("repeats of Tile"));
    assert!(message("Add", vec![], json!({})).contains("operands of Add"));
    assert!(message("Add", vec![Arg::Value(json!([[1], [2, 3]]))], json!({})).contains("equal length"));
    assert!(message("GetItem", vec![Arg::Value(json!([0, 0, 0, 0]))], json!({})).contains("key of GetItem"));
    assert!(
        message("GetItem", vec![Arg::Value(json!(-9_223_372_036_854_775_808_i64))], json!({}))
            .contains("key")
    );
    let y = Input::new([5]).tensor().unwrap();
    assert!((&x + &y).is_err());
}
