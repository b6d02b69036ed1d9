//! Model files that the real programs wrote, of every era, predict what those programs predicted.
//!
//! `tests/fixtures/legacy` has a few files of each class of conversion. `KERAS_MODEL_FILES` names more folders, separated
//! as in `PATH`; in each of them, or in folders below, `models.json` and `models.safetensors` are vectors of kind `model`
//! (see `spec/README.md`), and the files stand beside them:
//!
//! ```text
//! KERAS_MODEL_FILES=/some/folder cargo test -p keras --test legacy_files -- --nocapture
//! ```

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use keras::saving::LoadOptions;
use keras::saving::legacy::{Change, Report};
use keras::training::{Batch, Data};
use keras_spec::{HostData, HostTensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

type Arrays = HashMap<String, HostTensor>;

fn read_arrays(path: &Path) -> Arrays {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |view: safetensors::tensor::TensorView<'_>| {
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::F32 => HostData::F32(words(bytes).map(f32::from_le_bytes).collect()),
            Dtype::F64 => HostData::F64(words(bytes).map(f64::from_le_bytes).collect()),
            Dtype::I32 => HostData::I32(words(bytes).map(i32::from_le_bytes).collect()),
            Dtype::I64 => HostData::I64(words(bytes).map(i64::from_le_bytes).collect()),
            other => panic!("{other:?} is not read here"),
        };
        HostTensor::from_data(view.shape(), data).unwrap()
    };
    file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect()
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|c| c.try_into().unwrap())
}

/// The arrays of `inputs` or `outputs`.
fn arrays_of(value: &Value, arrays: &Arrays) -> Vec<HostTensor> {
    let list = value.get("list").unwrap_or(value);
    let one = |v: &Value| arrays[v["tensor"].as_str().unwrap()].clone();
    match list {
        Value::Array(list) => list.iter().map(one).collect(),
        one_alone => vec![one(one_alone)],
    }
}

/// The largest error in units of the tolerance.
fn error(got: &HostTensor, expected: &HostTensor) -> f64 {
    error_within(got, expected, 1e-5, 1e-5)
}

fn error_within(got: &HostTensor, expected: &HostTensor, rtol: f64, atol: f64) -> f64 {
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    let one = |(a, b): (&f64, &f64)| if same(*a, *b) { 0.0 } else { (a - b).abs() / (atol + rtol * b.abs()) };
    got.iter()
        .zip(&expected)
        .map(one)
        .fold(0.0, |m: f64, e| if e.is_nan() { f64::INFINITY } else { m.max(e) })
}

fn check(folder: &Path, case: &Value, arrays: &Arrays) -> Result<(), String> {
    let weights = case["file"].as_str().map(|file| folder.join(file));
    let model = match case["config_file"].as_str() {
        None => LoadOptions::new().report(weights.unwrap()),
        Some(config) => {
            let text = fs::read_to_string(folder.join(config)).unwrap();
            let read = match config.ends_with(".yaml") {
                true => keras::model_from_yaml(&text),
                false => keras::model_from_json(&text),
            };
            read.and_then(|m| match weights {
                Some(file) => LoadOptions::new().load_weights(&m, file).map(|report| (m, report)),
                None => Ok((m, Report::default())),
            })
        }
    };
    let (mut model, report) = model.map_err(|e| e.to_string())?;
    if let Some(entry) = report.of(Change::Dropped).find(|e| e.text.starts_with("its state")) {
        return Err(entry.to_string());
    }
    let mut inputs = arrays_of(&case["inputs"], arrays);
    let inputs = if inputs.len() == 1 { Data::One(inputs.remove(0)) } else { Data::List(inputs) };
    let outputs = model.predict(inputs).map_err(|e| e.to_string())?;
    let expected = arrays_of(&case["outputs"], arrays);
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs, not {}", outputs.len(), expected.len()));
    }
    for (i, (got, expected)) in outputs.iter().zip(&expected).enumerate() {
        if got.shape() != expected.shape() {
            return Err(format!("output {i} of shape {}, not {}", got.shape(), expected.shape()));
        }
        let error = error(got, expected);
        if error > 1.0 {
            return Err(format!("output {i} is off by {error:.1} tolerances"));
        }
    }
    match case.get("training") {
        Some(training) => go_on(&mut model, training, case, arrays),
        None => Ok(()),
    }
}

