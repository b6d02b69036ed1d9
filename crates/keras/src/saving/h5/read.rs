//! Reading HDF5 files: groups, attributes and arrays, each guarded before it is read.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{AttrValue, Error, FileAccessProperties, FormatError, MetadataCacheConfig};

use super::dataset::{Dataset, Once};
use super::links::Links;
use super::source::{Budget, Bytes, Metered};
use crate::saving::error::{FileError, Result};

/// Groups nested deeper than this are refused: they lead back to themselves, or lead nowhere.
const MAX_DEPTH: usize = 64;

/// No more soft links than this are followed in a file: each reads the groups on its way.
const MAX_LINKS: usize = 512;

/// Paths longer than this are refused: a long name of a group that contains itself makes them.
const MAX_PATH: usize = 16 << 10;

/// An open HDF5 file.
///
/// Opened from a path it is not read as a whole: each array is read when asked for.
#[derive(Clone)]
pub struct File {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    hdf5: hdf5_pure::File,
    pub(super) bytes: Arc<Bytes>,
    /// How error messages name the file.
    pub(super) name: String,
    pub(super) len: u64,
    pub(super) budget: Budget,
    listed: Mutex<Listed>,
}

/// What groups hold, by their paths, so that a way through a group of thousands does not read it thousands of times.
#[derive(Default)]
struct Listed {
    groups: HashMap<String, Arc<HashMap<String, hdf5_pure::Group>>>,
    /// Those of one group, since arrays take more memory.
    arrays: Option<(String, Arc<HashMap<String, hdf5_pure::Dataset>>)>,
    links: Links,
    /// How many soft links were followed.
    followed: usize,
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
            Ok(hdf5) => Ok(File {
                shared: Arc::new(Shared { hdf5, bytes, name, len, budget, listed: Mutex::default() }),
            }),
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
    /// The groups in a group, of which the path is `at`.
    fn groups_in(
        &self,
        at: &str,
        group: &hdf5_pure::Group,
    ) -> Result<Arc<HashMap<String, hdf5_pure::Group>>> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(groups) = listed.groups.get(at) {
            return Ok(groups.clone());
        }
        self.budget.refill();
        let groups = group.iter_groups().map_err(|e| self.unlisted(at, e))?;
        let mut groups = groups.collect::<HashMap<_, _>>();
        for (name, target) in self.soft_links(&mut listed, at)? {
            groups.extend(self.hdf5.group(&target).ok().map(|group| (name, group)));
        }
        let groups = Arc::new(groups);
        listed.groups.insert(at.to_owned(), groups.clone());
        Ok(groups)
    }

    /// The arrays in a group, of which the path is `at`.
    fn arrays_in(
        &self,
        at: &str,
        group: &hdf5_pure::Group,
    ) -> Result<Arc<HashMap<String, hdf5_pure::Dataset>>> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, arrays)) = &listed.arrays
            && path == at
        {
            return Ok(arrays.clone());
        }
        self.budget.refill();
        let arrays = group.iter_datasets().map_err(|e| self.unlisted(at, e))?;
        let mut arrays = arrays.collect::<HashMap<_, _>>();
        for (name, target) in self.soft_links(&mut listed, at)? {
            arrays.extend(self.hdf5.dataset(&target).ok().map(|array| (name, array)));
        }
        let arrays = Arc::new(arrays);
        listed.arrays = Some((at.to_owned(), arrays.clone()));
        Ok(arrays)
    }

    /// The soft links of a group with the paths, from the root, of what they lead to. One that leads to another link, to nothing,
    /// or into another file is as if it were not there.
    fn soft_links(&self, listed: &mut Listed, at: &str) -> Result<Vec<(String, String)>> {
        let superblock = self.hdf5.superblock();
        if !self.budget.has_links() || (superblock.offset_size, superblock.length_size) != (8, 8) {
            return Ok(Vec::new());
        }
        let (base, root) = (superblock.base_address.get(), superblock.root_group_address);
        let children = listed.links.of(&self.bytes, base, root, at);
        let children = children.map_err(|e| FileError::damaged(&self.name, absolute(at), e.to_string()))?;
        listed.followed += children.links.len();
        if listed.followed > MAX_LINKS {
            return Err(self.refused(at, format!("more than {MAX_LINKS} soft links to follow")));
        }
        let from_root = |(name, target): &(String, String)| match target.strip_prefix('/') {
            Some(target) => (name.clone(), target.to_owned()),
            None => (name.clone(), format!("{at}/{target}")),
        };
        Ok(children.links.iter().map(from_root).collect())
    }

    /// What is wrong where a group has nothing of a name that can be read.
    fn missing(&self, path: &str) -> FileError {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let superblock = self.hdf5.superblock();
        if (superblock.offset_size, superblock.length_size) == (8, 8) {
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            let (base, root) = (superblock.base_address.get(), superblock.root_group_address);
            let children = listed.links.of(&self.bytes, base, root, parent);
            if let Some((file, object)) = children.ok().as_ref().and_then(|c| c.external.get(name)) {
                let why = format!(
                    "an external link to {object} in the file `{file}`; links into other files are not followed"
                );
                return self.refused(path, why);
            }
        }
        FileError::Missing { file: self.name.clone(), object: absolute(path) }
    }

    /// What is wrong with a group whose members cannot be listed.
    fn unlisted(&self, path: &str, error: Error) -> FileError {
        match self.error(path, error) {
            FileError::Damaged { file, object, why } => {
                let why = format!("what is in it cannot be listed: {why}");
                FileError::Damaged { file, object, why }
            }
            other => other,
        }
    }

    pub(super) fn error(&self, object: &str, error: Error) -> FileError {
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

    pub(super) fn refused(&self, object: &str, why: impl Into<String>) -> FileError {
        FileError::refused(&self.name, absolute(object), why)
    }
}

