//! Where the bytes of an HDF5 file come from, with a limit on how many are read for one object.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{FormatError, Source};

/// The bytes of an HDF5 file: in memory, or a range of a file on disk that is read when needed.
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    Range { file: Mutex<fs::File>, start: u64, len: u64 },
}

impl Bytes {
    /// The `len` bytes of `file` from `start` on.
    pub(crate) fn range(file: fs::File, start: u64, len: u64) -> Self {
        Bytes::Range { file: Mutex::new(file), start, len }
    }

    /// The whole of `file`.
    pub(crate) fn whole(file: fs::File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Bytes::range(file, 0, len))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::Range { len, .. } => *len,
        }
    }

    /// Fills `buf` with the bytes from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let past_the_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len());
        let end = end.ok_or_else(past_the_end)?;
        match self {
            Bytes::Memory(bytes) => {
                // Both lie within `bytes`, so they fit a usize.
                buf.copy_from_slice(bytes.get(offset as usize..end as usize).ok_or_else(past_the_end)?);
                Ok(())
            }
            Bytes::Range { file, start, .. } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(start + offset))?;
                file.read_exact(buf)
            }
        }
    }
}

/// How many more bytes may be read. Many entries of a hostile file can name the same megabytes, so that
/// following them all takes far more memory than the file is long; no genuine object needs more than the
/// file holds.
#[derive(Clone)]
pub(crate) struct Budget {
    left: Arc<AtomicU64>,
    full: u64,
}

impl Budget {
    pub(crate) fn for_len(len: u64) -> Self {
        // Headers, heaps and indices are read more than once on the way to an object.
        let full = len.saturating_mul(4).saturating_add(64 << 10);
        Budget { left: Arc::new(AtomicU64::new(full)), full }
    }

    /// Called at the start of each operation on an object.
    pub(crate) fn refill(&self) {
        self.left.store(self.full, Ordering::Relaxed);
    }

    /// Whether the last operation asked for more than it may.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn spend(&self, bytes: u64) -> bool {
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(bytes));
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(before) => before > bytes,
            Err(_) => false,
        }
    }
}

pub(crate) struct Metered {
    pub(crate) bytes: Arc<Bytes>,
    pub(crate) budget: Budget,
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        if !self.budget.spend(buf.len() as u64) {
            return Err(FormatError::Source("its parts add up to more than the file holds".into()));
        }
        self.bytes.read_at(offset, buf).map_err(|e| FormatError::Source(e.to_string()))
    }

    fn read_metadata_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        let bytes = self.read_exact_at(offset, len)?;
        if nests_deep(&bytes) {
            return Err(FormatError::Source("types inside types, without end".into()));
        }
        Ok(bytes)
    }
}

/// Types nested deeper than this are refused; no array of Keras has one inside another.
const MAX_NESTING: u16 = 128;

/// Whether a type inside a type inside a type … may begin somewhere in the bytes: the library reads them by recursion without a
/// limit, and a message of 64 KiB has room for eight thousand, which take more stack than a thread has. Where other bytes look
/// like that by chance (a kilobyte of nothing but asterisks), the object is refused too.
///
/// It follows what can repeat in the fewest bytes: sequences, enumerations, arrays, and structures by their first member.
fn nests_deep(bytes: &[u8]) -> bool {
    let mut depths = vec![0u16; bytes.len()];
    let mut nul = bytes.len();
    for at in (0..bytes.len()).rev() {
        if at + 8 < bytes.len() && bytes[at + 8] == 0 {
            nul = at + 8;
        }
        let (class, version) = (bytes[at] & 15, bytes[at] >> 4);
        let dims = bytes.get(at + 8).map_or(0, |n| usize::from(*n));
        let name = nul.saturating_sub(at + 8) + 1;
        let inner = match (class, version) {
            (_, 0 | 6..) => continue,
            (8 | 9, _) => at + 8,
            (10, 1 | 2) => at + 12 + 8 * dims,
            (10, _) => at + 9 + 4 * dims,
            (6, 1 | 2) => at + 12 + name.next_multiple_of(8) + if version == 1 { 28 } else { 0 },
            (6, _) => {
                let size = bytes
                    .get(at + 4..at + 8)
                    .map_or(0, |size| size.iter().rposition(|b| *b > 0).unwrap_or(0));
                at + 8 + name + size + 1
            }
            _ => continue,
        };
        depths[at] = depths.get(inner).map_or(1, |depth| depth + 1);
        if depths[at] > MAX_NESTING {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a type of 16 bytes, as version 3 writes it.
    fn header(class: u8, flags: u8) -> Vec<u8> {
        vec![0x30 | class, flags, 0, 0, 16, 0, 0, 0]
    }

    #[test]
    fn types_without_end_are_seen() {
        let kinds = [
            header(9, 0),
            header(8, 1),
            [header(10, 0), vec![1, 2, 0, 0, 0]].concat(),
            [header(6, 1), b"name\0\0".to_vec()].concat(),
        ];
        let number = [header(1, 0), vec![0; 12]].concat();
        for kind in kinds {
            let nested = |n: usize| [vec![0, 1, 2], kind.repeat(n), number.clone()].concat();
            assert!(!nests_deep(&nested(100)), "{kind:?}");
            assert!(nests_deep(&nested(200)), "{kind:?}");
        }
        let text = r#"{"class_name": "Dense", "config": {"name": "dense_99999999", "units": 8888888888}}, "#;
        assert!(!nests_deep(text.repeat(100).as_bytes()));
        assert!(!nests_deep(&[]) && !nests_deep(&[0x39]));
    }
}
