//! Marks of overlayfs in a tree that was an upper directory, and ours where it cannot make any.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::tree::{extended, stat_of};
use super::{At, DIRECTORY, Left, StoreError, Walk, entries};

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
        clean_name(dir, path, &name)?;
    }
    Ok(())
}

/// The same for one name of it: attributes, and whiteouts of what the node never had.
pub(super) fn clean_name(dir: &OwnedFd, path: &Path, name: &CStr) -> Result<(), StoreError> {
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
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                walk.enter(&name)?;
                strip(walk.dir(), walk.path())?;
                levels.push(entries(walk.dir(), walk.path())?.into_iter().map(|(name, _)| name).collect());
            }
            _ if is_whiteout(&stat) => {
                walk.at(&name, rustix::fs::unlinkat(walk.dir(), &name, AtFlags::empty()))?;
            }
            FileType::RegularFile => strip_file(&walk, &name)?,
            _ => {}
        }
    }
    Ok(())
}

/// Takes overlayfs's attributes off one name of an upper directory that is to become a part of a generation. What says
/// which names of the current generation do not come into it stays, and is noted in `later` with what no generation has.
pub(super) fn strip_name(
    dir: &OwnedFd,
    path: &Path,
    entry: (CString, FileType),
    later: &mut Vec<PathBuf>,
) -> Result<(), StoreError> {
    let mut walk = Walk::new(dir, path)?;
    let mut levels = vec![vec![entry]];
    while let Some(names) = levels.last_mut() {
        let Some((name, kind)) = names.pop() else {
            levels.pop();
            if !levels.is_empty() {
                walk.leave()?;
            }
            continue;
        };
        let shown = |path_of: &Path| path_of.strip_prefix(path).map(Path::to_path_buf).unwrap_or_default();
        match kind {
            FileType::Directory => {
                walk.enter(&name)?;
                if strip_but_opaque(walk.dir(), walk.path())? {
                    later.push(shown(walk.path()));
                }
                levels.push(entries(walk.dir(), walk.path())?);
            }
            FileType::RegularFile => strip_file(&walk, &name)?,
            FileType::Symlink => {}
            // Whiteouts and marks among them.
            _ => later.push(shown(&walk.join(&name))),
        }
    }
    Ok(())
}

/// Takes off what was left for [`strip_name`], once all of the current generation that stays is there.
pub(super) fn clean_later(
    dir: &OwnedFd,
    path: &Path,
    later: &[PathBuf],
    left: &mut Left,
) -> Result<(), StoreError> {
    for below in later {
        let Some((above, name)) = super::tidy::above(dir, path, below)? else { continue };
        let Ok(stat) = statat(&above, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let fd = openat(&above, &name, DIRECTORY, Mode::empty()).at(path.join(below))?;
            strip(&fd, &path.join(below))?;
            continue;
        }
        if is_whiteout(&stat) {
            if *name != *OPAQUE {
                left.kept.push(below.clone());
            }
        } else if matches!(kind, FileType::Fifo | FileType::Socket) {
            left.dropped.push(below.clone());
        } else {
            continue;
        }
        rustix::fs::unlinkat(&above, &name, AtFlags::empty()).at(path.join(below))?;
    }
    Ok(())
}

fn strip_file(walk: &Walk, name: &CStr) -> Result<(), StoreError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Unreadable files of an ordinary user have no marks that matter.
    match openat(walk.dir(), name, flags, Mode::empty()) {
        Ok(fd) => strip(&fd, &walk.join(name)),
        Err(_) => Ok(()),
    }
}

/// Takes all of overlayfs's attributes off but the one of an opaque directory. Returns whether it has that.
fn strip_but_opaque(fd: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    let mut opaque = false;
    for name in extended(fd, path)? {
        match OVERLAY.iter().find_map(|prefix| name.strip_prefix(prefix)) {
            Some("opaque") => opaque = true,
            Some(_) => rustix::fs::fremovexattr(fd, &*name).at(path)?,
            None => {}
        }
    }
    Ok(opaque)
}

pub(super) fn strip(fd: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    for name in extended(fd, path)? {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) {
            rustix::fs::fremovexattr(fd, &*name).at(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileTypeExt;

    use super::super::transfer::mark;
    use super::super::tree::{How, take_over};
    use super::*;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn an_upper_directory_over_a_generation() {
        let scratch = tempfile::tempdir().unwrap();
        let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
        for file in ["usr/gone", "usr/kept", "usr/dir/a", "usr/opaque/a", "usr/piped"] {
            fs::create_dir_all(old.join(file).parent().unwrap()).unwrap();
            fs::write(old.join(file), file).unwrap();
        }
        for dir in ["usr/opaque/deep", "usr/made"] {
            fs::create_dir_all(new.join(dir)).unwrap();
        }
        let usr = open(&new.join("usr"));
        // Of a generation, and of core OS or an ancestor.
        for name in [c"gone", c"dir", c"theirs"] {
            mark(&usr, &new, name).unwrap();
        }
        let opaque = openat(&usr, "opaque", DIRECTORY, Mode::empty()).unwrap();
        let made = openat(&usr, "made", DIRECTORY, Mode::empty()).unwrap();
        mark(&made, &new, OPAQUE).unwrap();
        let value = rustix::fs::XattrFlags::empty();
        for (fd, name) in [(&opaque, "opaque"), (&made, "opaque"), (&made, "origin")] {
            rustix::fs::fsetxattr(fd, format!("user.overlay.{name}"), b"y", value).unwrap();
        }
        rustix::fs::mknodat(&usr, "piped", FileType::Fifo, Mode::RUSR, 0).unwrap();
        let mut later = Vec::new();
        let top = open(&new);
        strip_name(&top, &new, (c"usr".to_owned(), FileType::Directory), &mut later).unwrap();
        take_over((&open(&old), &old), (&top, &new), How::Link).unwrap();
        assert!(fs::symlink_metadata(new.join("usr/piped")).unwrap().file_type().is_fifo());
        let mut left = Left::default();
        clean_later(&top, &new, &later, &mut left).unwrap();
        assert_eq!(left.kept, [Path::new("usr/theirs")]);
        assert_eq!(left.dropped, [Path::new("usr/piped")]);
        let names = |below: &str| {
            let entries = fs::read_dir(new.join(below)).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names("usr"), ["kept", "made", "opaque"]);
        assert_eq!(names("usr/opaque"), ["deep"], "what was below it stays hidden");
        assert!(names("usr/made").is_empty());
        for dir in [&opaque, &made] {
            assert!(extended(dir, &new).unwrap().is_empty(), "no attribute of overlayfs is left");
        }
    }
}