/// Paths are kept without the leading slash; messages show it.
pub(super) fn absolute(path: &str) -> String {
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
        Ok(sorted(&*self.shared.groups_in(&self.path, &self.hdf5)?))
    }

    /// The names of the arrays in this group, in natural order.
    ///
    /// # Errors
    /// The group is damaged.
    pub fn dataset_names(&self) -> Result<Vec<String>> {
        Ok(sorted(&*self.shared.arrays_in(&self.path, &self.hdf5)?))
    }

    /// The group at `path`, relative to this one: `layers/dense/vars`.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is none; there is a dataset instead, the file is damaged, or the
    /// group is nested deeper than 64 levels.
    pub fn group(&self, path: &str) -> Result<Group> {
        self.join(path)?;
        parts(path).try_fold(self.clone(), |group, name| group.child(name))
    }

    /// The group in this one of that name.
    fn child(&self, name: &str) -> Result<Group> {
        let path = self.join(name)?;
        match self.shared.groups_in(&self.path, &self.hdf5)?.get(name) {
            Some(hdf5) => Ok(Group { shared: self.shared.clone(), hdf5: hdf5.clone(), path }),
            None if self.shared.arrays_in(&self.path, &self.hdf5)?.contains_key(name) => {
                Err(FileError::unexpected(&self.shared.name, absolute(&path), "a group", "a dataset"))
            }
            None => Err(self.shared.missing(&path)),
        }
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
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Where a part of the way is missing, the array is what misses.
        let parent = self.find_group(parent)?;
        let missing = || FileError::Missing { file: self.shared.name.clone(), object: absolute(&full) };
        let parent = parent.ok_or_else(missing)?;
        match self.shared.arrays_in(&parent.path, &parent.hdf5)?.get(name) {
            Some(hdf5) => Dataset::new(self.shared.clone(), hdf5.clone(), full),
            None if self.shared.groups_in(&parent.path, &parent.hdf5)?.contains_key(name) => {
                Err(FileError::unexpected(&self.shared.name, absolute(&full), "a dataset", "a group"))
            }
            None => Err(self.shared.missing(&full)),
        }
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
        // Every object has a header and its name in a group, so a walk whose paths are far longer than that goes in circles.
        let mut left = self.shared.len.saturating_mul(4).saturating_add(64 << 10);
        self.walk("", &mut left, &mut paths)?;
        Ok(paths)
    }

    /// How many numbers the arrays in this group and below have altogether.
    ///
    /// # Errors
    /// As [`dataset_paths`](Group::dataset_paths), or an array is damaged, or several take up the same place in the file.
    pub fn count_elements(&self) -> Result<usize> {
        let mut once = self.once();
        let mut count = 0usize;
        for path in self.dataset_paths()? {
            let array = self.dataset(&path)?;
            once.take(&array)?;
            count = array.shape().iter().fold(1, |n: usize, &d| n.saturating_mul(d)).saturating_add(count);
        }
        Ok(count)
    }

    /// For reading arrays of which none should be read twice.
    pub(crate) fn once(&self) -> Once {
        Once::of(&self.shared)
    }

    fn walk(&self, prefix: &str, left: &mut u64, paths: &mut Vec<String>) -> Result<()> {
        let datasets = self.dataset_names()?;
        let groups = self.group_names()?;
        let paths_len =
            datasets.iter().chain(&groups).map(|name| 16 + prefix.len() + name.len()).sum::<usize>();
        *left = left
            .checked_sub(paths_len as u64)
            .ok_or_else(|| self.shared.refused(&self.path, "groups that contain themselves"))?;
        paths.extend(datasets.iter().map(|name| format!("{prefix}{name}")));
        for name in groups {
            self.child(&name)?.walk(&format!("{prefix}{name}/"), left, paths)?;
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
        let full = if self.path.is_empty() { path.to_owned() } else { format!("{}/{path}", self.path) };
        if full.split('/').count() > MAX_DEPTH {
            return Err(self.shared.refused(&full, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if full.len() > MAX_PATH {
            let start: String = full.chars().take(100).collect();
            return Err(self.shared.refused(&format!("{start}…"), format!("a path of {} bytes", full.len())));
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

/// The names on a way through groups.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

/// The names of what is in a group, in natural order.
fn sorted<T>(listed: &HashMap<String, T>) -> Vec<String> {
    let mut names: Vec<String> = listed.keys().cloned().collect();
    names.sort_by(|a, b| natural_order(a, b));
    names
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
    pub(super) fn new<M, D>(
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
