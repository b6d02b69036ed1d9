//! Where the bytes of an HDF5 file come from, with a limit on how many are read for one object.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{FormatError, Source};

use super::links::take_soft_links;

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
    /// Whether a group was read that has soft links.
    has_links: Arc<AtomicBool>,
}

impl Budget {
    pub(crate) fn for_len(len: u64) -> Self {
        // Headers, heaps and indices are read more than once on the way to an object.
        let full = len.saturating_mul(4).saturating_add(64 << 10);
        Budget { left: Arc::new(AtomicU64::new(full)), full, has_links: Arc::default() }
    }

    /// Called at the start of each operation on an object.
    pub(crate) fn refill(&self) {
        self.left.store(self.full, Ordering::Relaxed);
    }

    /// Whether a group was read that has soft links.
    pub(crate) fn has_links(&self) -> bool {
        self.has_links.load(Ordering::Relaxed)
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
        let mut bytes = self.read_exact_at(offset, len)?;
        if nests_deep(&bytes) {
            return Err(FormatError::Source("types inside types, without end".into()));
        }
        if take_soft_links(&mut bytes) {
            self.budget.has_links.store(true, Ordering::Relaxed);
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
/// Types of members and elements are looked up where they were found before, so this takes time by the number of bytes. Of a
/// structure's members it follows the first 64: more of them at each level leave no room for so many levels in a message.
fn nests_deep(bytes: &[u8]) -> bool {
    /// The same for the names of an enumeration.
    const NAMES: usize = 256;
    const MEMBERS: usize = 64;
    let len = bytes.len();
    // For each place: how deep a type that begins there nests, where it ends, and where the next zero is.
    let (mut depths, mut ends, mut nuls) = (vec![0u16; len], vec![len; len], vec![len; len]);
    let of = |list: &[usize], at: usize| list.get(at).copied().unwrap_or(len);
    for at in (0..len).rev() {
        nuls[at] = if bytes[at] == 0 { at } else { of(&nuls, at + 1) };
        let byte = |i: usize| bytes.get(at + i).map_or(0, |b| usize::from(*b));
        let (class, version) = (bytes[at] & 15, bytes[at] >> 4);
        let count = byte(1) | byte(2) << 8;
        let depth_of = |depths: &[u16], at: usize| depths.get(at).copied().unwrap_or(0);
        let name = |nuls: &[usize], at: usize| {
            let name = of(nuls, at) + 1 - at.min(of(nuls, at));
            at + if version < 3 { name.next_multiple_of(8) } else { name }
        };
        let (depth, end) = match (class, version) {
            (_, 0 | 6..) | (11.., _) => continue,
            (0 | 4, _) => (0, at + 12),
            (1, _) => (0, at + 20),
            (2, _) => (0, at + 10),
            (3 | 7, _) => (0, at + 8),
            (5, _) => (0, at + 8 + byte(1).next_multiple_of(8)),
            (9, _) => (depth_of(&depths, at + 8), of(&ends, at + 8)),
            (10, _) => {
                let inner = if version < 3 { at + 12 + 8 * byte(8) } else { at + 9 + 4 * byte(8) };
                (depth_of(&depths, inner), of(&ends, inner))
            }
            (8, _) => {
                let mut end = of(&ends, at + 8);
                for _ in 0..count.min(NAMES) {
                    end = name(&nuls, end);
                }
                let size = byte(4) | byte(5) << 8;
                (depth_of(&depths, at + 8), end.saturating_add(size * count))
            }
            _ => {
                let width = match version {
                    1 => 32,
                    2 => 4,
                    _ => (4..8).rev().find(|i| byte(*i) > 0).map_or(1, |i| i - 3),
                };
                let (mut depth, mut end) = (0, at + 8);
                for _ in 0..count.clamp(1, MEMBERS) {
                    if end >= len {
                        break;
                    }
                    let inner = name(&nuls, end) + width;
                    depth = depth.max(depth_of(&depths, inner));
                    end = of(&ends, inner);
                }
                (depth, end)
            }
        };
        depths[at] = depth + 1;
        ends[at] = end.min(len);
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
            // Structures whose second member, after a number, a text, an enumeration or a structure, is the next one.
            [header(6, 2), b"a\0\0".to_vec(), header(1, 0), vec![0; 12], b"b\0\0".to_vec()].concat(),
            [header(6, 2), b"a\0\0".to_vec(), header(3, 0), b"b\0\0".to_vec()].concat(),
            [
                [header(6, 2), b"a\0\0".to_vec(), vec![0x38, 2, 0, 0, 1, 0, 0, 0]].concat(),
                [vec![0x30, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0], b"x\0y\0\x01\x02b\0\0".to_vec()].concat(),
            ]
            .concat(),
            [
                [header(6, 2), b"a\0\0".to_vec(), header(6, 1), b"c\0\0".to_vec(), header(3, 0)].concat(),
                b"b\0\0".to_vec(),
            ]
            .concat(),
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
