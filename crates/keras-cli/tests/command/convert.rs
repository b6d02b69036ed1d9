//! `convert` and `diff`

use crate::{Folder, fixture, golden, json, keras, old_file};

/// From every format to every other, with the predictions compared.
#[test]
fn every_format_is_converted_and_checked() {
    let folder = Folder::new();
    for old in ["cnn/cnn_compiled.keras", "cnn/cnn_compiled.h5", "functional/two_in_two_out_compiled.h5"] {
        for new in ["a.keras", "a.h5", "a.hdf5", "a.weights.h5", "a.weights.json", "a.safetensors", "a.json"]
        {
            let new = folder.file(new);
            let answer = json(&["convert", &golden(old), &new, "--check"]);
            assert_eq!(answer["check"]["same"], true, "{old} {new}: {answer}");
            assert_eq!(answer["check"]["largest_difference"], 0.0, "{old} {new}");
            assert_eq!(answer["report"]["origin"]["version"], "3.15.1");
        }
    }
}

#[test]
fn weights_need_an_architecture() {
    let folder = Folder::new();
    let (weights, again) = (folder.file("w.safetensors"), folder.file("again.keras"));
    keras(&["convert", &golden("cnn/cnn.keras"), &weights]).good();
    let error = keras(&["convert", &weights, &again]).failed(3);
    assert!(error.contains("w.safetensors") && error.contains("--architecture"), "{error}");
    keras(&["convert", &weights, &again, "--architecture", &golden("cnn/cnn.json")]).good();
    assert_eq!(keras(&["diff", &golden("cnn/cnn.keras"), &again]).good(), "the same\n");
    let other = golden("functional/two_in_two_out.json");
    let error = keras(&["convert", &weights, &again, "--architecture", &other]).failed(3);
    assert!(error.contains("w.safetensors"), "{error}");
}

#[test]
fn the_report_of_old_files_is_shown() {
    let folder = Folder::new();
    let new = folder.file("new.keras");
    let ran = keras(&["convert", &old_file("tf.keras-2.4-prelu_shared.h5"), &new, "--check"]);
    let out = ran.good();
    assert!(out.contains("written by tf.keras 2.4.0"), "{out}");
    assert!(out.contains("checked: largest difference"), "{out}");
}

/// Files of every era, with the backend that wrote them where they do not tell.
#[test]
fn old_files_become_new_ones() {
    let folder = Folder::new();
    for (old, program) in [
        ("keras-1.0.8-siamese_shared.h5", "Keras 1.0.8"),
        ("tf.keras-2.15-siamese_shared.keras", "tf.keras 2.15"),
    ] {
        let new = folder.file("new.keras");
        let options = ["--check", "--written-on", "tensorflow", "--quiet"];
        let out = keras(&[&["convert", &old_file(old), &new][..], &options].concat()).good();
        assert!(out.contains(program) && out.contains("checked"), "{old}: {out}");
        assert_eq!(json(&["inspect", &new])["origin"]["version"], "3.15.1");
    }
    // Keras 2.2.4 could save a model that did not know its input.
    let (old, new) = (old_file("keras-2.2.4-prelu_shared.keras"), folder.file("built.keras"));
    let error = keras(&["convert", &old, &new]).failed(4);
    assert!(error.contains("prelu_shared.keras") && error.contains("--input-shape"), "{error}");
    let out = keras(&["convert", &old, &new, "--input-shape", "5,6,3", "--check"]).good();
    assert!(out.contains("written by Keras 2.2.4") && out.contains("checked"), "{out}");
    let error = keras(&["convert", &old, &new, "--input-shape", "5,5,3"]).failed(4);
    assert!(error.contains("prelu_shared.keras"), "{error}");
    let yaml = old_file("keras-1.0.8-siamese_shared.yaml");
    let out = keras(&["inspect", &yaml]).good();
    assert!(out.contains("architecture in YAML") && out.contains("shared (Dense)"), "{out}");
}

#[test]
fn files_are_written_for_older_programs() {
    let folder = Folder::new();
    let old = golden("cnn/cnn.keras");
    let new = folder.file("new.keras");
    keras(&["convert", &old, &new, "--readable-by", "3.0", "--check"]).good();
    assert_eq!(json(&["inspect", &new])["origin"]["program"], "Keras");
    let error = keras(&["convert", &old, &new, "--readable-by", "new"]).failed(2);
    assert!(error.contains("--readable-by"), "{error}");
    let weights = folder.file("new.weights.h5");
    assert!(keras(&["convert", &old, &weights, "--readable-by", "3.0"]).failed(2).contains("whole models"));
    assert!(keras(&["convert", &old, &new, "--readable-by", "2.15"]).failed(3).contains("new.keras"));
    let architecture = folder.file("new.json");
    keras(&["convert", &old, &architecture, "--readable-by", "2.3.1", "--check"]).good();
    assert_eq!(json(&["inspect", &architecture])["origin"]["version"], "2.3.1");
}

