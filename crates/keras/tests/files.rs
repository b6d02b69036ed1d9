//! Whole models: files of the real Keras load and predict what it predicted; files written here load again.

use std::fs;
use std::path::{Path, PathBuf};

use keras::layers::{Add, Dense, Dropout};
use keras::models::Apply;
use keras::optimizers::{Adam, RMSprop, SGD};
use keras::saving::{LoadOptions, json};
use keras::training::{Batch, Compile, Identifier};
use keras::{Input, Model, Sequential, load_model, load_model_from_bytes, model_from_json};
use keras_spec::{DType, HostTensor, LayerExt, LayerRef, Optimizer};
use safetensors::SafeTensors;
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/files").join(name)
}

/// Vocabularies that `adapt` learnt are kept by Keras in files of their own; by us in the configuration.
#[test]
fn vocabularies_beside_the_configuration_are_read() {
    let model = load_model(fixture("keras-3.15.1-integer_lookup.keras")).unwrap();
    let again = load_model_from_bytes(model.to_keras_bytes().unwrap()).unwrap();
    for model in [model, again] {
        let x = HostTensor::new([2, 3], vec![7i64, 99, 25, 3, 0, -4]).unwrap();
        let outputs = model.predict_on_batch(x).unwrap();
        let found: Vec<Vec<i64>> = outputs.into_iter().map(|y| y.into_vec().unwrap()).collect();
        // What Keras 3.15.1 predicted with the model before it saved it.
        assert_eq!(found[0], [2, 1, 4, 3, 0, 7]);
        assert_eq!(found[1], [0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1]);
    }
}

/// The cases of one folder of golden vectors, and their arrays.
struct Vectors {
    folder: PathBuf,
    cases: Vec<Value>,
    arrays: Vec<u8>,
}

impl Vectors {
    fn open(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("cases.json")).unwrap();
        let cases = json::parse(&text).unwrap()["cases"].as_array().unwrap().clone();
        let arrays = fs::read(folder.join("cases.safetensors")).unwrap();
        Vectors { folder: folder.to_owned(), cases, arrays }
    }

    fn arrays(&self, list: &Value) -> Vec<HostTensor> {
        let file = SafeTensors::deserialize(&self.arrays).unwrap();
        let array = |v: &Value| {
            let view = file.tensor(v["tensor"].as_str().unwrap()).unwrap();
            let shape = view.shape();
            let bytes = view.data().chunks_exact(4).map(|b| <[u8; 4]>::try_from(b).unwrap());
            match view.dtype() {
                safetensors::Dtype::F32 => HostTensor::new(shape, bytes.map(f32::from_le_bytes).collect()),
                safetensors::Dtype::I32 => HostTensor::new(shape, bytes.map(i32::from_le_bytes).collect()),
                other => panic!("{other:?} is not handled"),
            }
            .unwrap()
        };
        list.as_array().unwrap().iter().map(array).collect()
    }

    fn model(&self, case: &Value) -> keras::Result<Model> {
        let file = self.folder.join(case["file"].as_str().unwrap());
        match case["config_file"].as_str() {
            None => load_model(file),
            Some(config) => {
                let model = model_from_json(&fs::read_to_string(self.folder.join(config)).unwrap())?;
                model.load_weights(file)?;
                Ok(model)
            }
        }
    }
}

fn folders() -> Vec<Vectors> {
    let root = repository().join("spec/vectors/models");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    folders.iter().map(|f| Vectors::open(f)).collect()
}

fn differs(got: &[HostTensor], expected: &[HostTensor]) -> Option<String> {
    if got.len() != expected.len() {
        return Some(format!("{} outputs, expected {}", got.len(), expected.len()));
    }
    got.iter().zip(expected).find_map(|(g, e)| {
        if (g.shape(), g.dtype()) != (e.shape(), e.dtype()) {
            return Some(format!("{} {}, expected {} {}", g.shape(), g.dtype(), e.shape(), e.dtype()));
        }
        let pairs = g.to_f64_vec().into_iter().zip(e.to_f64_vec());
        pairs.enumerate().find_map(|(i, (g, e))| {
            let agree = (g - e).abs() <= 1e-5 + 1e-5 * e.abs() || (g.is_nan() && e.is_nan());
            (!agree).then(|| format!("element {i} is {g}, expected {e}"))
        })
    })
}

