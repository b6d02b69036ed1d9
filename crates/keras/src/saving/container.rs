//! `.keras` archives: a zip file, or the same members unpacked in a directory.

use std::fs;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use web_time::{SystemTime, UNIX_EPOCH};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::error::{FileError, Result};
use super::h5::source::Bytes;
use super::sniff::MAX_TEXT;
use super::{h5, json};

/// Member with `keras_version` and `date_saved`.
pub const METADATA: &str = "metadata.json";
/// Member with the serialized model.
pub const CONFIG: &str = "config.json";
/// Member with the weights.
pub const WEIGHTS: &str = "model.weights.h5";
/// Folder of whatever else layers saved, such as vocabularies.
pub const ASSETS: &str = "assets/";

/// Assets are never larger than this.
const MAX_MEMBER: u64 = 256 << 20;
/// Larger members must not be compressed better than this, as in Keras; all but weights, which may be zeros, not above `FLOOR`
/// either.
const MAX_EXPANSION: u64 = 100;
const FLOOR: u64 = 1 << 20;
/// A zip member of this size or more needs the 64-bit extension.
const LARGE: u64 = u32::MAX as u64;

trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// An open `.keras` archive.
pub struct Archive {
    /// How error messages name it.
    name: String,
    members: Vec<String>,
    place: Place,
}

enum Place {
    Directory(PathBuf),
    Zip { zip: ZipArchive<Box<dyn ReadSeek>>, path: Option<PathBuf> },
}

