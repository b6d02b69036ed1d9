//! Reading HDF5 files: groups, attributes and arrays, each guarded before it is read.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use hdf5_pure::{AttrValue, Error, FileAccessProperties, FormatError, Layout, MetadataCacheConfig};
use keras_spec::{DType, HostTensor};

use super::element::{self, Element};
use super::source::{Budget, Bytes, Metered};
use crate::saving::error::{FileError, Result};

/// Groups nested deeper than this are refused: they lead back to themselves, or lead nowhere.
const MAX_DEPTH: usize = 64;

/// No more than this many bytes come out of one compressed byte; deflate cannot do better.
const MAX_EXPANSION: u64 = 1032;

/// An open HDF5 file.
///
/// Opened from a path it is not read as a whole: each array is read when asked for.
#[derive(Clone)]
pub struct File {
    shared: Arc<Shared>,
}

struct Shared {
    hdf5: hdf5_pure::File,
    bytes: Arc<Bytes>,
    /// How error messages name the file.
    name: String,
    len: u64,
    budget: Budget,
}

impl File {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not an HDF5 file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let bytes = fs::File::open(path).and_then(Bytes::whole).map_err(|e| FileError::io(&name, e))?;
        Self::from_source(name, bytes)
    }

    /// Opens a file held in memory; error messages call it `name`.
    ///
    /// # Errors
    /// `bytes` are not an HDF5 file.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        Self::from_source(name.into(), Bytes::Memory(bytes))
    }

    pub(crate) fn from_source(name: String, bytes: Bytes) -> Result<Self> {
        let len = bytes.len();
        let budget = Budget::for_len(len);
        let bytes = Arc::new(bytes);
        let source = Metered { bytes: bytes.clone(), budget: budget.clone() };
        let properties = FileAccessProperties::new().with_metadata_cache(MetadataCacheConfig::new(1 << 20));
        match hdf5_pure::File::from_source_with_options(source, properties) {
            Ok(hdf5) => Ok(File { shared: Arc::new(Shared { hdf5, bytes, name, len, budget }) }),
            Err(Error::Format(FormatError::SignatureNotFound)) => {
                Err(FileError::unexpected(name, "", "an HDF5 file", "no HDF5 signature"))
            }
            Err(e) => Err(FileError::damaged(name, "", e.to_string())),
        }
    }

    /// The group `/`.
    pub fn root(&self) -> Group {
        self.shared.budget.refill();
        Group { shared: self.shared.clone(), hdf5: self.shared.hdf5.root(), path: String::new() }
    }
}

impl Shared {
    fn error(&self, object: &str, error: Error) -> FileError {
        let object = absolute(object);
        match error {
            _ if self.budget.is_spent() => {
                FileError::refused(&self.name, object, "its parts add up to more than the file holds")
            }
            Error::Format(FormatError::PathNotFound(_)) => {
                FileError::Missing { file: self.name.clone(), object }
            }
            Error::NotAGroup(_) => FileError::unexpected(&self.name, object, "a group", "a dataset"),
            Error::NotADataset(_) => FileError::unexpected(&self.name, object, "a dataset", "a group"),
            Error::Format(
                e @ (FormatError::UnsupportedVirtualLayout | FormatError::UnsupportedExternalStorage),
            ) => FileError::refused(&self.name, object, e.to_string()),
            e => FileError::damaged(&self.name, object, e.to_string()),
        }
    }

    fn refused(&self, object: &str, why: impl Into<String>) -> FileError {
        FileError::refused(&self.name, absolute(object), why)
    }
}

/// Paths are kept without the leading slash; messages show it.
fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// A group: a folder of groups and arrays, with attributes.
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
    hdf5: hdf5_pure::Group,
    path: String,
}

impl Group {
    /// The absolute path, `/` for the root.
    pub fn path(&self) -> String {
        absolute(&self.path)
    }