fn weights(model: &Model) -> Vec<HostTensor> {
    model.get_weights().unwrap()
}

fn state(model: &Model) -> Vec<HostTensor> {
    let optimizer = keras_spec::Model::optimizer(model);
    optimizer.map_or_else(Vec::new, |o| o.variables().iter().map(|v| v.get().to_host().unwrap()).collect())
}

/// Runs every file of the golden vectors that `filter` takes; says what fails, and how many there were.
fn every_file(check: impl Fn(&Vectors, &Value) -> Result<(), String>) {
    let (mut count, mut failures) = (0, Vec::new());
    for vectors in folders() {
        for case in &vectors.cases {
            count += 1;
            if let Err(why) = check(&vectors, case) {
                failures.push(format!("{}: {why}", case["id"].as_str().unwrap()));
            }
        }
    }
    assert!(count > 150, "only {count} cases");
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn files_of_keras_predict_what_keras_predicts() {
    every_file(|vectors, case| {
        let model = vectors.model(case).map_err(|e| e.to_string())?;
        let got = model.predict_on_batch(vectors.arrays(&case["inputs"])).map_err(|e| e.to_string())?;
        differs(&got, &vectors.arrays(&case["outputs"])).map_or(Ok(()), Err)
    });
}

#[test]
fn files_of_keras_are_the_same_when_saved_again() {
    let directory = tempfile::tempdir().unwrap();
    every_file(|vectors, case| {
        let model = vectors.model(case).map_err(|e| e.to_string())?;
        let inputs = vectors.arrays(&case["inputs"]);
        let predicted = model.predict_on_batch(inputs.clone()).map_err(|e| e.to_string())?;
        for name in ["m.keras", "m.h5"] {
            let path = directory.path().join(name);
            model.save(&path).map_err(|e| e.to_string())?;
            let again = load_model(&path).map_err(|e| e.to_string())?;
            let same_bits = again.predict_on_batch(inputs.clone()).map_err(|e| e.to_string())? == predicted;
            let same_config = described(&again, name) == described(&model, name);
            if !same_bits
                || weights(&again) != weights(&model)
                || state(&again) != state(&model)
                || !same_config
            {
                return Err(format!("{name} is another model"));
            }
        }
        Ok(())
    });
}

fn assert_close(got: f64, expected: f64, place: &str) {
    assert!((got - expected).abs() <= 1e-5 + 1e-5 * expected.abs(), "{place}: {got}, expected {expected}");
}

#[test]
fn training_goes_on_where_keras_saved_it() {
    let mut resumed = 0;
    for vectors in folders() {
        for case in vectors.cases.iter().filter(|c| c["training"]["resumed"] == true) {
            let id = case["id"].as_str().unwrap();
            let mut model = vectors.model(case).unwrap();
            let training = &case["training"];
            let batches = training["batches"].as_array().unwrap();
            for (i, (batch, loss)) in batches.iter().zip(training["losses"].as_array().unwrap()).enumerate() {
                let arrays = |v: &Value| match v {
                    Value::Array(_) => vectors.arrays(v),
                    one => vectors.arrays(&Value::Array(vec![one.clone()])),
                };
                let batch = Batch::new(arrays(&batch["x"]), arrays(&batch["y"]));
                model.reset_metrics().unwrap();
                let logs = model.train_on_batch(&batch).unwrap();
                assert_close(logs["loss"], loss.as_f64().unwrap(), &format!("{id}, step {i}"));
            }
            if training.get("optimizer_after").is_some() {
                let after = vectors.arrays(&training["optimizer_after"]);
                assert_eq!(differs(&state(&model), &after), None, "{id}");
            }
            resumed += 1;
        }
    }
    assert!(resumed >= 10, "only {resumed} runs were resumed");
}

/// Two inputs, a layer that is called twice, a model inside, a layer that it shares with the graph around it.
fn graph() -> Model {
    let shared: LayerRef = Dense::new(3).name("shared").into();
    let inner = Sequential::new()
        .name("inner")
        .add(Input::new([3]).name("inner_input"))
        .add(Dense::new(4).name("dense"))
        .add(Dropout::new(0.0).name("dropout"))
        .build()
        .unwrap();
    let inner = LayerRef::from(inner);
    let a = Input::new([5]).name("a").tensor().unwrap();
    let b = Input::new([5]).name("b").tensor().unwrap();
    let (x, y) = ((&shared).apply(&a).unwrap(), (&shared).apply(&b).unwrap());
    let (x, y) = ((&inner).apply(&x).unwrap(), (&inner).apply(&y).unwrap());
    let sum = LayerRef::from(Add::new().name("sum")).apply(&[x.clone(), y][..]).unwrap();
    let last = LayerRef::from(Dense::new(1).trainable(false).name("frozen")).apply(&x).unwrap();
    Model::named("graph", &[a, b], &[sum, last]).unwrap()
}

fn data() -> (Vec<HostTensor>, Vec<HostTensor>) {
    let array = |shape: [usize; 2], step: f32| {
        let values = (0..shape[0] * shape[1]).map(|i| (i as f32 * step).sin()).collect();
        HostTensor::new(shape, values).unwrap()
    };
    (vec![array([6, 5], 0.7), array([6, 5], 1.3)], vec![array([6, 4], 0.3), array([6, 1], 0.9)])
}

fn trained(optimizer: impl Into<Identifier<dyn Optimizer>>) -> Model {
    let mut model = graph();
    model
        .compile(Compile::new(optimizer, "mse").metrics([["mae"], ["mse"]]).loss_weights([1.0, 0.5]))
        .unwrap();
    let (x, y) = data();
    model.train_on_batch(&Batch::new(x.clone(), y.clone())).unwrap();
    model.train_on_batch(&Batch::new(x, y)).unwrap();
    model
}

/// The architecture, and what the model was compiled with where the format keeps that word for word: HDF5 files have
/// objects in the place of names such as `"mse"`.
fn described(model: &Model, file: &str) -> Value {
    let mut value = json::parse(&model.to_json().unwrap()).unwrap();
    if file.ends_with("5") {
        value["compile_config"].take();
    }
    value
}

fn assert_same(a: &Model, b: &Model, file: &str) {
    assert_eq!(described(a, file), described(b, file));
    assert_eq!(weights(a), weights(b));
    assert_eq!(state(a), state(b));
    let x = data().0;
    assert_eq!(a.predict_on_batch(x.clone()).unwrap(), b.predict_on_batch(x).unwrap());
}

#[test]
fn every_format_gives_the_same_model_back() {
    let directory = tempfile::tempdir().unwrap();
    for optimizer in [
        Identifier::from(Adam::new(0.01).amsgrad(true)),
        SGD::new(0.1).into(),
        SGD::new(0.1).momentum(0.9).use_ema(0.5).into(),
        RMSprop::new(0.01).momentum(0.5).centered(true).into(),
    ] {
        let mut model = trained(optimizer);
        keras_spec::Model::optimizer(&model).unwrap().set_learning_rate(0.003).unwrap();
        let mut copies = Vec::new();
        for name in ["m.keras", "m.h5", "m.hdf5", "M.KERAS"] {
            let path = directory.path().join(name);
            model.save(&path).unwrap();
            copies.push((name, load_model(&path).unwrap()));
        }
        copies.push(("bytes", load_model_from_bytes(model.to_keras_bytes().unwrap()).unwrap()));
        for (name, copy) in &copies {
            assert_same(copy, &model, name);
        }
        // They train on alike, too.
        let (x, y) = data();
        let batch = Batch::new(x, y);
        model.train_on_batch(&batch).unwrap();
        for (_, copy) in &mut copies {
            copy.train_on_batch(&batch).unwrap();
            assert_eq!(weights(copy), weights(&model));
        }
    }
}

#[test]
fn weights_alone_go_into_a_model_of_the_same_build() {
    let directory = tempfile::tempdir().unwrap();
    let model = trained(Adam::new(0.01));
    for name in ["m.weights.h5", "m.h5", "m.hdf5", "whole.keras", "whole.h5"] {
        let path = directory.path().join(name);
        match name.starts_with("whole") {
            true => model.save(&path).unwrap(),
            false => model.save_weights(&path).unwrap(),
        }
        let other = graph();
        other.load_weights(&path).unwrap();
        assert_eq!(weights(&other), weights(&model), "{name}");
        assert_eq!(state(&other).len(), 0);
    }
    // The optimizer's state goes along where the optimizer has one.
    let mut other = graph();
    other.compile(Compile::new(Adam::new(0.01), "mse")).unwrap();
    let (x, y) = data();
    other.train_on_batch(&Batch::new(x, y)).unwrap();
    other.load_weights(directory.path().join("m.weights.h5")).unwrap();
    assert_eq!(state(&other), state(&model));
}

#[test]
fn a_model_from_json_has_the_same_layers() {
    let model = trained(SGD::new(0.5));
    let other = model_from_json(&model.to_json().unwrap()).unwrap();
    assert_eq!(other.to_json().unwrap(), model.to_json().unwrap());
    let error = model_from_json("{").unwrap_err().to_string();
    assert!(error.contains("not JSON"), "{error}");
}

#[test]
fn a_model_can_be_loaded_uncompiled() {
    let path = tempfile::tempdir().unwrap().keep().join("m.keras");
    trained("adam").save(&path).unwrap();
    let model = LoadOptions::new().compile(false).open(&path).unwrap();
    assert!(keras_spec::Model::optimizer(&model).is_none());
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

fn message<T: std::fmt::Debug>(result: keras::Result<T>, says: &[&str]) {
    let error = result.unwrap_err().to_string();
    for text in says {
        assert!(error.contains(text), "`{text}` is not in: {error}");
    }
}

#[test]
fn weights_that_do_not_fit_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let dense = |units: usize, layers: usize| {
        let first = Sequential::new().name("m").add(Input::new([3]));
        (0..layers).fold(first, |m, i| m.add(Dense::new(units).name(format!("d{i}")))).build().unwrap()
    };
    let model = dense(3, 2);
    let before = weights(&model);
    for (name, place) in [("m.weights.h5", "/layers/dense"), ("m.h5", "/d0")] {
        let path = directory.path().join(name);
        dense(4, 2).save_weights(&path).unwrap();
        message(model.load_weights(&path), &[name, place, "shape (3, 3)", "shape (3, 4)"]);
        dense(3, 1).save_weights(&path).unwrap();
        message(model.load_weights(&path), &[name]);
        dense(3, 3).save_weights(&path).unwrap();
        message(model.load_weights(&path), &[name]);
        assert_eq!(weights(&model), before);
    }
    let unbuilt = Sequential::new().add(Dense::new(1)).build().unwrap();
    message(unbuilt.load_weights(directory.path().join("m.h5")), &["not built"]);
    message(unbuilt.save_weights(directory.path().join("m.h5")), &["not built"]);
}

#[test]
fn files_that_are_no_models_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    let model = graph();
    message(load_model(&path), &["m.keras"]);
    model.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in [0, 3, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        message(load_model(&path), &["m.keras"]);
    }
    let path = directory.path().join("m.h5");
    model.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in [0, 3, 100, whole.len() / 2] {
        fs::write(&path, &whole[..len]).unwrap();
        message(load_model(&path), &["m.h5"]);
    }
    let path = directory.path().join("w.weights.h5");
    model.save_weights(&path).unwrap();
    message(load_model(&path), &["w.weights.h5", "weights alone", "load_weights"]);
    message(load_model(fixture("made-dtypes.h5")), &["made-dtypes.h5", "another program"]);
    message(model.load_weights(fixture("keras-1.0.5-bn.weights.h5")), &["bn.weights.h5", "weights of"]);
    for name in ["m", "m.json", "m.weights"] {
        message(model.save(directory.path().join(name)), &[name, ".keras", ".h5"]);
        message(model.save_weights(directory.path().join(name)), &[name, ".weights.h5"]);
    }
    message(model.save_weights(directory.path().join("m.keras")), &["m.keras", ".weights.h5"]);
}

