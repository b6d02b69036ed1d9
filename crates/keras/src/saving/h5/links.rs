//! Soft links: names in a group that stand for a path in the file. The library knows none, and refuses a group that has any.
//!
//! They are found as the first format of groups keeps them, which is what h5py writes: an object header that points to a tree of
//! nodes, in which each entry has a name, and the address of an object or the path that a link leads to.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::source::Bytes;

/// The size of a node's entry; addresses and lengths have 8 bytes.
const ENTRY: usize = 40;

/// What the type of an entry is that is a soft link.
const SOFT: u32 = 2;

/// Trees are no higher than this.
const MAX_LEVELS: usize = 16;

/// Takes the soft links out of a node of a group; whether there were any.
pub(super) fn take_soft_links(node: &mut [u8]) -> bool {
    if !node.starts_with(b"SNOD") || node.len() < 8 {
        return false;
    }
    let entries = || node[8..].chunks_exact(ENTRY);
    let kept: Vec<u8> = entries().filter(|e| u32_at(e, 16) != Some(SOFT)).flatten().copied().collect();
    let (count, left) = (entries().len(), kept.len() / ENTRY);
    let found = left < count && usize::from(u16::from_le_bytes([node[6], node[7]])) == count;
    if found {
        node[6..8].copy_from_slice(&(left as u16).to_le_bytes());
        node[8..8 + kept.len()].copy_from_slice(&kept);
    }
    found
}

/// What a group holds that is not an object but a name of one.
pub(super) struct Children {
    /// Soft links: their names, and the paths that they lead to.
    pub(super) links: Vec<(String, String)>,
    /// The addresses of objects by their names.
    objects: HashMap<Vec<u8>, u64>,
}

/// The groups that were read so far, by their paths.
#[derive(Default)]
pub(super) struct Links {
    known: HashMap<String, Arc<Children>>,
}

impl Links {
    /// What the group at `path` holds; nothing where a group on the way is of another format. `root` is the address of the first
    /// group's header, `base` that from which addresses count.
    ///
    /// # Errors
    /// The file ends before a structure does.
    pub(super) fn of(
        &mut self,
        bytes: &Bytes,
        base: u64,
        root: u64,
        path: &str,
    ) -> io::Result<Arc<Children>> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let at = match path.rsplit_once('/').unwrap_or(("", path)) {
            ("", "") => Some(root),
            (parent, name) => self.of(bytes, base, root, parent)?.objects.get(name.as_bytes()).copied(),
        };
        let entries = at.map(|at| Reader { bytes, base }.entries(at)).transpose()?.unwrap_or_default();
        let mut children = Children { links: Vec::new(), objects: HashMap::new() };
        for entry in entries {
            match (entry.path, String::from_utf8(entry.name)) {
                (None, name) => {
                    let name = name.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
                    children.objects.insert(name, entry.target);
                }
                (Some(path), Ok(name)) => {
                    children.links.extend(String::from_utf8(path).ok().map(|path| (name, path)));
                }
                (Some(_), Err(_)) => {}
            }
        }
        let children = Arc::new(children);
        self.known.insert(path.to_owned(), children.clone());
        Ok(children)
    }
}

struct Entry {
    name: Vec<u8>,
    /// The address of the object's header.
    target: u64,
    /// Where it leads instead, if it is a soft link.
    path: Option<Vec<u8>>,
}

struct Reader<'a> {
    bytes: &'a Bytes,
    base: u64,
}

impl Reader<'_> {
    fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let at = at.checked_add(self.base).filter(|at| len as u64 <= self.bytes.len().saturating_sub(*at));
        let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut buffer = vec![0; len];
        self.bytes.read_at(at, &mut buffer)?;
        Ok(buffer)
    }

    /// What is in the group whose header is at `at`.
    fn entries(&self, at: u64) -> io::Result<Vec<Entry>> {
        let Some((tree, heap)) = self.symbol_table(at)? else { return Ok(Vec::new()) };
        let head = self.read(heap, 32)?;
        let (Some(len), Some(names)) = (u64_at(&head, 8), u64_at(&head, 24)) else { return Ok(Vec::new()) };
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        if !head.starts_with(b"HEAP") {
            return Ok(Vec::new());
        }
        let names = self.read(names, len)?;
        let text = |at: usize| -> Vec<u8> {
            names.get(at..).unwrap_or_default().iter().take_while(|b| **b > 0).copied().collect()
        };
        let mut out = Vec::new();
        // A group has no more nodes than the file has room for.
        let mut left = self.bytes.len();
        let mut pending = vec![(tree, 0)];
        while let Some((at, level)) = pending.pop() {
            let head = self.read(at, 8)?;
            let count = usize::from(u16::from_le_bytes([head[6], head[7]]));
            if head.starts_with(b"SNOD") {
                for entry in self.read(at + 8, count * ENTRY)?.chunks_exact(ENTRY) {
                    let name = text(u64_at(entry, 0).unwrap_or(0) as usize);
                    let soft = u32_at(entry, 16) == Some(SOFT);
                    let path = soft.then(|| text(u32_at(entry, 24).unwrap_or(0) as usize));
                    out.push(Entry { name, target: u64_at(entry, 8).unwrap_or(0), path });
                }
            } else if head.starts_with(b"TREE") && level < MAX_LEVELS {
                // Two siblings, and then keys and children in turn.
                let children = self.read(at + 24, count * 16)?;
                let children = children.chunks_exact(16).filter_map(|pair| u64_at(pair, 8));
                pending.extend(children.map(|child| (child, level + 1)));
            }
            // Names take up a part of the file, too, which many entries may point to.
            let len = |e: &Entry| e.name.len() + e.path.as_ref().map_or(0, Vec::len);
            let used = 1 + out.iter().rev().take(count).map(len).sum::<usize>();
            left = left.checked_sub(used as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(out)
    }

    /// Where the tree and the names are of the group whose header is at `at`; `None` where it has another format.
    fn symbol_table(&self, at: u64) -> io::Result<Option<(u64, u64)>> {
        const SYMBOL_TABLE: u16 = 0x11;
        let head = self.read(at, 16)?;
        if head[0] != 1 {
            return Ok(None);
        }
        let messages = self.read(at + 16, u32_at(&head, 8).unwrap_or(0) as usize)?;
        let mut rest = &messages[..];
        while rest.len() >= 8 {
            let (kind, len) =
                (u16::from_le_bytes([rest[0], rest[1]]), usize::from(u16::from_le_bytes([rest[2], rest[3]])));
            if kind == SYMBOL_TABLE {
                return Ok(u64_at(rest, 8).zip(u64_at(rest, 16)));
            }
            rest = rest.get(8 + len..).unwrap_or_default();
        }
        Ok(None)
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
