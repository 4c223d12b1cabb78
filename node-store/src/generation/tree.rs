//! Trees of files: linked, copied, removed. Everything goes by descriptor and follows no link.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, openat, statat};
use rustix::io::Errno;

use super::{At, DIRECTORY, StoreError};

/// How files come into another tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// One file with two names. Nothing of ours ever changes such a file in place.
    Link,
    /// A file of its own, for what people and programs change in place.
    Copy,
}

/// A directory of a walk.
struct At2<'a> {
    dir: &'a OwnedFd,
    path: &'a Path,
}

/// Makes a directory (and those above it) below an open one, if it is missing.
pub(crate) fn make_directory(above: impl AsFd, shown: &Path, below: &str) -> Result<OwnedFd, StoreError> {
    let mut path = shown.to_path_buf();
    let mut dir = openat(above, ".", DIRECTORY, Mode::empty()).at(shown)?;
    for name in below.split('/') {
        path.push(name);
        match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at(path),
        }
        dir = openat(&dir, name, DIRECTORY, Mode::empty()).at(&path)?;
    }
    Ok(dir)
}

/// Entries of a directory.
fn entries(dir: &OwnedFd, path: &Path) -> Result<Vec<(std::ffi::CString, FileType)>, StoreError> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir).at(path)? {
        let entry = entry.at(path)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

fn join(path: &Path, name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    path.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// Takes over what `from` has and `into` lacks. Where both have a directory, it goes on below; a
/// whiteout in `into` (overlayfs's character device 0:0) keeps the name out and goes away.
pub(super) fn take_over(
    from: (&OwnedFd, &Path),
    into: (&OwnedFd, &Path),
    how: How,
) -> Result<(), StoreError> {
    let (from, into) = (At2 { dir: from.0, path: from.1 }, At2 { dir: into.0, path: into.1 });
    merge(&from, &into, how)
}

fn merge(from: &At2<'_>, into: &At2<'_>, how: How) -> Result<(), StoreError> {
    for (name, _) in entries(from.dir, from.path)? {
        let path = join(from.path, &name);
        let old = statat(from.dir, &name, AtFlags::SYMLINK_NOFOLLOW).at(&path)?;
        match statat(into.dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => copy_one(from, into, (&name, &old), how)?,
            Err(errno) => return Err(errno).at(join(into.path, &name)),
            Ok(new) if is_whiteout(&new) => {
                rustix::fs::unlinkat(into.dir, &name, AtFlags::empty()).at(join(into.path, &name))?;
            }
            Ok(new) if is_dir(&old) && is_dir(&new) => {
                let below_from = openat(from.dir, &name, DIRECTORY, Mode::empty()).at(&path)?;
                let into_path = join(into.path, &name);
                let below_into = openat(into.dir, &name, DIRECTORY, Mode::empty()).at(&into_path)?;
                if !take_opaque(&below_into, &into_path)? {
                    let from = At2 { dir: &below_from, path: &path };
                    merge(&from, &At2 { dir: &below_into, path: &into_path }, how)?;
                }
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Copies what stands at a name of one directory into another that lacks it.
pub(crate) fn bring(from: (&OwnedFd, &Path), into: (&OwnedFd, &Path), name: &CStr) -> Result<(), StoreError> {
    let stat = statat(from.0, name, AtFlags::SYMLINK_NOFOLLOW).at(join(from.1, name))?;
    let (from, into) = (At2 { dir: from.0, path: from.1 }, At2 { dir: into.0, path: into.1 });
    copy_one(&from, &into, (name, &stat), How::Copy)
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Brings one entry, with everything below it, into a directory that lacks it.
fn copy_one(from: &At2<'_>, into: &At2<'_>, entry: (&CStr, &Stat), how: How) -> Result<(), StoreError> {
    let (name, stat) = entry;
    let (path, into_path) = (join(from.path, name), join(into.path, name));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(into.dir, name, Mode::from_raw_mode(0o700)).at(&into_path)?;
            let below_from = openat(from.dir, name, DIRECTORY, Mode::empty()).at(&path)?;
            let below_into = openat(into.dir, name, DIRECTORY, Mode::empty()).at(&into_path)?;
            let below = At2 { dir: &below_into, path: &into_path };
            merge(&At2 { dir: &below_from, path: &path }, &below, how)?;
            attributes(&below_into, stat, &into_path)?;
            copy_extended(&below_from, &below_into, &into_path)
        }
        FileType::RegularFile if how == How::Copy => copy_file(from, into, name, stat),
        FileType::RegularFile | FileType::Symlink => {
            match rustix::fs::linkat(from.dir, name, into.dir, name, AtFlags::empty()) {
                // fs.protected_hardlinks, a full link count, another file system.
                Err(Errno::PERM | Errno::MLINK | Errno::XDEV)
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile =>
                {
                    copy_file(from, into, name, stat)
                }
                linked => linked.at(into_path),
            }
        }
        // Sockets, pipes and devices are of whoever runs, not of packages.
        _ => Ok(()),
    }
}

/// Owner, mode, times and extended attributes of a directory that was made anew.
pub(super) fn same_attributes(from: &OwnedFd, into: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    attributes(into, &rustix::fs::fstat(from).at(path)?, path)?;
    copy_extended(from, into, path)
}

/// Extended attributes that `into` lacks: the install view makes the directories it writes to, and
/// overlayfs shows those of its upper directory only.
pub(super) fn missing_attributes(from: &OwnedFd, into: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let there = extended(into, path)?;
    copy_some(from, into, path, |name| !there.iter().any(|known| known == name))
}

fn attributes(fd: &OwnedFd, stat: &Stat, path: &Path) -> Result<(), StoreError> {
    let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(fd, Some(owner.0), Some(owner.1)) {
        // An ordinary user's tree is that user's.
        Err(Errno::PERM | Errno::INVAL) | Ok(()) => {}
        Err(errno) => return Err(errno).at(path),
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777)).at(path)?;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: i64::try_from(stat.st_atime_nsec).unwrap_or(0),
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
    };
    rustix::fs::futimens(fd, &times).at(path)
}

fn copy_file(from: &At2<'_>, into: &At2<'_>, name: &CStr, stat: &Stat) -> Result<(), StoreError> {
    let (path, into_path) = (join(from.path, name), join(into.path, name));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from.dir, name, flags, Mode::empty()).at(&path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(into.dir, name, flags, Mode::from_raw_mode(0o600)).at(&into_path)?;
    let (mut source, mut target) = (std::fs::File::from(source), std::fs::File::from(target));
    // Asks the kernel to copy, or to share blocks where the file system can.
    std::io::copy(&mut source, &mut target).at(&into_path)?;
    let (source, target) = (OwnedFd::from(source), OwnedFd::from(target));
    attributes(&target, stat, &into_path)?;
    // After the owner, whose change takes capabilities away.
    copy_extended(&source, &target, &into_path)
}

/// Extended attributes: capabilities, access control lists, labels.
fn copy_extended(from: &OwnedFd, to: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    copy_some(from, to, path, |_| true)
}

fn copy_some(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    for name in extended(from, path)? {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) || !wanted(&name) {
            continue;
        }
        let mut value = [0_u8; 65_536];
        let length = rustix::fs::fgetxattr(from, &*name, &mut value[..]).at(path)?;
        match rustix::fs::fsetxattr(to, &*name, &value[..length], rustix::fs::XattrFlags::empty()) {
            // Labels are the security module's to give to what an ordinary user makes (xattr(7)).
            Err(Errno::PERM | Errno::ACCESS)
                if name.starts_with("security.") && !rustix::process::geteuid().is_root() => {}
            set => set.at(path)?,
        }
    }
    Ok(())
}

/// Names of extended attributes.
fn extended(fd: &OwnedFd, path: &Path) -> Result<Vec<String>, StoreError> {
    // The kernel allows no longer list (xattr(7)).
    let mut names = [0_u8; 65_536];
    let length = match rustix::fs::flistxattr(fd, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed.at(path)?,
    };
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// The attributes that overlayfs leaves behind, as root and as an ordinary user.
const OVERLAY: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whether a directory hides what was below its name; the mark is taken off.
fn take_opaque(dir: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    let mut opaque = false;
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

/// Takes overlayfs's marks off a tree that was an upper directory: attributes, and whiteouts of what
/// the node never had. Returns the latter, relative to the tree: files of core OS or ancestors that
/// a scriptlet tried to remove.
pub(super) fn clean(dir: &OwnedFd, path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut hidden = Vec::new();
    clean_below(dir, path, Path::new(""), &mut hidden)?;
    Ok(hidden)
}

fn clean_below(
    dir: &OwnedFd,
    path: &Path,
    below: &Path,
    hidden: &mut Vec<PathBuf>,
) -> Result<(), StoreError> {
    strip(dir, path)?;
    for (name, kind) in entries(dir, path)? {
        let inner = join(path, &name);
        match kind {
            FileType::Directory => {
                let fd = openat(dir, &name, DIRECTORY, Mode::empty()).at(&inner)?;
                clean_below(&fd, &inner, &join(below, &name), hidden)?;
            }
            FileType::CharacterDevice
                if is_whiteout(&statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW).at(&inner)?) =>
            {
                rustix::fs::unlinkat(dir, &name, AtFlags::empty()).at(&inner)?;
                hidden.push(join(below, &name));
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                // Unreadable files of an ordinary user have no marks that matter.
                if let Ok(fd) = openat(dir, &name, flags, Mode::empty()) {
                    strip(&fd, &inner)?;
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

/// Removes a name and everything below it, if it is there. Directories that nobody may read
/// (overlayfs makes one) are opened first.
pub(crate) fn remove(above: impl AsFd, shown: &Path, name: &str) -> Result<(), StoreError> {
    let name = std::ffi::CString::new(name).map_err(|_nul| Errno::INVAL).at(shown)?;
    remove_one(above.as_fd(), shown, &name)
}

/// The same for a name in bytes.
pub(crate) fn remove_one(
    above: std::os::fd::BorrowedFd<'_>,
    shown: &Path,
    name: &CStr,
) -> Result<(), StoreError> {
    let path = join(shown, name);
    match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno).at(path),
    }
    let dir = match openat(above, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(above, name, Mode::from_raw_mode(0o700), AtFlags::empty()).at(&path)?;
            openat(above, name, DIRECTORY, Mode::empty()).at(&path)?
        }
        opened => opened.at(&path)?,
    };
    let stat = rustix::fs::fstat(&dir).at(&path)?;
    if stat.st_mode & 0o300 != 0o300 {
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o700)).at(&path)?;
    }
    for (inner, _) in entries(&dir, &path)? {
        remove_one(dir.as_fd(), &path, &inner)?;
    }
    drop(dir);
    rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR).at(path)
}