/// Trains a model from where it was saved, as the program that saved it did.
fn go_on(model: &mut keras::Model, training: &Value, case: &Value, arrays: &Arrays) -> Result<(), String> {
    let data = |value: &Value| {
        let mut all = arrays_of(value, arrays);
        if all.len() == 1 { Data::One(all.remove(0)) } else { Data::List(all) }
    };
    let said = |key: &str| case["tolerance"][key].as_f64().unwrap_or(1e-5);
    for (step, batch) in training["batches"].as_array().unwrap().iter().enumerate() {
        let batch = Batch::new(data(&batch["x"]), data(&batch["y"]));
        let logs = model.train_on_batch(&batch).map_err(|e| e.to_string())?;
        let (got, expected) = (logs["loss"], training["losses"][step].as_f64().unwrap());
        if (got - expected).abs() > said("atol") + said("rtol") * expected.abs() {
            return Err(format!("the loss of step {step} is {got}, not {expected}"));
        }
    }
    // Files of Keras 1 and of Theano have weights in layouts of their own.
    let Some(expected) = training.get("weights_after") else { return Ok(()) };
    let expected = arrays_of(expected, arrays);
    for (i, (got, expected)) in model.get_weights().unwrap().iter().zip(&expected).enumerate() {
        let error = error_within(got, expected, said("rtol"), said("atol"));
        if error > 1.0 {
            return Err(format!("after training weight {i} is off by {error:.1} tolerances"));
        }
    }
    Ok(())
}

/// The folders at and below `folder` that have vectors.
fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    if folder.join("models.json").is_file() {
        out.push(folder.to_owned());
    }
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut below: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    below.sort();
    below.iter().for_each(|p| find(p, out));
}

/// Runs all cases below `root`: how many there are, and those that fail.
fn run(root: &Path) -> (usize, Vec<String>) {
    let mut folders = Vec::new();
    find(root, &mut folders);
    let (mut count, mut failed) = (0, Vec::new());
    for folder in folders {
        let text = fs::read_to_string(folder.join("models.json")).unwrap();
        let vectors: Value = serde_json::from_str(&text).unwrap();
        let arrays = read_arrays(&folder.join("models.safetensors"));
        for case in vectors["cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            if std::env::var("KERAS_MODEL_FILTER").is_ok_and(|f| !id.contains(&f)) {
                continue;
            }
            count += 1;
            if let Err(why) = check(&folder, case, &arrays) {
                failed.push(format!("{id}: {why}"));
            }
        }
    }
    (count, failed)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/legacy")
}

#[test]
fn files_of_every_era_predict_what_their_writers_did() {
    let (count, failed) = run(&fixtures());
    assert!(failed.is_empty(), "{} of {count} files are wrong:\n{}", failed.len(), failed.join("\n"));
    assert!(count >= 70, "only {count} files");
}

/// The weights of a model as one list of numbers.
fn numbers(model: &keras::Model) -> Vec<f64> {
    model.get_weights().unwrap().iter().flat_map(HostTensor::to_f64_vec).collect()
}

#[test]
fn yaml_is_the_same_architecture_as_json() {
    let folder = fixtures().join("keras-1.2.2-py27-tf");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let yaml = keras::model_from_yaml(&read("nested_models.yaml")).unwrap();
    let json = keras::model_from_json(&read("nested_models.json")).unwrap();
    yaml.load_weights(folder.join("nested_models.weights.h5")).unwrap();
    json.load_weights(folder.join("nested_models.weights.h5")).unwrap();
    assert!(!numbers(&yaml).is_empty());
    assert_eq!(numbers(&yaml), numbers(&json));
}

#[test]
fn a_report_says_who_wrote_a_file_and_what_was_changed() {
    let file = fixtures().join("keras-1.2.2-theano/td_conv_th.h5");
    let (_, report) = LoadOptions::new().report(&file).unwrap();
    assert_eq!(report.origin.to_string(), "Keras 1.2.2 on theano");
    let guessed: Vec<&str> = report.of(Change::Guessed).map(|e| e.object.as_str()).collect();
    assert!(guessed.contains(&"backend"), "{report}");
    assert!(report.of(Change::Converted).any(|e| e.text.contains("turns kernels around")), "{report}");
    // A caller who says it is believed.
    let (told, report) = LoadOptions::new().backend("tensorflow").report(&file).unwrap();
    assert_eq!(report.of(Change::Guessed).filter(|e| e.object == "backend").count(), 0, "{report}");
    let guessed = keras::load_model(&file).unwrap();
    assert_ne!(numbers(&told), numbers(&guessed));
}

