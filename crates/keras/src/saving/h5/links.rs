//! Soft links: names in a group that stand for a path in the file. The library knows none, and refuses a group that has any.
//!
//! They are found as the first format of groups keeps them, which is what h5py writes: an object header that points to a tree of
//! nodes, in which each entry has a name, and the address of an object or the path that a link leads to.
//!
//! External links, which lead into another file, are never followed; they are found to say so. The first format has no place for
//! them: a group with one has a message in its header for each of its members.

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
    /// External links: their names, and the file and the path in it.
    pub(super) external: HashMap<String, (String, String)>,
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
        let mut children = Children { links: Vec::new(), external: HashMap::new(), objects: HashMap::new() };
        for entry in entries {
            match (entry.target, String::from_utf8(entry.name)) {
                (Target::Object(at), name) => {
                    let name = name.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
                    children.objects.insert(name, at);
                }
                (Target::Path(path), Ok(name)) => {
                    children.links.extend(String::from_utf8(path).ok().map(|path| (name, path)));
                }
                (Target::Elsewhere { file, path }, Ok(name)) => {
                    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                    children.external.insert(name, (text(file), text(path)));
                }
                (Target::Path(_) | Target::Elsewhere { .. }, Err(_)) => {}
            }
        }
        let children = Arc::new(children);
        self.known.insert(path.to_owned(), children.clone());
        Ok(children)
    }
}

struct Entry {
    name: Vec<u8>,
    target: Target,
}

/// What a name in a group is of.
enum Target {
    /// The object whose header is at this address.
    Object(u64),
    /// What is at a path.
    Path(Vec<u8>),
    /// What is at a path in another file.
    Elsewhere { file: Vec<u8>, path: Vec<u8> },
}

impl Entry {
    /// How many bytes it takes, beside its address.
    fn len(&self) -> usize {
        self.name.len()
            + match &self.target {
                Target::Object(_) => 0,
                Target::Path(path) => path.len(),
                Target::Elsewhere { file, path } => file.len() + path.len(),
            }
    }
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
        let messages = self.messages(at)?;
        let table = messages.iter().find(|(kind, _)| *kind == SYMBOL_TABLE);
        let Some((tree, heap)) = table.and_then(|(_, m)| u64_at(m, 0).zip(u64_at(m, 8))) else {
            return Ok(messages
                .iter()
                .filter(|(kind, _)| *kind == LINK)
                .filter_map(|(_, m)| link(m))
                .collect());
        };
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
                    let target = match soft {
                        true => Target::Path(text(u32_at(entry, 24).unwrap_or(0) as usize)),
                        false => Target::Object(u64_at(entry, 8).unwrap_or(0)),
                    };
                    out.push(Entry { name, target });
                }
            } else if head.starts_with(b"TREE") && level < MAX_LEVELS {
                // Two siblings, and then keys and children in turn.
                let children = self.read(at + 24, count * 16)?;
                let children = children.chunks_exact(16).filter_map(|pair| u64_at(pair, 8));
                pending.extend(children.map(|child| (child, level + 1)));
            }
            // Names take up a part of the file, too, which many entries may point to.
            let used = 1 + out.iter().rev().take(count).map(Entry::len).sum::<usize>();
            left = left.checked_sub(used as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(out)
    }

    /// The messages in the object header at `at`, each with its kind.
    fn messages(&self, at: u64) -> io::Result<Vec<(u16, Vec<u8>)>> {
        let head = self.read(at, 16)?;
        let second = head.starts_with(b"OHDR");
        let flags = if second { head[5] } else { 0 };
        let mut blocks = vec![match (second, head[0]) {
            (true, _) => {
                // Times, and when links move elsewhere, may come before the length, which is 1, 2, 4 or 8 bytes long.
                let before = 6 + if flags & 0x20 > 0 { 16 } else { 0 } + if flags & 0x10 > 0 { 4 } else { 0 };
                let width = 1 << (flags & 3);
                let len = number(&self.read(at + before, width)?);
                (at + before + width as u64, len)
            }
            (false, 1) => (at + 16, u64::from(u32_at(&head, 8).unwrap_or(0))),
            (false, _) => return Ok(Vec::new()),
        }];
        let mut out = Vec::new();
        // No more is read than the file has.
        let mut left = self.bytes.len();
        while let Some((at, len)) = blocks.pop() {
            left = left.checked_sub(len.max(1)).ok_or(io::ErrorKind::InvalidData)?;
            let block = self.read(at, usize::try_from(len).map_err(|_| io::ErrorKind::UnexpectedEof)?)?;
            let mut rest = &block[..];
            while let Some((kind, len, head)) = message(rest, second, flags) {
                let Some(body) = rest.get(head..head + len) else { break };
                match (kind, u64_at(body, 0).zip(u64_at(body, 8))) {
                    // Its blocks have a signature before, and a checksum behind, of 4 bytes each.
                    (CONTINUATION, Some((at, len))) if second => {
                        blocks.push((at.saturating_add(4), len.saturating_sub(8)));
                    }
                    (CONTINUATION, Some(block)) => blocks.push(block),
                    _ => out.push((kind, body.to_vec())),
                }
                rest = &rest[head + len..];
            }
        }
        Ok(out)
    }
}

const LINK: u16 = 0x06;
const CONTINUATION: u16 = 0x10;
const SYMBOL_TABLE: u16 = 0x11;

/// The kind of the message that begins here, the length of its body, and where that begins.
fn message(bytes: &[u8], second: bool, flags: u8) -> Option<(u16, usize, usize)> {
    let (kind, len, head) = match second {
        true => (bytes.get(..1)?.to_vec(), bytes.get(1..3)?, if flags & 4 > 0 { 6 } else { 4 }),
        false => (bytes.get(..2)?.to_vec(), bytes.get(2..4)?, 8),
    };
    Some((number(&kind) as u16, number(len) as usize, head))
}

/// A member of a group from its message.
fn link(message: &[u8]) -> Option<Entry> {
    const HARD: u8 = 0;
    const SOFT: u8 = 1;
    const EXTERNAL: u8 = 64;
    let flags = *message.get(1)?;
    let mut rest = message.get(2..)?;
    let mut take = |n: usize| -> Option<&[u8]> {
        let (taken, left) = rest.split_at_checked(n)?;
        rest = left;
        Some(taken)
    };
    let kind = if flags & 8 > 0 { take(1)?[0] } else { HARD };
    // The order of creation and the character set.
    take(if flags & 4 > 0 { 8 } else { 0 } + usize::from(flags & 0x10 > 0))?;
    let len = number(take(1 << (flags & 3))?);
    let name = take(usize::try_from(len).ok()?)?.to_vec();
    let target = match kind {
        HARD => Target::Object(u64_at(take(8)?, 0)?),
        SOFT | EXTERNAL => {
            let len = number(take(2)?) as usize;
            let value = take(len)?;
            match kind {
                SOFT => Target::Path(value.to_vec()),
                _ => {
                    let mut parts = value.get(1..)?.split(|b| *b == 0);
                    Target::Elsewhere { file: parts.next()?.to_vec(), path: parts.next()?.to_vec() }
                }
            }
        }
        _ => return None,
    };
    Some(Entry { name, target })
}

/// A number of up to 8 bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