#[test]
fn a_class_that_is_not_registered_is_named() {
    let model = graph();
    let text = model.to_json().unwrap().replace(r#""class_name": "Add""#, r#""class_name": "Mystery""#);
    message(model_from_json(&text), &["unknown layer `Mystery`", "sum", "classes in all"]);
    // Of some hundred and fifty names, those that are like it.
    let near = model_from_json(&text.replace("Mystery", "ConvDNA")).unwrap_err().to_string();
    assert!(near.contains("Conv2D, ") && !near.contains("Dense") && near.len() < 500, "{near}");
    let text = text.replace("Mystery", "Add").replace("GlorotUniform", "Wild");
    message(model_from_json(&text), &["unknown initializer `Wild`", "shared"]);
}

#[test]
fn hard_sigmoid_of_keras_2_is_its_own() {
    let text = r#"{"class_name": "Sequential", "keras_version": "2.2.4", "config": [
        {"class_name": "Activation", "config": {"name": "a", "activation": "hard_sigmoid",
         "batch_input_shape": [null, 3]}}]}"#;
    let predict = |text: &str| {
        let x = HostTensor::new([1, 3], vec![-2.0f32, 1.0, 4.0]).unwrap();
        model_from_json(text).unwrap().predict(x).unwrap()[0].to_f64_vec()
    };
    let close = |got: Vec<f64>, expected: [f64; 3]| {
        got.iter().zip(expected).for_each(|(g, e)| assert_close(*g, e, "hard_sigmoid"));
    };
    close(predict(text), [0.1, 0.7, 1.0]);
    let third = text.replace("2.2.4", "3.0.0").replace("[\n", "{\"name\": \"s\", \"layers\": [");
    let third = third
        .replace("batch_input_shape", "name2")
        .replace("}}]}", "}}]}}")
        .replace("\"name2\": [null, 3]", "\"trainable\": true");
    close(predict(&third), [1.0 / 6.0, 4.0 / 6.0, 1.0]);
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.keras");
    graph().save(&path).unwrap();
    let old = fs::read(&path).unwrap();
    // Two layers of one place in the file: what Keras refuses to save, too.
    let twins = Sequential::new()
        .add(Input::new([2]))
        .add(clash::Dense_1::default())
        .add(Dense::new(2).name("x"))
        .add(Dense::new(2).name("y"))
        .build()
        .unwrap();
    message(twins.save(&path), &["array"]);
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// A layer whose name in files is that of a second `Dense`.
mod clash {
    use keras_spec::object::{Config, to_config};
    use keras_spec::{Builder, Call, Class, Layer, Object, PartialShape, Result, Tensor, Weight, WeightSpec};
    use serde::Serialize;

