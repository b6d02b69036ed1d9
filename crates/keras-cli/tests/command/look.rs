//! `summary`, `inspect` and `plot`

use serde_json::json;

use crate::{Folder, golden, json, keras, old_file};

#[test]
fn summary_is_that_of_keras() {
    let out = keras(&["summary", &golden("cnn/cnn_compiled.keras")]).good();
    assert!(out.starts_with("Model: \"cnn\"\n┏━━━"), "{out}");
    assert!(out.contains("│ conv2d (Conv2D)"), "{out}");
    assert!(out.contains("Optimizer params:"), "{out}");
    let uncompiled = keras(&["summary", "--no-compile", &golden("cnn/cnn_compiled.keras")]).good();
    assert!(!uncompiled.contains("Optimizer params:"), "{uncompiled}");
    let wide =
        keras(&["summary", "--show-trainable", "--line-length", "120", &golden("cnn/cnn.keras")]).good();
    assert!(wide.contains("Trainable") && wide.lines().any(|l| l.chars().count() == 120), "{wide}");
}

#[test]
fn summary_as_json_has_shapes_and_counts() {
    let answer = json(&["summary", &golden("functional/two_in_two_out.keras")]);
    assert_eq!(answer["class"], "Functional");
    assert_eq!(answer["inputs"][0], json!({ "name": "a", "shape": [null, 5], "dtype": "float32" }));
    let layers = answer["layers"].as_array().unwrap();
    let first = layers.iter().find(|l| l["name"] == "first").unwrap();
    assert_eq!((&first["class"], &first["output_shapes"]), (&json!("Dense"), &json!([[null, 3]])));
    let sum: u64 = layers.iter().map(|l| l["params"].as_u64().unwrap()).sum();
    assert_eq!(answer["params"]["total"], sum);
}

#[test]
fn summary_lists_nested_layers() {
    let closed = keras(&["summary", &golden("functional/nested.keras")]).good();
    let open = keras(&["summary", "--expand-nested", &golden("functional/nested.keras")]).good();
    assert!(open.contains("└ ") && !closed.contains("└ "), "{open}");
    let answer = json(&["summary", &golden("functional/nested.keras")]);
    assert!(answer["layers"].as_array().unwrap().iter().any(|l| l["layers"].is_array()), "{answer}");
}

#[test]
fn architectures_and_weights_make_models() {
    let from_json = keras(&["summary", &golden("cnn/cnn.json")]).good();
    let whole = keras(&["summary", "--no-compile", &golden("cnn/cnn.h5")]).good();
    assert_eq!(from_json, whole);
    let both =
        keras(&["summary", &golden("cnn/cnn.weights.h5"), "--architecture", &golden("cnn/cnn.json")]).good();
    assert_eq!(both, whole);
    let error = keras(&["summary", &golden("cnn/cnn.weights.h5")]).failed(3);
    assert!(error.contains("cnn.weights.h5") && error.contains("weights alone"), "{error}");
    assert!(error.contains("`--architecture FILE`"), "{error}");
}

/// A configuration says sizes, and a file has the numbers: looking at the first takes no time and no memory by them.
#[test]
fn sizes_that_are_only_said_cost_nothing() {
    let folder = Folder::new();
    let text = r#"{"class_name": "Sequential", "config": {"name": "m", "layers": [
        {"class_name": "Dense", "config": {"name": "d", "units": 300000000, "batch_input_shape": [null, 1]}}]}}"#;
    let file = folder.with("large.json", text);
    let start = std::time::Instant::now();
    assert!(keras(&["summary", &file]).good().contains("600,000,000"));
    assert!(keras(&["inspect", &file]).good().contains("d (Dense)"));
    assert!(keras(&["diff", &file, &file]).good().contains("the same"));
    keras(&["plot", &file, "-o", &folder.file("large.svg")]).good();
    keras(&["convert", &file, &folder.file("new.json")]).good();
    // Numbers of that many weights take some ten seconds each time.
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn pictures_are_svg() {
    let folder = Folder::new();
    let error = keras(&["plot", &golden("cnn/cnn.json"), "-o", &folder.file("m.png")]).failed(2);
    assert!(error.contains("m.png: expected a name that ends in .svg"), "{error}");
    assert!(!folder.path("m.png").exists());
}

#[test]
fn an_unknown_class_is_told_in_a_line() {
    let folder = Folder::new();
    let text = r#"{"class_name": "Sequential", "config": {"name": "m", "layers": [
        {"class_name": "ConvDNA", "config": {"name": "d", "batch_input_shape": [null, 3]}}]}}"#;
    let error = keras(&["summary", &folder.with("own.json", text)]).failed(3);
    assert!(error.contains("`ConvDNA`") && error.contains("`keras inspect`") && error.len() < 700, "{error}");
}

#[test]
fn inspect_says_who_wrote_a_file() {
    for (file, format, program, version) in [
        ("keras-1.0.8-siamese_shared.h5", "whole model in HDF5", "Keras", json!("1.0.8")),
        ("keras-2.2.4-prelu_shared.keras", "whole model in HDF5", "Keras", json!("2.2.4")),
        ("tf.keras-2.4-prelu_shared.h5", "whole model in HDF5", "tf.keras", json!("2.4.0")),
        ("keras-3.15.1-cnn_upsample_bilinear.h5", "whole model in HDF5", "Keras", json!("3.15.1")),
        ("keras-3.15.1-cnn_upsample_bilinear.keras", "Keras archive", "Keras", json!("3.15.1")),
    ] {
        let answer = json(&["inspect", &old_file(file)]);
        assert_eq!(answer["format"], format, "{file}");
        assert_eq!(answer["origin"]["program"], program, "{file}");
        assert_eq!(answer["origin"]["version"], version, "{file}");
        assert!(!answer["weights"].as_array().unwrap().is_empty(), "{file}");
        assert!(!answer["model"]["layers"].as_array().unwrap().is_empty(), "{file}");
    }
}