#[test]
fn optimizers_of_keras_2_go_on_where_they_were() {
    for file in [
        "keras-2.0.0-tf/resnet_like.h5",
        "keras-2.2.4-tf/nested_models.h5",
        "keras-2.3.1-tf/dot_attention.h5",
        "tfkeras-2.4-tf2.4/conv3d.h5",
        "tf_keras-2.21/cnn_local.h5",
        "keras-1.2.2-py27-tf/nested_models.h5",
    ] {
        let model = keras::load_model(fixtures().join(file)).unwrap();
        let optimizer = keras_spec::Model::optimizer(&model).expect(file);
        // RMSprop did not count steps before Keras 2.3.
        let counts = optimizer.class().name != "RMSprop" || !file.starts_with("keras-");
        assert!(!counts || optimizer.iterations() > 0, "{file}: no steps");
        let moved = optimizer
            .variables()
            .iter()
            .skip(2)
            .any(|v| v.get().to_host().unwrap().to_f64_vec().iter().any(|x| *x != 0.0));
        assert!(moved, "{file}: nothing is kept for the variables");
    }
}

/// What Adam keeps for a kernel of even size, which is made longer by a row of zeros.
#[test]
fn the_state_of_a_kernel_is_made_longer_with_it() {
    let model = keras::load_model(fixtures().join("on-theano/even_adam.h5")).unwrap();
    let optimizer = keras_spec::Model::optimizer(&model).unwrap();
    assert_eq!(optimizer.iterations(), 2);
    let all = optimizer.variables();
    let momentum = all.iter().find(|v| v.name().ends_with("kernel_momentum")).unwrap().get();
    assert_eq!(momentum.shape().dims(), [3, 3, 2, 2]);
    let momentum = momentum.to_host().unwrap().to_f64_vec();
    let (kept, more) = momentum.split_at(2 * 3 * 2 * 2);
    assert!(kept.iter().all(|x| *x != 0.0) && more.iter().all(|x| *x == 0.0), "{momentum:?}");
}

/// Keras 1 on TensorFlow with the channels first, which only the weights' file tells from Theano.
#[test]
fn an_architecture_taken_for_anothers_is_refused_with_the_weights() {
    let folder = fixtures().join("keras-1.2.2-tf-more");
    let text = fs::read_to_string(folder.join("pooled_th.json")).unwrap();
    let weights = folder.join("pooled_th.w.h5");
    let taken = keras::model_from_json(&text).unwrap();
    let refused = taken.load_weights(&weights).unwrap_err().to_string();
    assert!(refused.contains("expected `tensorflow` already where the architecture is read"), "{refused}");
    let (said, _) = LoadOptions::new().backend("tensorflow").report_json(&text).unwrap();
    said.load_weights(&weights).unwrap();
}

#[test]
fn layers_take_the_weights_of_their_names() {
    use keras::layers::Dense;
    use keras::{Input, Sequential};
    use keras_spec::LayerExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.h5");
    let model = |first: usize, name: &str| {
        let layers = Sequential::new().add(Input::new([3])).add(Dense::new(first).name("a"));
        layers.add(Dense::new(2).name(name.to_owned())).build().unwrap()
    };
    let saved = model(4, "b");
    saved.save_weights(&file).unwrap();
    // Another order, another layer.
    let other = model(4, "c");
    let before = other.get_layer("c").unwrap().weights()[0].get().to_host().unwrap();
    LoadOptions::new().by_name(true).load_weights(&other, &file).unwrap();
    assert_eq!(other.get_weights().unwrap()[0], saved.get_weights().unwrap()[0]);
    assert_eq!(other.get_layer("c").unwrap().weights()[0].get().to_host().unwrap(), before);
    // A layer of another shape is an error, unless it may be left out.
    let wider = model(5, "b");
    assert!(LoadOptions::new().by_name(true).load_weights(&wider, &file).is_err());
    let report = LoadOptions::new().by_name(true).skip_mismatch(true).load_weights(&wider, &file).unwrap();
    assert_eq!(report.of(Change::Dropped).count(), 2, "{report}");
}

#[test]
fn weights_are_spread_over_files_as_keras_does_it() {
    use keras::layers::Dense;
    use keras::{Input, Sequential};

    let folder = tempfile::tempdir().unwrap();
    let build = || {
        let layers = Sequential::new().add(Input::new([30])).add(Dense::new(40)).add(Dense::new(50));
        layers.add(Dense::new(3)).build().unwrap()
    };
    let model = build();
    let index = folder.path().join("x.weights.json");
    model.save_weights_sharded(&index, 9000).unwrap();
    // What Keras 3.15.1 writes for such a model with `max_shard_size=9000 / 2**30`.
    let text = fs::read_to_string(&index).unwrap();
    let map: Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "/layers/dense/vars": ["x_00000.weights.h5"],
        "/layers/dense_1/vars": ["x_00001.weights.h5"],
        "/layers/dense_2/vars": ["x_00001.weights.h5"],
    });
    assert_eq!(map["weight_map"], expected);
    assert_eq!(map["metadata"]["total_size"], 4 * (30 * 40 + 40 + 40 * 50 + 50 + 50 * 3 + 3));
    let other = build();
    other.load_weights(&index).unwrap();
    assert_eq!(numbers(&other), numbers(&model));
    assert!(model.save_weights_sharded(&index, 4000).is_err());
    fs::write(&index, text.replace("x_00001", "../x_00001")).unwrap();
    assert!(other.load_weights(&index).unwrap_err().to_string().contains("elsewhere"));
}

