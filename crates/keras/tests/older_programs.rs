//! What is written for older programs; `scripts/check-with-keras.sh` has those programs read it.

use keras::prelude::*;
use keras::saving::container::Archive;
use keras::saving::legacy::Version;
use keras::saving::{LoadOptions, SaveOptions, h5};
use keras_spec::HostTensor;

fn path(folder: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    folder.path().join(name)
}

fn refusal(model: &Model, version: Version, name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    SaveOptions::new().readable_by(version).save(model, path(&folder, name)).unwrap_err().to_string()
}

fn predictions(model: &Model) -> Vec<f64> {
    let input = HostTensor::new([2, 3, 4], (0..24).map(|i| i as f32 / 24.0).collect()).unwrap();
    model.predict_on_batch(vec![input]).unwrap()[0].to_f64_vec()
}

fn bidirectional() -> Model {
    Sequential::new().add(Input::new([3, 4])).add(Bidirectional::new(GRU::new(2))).build().unwrap()
}

#[test]
fn keras_3_0_finds_weights_for_the_layer_that_a_bidirectional_is_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let model = bidirectional();
    let has_origin = |version: Version| {
        let file = path(&folder, "both.keras");
        SaveOptions::new().readable_by(version).save(&model, &file).unwrap();
        assert_eq!(predictions(&model), predictions(&keras::load_model(&file).unwrap()));
        let held: h5::File = Archive::open(&file).unwrap().h5("model.weights.h5").unwrap();
        held.root().find_group("layers/bidirectional/layer/cell/vars").unwrap().is_some()
    };
    assert!(has_origin(Version::new(3, 0, 0)));
    assert!(!has_origin(Version::new(3, 3, 0)));
}

#[test]
fn the_state_of_an_optimizer_that_keras_3_0_would_lose_is_refused() {
    let mut model = bidirectional();
    model.compile(Compile::new("adam", "mse")).unwrap();
    let input = HostTensor::new([1, 3, 4], vec![0.5f32; 12]).unwrap();
    let target = HostTensor::new([1, 4], vec![0.5f32; 4]).unwrap();
    model.train_on_batch(&keras::training::Batch::new(vec![input], vec![target])).unwrap();
    let found = refusal(&model, Version::new(3, 0, 0), "m.keras");
    assert!(found.contains("Bidirectional") && found.contains("3.3"), "{found}");
}

#[test]
fn classes_that_a_program_does_not_have_are_refused_by_name() {
    let model = Sequential::new()
        .add(Input::new([3, 4]))
        .add(RMSNormalization::new())
        .add(AdaptiveMaxPooling1D::new(2))
        .build()
        .unwrap();
    let found = refusal(&model, Version::new(3, 8, 0), "m.keras");
    assert!(found.contains("RMSNormalization") && found.contains("3.9"), "{found}");
    let found = refusal(&model, Version::new(3, 12, 0), "m.keras");
    assert!(found.contains("AdaptiveMaxPooling1D") && found.contains("3.13"), "{found}");
    let found = refusal(&model, Version::new(2, 21, 0), "m.h5");
    assert!(found.contains("RMSNormalization") && found.contains("2.21"), "{found}");
    let activated =
        Sequential::new().add(Input::new([4])).add(Dense::new(2).activation(Activation::Squareplus));
    let found = refusal(&activated.build().unwrap(), Version::new(3, 6, 0), "m.keras");
    assert!(found.contains("squareplus") && found.contains("3.7"), "{found}");
}

#[test]
fn metrics_of_one_output_are_not_in_a_list_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(2)).build().unwrap();
    model.compile(Compile::new("sgd", "mse").metrics([["mae"]])).unwrap();
    let file = path(&folder, "m.keras");
    SaveOptions::new().readable_by(Version::new(3, 0, 0)).save(&model, &file).unwrap();
    let config = Archive::open(&file).unwrap().json("config.json").unwrap();
    assert_eq!(config["compile_config"]["metrics"], serde_json::json!(["mae"]));
    assert!(LoadOptions::new().open(&file).is_ok());
}