impl Archive {
    /// Opens the zip file or directory at `path`.
    ///
    /// # Errors
    /// It cannot be read, is not a zip file, or has a member whose name leads out of the archive, or members of one name or
    /// in one place.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        if path.is_dir() {
            let mut members = Vec::new();
            list(path, "", &mut members).map_err(|e| FileError::io(&name, e))?;
            members.sort();
            return Ok(Archive { name, members, place: Place::Directory(path.to_owned()) });
        }
        let file = fs::File::open(path).map_err(|e| FileError::io(&name, e))?;
        Self::from_zip(name, Box::new(io::BufReader::new(file)), Some(path.to_owned()))
    }

    /// Opens a zip file held in memory; error messages call it `name`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        Self::from_zip(name.into(), Box::new(Cursor::new(bytes)), None)
    }

    fn from_zip(name: String, input: Box<dyn ReadSeek>, path: Option<PathBuf>) -> Result<Self> {
        let mut zip = ZipArchive::new(input).map_err(|e| zip_error(&name, "", e))?;
        if zip.has_overlapping_files().map_err(|e| zip_error(&name, "", e))? {
            return Err(FileError::refused(name, "", "members that lie over each other"));
        }
        if zip.has_duplicate_names() {
            return Err(FileError::refused(name, "", "two members of the same name"));
        }
        let members: std::result::Result<Vec<_>, _> =
            zip.file_names().map(|member| member.map(|m| m.into_owned())).collect();
        let mut members = members.map_err(|e| zip_error(&name, "", e))?;
        if let Some(bad) = members.iter().find(|m| !is_inside(m)) {
            return Err(FileError::refused(name, bad, "a path that may lead out of the archive"));
        }
        members.retain(|m| !m.ends_with('/'));
        Ok(Archive { name, members, place: Place::Zip { zip, path } })
    }

    /// How error messages name the archive.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all members, folders excluded.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Whether there is a member of this name.
    pub fn contains(&self, member: &str) -> bool {
        match &self.place {
            // Sorted.
            Place::Directory(_) => self.members.binary_search_by(|m| m.as_str().cmp(member)).is_ok(),
            Place::Zip { zip, .. } => !member.ends_with('/') && zip.index_for_name(member).is_some(),
        }
    }

    /// Reads a member other than the weights; at most 256 MiB.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is none; the member is damaged or too large.
    pub fn read(&mut self, member: &str) -> Result<Vec<u8>> {
        self.read_limited(member, MAX_MEMBER, FLOOR)
    }

    /// Reads a JSON member; at most 64 MiB.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); the member is not JSON.
    pub fn json(&mut self, member: &str) -> Result<Value> {
        let bytes = self.read_limited(member, MAX_TEXT, FLOOR)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| FileError::unexpected(&self.name, member, "JSON", "bytes that are not text"))?;
        json::parse(&text).map_err(|e| FileError::unexpected(&self.name, member, "JSON", e.to_string()))
    }

    /// Opens an HDF5 member. One that is stored, as Keras does it, in an archive on disk is checked
    /// against its checksum but not taken into memory.
    ///
    /// # Errors
    /// [`FileError::Missing`] where there is none; the member is damaged, compressed beyond belief, or
    /// not HDF5.
    pub fn h5(&mut self, member: &str) -> Result<h5::File> {
        self.check(member)?;
        let name = format!("{}: {member}", self.name);
        match &mut self.place {
            Place::Directory(directory) => h5::File::open(directory.join(member)),
            Place::Zip { zip, path } => {
                let mut entry = zip.by_name(member).map_err(|e| zip_error(&self.name, member, e))?;
                if let (CompressionMethod::Stored, Some(path), Some(start)) =
                    (entry.compression(), path, entry.data_start())
                {
                    let len = entry.size();
                    io::copy(&mut entry, &mut io::sink())
                        .map_err(|e| FileError::damaged(&self.name, member, e.to_string()))?;
                    let file = fs::File::open(path).map_err(|e| FileError::io(&self.name, e))?;
                    return h5::File::from_source(name, Bytes::range(file, start, len));
                }
                drop(entry);
                h5::File::from_bytes(name, self.read_limited(member, u64::MAX, MAX_MEMBER)?)
            }
        }
    }

    fn check(&self, member: &str) -> Result<()> {
        if self.contains(member) {
            return Ok(());
        }
        Err(FileError::Missing { file: self.name.clone(), object: member.to_owned() })
    }

    /// Reads a member of at most `limit` bytes, and of at most `MAX_EXPANSION` times its length in the archive if it has more
    /// than `floor`.
    fn read_limited(&mut self, member: &str, limit: u64, floor: u64) -> Result<Vec<u8>> {
        self.check(member)?;
        let name = &self.name;
        let too_large = |size: u64| FileError::refused(name, member, format!("{size} bytes"));
        let mut bytes = Vec::new();
        let read = match &mut self.place {
            Place::Directory(directory) => fs::File::open(directory.join(member))
                .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)),
            Place::Zip { zip, .. } => {
                let entry = zip.by_name(member).map_err(|e| zip_error(name, member, e))?;
                let (size, stored) = (entry.size(), entry.compressed_size());
                if size > limit || (size > floor && size / MAX_EXPANSION > stored) {
                    return Err(too_large(size));
                }
                // The size is what the archive claims; one byte more shows that it lies.
                entry.take(size.saturating_add(1)).read_to_end(&mut bytes)
            }
        };
        read.map_err(|e| FileError::damaged(name, member, e.to_string()))?;
        if bytes.len() as u64 > limit { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
    }
}

fn zip_error(file: &str, member: &str, error: ZipError) -> FileError {
    match error {
        ZipError::FileNotFound => FileError::Missing { file: file.to_owned(), object: member.to_owned() },
        e => FileError::damaged(file, member, e.to_string()),
    }
}

/// Whether a member's name stays below the archive's root on every system.
fn is_inside(member: &str) -> bool {
    !member.starts_with('/')
        && !member.contains(['\\', ':', '\0'])
        && member.split('/').all(|part| part != "..")
}

/// Lists the files below `directory`. Links are not followed.
fn list(directory: &Path, prefix: &str, members: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            list(&entry.path(), &format!("{name}/"), members)?;
        } else if kind.is_file() {
            members.push(name);
        }
    }
    Ok(())
}

