//! Vector files: JSON with the arrays beside it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keras_spec::half::{bf16, f16};
use keras_spec::{DType, HostData, HostTensor, Shape};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// The only version of the format that is known.
const FORMAT: u64 = 1;

/// Why a vector file or a case in it cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VectorError {
    /// A file is not there or not readable.
    #[error("{file}: {why}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        why: String,
    },
    /// A file is not what its name says.
    #[error("{file}: not a vector file: {why}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A case names an array that is not in the file.
    #[error("there is no tensor `{0}`")]
    MissingTensor(String),
    /// An array has a dtype that Keras lacks.
    #[error("tensor `{0}` is {1}, which is no dtype of Keras")]
    Dtype(String, String),
    /// A case lacks a key, or its value is of the wrong form.
    #[error("`{0}`: {1}")]
    Key(String, String),
}

/// The arrays of a vector file by key.
#[derive(Debug, Default)]
pub struct Arrays(HashMap<String, Result<HostTensor, VectorError>>);

impl Arrays {
    /// Reads a safetensors file.
    ///
    /// # Errors
    /// If it is not there, or truncated or damaged.
    pub fn read(path: &Path) -> Result<Self, VectorError> {
        let bytes = read(path)?;
        let format = |e: safetensors::SafeTensorError| VectorError::Format {
            file: path.display().to_string(),
            why: e.to_string(),
        };
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let arrays = file.iter().map(|(key, view)| (key.to_owned(), array(key, &view))).collect();
        Ok(Arrays(arrays))
    }

    /// The array of a key.
    ///
    /// # Errors
    /// If there is none, or its dtype is none of Keras's.
    pub fn get(&self, key: &str) -> Result<&HostTensor, VectorError> {
        match self.0.get(key) {
            None => Err(VectorError::MissingTensor(key.to_owned())),
            Some(array) => array.as_ref().map_err(Clone::clone),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, VectorError> {
    fs::read(path).map_err(|e| VectorError::Read { file: path.display().to_string(), why: e.to_string() })
}

fn array(key: &str, view: &TensorView<'_>) -> Result<HostTensor, VectorError> {
    fn elements<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks().0.iter().map(|&chunk| read(chunk)).collect()
    }
    let bytes = view.data();
    let data = match view.dtype() {
        Dtype::BOOL => HostData::Bool(bytes.iter().map(|&b| b != 0).collect()),
        Dtype::U8 => HostData::U8(bytes.to_vec()),
        Dtype::I8 => HostData::I8(elements(bytes, i8::from_le_bytes)),
        Dtype::U16 => HostData::U16(elements(bytes, u16::from_le_bytes)),
        Dtype::I16 => HostData::I16(elements(bytes, i16::from_le_bytes)),
        Dtype::U32 => HostData::U32(elements(bytes, u32::from_le_bytes)),
        Dtype::I32 => HostData::I32(elements(bytes, i32::from_le_bytes)),
        Dtype::U64 => HostData::U64(elements(bytes, u64::from_le_bytes)),
        Dtype::I64 => HostData::I64(elements(bytes, i64::from_le_bytes)),
        Dtype::F16 => HostData::F16(elements(bytes, f16::from_le_bytes)),
        Dtype::BF16 => HostData::BF16(elements(bytes, bf16::from_le_bytes)),
        Dtype::F32 => HostData::F32(elements(bytes, f32::from_le_bytes)),
        Dtype::F64 => HostData::F64(elements(bytes, f64::from_le_bytes)),
        other => return Err(VectorError::Dtype(key.to_owned(), format!("{other:?}"))),
    };
    HostTensor::from_data(Shape::from(view.shape()), data)
        .map_err(|e| VectorError::Key(key.to_owned(), e.to_string()))
}

/// A nested value of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// An array.
    Tensor(HostTensor),
    /// A number, a string, a boolean or null.
    Value(Value),
    /// A list or tuple.
    List(Vec<Tree>),
    /// A dict.
    Dict(BTreeMap<String, Tree>),
}

impl Tree {
    fn read(value: &Value, arrays: &Arrays) -> Result<Self, VectorError> {
        let list = |items: &[Value]| {
            items.iter().map(|v| Tree::read(v, arrays)).collect::<Result<_, _>>().map(Tree::List)
        };
        let Value::Object(map) = value else {
            return match value {
                Value::Array(items) => list(items),
                leaf => Ok(Tree::Value(leaf.clone())),
            };
        };
        match map.iter().next() {
            Some((key, Value::String(name))) if key == "tensor" => {
                arrays.get(name).cloned().map(Tree::Tensor)
            }
            Some((key, Value::Array(items))) if key == "list" => list(items),
            Some((key, Value::Object(entries))) if key == "dict" => {
                let read = |(k, v): (&String, &Value)| Ok((k.clone(), Tree::read(v, arrays)?));
                entries.iter().map(read).collect::<Result<_, _>>().map(Tree::Dict)
            }
            _ => Err(VectorError::Key(value.to_string(), "is no tensor, list or dict".to_owned())),
        }
    }

