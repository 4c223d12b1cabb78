//! What stands in a root that is not mounted: directories, links, files.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use crate::launch::error::{Doing, LaunchError};
use crate::spec::layout::{Entry, anonymous_mode};

/// Fills an empty root. Paths come sorted, so that a directory comes before what is in it.
pub(super) fn skeleton(
    root: &OwnedFd,
    entries: &BTreeMap<String, Entry>,
    owner: (u32, u32),
    locks: &mut Vec<OwnedFd>,
) -> Result<(), LaunchError> {
    for (path, entry) in entries {
        let name = path.trim_start_matches('/');
        let made = match entry {
            Entry::Anonymous => anonymous(root, path, owner),
            _ => make(root, name, entry, locks),
        };
        made.doing(|| format!("{path} in the root"))?;
    }
    Ok(())
}

/// Makes a directory for the command. Nothing is taken from its mode: the process has umask 0 by now.
fn anonymous(root: &OwnedFd, path: &str, (uid, gid): (u32, u32)) -> rustix::io::Result<()> {
    let name = path.trim_start_matches('/');
    mkdirat(root, name, Mode::from_raw_mode(anonymous_mode(path)))?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(root, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// Makes one thing in a directory.
pub(super) fn make(
    directory: impl AsFd,
    name: &str,
    entry: &Entry,
    locks: &mut Vec<OwnedFd>,
) -> rustix::io::Result<()> {
    let directory = directory.as_fd();
    // Not for writing: a root with a file that is open for that could not become read-only.
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match entry {
        Entry::Dir => match mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        },
        // It has an owner and a mode, see `anonymous`; no other place than the skeleton has one.
        Entry::Anonymous => Err(Errno::INVAL),
        Entry::File => openat(directory, name, flags, Mode::from_raw_mode(0o444)).map(drop),
        Entry::Symlink { target } => symlinkat(target.as_str(), directory, name),
        Entry::Lock => {
            locks.push(openat(directory, name, flags, Mode::from_raw_mode(0o644))?);
            Ok(())
        }
    }
}

pub(super) fn write_all(file: &OwnedFd, mut contents: &[u8]) -> rustix::io::Result<()> {
    while !contents.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, contents))?;
        contents = &contents[written..];
    }
    Ok(())
}