/// The content of [`METADATA`] for a file saved at `saved` (UTC, which Keras gives in local time).
pub fn metadata(keras_version: &str, saved: SystemTime) -> Value {
    json!({ "keras_version": keras_version, "date_saved": date(saved) })
}

/// `%Y-%m-%d@%H:%M:%S`
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Years counted from March 1st of year 0, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}@{hour:02}:{minute:02}:{second:02}")
}

/// Writes a `.keras` archive: members stored one after the other, as Keras does it. Keras's order is
/// [`METADATA`], [`CONFIG`], [`WEIGHTS`], assets.
///
/// The same members give the same bytes.
pub struct ArchiveWriter<W: Write + Seek> {
    name: String,
    zip: ZipWriter<W>,
}

impl<W: Write + Seek> ArchiveWriter<W> {
    /// An archive written to `out`; error messages call it `name`.
    pub fn new(name: impl Into<String>, out: W) -> Self {
        ArchiveWriter { name: name.into(), zip: ZipWriter::new(out) }
    }

    /// Adds a JSON member.
    ///
    /// # Errors
    /// Writing fails.
    pub fn json(&mut self, member: &str, value: &Value) -> Result<()> {
        self.bytes(member, json::to_string(value).as_bytes())
    }

    /// Adds a member.
    ///
    /// # Errors
    /// Writing fails.
    pub fn bytes(&mut self, member: &str, bytes: &[u8]) -> Result<()> {
        self.start(member, bytes.len() as u64)?;
        self.zip.write_all(bytes).map_err(|e| FileError::io(&self.name, e))
    }

    /// Adds an HDF5 member.
    ///
    /// # Errors
    /// Writing fails, or `file` cannot be expressed as HDF5.
    pub fn h5(&mut self, member: &str, file: h5::Writer) -> Result<()> {
        // Headers and attributes come on top of the arrays.
        self.start(member, file.data_len().saturating_mul(2))?;
        file.finish_to(&self.name, &mut self.zip)
    }

    fn start(&mut self, member: &str, at_most: u64) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(at_most >= LARGE);
        self.zip.start_file(member, options).map_err(|e| self.error(e))
    }

    /// Completes the archive and gives `out` back.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(self) -> Result<W> {
        let name = self.name;
        self.zip.finish().map_err(|e| FileError::io(name, e.into()))
    }

    fn error(&self, error: ZipError) -> FileError {
        FileError::io(&self.name, error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    // Each pair from Python's `datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d@%H:%M:%S")`.
    #[test]
    fn dates_are_the_calendar_s() {
        for (seconds, text) in [
            (0, "1970-01-01@00:00:00"),
            (951_782_400, "2000-02-29@00:00:00"),
            (1_709_251_199, "2024-02-29@23:59:59"),
            (1_709_251_200, "2024-03-01@00:00:00"),
            (1_795_447_652, "2026-11-23@15:27:32"),
            (4_107_542_399, "2100-02-28@23:59:59"),
            (4_107_542_400, "2100-03-01@00:00:00"),
        ] {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../evil", "a/../../evil", "/etc/passwd", "C:/x", "a\\b"] {
            let mut zip = ArchiveWriter::new("t", Cursor::new(Vec::new()));
            zip.bytes(name, b"x").unwrap();
            let bytes = zip.finish().unwrap().into_inner();
            let error = Archive::from_bytes("t.keras", bytes).err().unwrap();
            assert!(matches!(error, FileError::Refused { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn a_zip_bomb_is_refused() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(CONFIG, options).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..257 {
            zip.write_all(&zeros).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let mut archive = Archive::from_bytes("bomb.keras", bytes).unwrap();
        assert!(matches!(archive.read(CONFIG), Err(FileError::Refused { .. })));
        assert!(matches!(archive.h5(CONFIG), Err(FileError::Refused { .. })));
    }
}
