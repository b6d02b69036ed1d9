//! Data for models, and from them.

mod csv;
pub(crate) mod images;
mod npy;
pub(crate) mod safetensors;

use std::io::Write;
use std::path::{Path, PathBuf};

use keras::saving::FileError;
use keras::saving::atomic::write_atomically;
use keras_spec::{Element, HostTensor, TensorSpec, dispatch_dtype};
use serde_json::{Value, json};

use crate::answer::{Failure, Result};
use images::Pixels;

/// The arrays in a file, by name where the file has names.
pub(crate) struct Arrays {
    pub(crate) arrays: Vec<(Option<String>, HostTensor)>,
    /// The file of each sample, of pictures.
    pub(crate) samples: Option<Vec<PathBuf>>,
}

const READABLE: &str = ".npy, .npz, .csv, .safetensors, a picture (.png, .jpg), or a folder of pictures";

/// Reads a file of data; `specs` are the model's inputs, `name` the one that the file is for.
pub(crate) fn read(
    path: &Path,
    name: Option<&str>,
    specs: &[(String, TensorSpec)],
    pixels: Pixels,
) -> Result<Arrays> {
    let one = |array| vec![(None, array)];
    let named = |list: Vec<(String, HostTensor)>| list.into_iter().map(|(n, a)| (Some(n), a)).collect();
    let is_folder = path.is_dir();
    if is_folder || images::is(path) {
        let files = if is_folder { images::list(path)? } else { vec![path.to_owned()] };
        if files.is_empty() {
            return Err(Failure::file(path, "a folder without pictures (.png, .jpg, .jpeg)"));
        }
        let spec = specs.iter().find(|(n, _)| name.is_none_or(|name| name == n)).map(|(_, s)| s);
        let spec = spec.ok_or_else(|| {
            let inputs = specs.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
            Failure::Data(format!("{}: for which input is it? The model has: {inputs}", path.display()))
        })?;
        let array = images::read(&files, &spec.shape, pixels)?;
        return Ok(Arrays { arrays: one(array), samples: Some(files) });
    }
    let arrays = match extension(path).as_str() {
        "npy" => one(npy::read(path)?),
        "npz" => named(npy::read_npz(path)?),
        "csv" => one(csv::read(path)?),
        "safetensors" => named(safetensors::read(path)?),
        _ if !path.exists() => return Err(Failure::file(path, "there is no such file")),
        _ => return Err(Failure::file(path, format!("expected {READABLE}"))),
    };
    Ok(Arrays { arrays, samples: None })
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Writes arrays in the format that the name says.
pub(crate) fn write(path: &Path, arrays: &[(String, HostTensor)]) -> Result<()> {
    match (extension(path).as_str(), arrays) {
        ("npy", [(_, array)]) => save(path, |out| npy::write(out, array).map_err(|e| e.to_string())),
        ("npy", _) => {
            let why = format!(".npy holds one array, there are {}; use .npz", arrays.len());
            Err(Failure::Usage(format!("{}: {why}", path.display())))
        }
        ("npz", _) => save(path, |out| npy::write_npz(out, arrays).map_err(|e| e.to_string())),
        ("csv", _) => save(path, |out| csv::write(out, arrays).map_err(|e| e.to_string())),
        ("safetensors", _) => {
            save(path, |out| out.write_all(&safetensors::to_bytes(arrays)?).map_err(|e| e.to_string()))
        }
        ("json", _) => save(path, |out| writeln!(out, "{:#}", to_json(arrays)).map_err(|e| e.to_string())),
        _ => Err(unwritable(path)),
    }
}

/// Checks that [`write()`] knows the format, before there is work to lose.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    match ["npy", "npz", "csv", "safetensors", "json"].contains(&extension(path).as_str()) {
        true => Ok(()),
        false => Err(unwritable(path)),
    }
}

fn unwritable(path: &Path) -> Failure {
    let expected = "a name that ends in .npy, .npz, .csv, .safetensors or .json";
    Failure::Usage(format!("{}: expected {expected}", path.display()))
}

/// Writes a file whole or not at all.
pub(crate) fn save<E: std::fmt::Display>(
    path: &Path,
    write: impl FnOnce(&mut std::io::BufWriter<std::fs::File>) -> Result<(), E>,
) -> Result<()> {
    let written = write_atomically(path, |out| {
        write(out)
            .map_err(|e| FileError::Unwritable { object: path.display().to_string(), why: e.to_string() })
    });
    written.map_err(Failure::named)
}

/// Arrays with all their elements.
pub(crate) fn to_json(arrays: &[(String, HostTensor)]) -> Value {
    let one = |(name, array): &(String, HostTensor)| {
        let values = dispatch_dtype!(array.dtype(), T => {
            let elements = array.as_slice::<T>().unwrap_or(&[]);
            nested(array.shape(), &mut elements.iter().map(|x| number(*x)))
        });
        json!({ "name": name, "shape": array.shape().dims(), "dtype": array.dtype().name(), "values": values })
    };
    arrays.iter().map(one).collect()
}

/// An element with its own digits, not those of its neighbour among the float64.
fn number<T: Element>(x: T) -> Value {
    match T::DTYPE {
        keras_spec::DType::Bool => (x.to_i128() != 0).into(),
        d if d.is_int() => {
            i64::try_from(x.to_i128()).map_or_else(|_| (x.to_i128() as u64).into(), Value::from)
        }
        keras_spec::DType::F64 => x.to_f64().into(),
        _ => (x.to_f64() as f32).to_string().parse::<f64>().map_or(Value::Null, Value::from),
    }
}

fn nested(shape: &[usize], elements: &mut impl Iterator<Item = Value>) -> Value {
    match shape {
        [] => elements.next().unwrap_or_default(),
        [n, rest @ ..] => (0..*n).map(|_| nested(rest, elements)).collect(),
    }
}
