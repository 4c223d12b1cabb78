//! What a generation has for the node's `var`, and what is there, side by side.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Uid, openat};

use super::tree::Shown;
use super::{At, StoreError};

/// Whether two names, of which none is a directory, hold the same.
pub(super) fn same(from: &OwnedFd, into: &OwnedFd, name: &CStr, (new, old): (&Stat, &Stat)) -> bool {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    if kind(new) != kind(old) {
        return false;
    }
    let link = |dir: &OwnedFd| rustix::fs::readlinkat(dir, name, Vec::new()).ok();
    match kind(new) {
        FileType::RegularFile => new.st_size == old.st_size && same_bytes(from, into, name).unwrap_or(false),
        FileType::Symlink => link(from) == link(into),
        _ => true,
    }
}

fn same_bytes(from: &OwnedFd, into: &OwnedFd, name: &CStr) -> std::io::Result<bool> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |dir| openat(dir, name, flags, Mode::empty()).map(std::fs::File::from);
    let (mut new, mut old) = (open(from)?, open(into)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = new.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        old.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

/// Gives a directory that both have the owner and the mode that rpm gave it. The staging area's own
/// directories are open to whoever makes them, and the one above the database is the staging area's.
pub(super) fn same_access(new: &Stat, old: &Stat, dir: Shown<'_>) -> Result<bool, StoreError> {
    let root = rustix::process::geteuid().is_root();
    // The staging area of an ordinary user has that user's group everywhere (mirror.rs), and so no set-group-ID.
    let kept = if root { 0 } else { 0o2000 };
    let of = |stat: &Stat| (stat.st_uid, if root { stat.st_gid } else { 0 }, stat.st_mode & 0o7077 & !kept);
    if of(new) == of(old) || dir.1.ends_with("var/lib") || !root && new.st_uid != old.st_uid {
        return Ok(false);
    }
    if root {
        rustix::fs::fchown(dir.0, Some(Uid::from_raw(new.st_uid)), Some(Gid::from_raw(new.st_gid)))
            .at(dir.1)?;
    }
    let mode = new.st_mode & !kept | old.st_mode & kept;
    rustix::fs::fchmod(dir.0, Mode::from_raw_mode(mode & 0o7777)).at(dir.1)?;
    Ok(true)
}
