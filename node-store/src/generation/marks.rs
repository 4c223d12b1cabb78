//! Marks of overlayfs in a tree that was an upper directory, and ours where it cannot make any.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::tree::{extended, stat_of};
use super::{At, Left, StoreError, Walk, entries};

/// Whether a name stands for one that was removed: overlayfs's whiteout, or a [mark](super::transfer::mark).
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => stat.st_rdev == 0,
        FileType::Fifo => stat.st_mode & 0o7777 == 0,
        _ => false,
    }
}

/// Name of a mark in a directory that hides what was below its name.
pub(super) const OPAQUE: &CStr = c".wh..wh..opq";

/// Whether overlayfs has marked a directory as hiding what was below its name.
pub(super) fn is_opaque(dir: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    for prefix in OVERLAY {
        let mut value = [0_u8; 1];
        match rustix::fs::fgetxattr(dir, format!("{prefix}opaque"), &mut value[..]) {
            Ok(_) if value == *b"y" => return Ok(true),
            // Another value says that there may be whiteouts of another kind in it.
            Ok(_) => {}
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno).at(path),
        }
    }
    Ok(false)
}

/// The attributes that overlayfs leaves behind, as root and as an ordinary user.
pub(super) const OVERLAY: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whether a directory hides what was below its name; the mark is taken off.
pub(super) fn take_opaque(dir: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    let marked = statat(dir, OPAQUE, AtFlags::SYMLINK_NOFOLLOW);
    let mut opaque = marked.is_ok_and(|stat| is_whiteout(&stat));
    if opaque {
        rustix::fs::unlinkat(dir, OPAQUE, AtFlags::empty()).at(path.join(".wh..wh..opq"))?;
    }
    for prefix in OVERLAY {
        let name = format!("{prefix}opaque");
        match rustix::fs::fgetxattr(dir, &name, &mut [0_u8; 1][..]) {
            Ok(_) => {
                opaque = true;
                rustix::fs::fremovexattr(dir, &name).at(path)?;
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno).at(path),
        }
    }
    Ok(opaque)
}

/// Takes overlayfs's marks off a tree that was an upper directory.
pub(super) fn clean(dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    strip(dir, path)?;
    for (name, _) in entries(dir, path)? {
        clean_name(dir, path, &name, None)?;
    }
    Ok(())
}

/// The same for one name of it: attributes, and whiteouts of what the node never had. Where it comes into a
/// generation, pipes and sockets go too, and both are noted.
pub(super) fn clean_name(
    dir: &OwnedFd,
    path: &Path,
    name: &CStr,
    mut left: Option<&mut Left>,
) -> Result<(), StoreError> {
    let mut walk = Walk::new(dir, path)?;
    let mut levels = vec![vec![name.to_owned()]];
    while let Some(names) = levels.last_mut() {
        let Some(name) = names.pop() else {
            levels.pop();
            if !levels.is_empty() {
                walk.leave()?;
            }
            continue;
        };
        let stat = stat_of(&walk, &name)?;
        let shown = || walk.join(&name).strip_prefix(path).map(Path::to_path_buf).unwrap_or_default();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                walk.enter(&name)?;
                strip(walk.dir(), walk.path())?;
                levels.push(entries(walk.dir(), walk.path())?.into_iter().map(|(name, _)| name).collect());
            }
            _ if is_whiteout(&stat) => {
                if let Some(left) = left.as_mut().filter(|_| *name != *OPAQUE) {
                    left.kept.push(shown());
                }
                walk.at(&name, rustix::fs::unlinkat(walk.dir(), &name, AtFlags::empty()))?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                // Unreadable files of an ordinary user have no marks that matter.
                if let Ok(fd) = openat(walk.dir(), &name, flags, Mode::empty()) {
                    strip(&fd, &walk.join(&name))?;
                }
            }
            FileType::Fifo | FileType::Socket => {
                if let Some(left) = left.as_mut() {
                    left.dropped.push(shown());
                    walk.at(&name, rustix::fs::unlinkat(walk.dir(), &name, AtFlags::empty()))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn strip(fd: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    for name in extended(fd, path)? {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) {
            rustix::fs::fremovexattr(fd, &*name).at(path)?;
        }
    }
    Ok(())
}