#[test]
fn python_code_is_never_run_but_replaced() {
    let text = r#"{"class_name": "Sequential", "keras_version": "2.2.4", "backend": "tensorflow", "config": {"name": "s",
        "layers": [{"class_name": "Lambda", "config": {"name": "twice", "trainable": true, "batch_input_shape": [null, 2],
        "function": ["4wEAAAAAAAAAAQ==\n", null, null], "function_type": "lambda", "output_shape": null,
        "output_shape_type": "raw", "arguments": {}}}]}}"#;
    let refused = keras::model_from_json(text).unwrap_err().to_string();
    assert!(refused.contains("register_lambda(\"twice\""), "{refused}");
    keras::layers::register_lambda("twice", |inputs| &inputs[0] * 2.0);
    let mut model = keras::model_from_json(text).unwrap();
    let x = HostTensor::new([1, 2], vec![1.5f32, -2.0]).unwrap();
    assert_eq!(model.predict(Data::One(x)).unwrap()[0].to_f64_vec(), [3.0, -4.0]);
    // The code is written again as it was.
    assert!(model.to_json().unwrap().contains("4wEAAAAAAAAAAQ=="));
}

/// `tf.math.lgamma(x) + tf.math.lgamma(x)`, shared, of tf-keras 2.21.
#[test]
fn functions_without_a_counterpart_are_registered_by_the_name_of_their_layer() {
    let text = r#"{"class_name": "Functional", "keras_version": "2.21.0", "backend": "tensorflow", "config": {"name": "m",
        "trainable": true, "layers": [
        {"class_name": "InputLayer", "name": "x", "config": {"batch_input_shape": [null, 2], "dtype": "float32", "name": "x"},
         "inbound_nodes": []},
        {"class_name": "TFOpLambda", "name": "tf.math.lgamma", "config": {"name": "tf.math.lgamma", "trainable": true,
         "dtype": "float32", "function": "math.lgamma"}, "inbound_nodes": [["x", 0, 0, {"name": null}]]},
        {"class_name": "TFOpLambda", "name": "tf.math.polyval", "config": {"name": "tf.math.polyval", "trainable": true,
         "dtype": "float32", "function": "math.polyval"},
         "inbound_nodes": [[["x", 0, 0, {"x": ["tf.math.lgamma", 0, 0], "name": null}], ["tf.math.lgamma", 0, 0, {}]]]}],
        "input_layers": [["x", 0, 0]], "output_layers": [["tf.math.polyval", 0, 0]]}}"#;
    let refused = keras::model_from_json(text).unwrap_err().to_string();
    let line = "keras::layers::register_lambda(\"tf.math.lgamma\", |inputs|";
    assert!(refused.contains("`tf.math.lgamma`") && refused.contains(line), "{refused}");
    keras::layers::register_lambda("tf.math.lgamma", |inputs| &inputs[0] * 10.0);
    keras::layers::register_lambda("tf.math.polyval", |inputs| (&inputs[0] + &inputs[1])? * &inputs[2]);
    let (mut model, report) = LoadOptions::new().report_json(text).unwrap();
    assert!(report.to_string().contains("registered as `tf.math.lgamma`"), "{report}");
    let x = HostTensor::new([1, 2], vec![1.0f32, -2.0]).unwrap();
    // x, lgamma(x), lgamma(x), in the order in which the call has them.
    assert_eq!(model.predict(Data::One(x)).unwrap()[0].to_f64_vec(), [110.0, 440.0]);
    let again = keras::model_from_json(&model.to_json().unwrap()).unwrap();
    assert_eq!(again.count_params(), 0);
}

/// `BatchNormalization(axis=[1, 3])`, which no layer of Keras 3 is.
#[test]
fn batch_normalization_over_several_axes_says_what_to_do() {
    let text = r#"{"class_name": "Sequential", "keras_version": "2.15.0", "backend": "tensorflow", "config": {"name": "s",
        "layers": [{"class_name": "BatchNormalization", "config": {"name": "over_two", "trainable": true,
        "batch_input_shape": [null, 2, 3, 4], "axis": [1, 3]}}]}}"#;
    let error = keras::model_from_json(text).unwrap_err().to_string();
    assert!(
        error.contains("`over_two`") && error.contains("[1, 3]") && error.contains("`Reshape`"),
        "{error}"
    );
}

