//! Writing HDF5 files laid out as h5py lays them out for Keras.

use std::io::Write;

use hdf5_pure::{AttrValue, Datatype, Error, FileBuilder, FinishedGroup, LibVer};
use keras_spec::{DType, HostTensor};

use super::element;
use crate::saving::error::{FileError, Result};

/// Keras cuts a list of strings into several attributes when it takes more bytes than this.
const ATTRIBUTE_LIMIT: usize = 64512;

/// A reference to a variable-length string.
const STRING_REFERENCE: usize = 16;

/// An HDF5 file to be written, or a group of one.
///
/// Groups, attributes and arrays are gathered in memory, each array as the bytes that will stand in the
/// file; [`finish_to`](Self::finish_to) then writes front to back.
///
/// ```
/// use keras::saving::h5;
/// use keras_spec::HostTensor;
///
/// let mut file = h5::Writer::new();
/// let vars = file.group("layers/dense/vars");
/// vars.text("name", "dense");
/// vars.dataset("0", &HostTensor::new([2, 1], vec![0.5f32, -1.0])?)?;
/// let mut bytes = Vec::new();
/// file.finish_to("weights", &mut bytes)?;
///
/// let file = h5::File::from_bytes("weights", bytes)?;
/// assert_eq!(file.root().dataset("layers/dense/vars/0")?.shape(), [2, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Writer {
    attributes: Vec<(String, AttrValue)>,
    arrays: Vec<Array>,
    groups: Vec<(String, Writer)>,
}

struct Array {
    name: String,
    dtype: DType,
    datatype: Datatype,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

/// Moves a [`Writer`] into the library's builder of a file or of a group, two types without a common trait.
macro_rules! populate {
    ($builder:ident, $writer:expr) => {
        for (name, value) in $writer.attributes {
            $builder.set_attr(&name, value);
        }
        for array in $writer.arrays {
            let elements = (array.bytes.len() / array.dtype.size()) as u64;
            let dataset = $builder.create_dataset(&array.name);
            dataset.with_raw_data(array.datatype, array.bytes, elements).with_shape(&array.shape);
            if array.dtype == DType::BF16 {
                dataset.set_attr("dtype", AttrValue::VarLenString(array.dtype.name().into()));
            }
        }
        for (name, group) in $writer.groups {
            let empty = $builder.create_group(&name);
            $builder.add_group(group.finish(empty));
        }
    };
}

impl Writer {
    /// An empty file or group.
    pub fn new() -> Self {
        Writer::default()
    }

