//! `predict`

use serde_json::{Value, json};

use crate::{Folder, assert_close, expected, fixture, golden, json, keras};

fn cnn() -> String {
    golden("cnn/cnn.keras")
}

/// The first output.
fn values(answer: &Value) -> &Value {
    &answer["outputs"][0]["values"]
}

#[test]
fn every_format_of_inputs_gives_what_keras_computes() {
    for file in ["x.npy", "fortran.npy", "x.npz", "x.csv"] {
        let answer = json(&["predict", &cnn(), "--input", &fixture(file)]);
        assert_eq!(answer["outputs"][0]["shape"], json!([6, 5]), "{file}");
        assert_close(values(&answer), &expected("cnn"));
    }
}

#[test]
fn every_format_of_outputs_can_be_read() {
    let folder = Folder::new();
    let input = fixture("x.npy");
    for name in ["y.npy", "y.npz", "y.csv", "y.safetensors"] {
        let file = folder.file(name);
        let answer = json(&["predict", &cnn(), "--input", &input, "-o", &file]);
        assert_eq!(answer["outputs"][0]["name"], "dense");
        // What was written is the input of a model that only activates it.
        let rows = Folder::new();
        let again = json(&["predict", &linear(&rows), "--input", &file]);
        assert_close(values(&again), &expected("cnn"));
    }
    let file = folder.file("y.json");
    keras(&["predict", &cnn(), "--input", &input, "-o", &file]).good();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_close(&written[0]["values"], &expected("cnn"));
    let csv = std::fs::read_to_string(folder.path("y.csv")).unwrap();
    assert!(csv.starts_with("dense_0,dense_1,dense_2,dense_3,dense_4\n"), "{csv}");
}

/// A model that gives its five inputs back.
fn linear(folder: &Folder) -> String {
    let layer = |class: &str, config: Value| json!({ "class_name": class, "config": config });
    let layers = [
        layer("InputLayer", json!({ "batch_shape": [null, 5], "name": "given" })),
        layer("Activation", json!({ "activation": "linear", "name": "same" })),
    ];
    let model = json!({
        "module": "keras",
        "class_name": "Sequential",
        "config": { "name": "linear", "layers": layers },
        "registered_name": null,
    });
    folder.with("linear.json", model.to_string())
}

#[test]
fn inputs_go_by_name_or_by_place() {
    let model = golden("functional/two_in_two_out.keras");
    let both = json(&["predict", &model, "--input", &fixture("two.npz")]);
    for (i, y) in expected("two_in_two_out").as_array().unwrap().iter().enumerate() {
        assert_close(&both["outputs"][i]["values"], y);
    }
    let (a, b) = (fixture("a.npy"), fixture("b.npy"));
    let by_place = json(&["predict", &model, "--input", &a, "--input", &b]);
    assert_eq!(by_place["outputs"], both["outputs"]);
    let (a, b) = (format!("a={a}"), format!("b={b}"));
    let named = json(&["predict", &model, "--input", &b, "--input", &a]);
    assert_eq!(named["outputs"], both["outputs"]);

    let wrong = keras(&["predict", &model, "--input", &fixture("x.npy")]).failed(4);
    assert!(wrong.contains("2 inputs (a, b)"), "{wrong}");
    let wrong = keras(&["predict", &model, "--input", &a, "--input", &a]).failed(4);
    assert!(wrong.contains("input `b`"), "{wrong}");
    let wrong = keras(&["predict", &model, "--input", &a, "--input", &b.replace("b=", "c=")]).failed(4);
    assert!(wrong.contains("no input `c`") && wrong.contains("a, b"), "{wrong}");
}

#[test]
fn batches_make_no_difference_and_choose_no_backend() {
    let whole = json(&["predict", &cnn(), "--input", &fixture("x.npy")]);
    let batches =
        json(&["predict", &cnn(), "--input", &fixture("x.npy"), "--batch-size", "4", "--backend", "ndarray"]);
    assert_close(values(&whole), values(&batches));
    let error = keras(&["predict", &cnn(), "--input", &fixture("x.npy"), "--backend", "abacus"]).failed(5);
    assert!(error.contains("abacus") && error.contains("ndarray"), "{error}");
}

#[test]
fn the_table_is_as_long_as_asked_for() {
    let of = |rows: &str| keras(&["predict", &cnn(), "--input", &fixture("x.npy"), "--rows", rows]).good();
    let two = of("2");
    let lines: Vec<&str> = two.lines().collect();
    assert_eq!(lines[0], "dense (6, 5) float32");
    assert!(lines[1].starts_with("0  0.848286"), "{two}");
    assert_eq!((lines.len(), lines[3]), (4, "… and 4 more (--rows 0 shows all)"));
    assert_eq!(of("0").lines().count(), 7);
}

#[test]
fn the_best_classes_have_names() {
    let folder = Folder::new();
    let labels = folder.with("labels.txt", "ant\nbee\ncat\ndog\neel\n");
    let arguments = ["predict", &cnn(), "--input", &fixture("x.npy"), "--top", "2", "--labels", &labels];
    let answer = json(&arguments);
    let first = &answer["samples"][0];
    assert_eq!(
        (&first["sample"], &first["top"][0]["label"], &first["top"][1]["class"]),
        (&json!("0"), &json!("cat"), &json!(0))
    );
    let text = keras(&arguments).good();
    assert!(text.starts_with("0  cat 0.909013  ant 0.848286\n"), "{text}");
    let file = folder.file("top.csv");
    keras(&[&arguments[..], &["-o", &file]].concat()).good();
    let csv = std::fs::read_to_string(&file).unwrap();
    assert!(csv.starts_with("sample,rank,class,label,score\n0,1,2,cat,0.909"), "{csv}");

    let short = folder.with("short.txt", "ant\n");
    let error =
        keras(&["predict", &cnn(), "--input", &fixture("x.npy"), "--top", "2", "--labels", &short]).failed(4);
    assert!(error.contains("1 labels for 5 classes"), "{error}");
    let error = keras(&[&arguments[..], &["-o", &folder.file("top.npy")]].concat()).failed(2);
    assert!(error.contains(".csv or .json"), "{error}");
    let error = keras(&["predict", &cnn(), "--input", &fixture("x.npy"), "--labels", &labels]).failed(2);
    assert!(error.contains("--top"), "{error}");
}

#[test]
fn pictures_are_samples() {
    let answer =
        json(&["predict", &cnn(), "--input", &fixture("pictures"), "--scale", "0.00392156862745098"]);
    assert_eq!(answer["outputs"][0]["shape"], json!([2, 5]));
    let names = answer["samples"].as_array().unwrap();
    assert!(
        names[0].as_str().unwrap().ends_with("a.png") && names[1].as_str().unwrap().ends_with("colour.png")
    );
    let one =
        json(&["predict", &cnn(), "--input", &fixture("pictures/a.png"), "--scale", "0.00392156862745098"]);
    assert_close(&values(&one)[0], &values(&answer)[0]);
    let error =
        keras(&["predict", &golden("functional/two_in_two_out.keras"), "--input", &fixture("pictures")])
            .failed(4);
    assert!(error.contains("pictures are for an input of shape"), "{error}");
}
