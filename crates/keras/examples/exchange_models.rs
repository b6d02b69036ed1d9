//! The half of `scripts/check-with-keras.sh` that runs here: writes models for the real Keras to read, and reads what it
//! wrote.
//!
//! `exchange_models write DIR` saves every model of the golden vectors in every format, and a small one trained by each
//! optimizer, each with inputs and predictions in `NAME.safetensors`; of one that is compiled also what more steps of training
//! give from there. `exchange_models read DIR` loads the files of such a folder and compares.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use keras::prelude::*;
use keras::saving::legacy::Version;
use keras::saving::{SaveOptions, json};
use keras::training::Batch;
use keras::{load_model, model_from_json};
use keras_spec::HostTensor;
use keras_spec::object::registered;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Older programs that models are written for, with what their files are called.
const OLDER: [(Version, &str); 4] = [
    (Version::new(3, 6, 0), "keras-3.6.keras"),
    (Version::new(3, 3, 0), "keras-3.3.keras"),
    (Version::new(3, 0, 0), "keras-3.0.keras"),
    (Version::new(2, 21, 0), "tf-keras.h5"),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", directory] => write(Path::new(directory)),
        ["read", directory] => read(Path::new(directory)),
        _ => Err("usage: exchange_models write|read DIR".into()),
    }
}

fn array(file: &SafeTensors, key: &str) -> Result<HostTensor> {
    let view = file.tensor(key)?;
    let values = view.data().chunks_exact(4).map(|b| <[u8; 4]>::try_from(b).unwrap_or_default());
    Ok(match view.dtype() {
        Dtype::F32 => HostTensor::new(view.shape(), values.map(f32::from_le_bytes).collect())?,
        Dtype::I32 => HostTensor::new(view.shape(), values.map(i32::from_le_bytes).collect())?,
        other => return Err(format!("{key}: {other:?} is not handled").into()),
    })
}

fn bytes(array: &HostTensor) -> Result<(Dtype, Vec<u8>)> {
    Ok(match array.as_slice::<i32>() {
        Ok(values) => (Dtype::I32, values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Err(_) => (Dtype::F32, array.as_slice::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect()),
    })
}

/// How many steps training goes on.
const STEPS: usize = 3;

/// Arrays for a safetensors file.
type Arrays = Vec<(String, HostTensor)>;

fn numbered(letter: char, list: Vec<HostTensor>) -> Arrays {
    list.into_iter().enumerate().map(|(i, a)| (format!("{letter}{i}"), a)).collect()
}

/// Targets that have a gradient: classes for a loss that takes those, else what is predicted with a shift.
fn targets(model: &Model, predictions: &[HostTensor]) -> Result<Option<Vec<HostTensor>>> {
    let config = json::parse(&model.to_json()?)?;
    let loss = &config["compile_config"]["loss"];
    let text = |i: usize| match loss {
        Value::Array(list) => list.get(i).map(Value::to_string).unwrap_or_default(),
        Value::Object(map) if !map.contains_key("class_name") => {
            map.values().nth(i).map(Value::to_string).unwrap_or_default()
        }
        one => one.to_string(),
    };
    let one = |(i, y): (usize, &HostTensor)| -> Result<HostTensor> {
        let values = y.as_slice::<f32>()?;
        if !text(i).to_lowercase().contains("sparse") {
            return Ok(HostTensor::new(y.shape().clone(), values.iter().map(|v| v + 0.5).collect())?);
        }
        let Some((&classes, rest)) = y.shape().split_last() else {
            return Err("a loss of no classes".into());
        };
        let best = |row: &[f32]| {
            row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i as i32)
        };
        Ok(HostTensor::new(rest, values.chunks(classes).map(best).collect())?)
    };
    match predictions.iter().all(|y| y.dtype() == keras_spec::DType::F32) {
        true => predictions.iter().enumerate().map(one).collect::<Result<Vec<_>>>().map(Some),
        false => Ok(None),
    }
}

/// One step of training, so that the state of the optimizer is not only what was read.
fn step(model: &mut Model, inputs: &[HostTensor]) -> Result<()> {
    if keras_spec::Model::optimizer(model).is_some() {
        let predictions = model.predict_on_batch(inputs.to_vec())?;
        if let Some(targets) = targets(model, &predictions)? {
            model.train_on_batch(&Batch::new(inputs.to_vec(), targets))?;
        }
    }
    Ok(())
}

