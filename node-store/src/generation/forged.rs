//! Marks of overlayfs that overlayfs did not make. In directories of a staging area that no overlay covers a scriptlet can
//! make its own whiteouts (mknod(2): a device 0:0 wants no capability), and attributes of the kind that a view does not use
//! are files' own. A name of the node goes when a transaction removes it, and in no other way.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;

use super::marks::{OPAQUE, OVERLAY, is_whiteout};
use super::{At, StoreError, Walk, entries};

/// Takes such marks off a staging area that nothing writes to any more, and in which no mark of ours is yet. `overlays`
/// are the directories, relative to it, that overlayfs wrote to; `user` is whether an ordinary user mounted them.
pub(crate) fn unforge(
    upper: &OwnedFd,
    shown: &Path,
    overlays: &[PathBuf],
    user: bool,
) -> Result<(), StoreError> {
    let (own, other) = if user { (OVERLAY[1], OVERLAY[0]) } else { (OVERLAY[0], OVERLAY[1]) };
    let mut walk = Walk::new(upper, shown)?;
    let covers = |walk: &Walk| {
        walk.path().strip_prefix(shown).is_ok_and(|path| overlays.iter().any(|overlay| overlay == path))
    };
    // Directories on the way down: names that are left in each, and whether an overlay covers it.
    let mut levels = vec![(entries(upper, shown)?, false)];
    while let Some((names, covered)) = levels.last_mut() {
        let covered = *covered;
        let Some((name, kind)) = names.pop() else {
            levels.pop();
            if !levels.is_empty() {
                walk.leave()?;
            }
            continue;
        };
        if kind != FileType::Directory {
            remove_forged(&walk, &name, covered)?;
            continue;
        }
        walk.enter(&name)?;
        take_off(&walk, other)?;
        // The uppermost directory of an overlay hides nothing.
        if !covered {
            take_off(&walk, own)?;
        }
        let below = entries(walk.dir(), walk.path())?;
        levels.push((below, covered || covers(&walk)));
    }
    Ok(())
}

/// Removes what stands for a name that was removed, and that no overlay made.
fn remove_forged(walk: &Walk, name: &CStr, covered: bool) -> Result<(), StoreError> {
    let stat = walk.at(name, statat(walk.dir(), name, AtFlags::SYMLINK_NOFOLLOW))?;
    // In a directory that an overlay covers nobody else makes such a device (`ovl_mknod`), and a pipe there has taken the
    // place of what was removed. Marks of ours come later.
    if is_whiteout(&stat) && (!covered || name == OPAQUE) {
        walk.at(name, unlinkat(walk.dir(), name, AtFlags::empty()))?;
    }
    Ok(())
}

fn take_off(walk: &Walk, prefix: &str) -> Result<(), StoreError> {
    match rustix::fs::fremovexattr(walk.dir(), format!("{prefix}opaque")) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        // What a user cannot take off counts for nobody but root, who could.
        Err(Errno::PERM) if prefix == OVERLAY[0] => Ok(()),
        failed => failed.at(walk.path()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{Mode, XattrFlags, fgetxattr, fsetxattr, makedev, mknodat};

    use super::super::DIRECTORY;
    use super::*;

    #[test]
    fn only_overlays_make_marks() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |below: &str| scratch.path().join(below);
        let open = |below: &str| rustix::fs::open(at(below), DIRECTORY, Mode::empty()).unwrap();
        for dir in ["usr/lib/a", "usr/lib/b", "etc/split", "new"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        let make = |below: &str, kind, mode| {
            let dir = below.rsplit_once('/').unwrap();
            mknodat(open(dir.0), dir.1, kind, Mode::from_raw_mode(mode), makedev(0, 0)).unwrap();
        };
        for below in ["usr/gone", "usr/lib/gone", "etc/split/x", "new/x", "x/y"] {
            fs::create_dir_all(at(below).parent().unwrap()).unwrap();
            make(below, FileType::CharacterDevice, 0);
        }
        for below in ["usr/lib/.wh..wh..opq", "new/.wh..wh..opq", "new/y", "usr/lib/pipe"] {
            make(below, FileType::Fifo, 0);
        }
        make("new/pipe", FileType::Fifo, 0o600);
        let set = |below: &str, name: &str| fsetxattr(open(below), name, b"y", XattrFlags::empty()).unwrap();
        set("usr/lib/a", "user.overlay.opaque");
        set("new", "user.overlay.opaque");
        let has = |below: &str| fgetxattr(open(below), "user.overlay.opaque", &mut [0_u8; 1][..]).is_ok();
        let overlays = [PathBuf::from("usr"), PathBuf::from("etc/split/below")];
        unforge(&open("."), scratch.path(), &overlays, true).unwrap();
        assert!(has("usr/lib/a") && !has("new"), "an overlay of a user marks directories like this");
        unforge(&open("."), scratch.path(), &overlays, false).unwrap();
        assert!(!has("usr/lib/a"), "one of root's does not");
        for (below, there) in [
            ("usr/gone", true),
            ("usr/lib/gone", true),
            ("etc/split/x", false),
            ("new/x", false),
            ("x/y", false),
            ("usr/lib/.wh..wh..opq", false),
            ("new/.wh..wh..opq", false),
            ("new/y", false),
            ("usr/lib/pipe", true),
            ("new/pipe", true),
        ] {
            assert_eq!(at(below).symlink_metadata().is_ok(), there, "{below}");
        }
    }
}
