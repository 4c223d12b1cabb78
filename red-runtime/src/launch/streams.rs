//! Standard streams that are device nodes of the host.
//!
//! A container whose user 0 is the machine's may change mode and owner of whatever it has open
//! (fchmod(2) asks who owns the file, not how it was opened): of the host's `/dev/null` and of the
//! launcher's terminal too. Opened again through a read-only mount of their own they can be read and
//! written to, but not changed (EROFS).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fcntl_getfl, fstat, major, minor, open, openat};

use super::error::{Doing, LaunchError};
use super::record::is_machines_root;
use super::root::assemble::clone_tree;
use crate::sys::exec;
use crate::sys::mount_attr::{self, MountAttr, flag};

/// Devices of memory, such as `/dev/null` (admin-guide/devices.txt).
const MEMORY: u32 = 1;
/// Slaves of pseudo terminals.
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

/// Guards the standard streams of this process, which what it starts inherits.
///
/// # Errors
/// A device cannot be opened again.
pub(crate) fn guard() -> Result<(), LaunchError> {
    // To anybody else the host's devices do not belong.
    if !is_machines_root() {
        return Ok(());
    }
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    // Often two or three are one device: a mount that is taken away again waits for all processors.
    let mut trees: Vec<((u64, u64), OwnedFd)> = Vec::new();
    for (stream, number) in streams.into_iter().zip(0..) {
        if let Some(own) = guarded(stream, &mut trees).doing(|| format!("standard stream {number}"))? {
            exec::place(&own, number).doing(|| format!("standard stream {number}"))?;
        }
    }
    Ok(())
}

/// The host's `/dev/null`, guarded.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn null() -> Result<OwnedFd, LaunchError> {
    let what = || "/dev/null";
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    let own = if is_machines_root() { guarded(&null, &mut Vec::new()).doing(what)? } else { None };
    Ok(own.unwrap_or(null))
}

/// A device once more, through a mount of its own, of which `trees` has those that were made, by device and
/// inode; `None` for what is none of those above, and for a terminal that this mount namespace does not show.
fn guarded(stream: impl AsFd, trees: &mut Vec<((u64, u64), OwnedFd)>) -> rustix::io::Result<Option<OwnedFd>> {
    // A stream may be closed.
    let Ok(stat) = fstat(&stream) else { return Ok(None) };
    let device = major(stat.st_rdev);
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        || !(device == MEMORY || TERMINALS.contains(&device))
    {
        return Ok(None);
    }
    let id = (stat.st_dev, stat.st_ino);
    if !trees.iter().any(|(one, _)| *one == id) {
        let Some(found) = here(stream.as_fd(), &stat) else { return Ok(None) };
        let tree = clone_tree(&found, false)?;
        mount_attr::set(&tree, false, MountAttr { set: flag::RDONLY, ..MountAttr::default() })?;
        trees.push((id, tree));
    }
    let Some((_, tree)) = trees.iter().find(|(one, _)| *one == id) else { return Ok(None) };
    let flags = fcntl_getfl(&stream)? & (OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK);
    openat(CWD, path_of(tree.as_fd()), flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).map(Some)
}

fn path_of(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The same device in this mount namespace, whose mounts alone can be copied (open_tree(2)).
fn here(stream: BorrowedFd<'_>, stat: &Stat) -> Option<OwnedFd> {
    let shown = crate::node::place::real_path(stream).ok();
    let memory = match minor(stat.st_rdev) {
        3 => Some("/dev/null"),
        5 => Some("/dev/zero"),
        7 => Some("/dev/full"),
        8 => Some("/dev/random"),
        9 => Some("/dev/urandom"),
        _ => None,
    };
    let memory = memory.filter(|_| major(stat.st_rdev) == MEMORY).map(std::path::PathBuf::from);
    shown.into_iter().chain(memory).find_map(|path| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = open(path, flags, Mode::empty()).ok()?;
        let same = fstat(&found).is_ok_and(|it| (it.st_mode, it.st_rdev) == (stat.st_mode, stat.st_rdev));
        same.then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_device_is_written_to_and_not_changed() {
        let file = tempfile::tempfile().unwrap();
        assert!(guarded(&file, &mut Vec::new()).unwrap().is_none());
        if !is_machines_root() {
            return;
        }
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mode = full.metadata().unwrap().permissions();
        let own = guarded(&full, &mut Vec::new()).unwrap().unwrap();
        let again = rustix::fs::fchmod(&own, Mode::from_raw_mode(mode.mode() & 0o7777));
        assert_eq!(again, Err(rustix::io::Errno::ROFS));
        assert_eq!(rustix::io::write(&own, b"x"), Err(rustix::io::Errno::NOSPC), "it is /dev/full");
        assert_eq!(fcntl_getfl(&own).unwrap() & OFlags::RWMODE, OFlags::WRONLY);
    }
}
