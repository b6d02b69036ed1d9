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
use keras::training::Data;
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
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let one = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() / (1e-5 + 1e-5 * b.abs()) };
    got.iter()
        .zip(&expected)
        .map(one)
        .fold(0.0, |m: f64, e| if e.is_nan() { f64::INFINITY } else { m.max(e) })
}

fn check(folder: &Path, case: &Value, arrays: &Arrays) -> Result<(), String> {
    let options = LoadOptions::new();
    let file = folder.join(case["file"].as_str().unwrap());
    let model = match case["config_file"].as_str() {
        None => options.open(&file),
        Some(config) => {
            let text = fs::read_to_string(folder.join(config)).unwrap();
            keras::model_from_json(&text).and_then(|m| m.load_weights(&file).map(|_| m))
        }
    };
    let mut model = model.map_err(|e| e.to_string())?;
    let mut inputs = arrays_of(&case["inputs"], arrays);
    let inputs = if inputs.len() == 1 { Data::One(inputs.remove(0)) } else { Data::List(inputs) };
    let outputs = model.predict(inputs).map_err(|e| e.to_string())?;
    let expected = arrays_of(&case["outputs"], arrays);
    if outputs.len() != expected.len() {
        return Err(format!("{} outputs, not {}", outputs.len(), expected.len()));
    }
    for (got, expected) in outputs.iter().zip(&expected) {
        if got.shape() != expected.shape() {
            return Err(format!("shape {}, not {}", got.shape(), expected.shape()));
        }
        let error = error(got, expected);
        if error > 1.0 {
            return Err(format!("off by {error:.1} tolerances"));
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

#[test]
fn files_named_by_the_environment_predict_what_their_writers_did() {
    let folders = std::env::var_os("KERAS_MODEL_FILES").unwrap_or_default();
    for folder in std::env::split_paths(&folders).filter(|f| !f.as_os_str().is_empty()) {
        let (count, failed) = run(&folder);
        println!("{}: {} of {count} files are right", folder.display(), count - failed.len());
        assert!(failed.is_empty(), "{} files are wrong:\n{}", failed.len(), failed.join("\n"));
    }
}