#[test]
fn an_unknown_activation_names_its_layer_and_how_to_register_it() {
    let text = r#"{"class_name": "Sequential", "keras_version": "2.2.4", "backend": "tensorflow", "config": {"name": "s",
        "layers": [{"class_name": "Dense", "config": {"name": "bent", "trainable": true, "batch_input_shape": [null, 2],
        "units": 3, "use_bias": false, "activation": "<lambda>"}}]}}"#;
    let error = keras::model_from_json(text).unwrap_err().to_string();
    let line = "`keras::activations::register(\"my_package\", \"<lambda>\", |x| x.relu())`";
    assert!(error.contains("layer `bent`") && error.contains(line), "{error}");
    keras::activations::register("my_package", "<lambda>", |x| x.relu());
    let mut model = keras::model_from_json(text).unwrap();
    model.set_weights(&[HostTensor::new([2, 3], vec![1.0f32, -1.0, 0.0, 1.0, -1.0, 0.5]).unwrap()]).unwrap();
    let x = HostTensor::new([1, 2], vec![2.0f32, 1.0]).unwrap();
    assert_eq!(model.predict(Data::One(x)).unwrap()[0].to_f64_vec(), [3.0, 0.0, 0.5]);
}

/// Keras 3 leaves masks out beside states, where Keras 2 used them: the mask is an operation of the graph.
#[test]
fn masks_beside_states_are_written_as_keras_3_has_them() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/models/tf_keras/decoder.h5");
    let mut model = keras::load_model(file).unwrap();
    let json: Value = serde_json::from_str(&model.to_json().unwrap()).unwrap();
    let layers = json["config"]["layers"].as_array().unwrap();
    let masks: Vec<&Value> = layers
        .iter()
        .filter_map(|l| l.pointer("/inbound_nodes/0/kwargs/mask"))
        .filter(|m| !m.is_null())
        .collect();
    // Three recurrent layers, and two of them again behind the zeros of their first steps.
    assert_eq!(masks.len(), 5, "{json}");
    assert!(masks.iter().all(|m| m["config"]["keras_history"][0] == "embedding.mask.0"), "{masks:?}");
    let folder = tempfile::tempdir().unwrap();
    let resaved = folder.path().join("decoder.keras");
    model.save(&resaved).unwrap();
    let tokens = HostTensor::new([2, 6], vec![1i32, 2, 0, 3, 0, 0, 4, 5, 6, 7, 8, 9]).unwrap();
    let state = HostTensor::new([2, 4], vec![0.5f32, -0.5, 0.25, 1.0, 0.0, 0.5, -1.0, 0.75]).unwrap();
    let inputs = || vec![tokens.clone(), state.clone()];
    let found = keras::load_model(&resaved).unwrap().predict(inputs()).unwrap();
    assert_eq!(found, model.predict(inputs()).unwrap());
}