#[test]
fn inspect_reads_weights_alone() {
    let answer = json(&["inspect", &golden("cnn/cnn.weights.h5")]);
    assert_eq!(answer["format"], "weights in HDF5, by object");
    assert!(answer["model"].is_null());
    let kernel =
        &answer["weights"].as_array().unwrap().iter().find(|w| w["shape"].as_array().unwrap().len() == 4);
    let statistics = &kernel.unwrap()["statistics"];
    assert!(statistics["min"].as_f64() < statistics["max"].as_f64(), "{statistics}");
    assert_eq!(statistics["nan"], 0);
    let old = json(&["inspect", "--no-statistics", &old_file("keras-1.0.5-bn.weights.h5")]);
    assert_eq!(old["format"], "weights in HDF5, by layer");
    assert!(old["weights"][0]["statistics"].is_null());
}

#[test]
fn inspect_draws_a_tree() {
    let out = keras(&["inspect", &golden("cnn/cnn_compiled.keras")]).good();
    for part in [
        "written by  Keras 3.15.1",
        "compiled    optimizer ",
        "conv2d (Conv2D)",
        "├─ ",
        "└─ ",
        " float32  ",
        "mean",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(
        keras(&["inspect", &golden("functional/two_in_two_out.keras")]).good().contains("compiled    no")
    );
}

/// A class that nobody registered, and numbers that are none.
#[test]
fn inspect_needs_no_classes() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(golden("cnn/cnn.json")).unwrap().replace("\"ReLU\"", "\"Unheard\"");
    let file = folder.with("unknown.json", text);
    assert!(keras(&["inspect", &file]).good().contains("re_lu (Unheard)"));
    let error = keras(&["summary", &file]).failed(3);
    assert!(error.contains("unknown.json") && error.contains("Unheard"), "{error}");

    let bytes: Vec<u8> = [f32::NAN, 1.0, f32::INFINITY, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4], &bytes).unwrap();
    let file = folder.with("odd.safetensors", safetensors::serialize([("a/b", view)], None).unwrap());
    let answer = json(&["inspect", &file]);
    let expected = json!({ "min": 1.0, "max": 3.0, "mean": 2.0, "std": 1.0, "nan": 1, "infinite": 1 });
    assert_eq!(answer["weights"][0]["statistics"], expected);
}

#[test]
fn plot_draws_every_layer() {
    let folder = Folder::new();
    let file = folder.file("model.svg");
    keras(&["plot", &golden("functional/two_in_two_out.keras"), "-o", &file]).good();
    let svg = std::fs::read_to_string(&file).unwrap();
    for layer in ["shared (Dense)", "concatenate (Concatenate)", "second (Dense)", "(None, 3)"] {
        assert!(svg.contains(layer), "{layer}");
    }
    let bare =
        keras(&["plot", "--no-shapes", "--dtypes", "--left-to-right", &golden("cnn/cnn.keras")]).good();
    assert!(bare.contains("<svg") && bare.contains("float32") && !bare.contains("(None,"), "{bare}");
    let answer = json(&["plot", &golden("cnn/cnn.keras"), "-o", &file]);
    assert_eq!(answer["bytes"], std::fs::metadata(&file).unwrap().len());
    let error = keras(&["plot", &golden("cnn/cnn.keras"), "-o", &folder.file("no/such.svg")]).failed(3);
    assert!(error.contains("such.svg"), "{error}");
}

/// What would take hours is refused, and what has many layers is listed.
#[test]
fn a_graph_of_thousands_of_layers_is_listed_and_not_drawn() {
    let folder = Folder::new();
    let file = folder.file("long.json");
    let called = |class: &str, name: &str, on: &[&str], config: serde_json::Value| {
        let inbound: Vec<_> = on.iter().map(|layer| serde_json::json!([layer, 0, 0, {}])).collect();
        let inbound = if inbound.is_empty() { vec![] } else { vec![inbound] };
        serde_json::json!({ "class_name": class, "name": name, "config": config, "inbound_nodes": inbound })
    };
    let input = serde_json::json!({ "name": "a0", "batch_input_shape": [null, 3] });
    let mut layers = vec![called("InputLayer", "a0", &[], input)];
    for i in 1..=5000 {
        let name = format!("a{i}");
        let config = serde_json::json!({ "name": name, "activation": "relu" });
        layers.push(called("Activation", &name, &[&format!("a{}", i - 1)], config));
    }
    let model = serde_json::json!({ "class_name": "Functional", "config": { "name": "long", "layers": layers,
        "input_layers": [["a0", 0, 0]], "output_layers": [["a5000", 0, 0]] } });
    std::fs::write(&file, model.to_string()).unwrap();
    let error = keras(&["plot", &file]).failed(3);
    assert!(error.contains("long.json") && error.contains("at most 1200 boxes"), "{error}");
    let answer = json(&["summary", &file]);
    let last = answer["layers"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["name"], &last["output_shapes"]), (&"a5000".into(), &serde_json::json!([[null, 3]])));
    assert!(keras(&["summary", &file]).good().contains("a5000 (Activation)"));
}