    /// The leaves: list elements in order, dict values by sorted key.
    pub fn flatten(&self) -> Vec<&Tree> {
        match self {
            Tree::List(items) => items.iter().flat_map(Tree::flatten).collect(),
            Tree::Dict(entries) => entries.values().flat_map(Tree::flatten).collect(),
            leaf => vec![leaf],
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        *self == Tree::Value(Value::Null)
    }

    /// A leaf as an array, null as none. Python numbers become what Keras makes of them: float32, int32, bool.
    ///
    /// # Errors
    /// If the leaf is neither an array nor a number.
    pub fn tensor(&self) -> Result<Option<HostTensor>, VectorError> {
        let no = || VectorError::Key(format!("{self:?}"), "is no array".to_owned());
        match self {
            Tree::Tensor(t) => Ok(Some(t.clone())),
            Tree::Value(Value::Null) => Ok(None),
            Tree::Value(Value::Bool(b)) => Ok(Some((*b).into())),
            Tree::Value(Value::Number(n)) => match n.as_i64() {
                Some(i) => i32::try_from(i).map(|i| Some(i.into())).map_err(|_| no()),
                None => n.as_f64().map(|x| Some((x as f32).into())).ok_or_else(no),
            },
            _ => Err(no()),
        }
    }

    /// [`Tree::tensor`] of every leaf.
    ///
    /// # Errors
    /// If a leaf is neither an array, a number nor null.
    pub fn tensors(&self) -> Result<Vec<Option<HostTensor>>, VectorError> {
        self.flatten().into_iter().map(Tree::tensor).collect()
    }

    /// As plain JSON, if there is no array in it.
    pub fn to_value(&self) -> Option<Value> {
        match self {
            Tree::Tensor(_) => None,
            Tree::Value(v) => Some(v.clone()),
            Tree::List(items) => {
                items.iter().map(Tree::to_value).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Tree::Dict(entries) => {
                let entry = |(k, v): (&String, &Tree)| Some((k.clone(), v.to_value()?));
                entries.iter().map(entry).collect::<Option<Map<_, _>>>().map(Value::Object)
            }
        }
    }
}

/// One case of a vector file.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's JSON.
    pub path: PathBuf,
    /// Its name, unique among all.
    pub id: String,
    /// What is computed: `layer`, `loss`, …
    pub kind: String,
    /// The class, function or operation.
    pub class: String,
    body: Map<String, Value>,
    arrays: Arc<Arrays>,
}

impl Case {
    /// The plain JSON of a key; null where there is none.
    pub fn json(&self, key: &str) -> &Value {
        self.body.get(key).unwrap_or(&Value::Null)
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// If it names an array that is not there.
    pub fn optional(&self, key: &str) -> Result<Option<Tree>, VectorError> {
        self.body.get(key).map(|v| Tree::read(v, &self.arrays)).transpose()
    }

    /// The value of a key.
    ///
    /// # Errors
    /// If there is none, or it names an array that is not there.
    pub fn tree(&self, key: &str) -> Result<Tree, VectorError> {
        self.optional(key)?.ok_or_else(|| VectorError::Key(key.to_owned(), "is missing".to_owned()))
    }

    /// A value inside plain JSON, such as the batches in `training`.
    ///
    /// # Errors
    /// If it names an array that is not there.
    pub fn read(&self, value: &Value) -> Result<Tree, VectorError> {
        Tree::read(value, &self.arrays)
    }

    /// Every array that a value names, however deep.
    pub(crate) fn arrays_in(&self, value: &Value) -> Vec<HostTensor> {
        match value {
            Value::Array(items) => items.iter().flat_map(|v| self.arrays_in(v)).collect(),
            Value::Object(map) => match map.get("tensor") {
                Some(Value::String(key)) => self.arrays.get(key).ok().cloned().into_iter().collect(),
                _ => map.values().flat_map(|v| self.arrays_in(v)).collect(),
            },
            _ => Vec::new(),
        }
    }

    /// The entries of a dict; none where the key is absent.
    ///
    /// # Errors
    /// If it is no dict, or names an array that is not there.
    pub fn dict(&self, key: &str) -> Result<BTreeMap<String, Tree>, VectorError> {
        match self.optional(key)? {
            None => Ok(BTreeMap::new()),
            Some(Tree::Dict(entries)) => Ok(entries),
            Some(_) => Err(VectorError::Key(key.to_owned(), "is no dict".to_owned())),
        }
    }

    /// The elements of a list.
    ///
    /// # Errors
    /// If it is missing, no list, or names an array that is not there.
    pub fn list(&self, key: &str) -> Result<Vec<Tree>, VectorError> {
        match self.tree(key)? {
            Tree::List(items) => Ok(items),
            _ => Err(VectorError::Key(key.to_owned(), "is no list".to_owned())),
        }
    }

    /// The string of a key.
    ///
    /// # Errors
    /// If there is none.
    pub fn text(&self, key: &str) -> Result<&str, VectorError> {
        self.json(key).as_str().ok_or_else(|| VectorError::Key(key.to_owned(), "is no string".to_owned()))
    }
}

/// A vector file.
#[derive(Debug)]
pub struct VectorFile {
    /// The JSON.
    pub path: PathBuf,
    /// Its cases.
    pub cases: Vec<Case>,
}

impl VectorFile {
    /// Every JSON below a folder that stands beside a safetensors file of its name, or holds cases all the same, sorted.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn find(folder: &Path) -> Result<Vec<PathBuf>, VectorError> {
        let fail =
            |e: std::io::Error| VectorError::Read { file: folder.display().to_string(), why: e.to_string() };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                found.extend(VectorFile::find(&path)?);
            } else if path.extension().is_some_and(|e| e == "json")
                && (path.with_extension("safetensors").is_file() || has_cases(&path))
            {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Reads a vector file.
    ///
    /// # Errors
    /// If it cannot be read, is no vector file, or of an unknown format.
    pub fn read(path: &Path) -> Result<Self, VectorError> {
        let bad = |why: String| VectorError::Format { file: path.display().to_string(), why };
        let json: Value = serde_json::from_slice(&read(path)?).map_err(|e| bad(e.to_string()))?;
        match json.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            _ => return Err(bad(format!("`format` is {}, not {FORMAT}", json["format"]))),
        }
        let Some(Value::Array(cases)) = json.get("cases") else {
            return Err(bad("`cases` is no list".to_owned()));
        };
        let arrays = Arc::new(Arrays::read(&path.with_extension("safetensors"))?);
        let case = |value: &Value| {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let id = text("id").ok_or_else(|| bad("a case has no `id`".to_owned()))?;
            let kind = text("kind").ok_or_else(|| bad(format!("case `{id}` has no `kind`")))?;
            let class = text("class_name").or_else(|| text("op")).unwrap_or_default();
            let body = value.as_object().cloned().unwrap_or_default();
            Ok(Case { path: path.to_owned(), id, kind, class, body, arrays: arrays.clone() })
        };
        let cases = cases.iter().map(case).collect::<Result<_, _>>()?;
        Ok(VectorFile { path: path.to_owned(), cases })
    }
}

/// Whether a JSON without arrays beside it is a vector file that has lost them; one that cannot be read counts as such.
/// Tables and architectures of models stand alone.
fn has_cases(path: &Path) -> bool {
    let json: Option<Value> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    json.is_none_or(|json| json.get("cases").is_some())
}

/// Whether arrays prove something: one is not constant, or is a single number other than zero, or is empty (then the shape
/// is the result).
pub(crate) fn is_varied<'a>(arrays: impl IntoIterator<Item = &'a HostTensor>) -> bool {
    arrays.into_iter().any(|a| {
        let values = a.to_f64_vec();
        match values[..] {
            [] => true,
            [one] => one != 0.0,
            [first, ref rest @ ..] => rest.iter().any(|&x| x != first && !(x.is_nan() && first.is_nan())),
        }
    })
}

/// A short form of an array for messages: dtype, shape and its first elements.
pub(crate) fn shown(array: &HostTensor) -> String {
    const FIRST: usize = 8;
    let values = array.to_f64_vec();
    let mut out: Vec<String> = values.iter().take(FIRST).map(|x| format!("{x}")).collect();
    if values.len() > FIRST {
        out.push("…".to_owned());
    }
    let dtype: DType = array.dtype();
    format!("{dtype}{} [{}]", array.shape(), out.join(", "))
}

/// [`shown`] of the first few arrays.
pub(crate) fn shown_all(arrays: &[HostTensor]) -> String {
    const FIRST: usize = 8;
    let mut out: Vec<String> = arrays.iter().take(FIRST).map(shown).collect();
    if arrays.len() > FIRST {
        out.push(format!("and {} more", arrays.len() - FIRST));
    }
    out.join(", ")
}