/// A `Bidirectional` of Keras 2.2.4 that repeats outputs at masked steps, and its `hard_sigmoid`: nothing that Keras 3 does not have.
#[test]
fn masked_chains_of_keras_2_are_saved_with_classes_of_keras_3() {
    let folder = fixtures().join("keras-2.2.4-tf-masks");
    let model = keras::load_model(folder.join("bidirectional_chain.h5")).unwrap();
    let text = model.to_json().unwrap();
    assert!(!text.contains("keras.legacy"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let layers = json["config"]["layers"].as_array().unwrap();
    let both: Vec<&Value> = layers.iter().filter(|l| l["class_name"] == "Bidirectional").collect();
    assert_eq!(both.len(), 2, "{text}");
    for layer in both {
        assert!(layer["config"]["merge_mode"].is_null(), "{layer}");
        assert_eq!(layer["config"].get("zero_output_for_mask"), None);
        assert_eq!(layer["config"]["layer"]["config"]["recurrent_activation"]["class_name"], "Pipeline");
    }
    // Older programs: tf-keras has no such operations, Keras 3.6 no such activation.
    let folder = tempfile::tempdir().unwrap();
    let refused = |version, name: &str| {
        let options = keras::saving::SaveOptions::new().readable_by(version);
        options.save(&model, folder.path().join(name)).unwrap_err().to_string()
    };
    let of_3_6 = refused(keras::saving::legacy::Version::new(3, 6, 0), "a.keras");
    assert!(of_3_6.contains("hard_sigmoid") && of_3_6.contains("3.6.0"), "{of_3_6}");
}

/// `GRU(2)(Add()([e(ids), e(ids2)]), initial_state=state)` of tf-keras 2.21 with a shared `Embedding(mask_zero=True)`: its two
/// masks are not one, and a step counts where both do. What it predicts is tf-keras's.
#[test]
fn two_masks_of_a_shared_layer_meet() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files/tf-keras-2.21-shared_mask.h5");
    let mut model = keras::load_model(file).unwrap();
    let state = HostTensor::new([1, 2], vec![0.5f32, -1.0]).unwrap();
    let tokens = |ids: [i32; 4]| HostTensor::new([1, 4], ids.to_vec()).unwrap();
    let found =
        model.predict(vec![state, tokens([1, 2, 0, 0]), tokens([3, 0, 4, 0])]).unwrap()[0].to_f64_vec();
    for (found, expected) in found.iter().zip([0.1015210747718811, -0.36823752522468567]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn files_named_by_the_environment_predict_what_their_writers_did() {
    let folders = std::env::var_os("KERAS_MODEL_FILES").unwrap_or_default();
    for folder in std::env::split_paths(&folders).filter(|f| !f.as_os_str().is_empty()) {
        let (count, failed) = run(&folder);
        println!("{}: {} of {count} files are right", folder.display(), count - failed.len());
        assert!(failed.is_empty(), "{} files are wrong:\n{}", failed.len(), failed.join("\n"));
    }
}

/// What tf-keras 2.21 writes for `add_loss` and `y` of `x = Input((2, 3))`, `y = tf.slice(x[..., ::-1], [0, 1, 0], [-1, 1, 2])`,
/// and what it predicts.
#[test]
fn slices_and_added_losses_of_tf_keras() {
    let text = r#"{"class_name": "Functional", "keras_version": "2.21.0", "backend": "tensorflow", "config": {
        "name": "model", "trainable": true, "layers": [
        {"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
            "config": {"batch_input_shape": [null, 2, 3], "dtype": "float32", "name": "x"}},
        {"class_name": "SlicingOpLambda", "name": "turned", "config": {"name": "turned", "trainable": true,
            "dtype": "float32", "function": "__operators__.getitem"}, "inbound_nodes": [["x", 0, 0, {"slice_spec":
            [{"class_name": "__ellipsis__", "config": {}}, {"start": null, "stop": null, "step": -1}]}]]},
        {"class_name": "TFOpLambda", "name": "part", "config": {"name": "part", "trainable": true, "dtype": "float32",
            "function": "slice"}, "inbound_nodes": [["turned", 0, 0, {"begin": [0, 1, 0], "size": [-1, 1, 2]}]]},
        {"class_name": "TFOpLambda", "name": "mean", "config": {"name": "mean", "trainable": true, "dtype": "float32",
            "function": "math.reduce_mean"}, "inbound_nodes": [["x", 0, 0, {}]]},
        {"class_name": "AddLoss", "name": "add_loss", "config": {"name": "add_loss", "trainable": true,
            "dtype": "float32", "unconditional": false}, "inbound_nodes": [[["mean", 0, 0, {}]]]}],
        "input_layers": [["x", 0, 0]], "output_layers": [["part", 0, 0]]}}"#;
    let mut model = keras::model_from_json(text).unwrap();
    let x = HostTensor::new([1, 2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let y = model.predict(Data::One(x)).unwrap();
    assert_eq!(y[0].shape().dims(), [1, 1, 2]);
    assert_eq!(y[0].to_f64_vec(), [6.0, 5.0]);
    let error =
        keras::model_from_json(&text.replace("math.reduce_mean", "math.lgamma")).unwrap_err().to_string();
    assert!(error.contains("`mean`") && error.contains("`tf.math.lgamma` has no counterpart"), "{error}");
    let weighted = text.replace(
        "\"inbound_nodes\": [[\"x\", 0, 0, {}]]",
        "\"inbound_nodes\": [[\"x\", 0, 0, {\"weights\": 3}]]",
    );
    let error = keras::model_from_json(&weighted).unwrap_err().to_string();
    assert!(error.contains("`mean`: `tf.math.reduce_mean` with `weights` = 3"), "{error}");
    // More than any model has is refused, not made.
    for (function, arguments) in [
        ("sequence_mask", r#"{"maxlen": 4000000000}"#),
        ("repeat", r#"{"repeats": [9000000000000000000, 9000000000000000000], "axis": 1}"#),
        ("image.resize", r#"{"size": [4000000000, 4000000000], "method": "bicubic"}"#),
        ("nn.depth_to_space", r#"{"block_size": 4000000000}"#),
    ] {
        let large = text.replace("math.reduce_mean", function);
        let large = large.replace("[[\"x\", 0, 0, {}]]", &format!("[[\"x\", 0, 0, {arguments}]]"));
        let error = keras::model_from_json(&large).unwrap_err().to_string();
        assert!(error.contains("`mean`") && error.contains(function), "{error}");
    }
    let own = text.replace("\"AddLoss\"", "\"ConvDNA\"");
    let error = keras::model_from_json(&own).unwrap_err().to_string();
    let line = "`keras_spec::class!(dyn Layer, Class::of(\"my_package\", \"ConvDNA\"), ConvDNA)`";
    assert!(error.contains("add_loss") && error.contains(line), "{error}");
}

/// What tf-keras 2.21 writes and predicts.
#[test]
fn preprocessing_of_tf_keras_predicts_as_it_did() {
    let text = r#"{"class_name": "Sequential", "keras_version": "2.21.0", "backend": "tensorflow", "config": {
        "name": "sequential", "layers": [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [null, 4, 2, 1], "dtype": "float32", "name": "x"}},
        {"class_name": "RandomHeight", "config": {"name": "height", "trainable": true, "dtype": "float32",
            "rng_type": "stateful", "factor": 0.3, "interpolation": "bilinear", "seed": null}},
        {"class_name": "RandomCrop", "config": {"name": "crop", "trainable": true, "dtype": "float32",
            "rng_type": "stateful", "height": 2, "width": 2, "seed": null}},
        {"class_name": "Discretization", "config": {"name": "ranges", "trainable": true, "dtype": "int64",
            "bin_boundaries": [2.5, 4.5], "num_bins": null, "epsilon": 0.01, "output_mode": "int", "sparse": false}}]}}"#;
    let mut model = keras::model_from_json(text).unwrap();
    let x = HostTensor::new([1, 4, 2, 1], (0..8).map(|i| i as f32 - 0.25).collect()).unwrap();
    let y = model.predict(Data::One(x)).unwrap();
    assert_eq!(y[0].shape().dims(), [1, 2, 2, 1]);
    // Rows 1 and 2: 1.75, 2.75, 3.75, 4.75.
    assert_eq!(y[0].to_f64_vec(), [0.0, 1.0, 1.0, 2.0]);
}

/// Layers that merge branches of one mask hand it on: it is an operation of the graph there, too.
#[test]
fn masks_through_merges_are_written_as_keras_3_has_them() {
    let mut model = keras::load_model(fixtures().join("../files/tf-keras-2.21-merged_state.h5")).unwrap();
    // Inputs and outputs of tf-keras 2.21.
    let x = HostTensor::new(
        [2, 5, 3],
        vec![
            1.788628, 0.436510, 0.096497, -1.863493, -0.277388, -0.354759, -0.082741, -0.627001, -0.043818,
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.404677, -0.545360, -1.546477, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0f32,
        ],
    )
    .unwrap();
    let s = HostTensor::new(
        [2, 4],
        vec![0.745056, 1.976111, -1.244123, -0.626417, -0.803766, -2.419083, -0.923792, -1.023876f32],
    )
    .unwrap();
    let expected = HostTensor::new(
        [2, 4],
        vec![0.019233, -0.018153, -0.156270, -0.085043, -0.715000, -0.315206, 0.361945, -0.682706f32],
    )
    .unwrap();
    let inputs = || vec![x.clone(), s.clone()];
    let found = model.predict(inputs()).unwrap();
    assert!(error(&found[0], &expected) < 1.0, "{found:?}");
    let text = model.to_json().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let resaved = folder.path().join("merged.keras");
    model.save(&resaved).unwrap();
    let again = keras::load_model(&resaved).unwrap().predict(inputs()).unwrap();
    assert_eq!(again, found);

    let json: Value = serde_json::from_str(&text).unwrap();
    let gru = json["config"]["layers"].as_array().unwrap().iter().find(|l| l["name"] == "gru").unwrap();
    assert_eq!(gru["inbound_nodes"][0]["kwargs"]["mask"]["config"]["keras_history"][0], "mk.mask.0");
}

/// Where masks meet, models are written in layers and operations of Keras 3, and predict the same when they are read again.
#[test]
fn meeting_masks_are_written_as_keras_3_has_them() {
    let folder = fixtures().join("tf-keras-2.21-meeting-masks");
    let vectors: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("models.json")).unwrap()).unwrap();
    let arrays = read_arrays(&folder.join("models.safetensors"));
    let resaved = tempfile::tempdir().unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let file = folder.join(case["file"].as_str().unwrap());
        let model = keras::load_model(&file).unwrap();
        assert!(!model.to_json().unwrap().contains("keras.legacy"), "{case}");
        let path = resaved.path().join("model.keras");
        model.save(&path).unwrap();
        let found = keras::load_model(&path).unwrap().predict(arrays_of(&case["inputs"], &arrays)).unwrap();
        for (found, expected) in found.iter().zip(&arrays_of(&case["outputs"], &arrays)) {
            assert!(error(found, expected) < 1.0, "{case}");
        }
    }
}

