//! Code of Keras 1 by way of `keras::legacy::keras1`, and files of Keras 0.3.

use keras::legacy::keras1::{
    self, BatchNormalization, Bidirectional, Convolution2D, Dense, Embedding, Flatten, Highway, LSTM,
    MaxPooling2D, MaxoutDense, Sequential, TimeDistributed, constraints::maxnorm, regularizers::l2,
};
use keras::saving::LoadOptions;
use keras::{Input, Model};
use keras_spec::LayerRef;

fn config(layer: impl Into<LayerRef>) -> serde_json::Value {
    layer.into().serialize().unwrap().to_value()
}

#[test]
fn arguments_of_keras_1_make_todays_layers() {
    let conv =
        Convolution2D::new(8, 3, 5).border_mode("same").subsample([2, 2]).dim_ordering("th").bias(false);
    let conv = config(conv.w_constraint(maxnorm(3.0)).name("c"));
    assert_eq!(conv["class_name"], "Conv2D");
    let own = &conv["config"];
    assert_eq!(own["kernel_size"], serde_json::json!([3, 5]));
    assert_eq!(own["data_format"], "channels_first");
    assert_eq!(
        (&own["padding"], &own["use_bias"], &own["name"]),
        (&"same".into(), &false.into(), &"c".into())
    );
    assert_eq!(own["kernel_constraint"]["config"]["max_value"], 3.0);
    let dense = config(Dense::new(4).w_regularizer(l2(0.5)).init("he_normal"));
    assert_eq!(dense["config"]["units"], 4);
    assert_eq!(dense["config"]["kernel_regularizer"]["config"]["l2"], 0.5);
    // The gates of Keras 1 are not sigmoid.
    let lstm = config(LSTM::new(3).inner_init("orthogonal").dropout_w(0.25).forget_bias_init("zero"));
    assert_eq!(lstm["config"]["dropout"], 0.25);
    assert_eq!(lstm["config"]["unit_forget_bias"], false);
    let both = config(Bidirectional::new(LSTM::new(3)).merge_mode("sum"));
    assert_eq!(both["config"]["layer"]["config"]["units"], 3);
}

#[test]
fn models_of_keras_1() {
    let model = Sequential::new()
        .add(Embedding::new(10, 6).input_length(4))
        .add(TimeDistributed::new(Dense::new(5)))
        .add(LSTM::new(3))
        .add(MaxoutDense::new(4).nb_feature(2))
        .add(Highway::new())
        .add(BatchNormalization::new().mode(1))
        .build()
        .unwrap();
    let lstm = 4 * (5 * 3 + 3 * 3 + 3);
    let expected = 60 + (6 * 5 + 5) + lstm + 2 * (3 * 4 + 4) + 2 * (4 * 4 + 4) + 4 * 4;
    assert_eq!(model.count_params(), expected);
    let image = Sequential::new()
        .add(Convolution2D::new(2, 2, 2).dim_ordering("tf").input_shape([4, 4, 1]))
        .add(MaxPooling2D::new().pool_size([3, 3]).dim_ordering("tf"))
        .add(Flatten::new())
        .build()
        .unwrap();
    assert_eq!(image.outputs().unwrap()[0].1.shape.to_string(), "(None, 2)");
}

#[test]
fn tensors_are_merged_by_mode() {
    let input = || Input::new([3]).tensor().unwrap();
    let (a, b) = (input(), input());
    for (mode, shape) in
        [("concat", "(None, 6)"), ("sum", "(None, 3)"), ("dot", "(None, 1)"), ("cos", "(None, 1, 1)")]
    {
        let merged = keras1::merge([&a, &b], mode).unwrap();
        assert_eq!(merged.shape().to_string(), shape, "{mode}");
        assert!(keras1::model(&[a.clone(), b.clone()], &[merged]).is_ok());
    }
    let message = keras1::merge([&a, &b], "join").unwrap_err().to_string();
    assert!(message.contains("join"), "{message}");
}

#[test]
fn functions_and_inputs_of_keras_1() {
    use keras::legacy::keras1::{InputLayer, Lambda, Merge};

    let branch =
        || Sequential::new().add(InputLayer::new().batch_input_shape((None::<u8>, 3)).input_dtype("float32"));
    let halved = || {
        branch().add(Lambda::new(|x| &x[0] * 0.5).output_shape([3]).arguments(serde_json::json!({ "by": 2 })))
    };
    let difference = Merge::function(|x| &x[0] - &x[1]).output_shape([3]).name("difference");
    let mut model = Sequential::merging([halved(), halved()], difference).build().unwrap();
    let x = |values: [f32; 3]| keras_spec::HostTensor::new([1, 3], values.to_vec()).unwrap();
    let y = model.predict(vec![x([4.0, 2.0, 0.0]), x([1.0, 1.0, 1.0])]).unwrap();
    assert_eq!(y[0].to_f64_vec(), [1.5, 0.5, -0.5]);
    assert!(model.get_layer("difference").is_ok());
    let lone = branch().add(Dense::new(2)).build().unwrap();
    assert_eq!((lone.layers().len(), lone.count_params()), (1, 8));
    assert_eq!(
        config(Lambda::new(|x| Ok(x[0].clone())).arguments([1]))["config"]["arguments"],
        serde_json::json!([1])
    );
}

#[test]
fn what_makes_no_sense_is_an_error_of_the_layer() {
    let built = |layer: LayerRef| layer.build(&[[1usize, 8, 8, 1].into()]).unwrap_err().to_string();
    let found = built(Convolution2D::new(2, 3, 3).border_mode("full").into());
    assert!(found.contains("full"), "{found}");
    let found = built(Dense::new("many").into());
    assert!(found.contains("units"), "{found}");
    assert!(keras1::initializations::get("glorot_normal").is_ok());
    assert!(keras1::initializations::get("glorot").is_err());
}

fn fixture(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/legacy/keras-0.3.3-theano")
        .join(name)
}

fn with_weights(name: &str) -> Model {
    let text = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let model = keras::model_from_json(&text).unwrap();
    model.load_weights(fixture(&format!("{name}.weights.h5"))).unwrap();
    model
}

/// What the files predict is tested with those of other versions; here that the guess is told.
#[test]
fn files_of_keras_0_say_what_was_guessed() {
    let model = with_weights("keras-0.3.3-graph");
    assert_eq!(model.inputs().unwrap().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let text = std::fs::read_to_string(fixture("keras-0.3.3-conv.json")).unwrap();
    let (model, _) = LoadOptions::new().report_json(&text).unwrap();
    let report = LoadOptions::new().load_weights(&model, fixture("keras-0.3.3-conv.weights.h5")).unwrap();
    assert!(report.to_string().contains("guessed: backend"), "{report}");
}