/// Whether chance plays a part in training: a rate of dropout, or noise, in a configuration.
fn is_random(config: &Value) -> bool {
    let positive = |(key, value): (&String, &Value)| {
        let rate = ["rate", "dropout", "recurrent_dropout", "stddev"].contains(&key.as_str());
        rate && value.as_f64().is_some_and(|v| v > 0.0)
    };
    match config {
        // The width of a distribution that first weights are drawn from is none.
        Value::Object(map) if map.get("module").is_some_and(|m| m == "keras.initializers") => false,
        Value::Object(map) => map.iter().any(positive) || map.values().any(is_random),
        Value::Array(list) => list.iter().any(is_random),
        _ => false,
    }
}

/// What training that goes on from a file comes to: the targets `t`, then the trainable weights `w` and predictions `z` after
/// some steps. Nothing of a model that has nothing to train, or in which chance plays a part.
fn continued(file: &Path, inputs: &[HostTensor]) -> Result<Arrays> {
    let mut model = load_model(file)?;
    let predictions = model.predict_on_batch(inputs.to_vec())?;
    let weights = model.as_layer().trainable_weights();
    let random = is_random(&json::parse(&model.to_json()?)?);
    let Some(targets) = targets(&model, &predictions)?.filter(|_| !weights.is_empty() && !random) else {
        return Ok(Vec::new());
    };
    for _ in 0..STEPS {
        model.train_on_batch(&Batch::new(inputs.to_vec(), targets.clone()))?;
    }
    let weights = weights.iter().map(|w| w.get().to_host()).collect::<std::result::Result<_, _>>()?;
    let after = model.predict_on_batch(inputs.to_vec())?;
    Ok([numbered('t', targets), numbered('w', weights), numbered('z', after)].concat())
}

