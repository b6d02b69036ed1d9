//! Which file is which: told from the content, since names mislead (Keras 2 wrote HDF5 into files named
//! `.keras`, and both Keras 1 and Keras 3 use `.weights.h5`).

use std::fs;
use std::io::Read;
use std::path::Path;

use super::container::{Archive, CONFIG, METADATA, WEIGHTS};
use super::error::{FileError, Result};
use super::{h5, json};

/// What a file is, and who writes such files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A `.keras` archive, zipped or as a directory (Keras 2.12 and later).
    Keras,
    /// A whole model in HDF5 (Keras 1.0.7 and later, tf.keras, Keras 3).
    WholeModelH5,
    /// Weights alone in HDF5, by layer name (Keras 1 and 2, tf.keras).
    LayerWeightsH5,
    /// Weights alone in HDF5 as Keras 0 wrote them.
    Keras0WeightsH5,
    /// Weights alone in HDF5, by object path (`.weights.h5` of Keras 3 and late tf.keras).
    ObjectWeightsH5,
    /// The index of weights spread over several files (`.weights.json`, Keras 3.10 and later).
    ShardedWeights,
    /// A model without weights, in JSON.
    ArchitectureJson,
    /// A model without weights, in YAML (up to TensorFlow 2.5).
    ArchitectureYaml,
}

/// What [`sniff`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sniffed {
    /// The kind of file.
    pub kind: FileKind,
    /// What in the file says so.
    pub reason: &'static str,
}

const EXPECTED: &str = "a model file of Keras";

/// Architectures are not longer: fifty thousand layers of Keras 3 take as much. JSON takes some fifty times its length in memory.
pub(super) const MAX_TEXT: u64 = 64 << 20;

/// Tells what the file or directory at `path` is.
///
/// # Errors
/// It cannot be read, is empty or damaged, or is no file of Keras; the message says what it looks like.
pub fn sniff(path: impl AsRef<Path>) -> Result<Sniffed> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let io = |e| FileError::io(&name, e);
    if fs::metadata(path).map_err(io)?.is_dir() {
        return sniff_archive(&name, Archive::open(path)?);
    }
    let mut head = Vec::new();
    fs::File::open(path).and_then(|f| f.take(8).read_to_end(&mut head)).map_err(io)?;
    match format_of(&name, &head)? {
        Format::H5 => sniff_h5(&name, &h5::File::open(path)?),
        Format::Zip => sniff_archive(&name, Archive::open(path)?),
        Format::Text => {
            let mut text = Vec::new();
            fs::File::open(path).and_then(|f| f.take(MAX_TEXT + 1).read_to_end(&mut text)).map_err(io)?;
            sniff_text(&name, &text)
        }
    }
}

/// Tells what a file held in memory is; error messages call it `name`.
///
/// # Errors
/// Those of [`sniff`].
pub fn sniff_bytes(name: &str, bytes: &[u8]) -> Result<Sniffed> {
    match format_of(name, bytes)? {
        Format::H5 => sniff_h5(name, &h5::File::from_bytes(name, bytes.to_vec())?),
        Format::Zip => sniff_archive(name, Archive::from_bytes(name, bytes.to_vec())?),
        Format::Text => sniff_text(name, bytes),
    }
}

enum Format {
    H5,
    Zip,
    Text,
}

fn format_of(name: &str, head: &[u8]) -> Result<Format> {
    let foreign = |what: &str| Err(FileError::unexpected(name, "", EXPECTED, what));
    match head {
        [] => foreign("an empty file"),
        [0x89, b'H', b'D', b'F', ..] => Ok(Format::H5),
        [b'P', b'K', 3 | 5, ..] => Ok(Format::Zip),
        [0x1f, 0x8b, ..] => foreign("a gzip file; unpack it first"),
        [0x80, 2..=5, ..] => foreign("a Python pickle, which is never run"),
        _ => Ok(Format::Text),
    }
}

