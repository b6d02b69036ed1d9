//! Writing a file so that a failure leaves the old one untouched.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{FileError, Result};

/// Writes `path` through `write`: into a temporary file in the same directory, which is flushed to the
/// disk and renamed over `path` only when all of it succeeded.
///
/// A symbolic link at `path` stays one, and the permissions of an existing file are kept.
///
/// # Errors
/// Whatever `write` returns, and [`FileError::Io`]; in both cases `path` is as it was and the temporary
/// file is gone.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let io = |source| FileError::io(path.display().to_string(), source);
    let (temporary, file) = create_temporary(&target).map_err(io)?;
    let written = fill(file, &target, &temporary, write, io);
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(
    file: File,
    target: &Path,
    temporary: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
    io: impl Fn(std::io::Error) -> FileError,
) -> Result<()> {
    if let Ok(old) = fs::metadata(target) {
        file.set_permissions(old.permissions()).map_err(&io)?;
    }
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush().map_err(&io)?;
    out.get_ref().sync_all().map_err(&io)?;
    // Windows does not rename a file that is open.
    drop(out);
    fs::rename(temporary, target).map_err(&io)?;
    sync_directory(target);
    Ok(())
}

fn create_temporary(target: &Path) -> std::io::Result<(PathBuf, File)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = target.file_name().ok_or_else(|| std::io::Error::other("not the name of a file"))?;
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}-{n}.tmp", std::process::id()));
        let temporary = target.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}

/// Makes the rename itself durable. Not every system lets a directory be opened, and by now the data is
/// safe either way, so a failure is not reported.
fn sync_directory(target: &Path) {
    let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(parent) {
        let _ = directory.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.h5");
        write_atomically(&path, |out| out.write_all(b"old").map_err(|e| FileError::io("", e))).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half of the new").map_err(|e| FileError::io("", e))?;
            Err(FileError::refused("x", "", "on purpose"))
        });
        assert!(matches!(failed, Err(FileError::Refused { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(files(dir.path()), ["model.h5"]);
        write_atomically(&path, |out| out.write_all(b"new").map_err(|e| FileError::io("", e))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(files(dir.path()), ["model.h5"]);
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let error = write_atomically(Path::new("/no/such/dir/m.keras"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("/no/such/dir/m.keras"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.h5"), dir.path().join("link.h5"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_atomically(&link, |out| out.write_all(b"new").map_err(|e| FileError::io("", e))).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }
}