/// Saves a model in every format.
fn save(model: &Model, inputs: Vec<HostTensor>, directory: &Path, name: &str) -> Result<()> {
    let path = |extension: &str| directory.join(format!("{name}.{extension}"));
    model.save(path("keras"))?;
    model.save(path("h5"))?;
    model.save_weights(path("weights.h5"))?;
    fs::write(path("json"), model.to_json()?)?;
    // For older programs, as far as they have what the model has.
    for (version, extension) in OLDER {
        if let Err(why) = SaveOptions::new().readable_by(version).save(model, path(extension)) {
            fs::write(path(&format!("{extension}.refused")), why.to_string())?;
        }
    }
    let outputs = model.predict_on_batch(inputs.clone())?;
    let optimizer = keras_spec::Model::optimizer(model);
    let further = match optimizer {
        Some(_) => continued(&path("keras"), &inputs)?,
        None => Vec::new(),
    };
    let steps = HostTensor::from(i32::try_from(optimizer.map_or(0, |o| o.iterations()))?);
    let steps = vec![("steps".to_owned(), steps)];
    let arrays = [numbered('x', inputs), numbered('y', outputs), steps, further].concat();
    let data = arrays.iter().map(|(_, a)| bytes(a)).collect::<Result<Vec<_>>>()?;
    let views = arrays.iter().zip(&data).map(|((key, a), (dtype, bytes))| {
        Ok((key.as_str(), TensorView::new(*dtype, a.shape().to_vec(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(fs::write(path("safetensors"), safetensors::serialize(views, None)?)?)
}

fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/models");
    let mut count = 0;
    for folder in fs::read_dir(root)? {
        let folder = folder?.path();
        let cases = json::parse(&fs::read_to_string(folder.join("cases.json"))?)?;
        let arrays = fs::read(folder.join("cases.safetensors"))?;
        let arrays = SafeTensors::deserialize(&arrays)?;
        for case in cases["cases"].as_array().into_iter().flatten() {
            let file = PathBuf::from(case["file"].as_str().ok_or("a case without a file")?);
            let of_keras_2 = folder.ends_with("tf_keras");
            if file.extension().is_none_or(|e| e != "keras") && !of_keras_2 {
                continue;
            }
            // A graph that multiplies by a number, which is not read yet; and two files that Keras itself cannot read when
            // it has written them: a layer inside and outside of a nested model, and several axes in HDF5.
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            if ["convolutions", "nested", "layer_normalization"].contains(&&*stem) && !of_keras_2 {
                continue;
            }
            let mut model = load_model(folder.join(&file))?;
            let inputs = case["inputs"].as_array().into_iter().flatten();
            let inputs = inputs.map(|v| array(&arrays, v["tensor"].as_str().unwrap_or_default()));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            step(&mut model, &inputs)?;
            let group = folder.file_name().unwrap_or_default().to_string_lossy();
            save(&model, inputs, directory, &format!("{group}-{stem}"))?;
            count += 1;
        }
    }
    count += write_legacy(directory)?;
    for entry in registered::<dyn keras_spec::Optimizer>() {
        let name = entry.class.name;
        // It wraps another one.
        if name == "LossScaleOptimizer" {
            continue;
        }
        let model = Sequential::new().add(Input::new([3])).add(Dense::new(4).activation(Activation::Tanh));
        let mut model = model.add(Dense::new(2)).build()?;
        model.compile(Compile::new(name, "mse"))?;
        let inputs = vec![HostTensor::new([4, 3], (0..12).map(|i| (i as f32).sin()).collect())?];
        step(&mut model, &inputs)?;
        save(&model, inputs, directory, &format!("optimizer-{name}"))?;
        count += 1;
    }
    println!("{count} models written to {}", directory.display());
    Ok(())
}

/// Files of older programs whose models are not the same layers in Keras 3: masks that meet, steps that masks leave out, and the
/// `hard_sigmoid` of Keras 2.
const LEGACY: [(&str, &[&str]); 5] = [
    ("tf-keras-2.21-meeting-masks", &[]),
    ("keras-2.2.4-tf", &["gru_reset_after_false.h5", "rnn_cells_stacked.h5"]),
    ("keras-2.2.4-tf-more", &["bidir_masked.h5"]),
    ("keras-2.2.4-tf-masks", &[]),
    ("keras-2.3.1-tf-masks", &[]),
];

/// Saves [`LEGACY`] anew, all of a folder where no files of it are named: how many there are.
fn write_legacy(directory: &Path) -> Result<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/legacy");
    let mut count = 0;
    for (group, files) in LEGACY {
        let folder = root.join(group);
        let cases = json::parse(&fs::read_to_string(folder.join("models.json"))?)?;
        let arrays = fs::read(folder.join("models.safetensors"))?;
        let arrays = SafeTensors::deserialize(&arrays)?;
        for case in cases["cases"].as_array().into_iter().flatten() {
            let Some(file) = case["file"].as_str() else { continue };
            if !files.is_empty() && !files.contains(&file) {
                continue;
            }
            let mut model = load_model(folder.join(file))?;
            let inputs = case["inputs"].get("list").unwrap_or(&case["inputs"]);
            let inputs = inputs.as_array().cloned().unwrap_or_else(|| vec![inputs.clone()]);
            let inputs = inputs.iter().map(|v| array(&arrays, v["tensor"].as_str().unwrap_or_default()));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            step(&mut model, &inputs)?;
            save(&model, inputs, directory, &format!("{group}-{}", file.trim_end_matches(".h5")))?;
            count += 1;
        }
    }
    Ok(count)
}

fn read(directory: &Path) -> Result<()> {
    let (mut count, mut failures) = (0, Vec::new());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "safetensors") {
            continue;
        }
        for extension in ["keras", "h5", "weights.h5"] {
            // Keras cannot write every model as HDF5; the script that had it write them says which.
            if extension == "h5" && !path.with_extension(extension).exists() {
                continue;
            }
            count += 1;
            if let Err(why) = check(&path, extension) {
                failures.push(format!("{}: {why}", path.with_extension(extension).display()));
            }
        }
    }
    println!("{count} files of Keras read, {} fail", failures.len());
    failures.iter().for_each(|f| println!("  {f}"));
    if count == 0 || !failures.is_empty() { Err("not everything was read".into()) } else { Ok(()) }
}

/// Loads a file and compares its predictions.
fn check(arrays: &Path, extension: &str) -> Result<()> {
    let file = arrays.with_extension(extension);
    let model = match extension {
        "weights.h5" => {
            let model = model_from_json(&fs::read_to_string(arrays.with_extension("json"))?)?;
            model.load_weights(&file)?;
            model
        }
        _ => load_model(&file)?,
    };
    let data = fs::read(arrays)?;
    let data = SafeTensors::deserialize(&data)?;
    let list = |letter: char| -> Result<Vec<HostTensor>> {
        let count = data.names().iter().filter(|n| n.starts_with(letter)).count();
        (0..count).map(|i| array(&data, &format!("{letter}{i}"))).collect()
    };
    let (got, expected) = (model.predict_on_batch(list('x')?)?, list('y')?);
    if got.len() != expected.len() {
        return Err(format!("{} outputs, expected {}", got.len(), expected.len()).into());
    }
    for (g, e) in got.iter().zip(&expected) {
        let pairs = g.to_f64_vec().into_iter().zip(e.to_f64_vec());
        let worst = pairs.map(|(g, e)| (g - e).abs() / (1.0 + e.abs())).fold(0.0, f64::max);
        if g.shape() != e.shape() || worst.is_nan() || worst > 1e-5 {
            return Err(format!("predictions differ by {worst:e}").into());
        }
    }
    Ok(())
}