fn sniff_h5(name: &str, file: &h5::File) -> Result<Sniffed> {
    let found = |kind, reason| Ok(Sniffed { kind, reason });
    let root = file.root();
    let attributes = root.attributes()?;
    let has = |attribute: &str| attributes.names().any(|n| n == attribute);
    if has("model_config") {
        return found(FileKind::WholeModelH5, "HDF5 with the attribute model_config");
    }
    if has("layer_names") || has("layer_names0") {
        return found(FileKind::LayerWeightsH5, "HDF5 with the attribute layer_names");
    }
    if has("nb_layers") {
        return found(FileKind::Keras0WeightsH5, "HDF5 with the attribute nb_layers");
    }
    for (group, reason) in [
        ("layers", "HDF5 with the group layers"),
        ("_layer_checkpoint_dependencies", "HDF5 with the group _layer_checkpoint_dependencies"),
        ("vars", "HDF5 with the group vars"),
        ("optimizer", "HDF5 with the group optimizer"),
    ] {
        if root.find_group(group)?.is_some() {
            return found(FileKind::ObjectWeightsH5, reason);
        }
    }
    if root.find_group("graph")?.is_some() {
        return found(FileKind::Keras0WeightsH5, "HDF5 with the group graph");
    }
    if root.find_group("model_weights")?.is_some() {
        let found = "HDF5 with model_weights but no model_config: the file was not written to its end";
        return Err(FileError::unexpected(name, "", EXPECTED, found));
    }
    Err(FileError::unexpected(name, "", EXPECTED, "an HDF5 file of another program"))
}

fn sniff_archive(name: &str, archive: Archive) -> Result<Sniffed> {
    let has = |member: &str| archive.members().iter().any(|m| m == member);
    if has(CONFIG) && has(METADATA) {
        if has(WEIGHTS) {
            let reason = "an archive with metadata.json, config.json and model.weights.h5";
            return Ok(Sniffed { kind: FileKind::Keras, reason });
        }
        let found = if has("model.weights.npz") {
            "a .keras archive whose weights are a pickled .npz, which is never run"
        } else {
            "a .keras archive without model.weights.h5"
        };
        return Err(FileError::unexpected(name, "", EXPECTED, found));
    }
    let ends = |suffix: &str| archive.members().iter().any(|m| m.ends_with(suffix));
    let found = if has("saved_model.pb") {
        "a TensorFlow SavedModel"
    } else if ends("data.pkl") {
        "a PyTorch file"
    } else if ends(".npy") {
        "a NumPy .npz file"
    } else if ends(".ckpt.index") || has("checkpoint") {
        "a TensorFlow checkpoint"
    } else {
        "an archive or directory of something else"
    };
    Err(FileError::unexpected(name, "", EXPECTED, found))
}

fn sniff_text(name: &str, bytes: &[u8]) -> Result<Sniffed> {
    let foreign = |what: &str| Err(FileError::unexpected(name, "", EXPECTED, what));
    if bytes.len() as u64 > MAX_TEXT {
        return Err(FileError::refused(name, "", "more than 64 MiB of text"));
    }
    let Ok(text) = str::from_utf8(bytes) else { return foreign("binary data of an unknown format") };
    let start = text.trim_start();
    if start.starts_with('{') {
        return match json::keys(text) {
            Ok(keys) => sniff_json(name, &keys),
            Err(e) => foreign(&format!("JSON that is damaged or cut off ({e})")),
        };
    }
    if start.starts_with("version https://git-lfs") {
        return foreign("a Git LFS pointer; fetch the file itself with `git lfs pull`");
    }
    if start.starts_with('<') {
        return foreign("a web page: the download went wrong");
    }
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("class_name:") && has("config:") {
        let reason = "YAML with class_name and config";
        return Ok(Sniffed { kind: FileKind::ArchitectureYaml, reason });
    }
    foreign("text of an unknown format")
}

fn sniff_json(name: &str, keys: &[String]) -> Result<Sniffed> {
    let has = |key: &str| keys.iter().any(|k| k == key);
    if has("weight_map") {
        return Ok(Sniffed { kind: FileKind::ShardedWeights, reason: "JSON with weight_map" });
    }
    if has("class_name") && has("config") {
        return Ok(Sniffed { kind: FileKind::ArchitectureJson, reason: "JSON with class_name and config" });
    }
    Err(FileError::unexpected(name, "", EXPECTED, "JSON without class_name and config"))
}
