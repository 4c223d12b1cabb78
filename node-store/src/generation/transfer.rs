//! A staging area that was in memory comes to where the node is: for file systems that overlayfs does
//! not write to, such as another overlay.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Uid, openat, statat};
use rustix::io::Errno;

use super::marks::{OPAQUE, is_opaque, is_whiteout};
use super::tree::{Shown, attributes, copy_extended, copy_file, join};
use super::{At, DIRECTORY, StoreError, entries};

/// Copies everything of a tree into another one: hard links stay such, and overlayfs's whiteouts and
/// opaque directories become marks that any file system holds ([`super::mark`]).
pub(crate) fn transfer(from: (&OwnedFd, &Path), into: (&OwnedFd, &Path)) -> Result<(), StoreError> {
    let mut transfer = Transfer { links: HashMap::new(), root: into };
    transfer.directory(from, into)
}

/// Copies one entry into a directory that lacks it.
pub(super) fn copy_entry(
    from: Shown<'_>,
    into: Shown<'_>,
    name: &CStr,
    stat: &Stat,
) -> Result<(), StoreError> {
    Transfer { links: HashMap::new(), root: into }.entry(from, into, name, stat)
}

/// Removes everything in a directory.
pub(crate) fn clear(dir: &OwnedFd, shown: &Path) -> Result<(), StoreError> {
    for (name, _) in entries(dir, shown)? {
        super::remove_one(dir, shown, &name)?;
    }
    Ok(())
}

/// Makes a mark in the place of a name that was removed: a pipe that nobody may open, because file
/// systems that are overlays themselves take no whiteout (`ovl_mknod`). A scriptlet that makes one has
/// removed that name, too.
pub(crate) fn mark(dir: &OwnedFd, shown: &Path, name: &CStr) -> Result<(), StoreError> {
    match rustix::fs::mknodat(dir, name, FileType::Fifo, Mode::empty(), 0) {
        // What stands in its place would come back.
        Err(Errno::EXIST)
            if statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|there| is_whiteout(&there)) =>
        {
            Ok(())
        }
        made => made.at(join(shown, name)),
    }
}

struct Transfer<'a> {
    /// Files with several names, by inode: the first copy, relative to the root.
    links: HashMap<u64, PathBuf>,
    /// Where everything comes to.
    root: (&'a OwnedFd, &'a Path),
}

impl Transfer<'_> {
    fn directory(&mut self, from: Shown<'_>, into: Shown<'_>) -> Result<(), StoreError> {
        for (name, _) in entries(from.0, from.1)? {
            if *name == *OPAQUE {
                // A scriptlet made it: overlayfs has another mark for that.
                continue;
            }
            let path = join(from.1, &name);
            let stat = statat(from.0, &name, AtFlags::SYMLINK_NOFOLLOW).at(&path)?;
            self.entry(from, into, &name, &stat)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: Shown<'_>,
        into: Shown<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let (path, into_path) = (join(from.1, name), join(into.1, name));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                match rustix::fs::mkdirat(into.0, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).at(into_path),
                }
                let below_from = openat(from.0, name, DIRECTORY, Mode::empty()).at(&path)?;
                let below_into = openat(into.0, name, DIRECTORY, Mode::empty()).at(&into_path)?;
                let below = (&below_into, into_path.as_path());
                self.directory((&below_from, &path), below)?;
                if is_opaque(&below_from, &path)? {
                    mark(&below_into, &into_path, OPAQUE)?;
                }
                attributes(&below_into, stat, &into_path)?;
                copy_extended(&below_from, &below_into, &into_path)
            }
            FileType::RegularFile => self.file(from, into, name, stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from.0, name, Vec::new()).at(&path)?;
                rustix::fs::symlinkat(&*target, into.0, name).at(&into_path)?;
                let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                match rustix::fs::chownat(into.0, name, Some(owner.0), Some(owner.1), flags) {
                    Err(Errno::PERM | Errno::INVAL) | Ok(()) => Ok(()),
                    Err(errno) => Err(errno).at(into_path),
                }
            }
            _ if is_whiteout(stat) => mark(into.0, into.1, name),
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
                rustix::fs::mknodat(into.0, name, FileType::Fifo, mode, 0).at(into_path)
            }
            // Sockets are of whoever runs; there are no devices in a view.
            _ => Ok(()),
        }
    }

    fn file(&mut self, from: Shown<'_>, into: Shown<'_>, name: &CStr, stat: &Stat) -> Result<(), StoreError> {
        let path = join(into.1, name);
        if let Some(first) = self.links.get(&stat.st_ino) {
            match rustix::fs::linkat(self.root.0, first, into.0, name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::MLINK | Errno::PERM | Errno::XDEV) => {}
                Err(errno) => return Err(errno).at(path),
            }
        }
        copy_file(from, into, name, stat)?;
        if stat.st_nlink > 1
            && let Ok(below) = path.strip_prefix(self.root.1)
        {
            self.links.insert(stat.st_ino, below.to_path_buf());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