#[test]
fn nadam_s_product_of_momenta_is_where_keras_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Sequential::new().add(Input::new([2])).add(Dense::new(3)).build().unwrap();
    model.compile(Compile::new("nadam", "mse")).unwrap();
    let input = HostTensor::new([1, 2], vec![0.5f32, 1.0]).unwrap();
    let target = HostTensor::new([1, 3], vec![0.5f32; 3]).unwrap();
    let batch = keras::training::Batch::new(vec![input], vec![target]);
    model.train_on_batch(&batch).unwrap();
    let file = path(&folder, "nadam.keras");
    let mut went_on = Vec::new();
    // Real files of both: iteration, learning_rate, then the product or the momenta.
    for (version, product) in [(Version::new(3, 9, 0), "2"), (Version::new(3, 10, 0), "6")] {
        SaveOptions::new().readable_by(version).save(&model, &file).unwrap();
        let held = Archive::open(&file).unwrap().h5("model.weights.h5").unwrap();
        assert_eq!(held.root().dataset(&format!("optimizer/vars/{product}")).unwrap().shape(), [0usize; 0]);
        let mut loaded = keras::load_model(&file).unwrap();
        loaded.train_on_batch(&batch).unwrap();
        went_on.push(loaded.get_weights().unwrap());
    }
    model.train_on_batch(&batch).unwrap();
    let expected = model.get_weights().unwrap();
    assert_eq!(went_on, [expected.clone(), expected]);
}

// Keras 2.2.4, 2.3.1 and tf.keras 2.4 read what is written for them here.
#[test]
fn yaml_has_what_all_of_keras_2_knows() {
    let input = Input::new([5, 3]).tensor().unwrap();
    let both = Bidirectional::new(LSTM::new(2).return_sequences(true)).apply(&input).unwrap();
    let convolved =
        Conv1D::new(4, 2).kernel_regularizer(keras::regularizers::L2::new(0.01)).apply(&both).unwrap();
    let pooled = GlobalMaxPooling1D::new().apply(&convolved).unwrap();
    let model = Model::new(&[input], &[pooled]).unwrap();
    let text = SaveOptions::new().to_yaml(&model).unwrap();
    for present in ["class_name: Model\n", "class_name: L1L2\n", "class_name: glorot_uniform\n"] {
        assert!(text.contains(present), "{present}\n{text}");
    }
    for absent in ["Functional", "groups", "keepdims", "backward_layer", "module", "registered_name"] {
        assert!(!text.contains(absent), "{absent}\n{text}");
    }
    let read = keras::model_from_yaml(&text).unwrap();
    read.set_weights(&model.get_weights().unwrap()).unwrap();
    let values = HostTensor::new([2, 5, 3], (0..30).map(|i| i as f32 / 30.0).collect()).unwrap();
    let predict = |model: &Model| model.predict_on_batch(vec![values.clone()]).unwrap()[0].to_f64_vec();
    assert_eq!(predict(&read), predict(&model));
}

#[test]
fn yaml_for_a_version_has_only_what_it_has() {
    let model = |layer: LayerRef| Sequential::new().add(Input::new([4, 4])).add(layer).build().unwrap();
    let written = |layer: LayerRef, version| SaveOptions::new().readable_by(version).to_yaml(&model(layer));
    let (of_2_3, of_2_4) = (Version::new(2, 3, 1), Version::new(2, 4, 0));
    let refused = written(Conv1D::new(4, 2).groups(2).into(), of_2_3).unwrap_err().to_string();
    assert!(refused.contains("groups") && refused.contains("2.3.1"), "{refused}");
    assert!(written(Conv1D::new(4, 2).groups(2).into(), of_2_4).is_ok());
    let refused = written(LayerNormalization::new().into(), of_2_3).unwrap_err().to_string();
    assert!(refused.contains("LayerNormalization") && refused.contains("2.3.1"), "{refused}");
    assert!(written(LayerNormalization::new().into(), of_2_4).is_ok());
    let both = Bidirectional::new(GRU::new(2)).backward_layer(LSTM::new(2).go_backwards(true));
    let refused = written(both.into(), of_2_3).unwrap_err().to_string();
    assert!(refused.contains("backward_layer") && refused.contains("2.3.1"), "{refused}");
    let refused = written(Dense::new(2).into(), Version::new(2, 6, 0)).unwrap_err().to_string();
    assert!(refused.contains("2.6.0") && refused.contains("YAML"), "{refused}");
}
