//! Reading and writing of small files.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use crate::error::{Context, Error, best_effort};

/// Reads a regular file of at most `limit` bytes. A FIFO would block the shim until somebody writes to it.
///
/// # Errors
/// open(2) or read(2) fails, or the file is not regular or larger than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(path, flags, Mode::empty()).path_context("cannot read", path)?);
    if !file.metadata().path_context("cannot stat", path)?.is_file() {
        return Err(Error::Invalid(format!("{}: not a regular file", path.display())));
    }
    file.take(limit + 1).read_to_end(&mut bytes).path_context("cannot read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Error::Invalid(format!("{}: larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Writes a file that only the owner can read.
///
/// # Errors
/// open(2) or write(2) fails.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).path_context("cannot write", path)
}

/// Replaces a file atomically: other processes, also after a crash, read the old or the new content.
///
/// # Errors
/// The temporary file beside it cannot be written, or rename(2) fails.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    let replaced = write_private(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path).path_context("cannot write", path));
    // On a full disk the file was created without its content.
    replaced.inspect_err(|_| best_effort(std::fs::remove_file(&temporary)))
}
