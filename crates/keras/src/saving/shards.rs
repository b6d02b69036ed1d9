//! Weights spread over several HDF5 files, with an index in JSON (Keras 3.10 and later).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use keras_spec::{Result, ResultExt};
use serde_json::Value;

use super::error::{FileError, Result as FileResult};
use super::model::write_file;
use super::{h5, json, tree};
use crate::models::Model;

/// How many bytes of arrays Keras puts into a file unless told.
pub(super) const DEFAULT_SIZE: u64 = 5 << 30;

/// No index is longer.
const MAX_INDEX: u64 = 64 << 20;

/// Writes the files and their index.
///
/// # Errors
/// An array is larger than `limit`, or a file cannot be written.
pub(super) fn save(model: &Model, path: &Path, limit: u64) -> Result<()> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = file.strip_suffix(".json").unwrap_or(&file).replace(".weights", "");
    let shard = |number: usize| format!("{stem}_{number:05}.weights.h5");
    let index = tree::write_shards(model, limit, shard, |number, writer| {
        let path = path.with_file_name(shard(number));
        let name = path.display().to_string();
        write_file(&path, |out| writer.finish_to(&name, out))
    });
    let index = index.at(|| path.display().to_string())?;
    let io = |e| FileError::io(path.display().to_string(), e);
    write_file(path, |out| out.write_all(json::to_string(&index).as_bytes()).map_err(io))
}

/// Opens the files that an index of sharded weights (`NAME.weights.json`) names, in their order. They lie beside it, wherever their names may lead.
///
/// # Errors
/// The index is damaged or names a file elsewhere, or a file cannot be opened.
pub fn open(path: &Path) -> FileResult<Vec<h5::Group>> {
    let index = path.display().to_string();
    let io = |e| FileError::io(&index, e);
    if fs::metadata(path).map_err(io)?.len() > MAX_INDEX {
        return Err(FileError::refused(&index, "", "an index of more than 64 MiB"));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let value = json::parse(&text).map_err(|e| FileError::unexpected(&index, "", "JSON", e.to_string()))?;
    let unexpected = || {
        FileError::unexpected(
            &index,
            "weight_map",
            "names of files by the paths of weights",
            "something else",
        )
    };
    let map = value.get("weight_map").unwrap_or(&Value::Null);
    let mut names = BTreeSet::new();
    for entry in map.as_object().ok_or_else(unexpected)?.values() {
        let list = entry.as_array().map_or(std::slice::from_ref(entry), Vec::as_slice);
        for name in list {
            let name = name.as_str().ok_or_else(unexpected)?;
            if name.is_empty() || name.contains(['/', '\\', ':', '\0']) || name == ".." {
                return Err(FileError::refused(&index, name, "a file that may lie elsewhere"));
            }
            names.insert(name);
        }
    }
    names.into_iter().map(|name| h5::File::open(path.with_file_name(name)).map(|f| f.root())).collect()
}