/// What `adapt` learnt in the mode `tf_idf` lies among the weights by a name.
#[test]
fn weights_of_an_integer_lookup_are_kept() {
    let tokens = HostTensor::new([2, 4], vec![12i64, 1138, 42, 42, 42, 9, 36, 7]).unwrap();
    // The outputs of Keras 3.15.1.
    let one = std::f32::consts::LN_2;
    let (rest, two, three) = (0.804719, 0.916291, 2.0 * one);
    let expected = HostTensor::new(
        [2, 7],
        vec![0.0, three, one, 0.0, two, 0.0, 0.0, rest, one, 0.0, one, 0.0, two, 0.0],
    )
    .unwrap();
    let mut model =
        keras::load_model(fixtures().join("../files/keras-3.15.1-integer_lookup_tf_idf.keras")).unwrap();
    let found = model.predict(Data::One(tokens.clone())).unwrap();
    assert!(error(&found[0], &expected) < 1.0, "{found:?}");
    let folder = tempfile::tempdir().unwrap();
    let resaved = folder.path().join("lookup.keras");
    model.save(&resaved).unwrap();
    let again = keras::load_model(&resaved).unwrap().predict(Data::One(tokens)).unwrap();
    assert_eq!(again, found);
}

/// `Sequential([Dense(3), Dense(1)])` of tf-keras 2.21 after two steps of `Nadam(0.05)`, and its losses when it went on. Its files do
/// not have the product of Nadam's momenta, which it multiplies for every variable.
#[test]
fn nadam_goes_on_as_in_tf_keras() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files/tf-keras-2.21-nadam.h5");
    let mut model = keras::load_model(file).unwrap();
    let x = HostTensor::new([3, 2], vec![1f32, 2.0, -1.0, 0.5, 0.25, -2.0]).unwrap();
    let y = HostTensor::new([3, 1], vec![1f32, 0.0, -1.0]).unwrap();
    let batch = Batch::new(vec![x], vec![y]);
    for expected in [1.3527002334594727, 1.0284450054168701, 0.7547600269317627, 0.5295048356056213] {
        let loss = model.train_on_batch(&batch).unwrap()["loss"];
        // Within a step tf-keras has another product for each variable, Keras 3 one; with the right product it is 0.08 more.
        assert!((loss - expected).abs() < 5e-4, "{loss} {expected}");
    }
}