    /// The group at `path`, relative to this one, made with all groups on the way where it is not there.
    pub fn group(&mut self, path: &str) -> &mut Writer {
        path.split('/').filter(|part| !part.is_empty()).fold(self, |group, name| {
            let at = group.groups.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
                group.groups.push((name.to_owned(), Writer::new()));
                group.groups.len() - 1
            });
            &mut group.groups[at].1
        })
    }

    /// Sets a string attribute as h5py writes a Python `str`.
    pub fn text(&mut self, name: &str, value: impl Into<String>) {
        self.attribute(name, AttrValue::VarLenString(value.into()));
    }

    /// Sets a string attribute of any length as h5py writes Python `bytes`: `model_config`.
    pub fn bytes(&mut self, name: &str, value: impl Into<String>) {
        self.attribute(name, AttrValue::VarLenAsciiString(value.into()));
    }

    /// Sets a list of strings as Keras writes names: an empty list as an empty array of float64, a list too
    /// long for one attribute as `name0`, `name1`, … of strings padded to equal length.
    ///
    /// # Errors
    /// A string of more than 64512 bytes.
    pub fn texts(&mut self, name: &str, values: &[impl AsRef<str>]) -> Result<()> {
        let values: Vec<String> = values.iter().map(|v| v.as_ref().to_owned()).collect();
        let width = values.iter().map(String::len).max().unwrap_or(0);
        if width > ATTRIBUTE_LIMIT {
            return Err(FileError::Unwritable {
                object: format!("attribute {name}"),
                why: format!("a name of {width} bytes; at most {ATTRIBUTE_LIMIT} fit"),
            });
        }
        if values.is_empty() {
            self.attribute(name, AttrValue::F64Array(Vec::new()));
            return Ok(());
        }
        let fits = |count: usize, item: usize| count * item <= ATTRIBUTE_LIMIT;
        if fits(values.len(), width) && fits(values.len(), STRING_REFERENCE) {
            self.attribute(name, AttrValue::VarLenAsciiStringArray(values));
            return Ok(());
        }
        let parts = (2..values.len()).find(|parts| fits(values.len().div_ceil(*parts), width));
        let parts = parts.unwrap_or(values.len());
        for (i, part) in split(&values, parts).enumerate() {
            self.attribute(&format!("{name}{i}"), AttrValue::AsciiStringArray(part.to_vec()));
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: AttrValue) {
        match self.attributes.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    /// Adds `array` at `path`, relative to this group, making the groups on the way: a Keras weight name
    /// such as `dense/kernel:0` is two levels.
    ///
    /// # Errors
    /// There is an array of this name already, or the name is empty. (An array and a group of one name are
    /// reported by [`finish_to`](Self::finish_to).)
    pub fn dataset(&mut self, path: &str, array: &HostTensor) -> Result<()> {
        let unwritable =
            |why: &str| FileError::Unwritable { object: format!("array {path}"), why: why.into() };
        let (groups, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(unwritable("it has no name"));
        }
        let group = self.group(groups);
        if group.arrays.iter().any(|a| a.name == name) {
            return Err(unwritable("there is an array of this name already"));
        }
        let dtype = array.dtype();
        group.arrays.push(Array {
            name: name.to_owned(),
            dtype,
            datatype: element::to_hdf5(dtype).map_err(|e| unwritable(&e.to_string()))?,
            shape: array.shape().iter().map(|&d| d as u64).collect(),
            bytes: element::encode(array.data()),
        });
        Ok(())
    }

    /// About how long the file will be: the bytes of its arrays.
    pub fn data_len(&self) -> u64 {
        let own: u64 = self.arrays.iter().map(|a| a.bytes.len() as u64).sum();
        own + self.groups.iter().map(|(_, group)| group.data_len()).sum::<u64>()
    }

    /// Writes the file to `out`; error messages call it `name`.
    ///
    /// # Errors
    /// `out` fails, a name cannot stand in an HDF5 file, or an array and a group share one.
    pub fn finish_to(self, name: &str, out: impl Write) -> Result<()> {
        self.check_names("")?;
        let mut builder = FileBuilder::new();
        // Readable by every HDF5 library since 1.8 of 2008, so by every h5py that Keras ever ran on.
        builder.with_libver_bounds(LibVer::Earliest, LibVer::V18);
        populate!(builder, self);
        builder.finish_to(out).map_err(|e| match e {
            Error::Io(e) => FileError::io(name, e),
            e => FileError::Unwritable { object: name.to_owned(), why: e.to_string() },
        })
    }

    /// A group and an array of the same name would both be written, and only one of them found.
    fn check_names(&self, path: &str) -> Result<()> {
        for (name, group) in &self.groups {
            let path = format!("{path}/{name}");
            if self.arrays.iter().any(|array| array.name == *name) {
                return Err(FileError::Unwritable { object: path, why: "both a group and an array".into() });
            }
            group.check_names(&path)?;
        }
        Ok(())
    }

    fn finish(self, mut builder: hdf5_pure::GroupBuilder) -> FinishedGroup {
        populate!(builder, self);
        builder.finish()
    }
}

/// `values` in `parts` runs, the first ones longer by one where it does not divide: `numpy.array_split`.
fn split<T>(values: &[T], parts: usize) -> impl Iterator<Item = &[T]> {
    let (short, longer) = (values.len() / parts, values.len() % parts);
    let mut rest = values;
    (0..parts).map(move |i| {
        let (part, tail) = rest.split_at(short + usize::from(i < longer));
        rest = tail;
        part
    })
}
