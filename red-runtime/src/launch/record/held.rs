//! A container under lock: the only way to make, change or forget one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

use super::lock::{self, Lock};
use super::store::{container, exists, log_name};
use super::trusted::Untrusted;
use super::{Record, json, read};
use crate::launch::error::{Doing, LaunchError, tried};

/// A locked container: the state directory it is in, and the lock.
#[derive(Debug)]
pub(crate) struct Held {
    /// Container ID.
    pub(crate) id: String,
    path: PathBuf,
    store: OwnedFd,
    lock: Lock,
}

impl Held {
    /// A container of a state directory, open, whose lock was taken.
    pub(super) fn new(id: &str, path: PathBuf, store: OwnedFd, lock: Lock) -> Self {
        Self { id: id.to_owned(), path, store, lock }
    }

    /// Path of the container's directory, for messages.
    fn shown(&self) -> String {
        self.path.join(&self.id).display().to_string()
    }

    /// Whether there is such a container.
    pub(crate) fn exists(&self) -> bool {
        exists(&self.store, &self.id)
    }

    /// Its record.
    ///
    /// # Errors
    /// There is none, it is damaged, or it is not believed.
    pub(crate) fn read(&self) -> Result<Record, LaunchError> {
        read(&self.open()?, &self.id)
    }

    /// Begins a container: its directory, with its record and configuration in it, appears at once.
    /// A record that `lasts` is on disk by then: something is made after it that a machine which
    /// loses its power could keep.
    ///
    /// # Errors
    /// It exists already, or cannot be written.
    pub(crate) fn begin(&self, record: &Record, spec: &Spec, lasts: bool) -> Result<OwnedFd, LaunchError> {
        let what = || self.shown();
        if self.exists() {
            return Err(LaunchError::Exists { id: self.id.clone() });
        }
        let aside = format!(".{}.new", self.id);
        // Ours alone: the lock is held.
        remove_tree(&self.store, &aside)?;
        let (record, spec) = (record.written()?, json(spec, "config.json")?);
        mkdirat(&self.store, &aside, Mode::from_raw_mode(0o700)).doing(what)?;
        let made = self.fill(&aside, &[("record.json", record), ("config.json", spec)], lasts);
        // On a full disk, or at a limit on sizes, nothing is to be left.
        made.inspect_err(|_| tried(remove_tree(&self.store, &aside))).doing(what)
    }

    /// Writes files into a directory aside, and gives it the container's name.
    fn fill(&self, aside: &str, files: &[(&str, Vec<u8>)], lasts: bool) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(&self.store, aside, flags, Mode::empty())?;
        for (name, bytes) in files {
            write(&directory, name, bytes, lasts)?;
        }
        renameat(&self.store, aside, &self.store, &self.id)?;
        Ok(directory)
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// It cannot be written; then the old one stands.
    pub(crate) fn update(&self, directory: &OwnedFd, record: &Record) -> Result<(), LaunchError> {
        write(directory, "record.json", &record.written()?, true)
            .doing(|| format!("{}/record.json", self.shown()))
    }

    /// The container's directory, open.
    ///
    /// # Errors
    /// There is none, or it is not believed.
    pub(crate) fn open(&self) -> Result<OwnedFd, LaunchError> {
        container(&self.store, &self.id)
    }

    /// Its first process, where its record is not believed.
    pub(crate) fn first_process(&self) -> Option<super::Process> {
        super::first_of(&self.open().ok()?, &self.id)
    }

    /// Forgets the container, and the lock with it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn forget(self) -> Result<(), LaunchError> {
        self.clear()?;
        remove_file(&self.store, &log_name(&self.id))?;
        self.unlock()
    }

    /// Forgets the container; its name stays locked, and the file that its output went to stays for the next
    /// one.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn clear(&self) -> Result<(), LaunchError> {
        let away = format!(".{}.old", self.id);
        remove_tree(&self.store, &away)?;
        // From here on nobody finds half a container.
        match renameat(&self.store, &self.id, &self.store, &away) {
            Ok(()) => remove_tree(&self.store, &away)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).doing(|| self.shown()),
        }
        remove_tree(&self.store, &format!(".{}.new", self.id))
    }

    /// Lets the lock go and removes its file; for a container that never came to be.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn unlock(self) -> Result<(), LaunchError> {
        // Before the descriptor closes: whoever waits for it sees that it is no longer the one.
        remove_file(&self.store, &lock::name(&self.id))?;
        drop(self.lock);
        Ok(())
    }
}

/// Writes a file aside, has it on disk, and puts it in place.
fn write(directory: &OwnedFd, name: &str, bytes: &[u8], lasts: bool) -> rustix::io::Result<()> {
    let aside = format!(".{name}");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(directory, &*aside, flags, Mode::from_raw_mode(0o600))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[count..];
    }
    if lasts {
        rustix::fs::fdatasync(&file)?;
    }
    renameat(directory, &*aside, directory, name)
}

/// Removes a file beside a container; what is no regular file was not made here.
fn remove_file(store: &OwnedFd, name: &str) -> Result<(), LaunchError> {
    let what = || format!("state {name}");
    match statat(store, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            unlinkat(store, name, AtFlags::empty()).doing(what)
        }
        Ok(_) => Err(LaunchError::refused(what(), Untrusted::NotAFile.to_string())),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).doing(what),
    }
}

/// Removes what is under a name. Not with std's function: that aborts the process when closing a directory
/// fails.
fn remove_tree(store: &OwnedFd, name: &str) -> Result<(), LaunchError> {
    match remove_at(store.as_fd(), &name, 0) {
        Err(errno) if errno != Errno::NOENT => Err(errno).doing(|| format!("state {name}")),
        _ => Ok(()),
    }
}

/// How deep directories of a container's state may be nested; ours are not.
const DEEPEST: usize = 64;

fn remove_at(parent: BorrowedFd<'_>, name: &(impl Arg + Copy), depth: usize) -> rustix::io::Result<()> {
    match unlinkat(parent, *name, AtFlags::empty()) {
        // Which of the two is said of a directory is the file system's choice (unlink(2)).
        Err(Errno::ISDIR | Errno::PERM) if depth < DEEPEST => {}
        other => return other,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, *name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            remove_at(directory.as_fd(), &entry.file_name(), depth + 1)?;
        }
    }
    unlinkat(parent, *name, AtFlags::REMOVEDIR)
}