#[test]
fn architectures_are_written_in_yaml() {
    let folder = Folder::new();
    for name in ["new.yaml", "new.yml"] {
        let new = folder.file(name);
        let out = keras(&["convert", &golden("cnn/cnn_compiled.keras"), &new, "--check"]).good();
        assert!(out.contains("checked"), "{out}");
        let text = std::fs::read_to_string(&new).unwrap();
        assert!(
            text.starts_with("class_name: Sequential\nconfig:\n  name: cnn\n  layers:\n    - class_name: ")
        );
    }
    let new = folder.file("new.yaml");
    let error = keras(&["convert", &golden("cnn/cnn.keras"), &new, "--readable-by", "3.0"]).failed(3);
    assert!(error.contains("2.5") && error.contains("3.0.0"), "{error}");
}

#[test]
fn onnx_is_written_or_the_layer_named() {
    let folder = Folder::new();
    let new = folder.file("new.onnx");
    keras(&["convert", &golden("cnn/cnn.keras"), &new]).good();
    let bytes = std::fs::read(&new).unwrap();
    for name in ["input_layer", "conv2d/kernel", "MaxPool", "dense"] {
        assert!(bytes.windows(name.len()).any(|w| w == name.as_bytes()), "{name}");
    }
    std::fs::remove_file(&new).unwrap();
    let error = keras(&["convert", &golden("lstm/lstm.keras"), &new]).failed(3);
    assert!(
        error.contains("embedding") && error.contains("mask_zero") && !folder.path("new.onnx").exists(),
        "{error}"
    );
    assert!(keras(&["convert", &golden("cnn/cnn.keras"), &new, "--check"]).failed(2).contains("ONNX"));
}

