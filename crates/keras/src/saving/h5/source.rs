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
        let full = len.saturating_mul(4).saturating_add(1 << 20);
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
}