    /// The names of the groups in this group, in natural order: `vars/2` before `vars/10`.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn group_names(&self) -> Result<Vec<String>> {
        self.names(hdf5_pure::Group::groups)
    }

    /// The names of the arrays in this group, in natural order.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn dataset_names(&self) -> Result<Vec<String>> {
        self.names(hdf5_pure::Group::datasets)
    }

    fn names(
        &self,
        list: impl FnOnce(&hdf5_pure::Group) -> std::result::Result<Vec<String>, Error>,
    ) -> Result<Vec<String>> {
        self.shared.budget.refill();
        let mut names = list(&self.hdf5).map_err(|e| self.shared.error(&self.path, e))?;
        names.sort_by(|a, b| natural_order(a, b));
        Ok(names)
    }

    /// The group at `path`, relative to this one: `layers/dense/vars`.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is none; there is a dataset instead, the file is damaged, or the
    /// group is nested deeper than 64 levels.
    pub fn group(&self, path: &str) -> Result<Group> {
        let full = self.join(path)?;
        let hdf5 = self.hdf5.group(path).map_err(|e| self.shared.error(&full, e))?;
        Ok(Group { shared: self.shared.clone(), hdf5, path: full })
    }

    /// The group at `path`, or `None` where there is nothing.
    ///
    /// # Errors
    /// Those of [`group`](Self::group), but for [`FileError::Missing`].
    pub fn find_group(&self, path: &str) -> Result<Option<Group>> {
        found(self.group(path))
    }

    /// The array at `path`, relative to this group: `dense/kernel:0`.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is none; there is a group instead, the file is damaged, or the
    /// array is one that [`Dataset`] refuses.
    pub fn dataset(&self, path: &str) -> Result<Dataset> {
        let full = self.join(path)?;
        let hdf5 = self.hdf5.dataset(path).map_err(|e| self.shared.error(&full, e))?;
        Dataset::new(self.shared.clone(), hdf5, full)
    }

    /// The array at `path`, or `None` where there is nothing.
    ///
    /// # Errors
    /// Those of [`dataset`](Self::dataset), but for [`FileError::Missing`].
    pub fn find_dataset(&self, path: &str) -> Result<Option<Dataset>> {
        found(self.dataset(path))
    }

    /// The paths, relative to this group, of all arrays in it and in the groups below it: depth first, in
    /// natural order.
    ///
    /// # Errors
    /// A group is damaged, or groups contain themselves.
    pub fn dataset_paths(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        // Every object has a header of at least 16 bytes, so a walk that meets more goes in circles.
        let mut left = self.shared.len / 16;
        self.walk("", &mut left, &mut paths)?;
        Ok(paths)
    }

    /// How many numbers the arrays in this group and below have altogether.
    ///
    /// # Errors
    /// As [`dataset_paths`](Group::dataset_paths), or an array is damaged.
    pub fn count_elements(&self) -> Result<usize> {
        let size = |path: &String| {
            let shape = self.dataset(path)?.shape().to_vec();
            Ok(shape.iter().fold(1, |n: usize, &d| n.saturating_mul(d)))
        };
        let sizes = self.dataset_paths()?.iter().map(size).collect::<Result<Vec<_>>>()?;
        Ok(sizes.into_iter().fold(0, usize::saturating_add))
    }

    fn walk(&self, prefix: &str, left: &mut u64, paths: &mut Vec<String>) -> Result<()> {
        let datasets = self.dataset_names()?;
        let groups = self.group_names()?;
        *left = left
            .checked_sub((datasets.len() + groups.len()) as u64)
            .ok_or_else(|| self.shared.refused(&self.path, "groups that contain themselves"))?;
        paths.extend(datasets.into_iter().map(|name| format!("{prefix}{name}")));
        for name in groups {
            self.group(&name)?.walk(&format!("{prefix}{name}/"), left, paths)?;
        }
        Ok(())
    }

    /// The attributes of this group.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn attributes(&self) -> Result<Attributes> {
        self.shared.budget.refill();
        Attributes::new(&self.shared, &self.path, self.hdf5.attrs(), self.hdf5.attr_datatypes())
    }

    fn join(&self, path: &str) -> Result<String> {
        self.shared.budget.refill();
        let full = if self.path.is_empty() { path.to_owned() } else { format!("{}/{path}", self.path) };
        if full.split('/').count() > MAX_DEPTH {
            return Err(self.shared.refused(&full, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(full)
    }
}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(FileError::Missing { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Runs of digits compare as numbers: `dense_2` before `dense_10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (digits(a), digits(b));
        if !x.is_empty() && !y.is_empty() {
            let (m, n) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n)).then_with(|| x.len().cmp(&y.len()));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[x.len()..], &b[y.len()..]);
            continue;
        }
        let (mut p, mut q) = (a.chars(), b.chars());
        match (p.next(), q.next()) {
            (Some(x), Some(y)) if x == y => (a, b) = (p.as_str(), q.as_str()),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn digits(s: &str) -> &str {
    &s[..s.bytes().take_while(u8::is_ascii_digit).count()]
}

/// The attributes of a group or an array.
pub struct Attributes {
    file: String,
    object: String,
    values: BTreeMap<String, AttrValue>,
    /// Attributes that are there, but of a type no Keras writes.
    unreadable: BTreeSet<String>,
}

impl Attributes {
    fn new<M, D>(
        shared: &Shared,
        path: &str,
        values: std::result::Result<M, Error>,
        types: std::result::Result<D, Error>,
    ) -> Result<Self>
    where
        M: IntoIterator<Item = (String, AttrValue)>,
        D: IntoIterator<Item = (String, hdf5_pure::Datatype)>,
    {
        let values: BTreeMap<_, _> = values.map_err(|e| shared.error(path, e))?.into_iter().collect();
        if shared.budget.is_spent() {
            return Err(shared.refused(path, "its attributes add up to more than the file holds"));
        }
        let types = types.map_err(|e| shared.error(path, e))?;
        let unreadable =
            types.into_iter().map(|(name, _)| name).filter(|name| !values.contains_key(name)).collect();
        Ok(Attributes { file: shared.name.clone(), object: absolute(path), values, unreadable })
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// A string: fixed or variable length, ASCII or UTF-8. `None` where there is no such attribute.
    ///
    /// # Errors
    /// The attribute is not a string.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        self.get(name, "a string", AttrValue::as_str)
    }

    /// A list of strings, as Keras stores names: under `name`, or cut into `name0`, `name1`, … where it is
    /// too long for one attribute. An empty list is an empty array of numbers. `None` where there is no
    /// such attribute.
    ///
    /// # Errors
    /// The attribute is something else.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Some(list) = self.get(name, "a list of strings", strings)? {
            return Ok(Some(list));
        }
        let mut whole: Option<Vec<String>> = None;
        for part in 0.. {
            match self.get(&format!("{name}{part}"), "a list of strings", strings)? {
                Some(list) => whole.get_or_insert_default().extend(list),
                None => break,
            }
        }
        Ok(whole)
    }

    /// An integer. `None` where there is no such attribute.
    ///
    /// # Errors
    /// The attribute is not an integer, or does not fit an `i64`.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        self.get(name, "an integer", |v| v.as_i64())
    }

    fn get<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a AttrValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let found = match self.values.get(name) {
            Some(value) => match convert(value) {
                Some(value) => return Ok(Some(value)),
                None => value.type_name(),
            },
            None if self.unreadable.contains(name) => "a value that cannot be decoded",
            None => return Ok(None),
        };
        Err(FileError::unexpected(&self.file, format!("{}@{name}", self.object), expected, found))
    }
}

fn strings(value: &AttrValue) -> Option<Vec<String>> {
    match value.as_strings() {
        Some(list) => Some(list.to_vec()),
        None => value.to_f64s().filter(Vec::is_empty).map(|_| Vec::new()),
    }
}

/// An array in a file.
///
/// Opening one checks that its type is one that Keras writes and that its shape can be what the file
/// holds; nothing is read yet.
pub struct Dataset {
    shared: Arc<Shared>,
    hdf5: hdf5_pure::Dataset,
    path: String,
    shape: Vec<usize>,
    element: Element,
    /// Where the elements begin, if they lie one after the other.
    start: Option<u64>,
}

impl Dataset {
    fn new(shared: Arc<Shared>, hdf5: hdf5_pure::Dataset, path: String) -> Result<Self> {
        let fail = |e| shared.error(&path, e);
        let datatype = hdf5.datatype().map_err(fail)?;
        let element = element::from_hdf5(&datatype).ok_or_else(|| {
            FileError::unexpected(&shared.name, absolute(&path), "numbers or booleans", datatype.to_string())
        })?;
        let shape = hdf5.shape().map_err(fail)?;
        let start = check_storage(&shared, &hdf5, &path, &shape, element.dtype)?;
        let shape = shape.into_iter().map(usize::try_from).collect::<std::result::Result<_, _>>();
        let shape = shape.map_err(|_| shared.refused(&path, "its shape does not fit this machine"))?;
        let dataset = Dataset { shared, hdf5, path, shape, element, start };
        dataset.check_opaque(&datatype)?;
        Ok(dataset)
    }

    /// Two opaque bytes are a bfloat16 unless the attribute that Keras adds says otherwise.
    fn check_opaque(&self, datatype: &hdf5_pure::Datatype) -> Result<()> {
        if let hdf5_pure::Datatype::Opaque { .. } = datatype
            && let Some(name) = self.attributes()?.text("dtype")?
            && name != DType::BF16.name()
        {
            let object = format!("{}@dtype", self.path());
            return Err(FileError::unexpected(&self.shared.name, object, DType::BF16.name(), name));
        }
        Ok(())
    }

    /// The absolute path.
    pub fn path(&self) -> String {
        absolute(&self.path)
    }

    /// The shape; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.element.dtype
    }

    /// The attributes of this array.
    ///
    /// # Errors
    /// They are damaged.
    pub fn attributes(&self) -> Result<Attributes> {
        self.shared.budget.refill();
        Attributes::new(&self.shared, &self.path, self.hdf5.attrs(), self.hdf5.attr_datatypes())
    }

    /// Reads the whole array.
    ///
    /// # Errors
    /// The array is damaged or truncated.
    pub fn read(&self) -> Result<HostTensor> {
        let damaged = |why: String| FileError::damaged(&self.shared.name, self.path(), why);
        let size = self.element.dtype.size();
        let data = match self.start {
            // As all arrays of Keras are: into place, without a copy.
            Some(start) => {
                let fill = |place: &mut [u8]| self.shared.bytes.read_at(start, place);
                element::read(self.element, self.shape.iter().product(), fill)
            }
            None => {
                self.shared.budget.refill();
                let bytes = self.hdf5.read_raw().map_err(|e| self.shared.error(&self.path, e))?;
                let whole = bytes.len() / size * size;
                let fill = |place: &mut [u8]| (&bytes[..whole]).read_exact(place);
                element::read(self.element, whole / size, fill)
            }
        };
        let data = data.map_err(|e| damaged(e.to_string()))?;
        let found = data.len() * size;
        HostTensor::from_data(self.shape.as_slice(), data).map_err(|_| {
            let expected = format!("{} of shape {:?}", self.element.dtype, self.shape);
            FileError::unexpected(&self.shared.name, self.path(), expected, format!("{found} bytes"))
        })
    }
}

/// Checks that an array of `shape` can be what is stored, before memory is taken for it. Where it lies in one piece, the start
/// of that is returned.
fn check_storage(
    shared: &Shared,
    hdf5: &hdf5_pure::Dataset,
    path: &str,
    shape: &[u64],
    dtype: DType,
) -> Result<Option<u64>> {
    let bytes_of = |shape: &[u64]| shape.iter().try_fold(dtype.size() as u64, |n, &d| n.checked_mul(d));
    let describe = |shape: &[u64]| format!("an array of shape {shape:?}, {dtype}");
    let too_large =
        |stored: u64| shared.refused(path, format!("{} in {stored} stored bytes", describe(shape)));
    let needed = bytes_of(shape).ok_or_else(|| too_large(shared.len))?;
    match hdf5.layout().map_err(|e| shared.error(path, e))? {
        Layout::Compact { size } if size < needed => Err(too_large(size)),
        Layout::Compact { .. } => Ok(None),
        Layout::Contiguous { address: Some(start), size } => {
            let stored = size.min(shared.len.saturating_sub(start));
            if stored < needed { Err(too_large(stored)) } else { Ok(Some(start)) }
        }
        // Nothing was ever written; HDF5 would make up zeros.
        Layout::Contiguous { address: None, .. } if needed > 0 => Err(too_large(0)),
        Layout::Contiguous { address: None, .. } => Ok(None),
        Layout::Chunked { chunk_shape, .. } => {
            let limit = shared.len.saturating_mul(MAX_EXPANSION);
            let chunk = bytes_of(&chunk_shape).filter(|chunk| *chunk > 0 && *chunk <= limit);
            let chunk = chunk.ok_or_else(|| {
                shared.refused(
                    path,
                    format!("chunks of shape {chunk_shape:?} in a file of {} bytes", shared.len),
                )
            })?;
            let chunks =
                shape.iter().zip(&chunk_shape).try_fold(1u64, |n, (&d, &c)| n.checked_mul(d.div_ceil(c)));
            // The index takes at least an address for each.
            if needed > limit || chunks.is_none_or(|n| n > shared.len / 8) {
                return Err(too_large(shared.len));
            }
            let stored = hdf5.chunks().map_err(|e| shared.error(path, e))?;
            // The library trusts both places, and takes memory for a chunk before it reads it.
            let inside = |c: &hdf5_pure::Chunk| {
                c.address.checked_add(c.storage_size).is_some_and(|end| end <= shared.len)
                    && c.offset.len() == shape.len()
                    && c.offset.iter().zip(shape).all(|(start, dim)| start < dim)
            };
            if !stored.iter().all(inside) {
                return Err(shared.refused(path, "a chunk outside of the file or of the array"));
            }
            let stored = stored.iter().map(|c| c.storage_size).fold(0, u64::saturating_add).min(shared.len);
            let expansion = if hdf5.filters().is_empty() { 1 } else { MAX_EXPANSION };
            // A filter may need some bytes even for nothing.
            let limit = stored.saturating_mul(expansion);
            if needed > limit || chunk > limit.max(needed) { Err(too_large(stored)) } else { Ok(None) }
        }
        Layout::Virtual => Err(shared.refused(path, "a virtual dataset, whose data are in other files")),
        other => Err(shared.error(path, Error::Shape(format!("storage of an unknown kind: {other}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_number() {
        let mut names = ["10", "2", "dense", "dense_10", "dense_2", "1", "é2", "dense_02", "a10b2", "a10b10"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            ["1", "2", "10", "a10b2", "a10b10", "dense", "dense_2", "dense_02", "dense_10", "é2"]
        );
    }
}
