//! Arrays in HDF5 files: whether they can be what they say, and their elements.

use std::io::Read;
use std::sync::Arc;

use hdf5_pure::{Error, Layout};
use keras_spec::{DType, HostTensor};

use super::element::{self, Element};
use super::read::{Attributes, Shared, absolute};
use crate::saving::error::{FileError, Result};

/// No more than this many bytes come out of one compressed byte; deflate cannot do better.
const MAX_EXPANSION: u64 = 1032;

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
    stored: Stored,
}

/// Where the elements of an array are.
struct Stored {
    /// Where they begin, if they lie one after the other.
    start: Option<u64>,
    /// How many bytes of the file they take up.
    bytes: u64,
}

/// Arrays of a file, or of several, of which no part may be read twice: a list of names, or links, that lead to the same array over
/// and over would take far more memory than the file is long.
pub(crate) struct Once {
    left: u64,
}

impl FromIterator<Once> for Once {
    fn from_iter<I: IntoIterator<Item = Once>>(files: I) -> Self {
        Once { left: files.into_iter().map(|file| file.left).fold(0, u64::saturating_add) }
    }
}

impl Once {
    pub(super) fn of(shared: &Shared) -> Self {
        Once { left: shared.len }
    }

    /// Notes that an array is used.
    ///
    /// # Errors
    /// It and those before it have more bytes than the file.
    pub(crate) fn take(&mut self, array: &Dataset) -> Result<()> {
        self.left = self.left.checked_sub(array.stored.bytes).ok_or_else(|| {
            array.shared.refused(&array.path, "arrays that add up to more than the file holds")
        })?;
        Ok(())
    }

    /// Reads an array.
    ///
    /// # Errors
    /// As [`take`](Once::take) and [`Dataset::read`].
    pub(crate) fn read(&mut self, array: &Dataset) -> Result<HostTensor> {
        self.take(array)?;
        array.read()
    }
}

impl Dataset {
    pub(super) fn new(shared: Arc<Shared>, hdf5: hdf5_pure::Dataset, path: String) -> Result<Self> {
        let fail = |e| shared.error(&path, e);
        let datatype = hdf5.datatype().map_err(fail)?;
        let element = element::from_hdf5(&datatype).ok_or_else(|| {
            let found: String = datatype.to_string().chars().take(200).collect();
            FileError::unexpected(&shared.name, absolute(&path), "numbers or booleans", found)
        })?;
        let shape = hdf5.shape().map_err(fail)?;
        let stored = check_storage(&shared, &hdf5, &path, &shape, element.dtype)?;
        let shape = shape.into_iter().map(usize::try_from).collect::<std::result::Result<_, _>>();
        let shape = shape.map_err(|_| shared.refused(&path, "its shape does not fit this machine"))?;
        let dataset = Dataset { shared, hdf5, path, shape, element, stored };
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
        let data = match self.stored.start {
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

/// Checks that an array of `shape` can be what is stored, before memory is taken for it.
fn check_storage(
    shared: &Shared,
    hdf5: &hdf5_pure::Dataset,
    path: &str,
    shape: &[u64],
    dtype: DType,
) -> Result<Stored> {
    let bytes_of = |shape: &[u64]| shape.iter().try_fold(dtype.size() as u64, |n, &d| n.checked_mul(d));
    let describe = |shape: &[u64]| format!("an array of shape {shape:?}, {dtype}");
    let too_large =
        |stored: u64| shared.refused(path, format!("{} in {stored} stored bytes", describe(shape)));
    let needed = bytes_of(shape).ok_or_else(|| too_large(shared.len))?;
    match hdf5.layout().map_err(|e| shared.error(path, e))? {
        Layout::Compact { size } if size < needed => Err(too_large(size)),
        Layout::Compact { size } => Ok(Stored { start: None, bytes: size }),
        Layout::Contiguous { address: Some(start), size } => {
            let stored = size.min(shared.len.saturating_sub(start));
            if stored < needed {
                Err(too_large(stored))
            } else {
                Ok(Stored { start: Some(start), bytes: needed })
            }
        }
        // Nothing was ever written; HDF5 would make up zeros. Or it was, in other files, of which only reading tells.
        Layout::Contiguous { address: None, .. } if needed > 0 => match hdf5.read_raw_rows(0, 0) {
            Err(e) => Err(shared.error(path, e)),
            Ok(_) => Err(too_large(0)),
        },
        Layout::Contiguous { address: None, .. } => Ok(Stored { start: None, bytes: 0 }),
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
            if needed > limit || chunk > limit.max(needed) {
                return Err(too_large(stored));
            }
            Ok(Stored { start: None, bytes: stored })
        }
        Layout::Virtual => Err(shared.refused(path, "a virtual dataset: its elements are put together from those of other arrays, which are not followed")),
        other => Err(shared.error(path, Error::Shape(format!("storage of an unknown kind: {other}")))),
    }
}