#[test]
fn a_conversion_that_fails_leaves_nothing() {
    let folder = Folder::new();
    let new = folder.file("new.onnxx");
    let error = keras(&["convert", &golden("cnn/cnn.keras"), &new]).failed(2);
    assert!(error.contains("new.onnxx") && error.contains(".safetensors"), "{error}");
    let error = keras(&["convert", &fixture("x.npy"), &folder.file("new.keras")]).failed(3);
    assert!(error.contains("x.npy"), "{error}");
    let error = keras(&["convert", &golden("cnn/cnn.keras"), &folder.file("no/new.keras")]).failed(3);
    assert!(error.contains("new.keras"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 0);
}

#[test]
fn files_of_one_model_are_the_same() {
    for (a, b) in [("cnn/cnn.h5", "cnn/cnn.keras"), ("gru/gru.keras", "gru/gru.h5")] {
        let answer = json(&["diff", &golden(a), &golden(b)]);
        assert_eq!((&answer["same"], &answer["compared"]), (&true.into(), &"models".into()), "{answer:#}");
        assert_eq!(keras(&["diff", &golden(a), &golden(b)]).good(), "the same\n");
    }
    // The same architecture, trained further.
    let ran = keras(&["diff", &golden("cnn/cnn.keras"), &golden("cnn/cnn_compiled.keras")]);
    assert!(
        ran.code == 1 && !ran.out.contains("architecture") && ran.out.contains("cnn/dense/bias"),
        "{}",
        ran.out
    );
}

#[test]
fn differences_are_named() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(golden("cnn/cnn.json")).unwrap();
    let other = text.replace("\"momentum\": 0.99", "\"momentum\": 0.5");
    assert_ne!(text, other);
    let other = folder.with("other.json", other);
    let ran = keras(&["diff", &golden("cnn/cnn.keras"), &other]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("config.layers[batch_normalization].config.momentum"), "{}", ran.out);
    assert!(
        ran.out.contains("weights are not compared") && ran.out.contains("other.json has none"),
        "{}",
        ran.out
    );

    let ran = keras(&["diff", &golden("cnn/cnn.keras"), &golden("functional/shapes.keras"), "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &answer["same"]), (1, &serde_json::json!(false)));
    let all = answer["differences"].as_array().unwrap();
    assert!(all.iter().any(|d| d["weight"].is_string()) && all.iter().any(|d| d["architecture"].is_string()));
}

/// Keras 3 writes the only output of a graph as it is, or as a list of one.
#[test]
fn one_output_is_a_list_of_one() {
    let folder = Folder::new();
    let graph = |outputs: &str| {
        let call = r#""args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 3], "dtype": "float32", "keras_history": ["i", 0, 0]}}], "kwargs": {}"#;
        let text = r#"{"module": "keras", "class_name": "Functional", "registered_name": "Functional", "config": {"name": "f", "layers": [
            {"module": "keras.layers", "class_name": "InputLayer", "name": "i", "inbound_nodes": [], "config": {"name": "i", "batch_shape": [null, 3]}},
            {"module": "keras.layers", "class_name": "Dense", "name": "d", "inbound_nodes": [{CALL}], "config": {"name": "d", "units": 2}}],
            "input_layers": [["i", 0, 0]], "output_layers": OUTPUTS}}"#;
        text.replace("CALL", call).replace("OUTPUTS", outputs)
    };
    let one = folder.with("one.json", graph(r#"["d", 0, 0]"#));
    let list = folder.with("list.json", graph(r#"[["d", 0, 0]]"#));
    let other = folder.with("other.json", graph(r#"["i", 0, 0]"#));
    assert!(keras(&["diff", &one, &list]).good().contains("the same"));
    assert_eq!(keras(&["diff", &one, &other]).code, 1);
}

#[test]
fn weights_may_be_a_little_apart() {
    let folder = Folder::new();
    let (a, b) = (folder.file("a.safetensors"), folder.file("b.safetensors"));
    keras(&["convert", &golden("cnn/cnn.keras"), &a]).good();
    // The last number of the file: one step away from what it was.
    let mut bytes = std::fs::read(&a).unwrap();
    let at = bytes.len() - 4;
    bytes[at] ^= 1;
    std::fs::write(&b, bytes).unwrap();
    assert_eq!(keras(&["diff", "--raw", &a, &a]).good(), "the same\n");
    assert_eq!(keras(&["diff", "--raw", &a, &b]).code, 1);
    assert_eq!(keras(&["diff", "--raw", &a, &b, "--tolerance", "1e-5"]).good(), "the same\n");
}

/// Classes that nobody registered: the files are compared as they stand.
#[test]
fn unknown_classes_are_compared_as_they_stand() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(golden("cnn/cnn.json")).unwrap().replace("\"ReLU\"", "\"Unheard\"");
    let a = folder.with("a.json", &text);
    let b = folder.with("b.json", text.replace("\"Unheard\"", "\"Unseen\""));
    assert_eq!(json(&["diff", &a, &a])["compared"], "contents");
    let ran = keras(&["diff", &a, &b]);
    assert!(ran.code == 1 && ran.out.contains("config.layers[re_lu].class_name"), "{}", ran.out);
}

/// A stateful layer needs the batch size, which an architecture without an input does not say.
#[test]
fn the_batch_size_of_a_stateful_model_is_said() {
    let folder = Folder::new();
    let (old, new) = (folder.file("old.json"), folder.file("new.keras"));
    let text = r#"{"class_name": "Sequential", "keras_version": "2.2.4", "backend": "tensorflow", "config": {"name": "s",
        "layers": [{"class_name": "LSTM", "config": {"name": "lstm", "trainable": true, "units": 2, "stateful": true,
        "implementation": 1}}]}}"#;
    std::fs::write(&old, text).unwrap();
    let error = keras(&["convert", &old, &new]).failed(4);
    assert!(error.contains("--input-shape batch=8,10,3"), "{error}");
    let error = keras(&["convert", &old, &new, "--input-shape", "10,3"]).failed(4);
    assert!(error.contains("`lstm`") && error.contains("--input-shape batch=N,10,3"), "{error}");
    keras(&["convert", &old, &new, "--input-shape", "batch=4,10,3"]).good();
    assert_eq!(json(&["summary", &new])["inputs"][0]["shape"], serde_json::json!([4, 10, 3]));
    let error = keras(&["convert", &old, &new, "--input-shape", "batch=x,3"]).failed(2);
    assert!(error.contains("`x` is no size"), "{error}");
}

/// Random inputs are as long as the model needs where it leaves that open.
#[test]
fn models_of_long_inputs_are_checked() {
    let folder = Folder::new();
    let (old, new) = (folder.file("long.json"), folder.file("long.keras"));
    let layers = serde_json::json!([
        { "class_name": "InputLayer", "config": { "name": "i", "batch_input_shape": [null, null, 2] } },
        { "class_name": "Cropping1D", "config": { "name": "c", "cropping": [500, 500] } },
        { "class_name": "Conv1D", "config": { "name": "d", "filters": 2, "kernel_size": [3] } },
    ]);
    let model =
        serde_json::json!({ "class_name": "Sequential", "config": { "name": "m", "layers": layers } });
    std::fs::write(&old, model.to_string()).unwrap();
    assert!(keras(&["convert", &old, &new, "--check"]).good().contains("checked: largest difference"));
}