    #[allow(non_camel_case_types)]
    #[derive(Debug, Default, Serialize)]
    pub(super) struct Dense_1 {
        #[serde(skip)]
        scale: Weight,
    }

    impl Object for Dense_1 {
        fn class(&self) -> Class {
            Class::of("test", "Dense_1")
        }

        fn config(&self) -> Result<Config> {
            to_config(self)
        }
    }

    impl Layer for Dense_1 {
        fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
            let features = builder.known_dim(&inputs[0], -1)?;
            builder.weight(&self.scale, WeightSpec::new("scale", [features]).initializer("ones")?)
        }

        fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
            Ok(vec![(&inputs[0] * self.scale.value()?)?])
        }
    }
}

/// A layer that counts its calls, in an array of its own beside its weight.
mod counting {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use keras::saving::h5;
    use keras_spec::*;
    use serde::{Deserialize, Serialize};

    use super::{Input, Sequential, load_model, message};

    #[derive(Clone, Debug, Default, Serialize, Deserialize)]
    struct Counter {
        #[serde(skip)]
        scale: Weight,
        #[serde(skip)]
        calls: Arc<AtomicU32>,
    }

    class!(dyn Layer, Class::of("test", "Counter"), Counter);

    impl Layer for Counter {
        fn build(&self, builder: &mut Builder, inputs: &[PartialShape]) -> Result<()> {
            let features = builder.known_dim(&inputs[0], -1)?;
            builder.weight(&self.scale, WeightSpec::new("scale", [features]).initializer("ones")?)
        }