/// `K.switch` of tf-keras 2.21 with a condition for each element, for all, and for each row; and what it predicts.
#[test]
fn a_switch_chooses_as_in_tf_keras() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files/tf-keras-2.21-switch.h5");
    let mut model = keras::load_model(file).unwrap();
    let x = HostTensor::new([2, 4], vec![1f32, -2.0, 3.0, -0.5, -1.0, 2.0, 0.25, -4.0]).unwrap();
    let found: Vec<Vec<f64>> = model.predict(vec![x]).unwrap().iter().map(HostTensor::to_f64_vec).collect();
    let expected = [
        [1.0, -4.0, 3.0, -1.0, -2.0, 2.0, 0.25, -8.0],
        [-1.0, 2.0, -3.0, 0.5, 1.0, -2.0, -0.25, 4.0],
        [1.0, -2.0, 3.0, -0.5, -3.0, 6.0, 0.75, -12.0],
    ];
    assert_eq!(found, expected);
}

/// `BatchNormalization(virtual_batch_size=2)` of tf-keras 2.21, whose weights have the shape `(1, 1, 3)`, and what it predicts.
#[test]
fn weights_of_a_virtual_batch_have_one_axis() {
    let name = "tests/fixtures/files/tf-keras-2.21-virtual_batch.keras";
    let mut model = keras::load_model(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let x = HostTensor::new([2, 3], vec![1f32, 2.0, 3.0, -1.0, 0.0, 0.5]).unwrap();
    let expected = vec![1.4995004f32, 0.9998751, 22.952145, -0.4995004, -0.9998751, 7.982054];
    let expected = HostTensor::new([2, 3], expected).unwrap();
    assert!(error(&model.predict(vec![x]).unwrap()[0], &expected) <= 1.0);
}