        fn call(&self, inputs: &[Tensor], _call: &Call) -> Result<Vec<Tensor>> {
            if !scope::is_abstract() {
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
            Ok(vec![(&inputs[0] * self.scale.value()?)?])
        }

        fn saved_arrays(&self) -> Result<BTreeMap<String, HostTensor>> {
            Ok(BTreeMap::from([("calls".to_owned(), self.calls.load(Ordering::Relaxed).into())]))
        }

        fn load_arrays(&self, arrays: &BTreeMap<String, HostTensor>) -> Result<()> {
            let Some(calls) = arrays.get("calls") else {
                return Err(Error::config("Counter", "an array `calls`, found none"));
            };
            self.calls.store(calls.to_f64_vec()[0] as u32, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn layers_may_keep_arrays_beside_their_weights() {
        let mut model =
            Sequential::new().add(Input::new([2])).add(Counter::default().name("c")).build().unwrap();
        let calls = |model: &super::Model| {
            let layer = model.get_layer("c").unwrap();
            layer.downcast::<Counter>().unwrap().calls.load(Ordering::Relaxed)
        };
        for _ in 0..3 {
            model.predict(HostTensor::full([1, 2], DType::F32, 1.0)).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let [whole, weights, other] =
            ["c.keras", "c.weights.h5", "other.weights.h5"].map(|name| folder.path().join(name));
        model.save(&whole).unwrap();
        assert_eq!(calls(&load_model(&whole).unwrap()), 3);
        model.save_weights(&weights).unwrap();
        model.predict(HostTensor::full([1, 2], DType::F32, 1.0)).unwrap();
        assert_eq!(calls(&model), 4);
        model.load_weights(&weights).unwrap();
        assert_eq!(calls(&model), 3);

        let write = |name: &str| {
            let mut file = h5::Writer::new();
            let group = file.group("layers/counter/vars");
            group.dataset("0", &HostTensor::full([2], DType::F32, 1.0)).unwrap();
            group.dataset(name, &5u32.into()).unwrap();
            file.finish_to("other", std::fs::File::create(&other).unwrap()).unwrap();
        };
        write("calls");
        model.load_weights(&other).unwrap();
        assert_eq!(calls(&model), 5);
        write("1");
        message(
            model.load_weights(&other),
            &["other.weights.h5", "/layers/counter/vars", "1 arrays", "2 arrays"],
        );
        let dense =
            Sequential::new().add(Input::new([2])).add(super::Dense::new(1).name("d")).build().unwrap();
        dense.save_weights(&weights).unwrap();
        message(model.load_weights(&weights), &["c.weights.h5", "/layers/counter/vars"]);
        let mut file = h5::Writer::new();
        let group = file.group("layers/dense/vars");
        group.dataset("0", &HostTensor::full([2, 1], DType::F32, 1.0)).unwrap();
        group.dataset("1", &HostTensor::full([1], DType::F32, 1.0)).unwrap();
        group.dataset("calls", &5u32.into()).unwrap();
        file.finish_to("other", std::fs::File::create(&other).unwrap()).unwrap();
        let says = ["other.weights.h5", "/layers/dense/vars", "`d`", "Dense", "found `calls`"];
        message(dense.load_weights(&other), &says);
    }
}

#[test]
fn fixtures_of_several_versions_load() {
    for name in [
        "tf.keras-2.15-siamese_shared.keras",
        "keras-3.15.1-cnn_upsample_bilinear.keras",
        "made-bfloat16.keras",
    ] {
        let model = load_model(fixture(name)).unwrap();
        assert!(weights(&model)[0].to_f64_vec().iter().any(|x| *x != 0.0), "{name}");
    }
    let model = load_model(fixture("made-bfloat16.keras")).unwrap();
    assert!(weights(&model).iter().any(|w| w.dtype() == DType::BF16));
}

#[test]
fn low_rank_products_are_merged_in_files() {
    // What Keras predicted before it saved the model; its products were not zero.
    let x = HostTensor::new([2, 4], vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 0.0, 2.0, 1.0]).unwrap();
    let expected =
        HostTensor::new([2, 2], vec![68.535_095_f32, -56.070_328, 56.396_45, -111.067_505]).unwrap();
    let mut model = load_model(fixture("keras-3.15.1-lora.keras")).unwrap();
    let predicted = model.predict(&x).unwrap();
    assert_eq!(differs(&predicted, std::slice::from_ref(&expected)), None);

    let products: Vec<usize> =
        (0..model.weights().len()).filter(|&i| model.weights()[i].name().starts_with("lora_")).collect();
    assert_eq!(products.len(), 6);
    let mut values = weights(&model);
    for &i in &products {
        assert!(values[i].to_f64_vec().iter().all(|&x| x == 0.0), "Keras makes them zero too");
        values[i] = HostTensor::full(values[i].shape().clone(), DType::F32, 0.5);
    }
    model.set_weights(&values).unwrap();
    let predicted = model.predict(&x).unwrap();
    assert!(differs(&predicted, &[expected]).is_some());

    let mut loaded = load_model_from_bytes(model.to_keras_bytes().unwrap()).unwrap();
    assert_eq!(differs(&loaded.predict(&x).unwrap(), &predicted), None);
    assert!(products.iter().all(|&i| weights(&loaded)[i].to_f64_vec().iter().all(|&x| x == 0.0)));
}
