//! What is in a staging area: files that no package owns, which scriptlets wrote, and files that run as
//! their owner whoever starts them.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, chmodat, chownat, statat};
use rustix::io::Errno;

use super::Rules;
use crate::generation::{At, StoreError, Walk, entries};

/// At most this many are listed.
const LISTED: usize = 10_000;
/// Directories may be nested this deep. No package comes near it; from some thousand levels on they have
/// no path any more (PATH_MAX), and programs that keep one descriptor a level fail.
const LEVELS: usize = 256;

/// Takes set-user-ID, set-group-ID and file capabilities away from the files of a staging area that have them,
/// but for those that an option keeps. In nodes they are without effect (`nosuid`, `no_new_privs`), and by the
/// node's path on the host every user would have them (CVE-2021-41091 was that of another store). Returns whose
/// were taken, as paths of the view.
pub(crate) fn disarm(upper: &OwnedFd, rules: &Rules<'_>) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut failed = None;
    each(upper, &mut |walk, name, kind| {
        let path = || walk.join(name);
        if kind != FileType::RegularFile
            || !is_privileged(walk, name)
            || rules.allow(&path().to_string_lossy())
        {
            return;
        }
        // A change of owner takes capabilities, also where neither user nor group is given (chown(2)), and the bits
        // but for set-group-ID where the group may not execute. Nothing else changes the staging area any more, so
        // that the name is still the file's.
        let plain = |stat: rustix::fs::Stat| Mode::from_raw_mode(stat.st_mode & 0o1777);
        let taken = chownat(walk.dir(), name, None, None, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| statat(walk.dir(), name, AtFlags::SYMLINK_NOFOLLOW))
            .and_then(|stat| chmodat(walk.dir(), name, plain(stat), AtFlags::empty()));
        let left = || if is_privileged(walk, name) { Err(Errno::PERM) } else { Ok(()) };
        match taken.and_then(|()| left()) {
            Ok(()) => found.push(path()),
            Err(errno) => failed = failed.take().or(Some(Err(errno).at(path()))),
        }
    })?;
    failed.unwrap_or(Ok(()))?;
    Ok(listed(found))
}

/// Files of a staging area that no package owns: `owned` are paths of packages, as a process reads them that no scriptlet
/// ran in.
pub(crate) fn strangers(upper: &OwnedFd, owned: &HashSet<&OsStr>) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    each(upper, &mut |walk, name, _| {
        let path = walk.join(name);
        let ours = path.starts_with("/var/lib/rpm") || path.parent() == Some(Path::new("/"));
        if !ours && found.len() < LISTED && !owned.contains(shown(&path).as_os_str()) {
            found.push(path);
        }
    })?;
    Ok(listed(found))
}

/// A path as a database and a history have it: what is no text cannot be written down as it is.
fn shown(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

fn listed(found: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = found.iter().map(|path| shown(path)).collect();
    found.sort_unstable();
    found
}

/// Sees every file and link.
fn each(upper: &OwnedFd, see: &mut dyn FnMut(&Walk, &CStr, FileType)) -> Result<(), StoreError> {
    let mut walk = Walk::new(upper, Path::new("/"))?;
    let mut levels = vec![entries(upper, Path::new("/"))?];
    while let Some(names) = levels.last_mut() {
        let Some((name, kind)) = names.pop() else {
            levels.pop();
            if !levels.is_empty() {
                walk.leave()?;
            }
            continue;
        };
        let path = walk.join(&name);
        match kind {
            FileType::Directory if volatile(&path) => {}
            FileType::Directory => {
                if walk.depth() >= LEVELS {
                    let why =
                        format!("nested more than {LEVELS} levels deep by a scriptlet; nothing has changed");
                    return Err(StoreError::InTheWay { path, why });
                }
                walk.enter(&name)?;
                levels.push(entries(walk.dir(), walk.path())?);
            }
            FileType::RegularFile | FileType::Symlink => see(&walk, &name, kind),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a file gives whoever starts it what it has itself (execve(2), capabilities(7)).
fn is_privileged(walk: &Walk, name: &CStr) -> bool {
    const SET_ID: u32 = 0o6000;
    if statat(walk.dir(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_mode & SET_ID != 0) {
        return true;
    }
    let path = Path::new("/proc/self/fd").join(walk.dir().as_raw_fd().to_string());
    let path = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
    rustix::fs::lgetxattr(path, "security.capability", &mut [0_u8; 64][..]).is_ok()
}

/// Places that no generation gets.
fn volatile(path: &Path) -> bool {
    ["/dev", "/proc", "/run", "/sys", "/tmp"].iter().any(|top| path == Path::new(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_listed_and_depth_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let place = |below: &str| {
            let path = dir.path().join(below);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        for below in ["etc/owned", "etc/strange", "tmp/volatile", "var/lib/rpm/db", "top"] {
            place(below);
        }
        let no_text = std::ffi::OsStr::from_bytes(b"\xff");
        std::fs::write(dir.path().join("etc").join(no_text), "x").unwrap();
        let upper =
            rustix::fs::open(dir.path(), crate::generation::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let owned = HashSet::from([OsStr::new("/etc/owned")]);
        use std::os::unix::fs::PermissionsExt;
        for (below, mode) in [("etc/owned", 0o4711), ("etc/strange", 0o2755), ("top", 0o2644)] {
            let permissions = PermissionsExt::from_mode(mode);
            std::fs::set_permissions(dir.path().join(below), permissions).unwrap();
        }
        let allowed = ["/etc/strange".to_owned()];
        let rules = Rules { more: &[], allowed: &allowed };
        assert_eq!(disarm(&upper, &rules).unwrap(), ["/etc/owned", "/top"].map(PathBuf::from));
        assert!(disarm(&upper, &rules).unwrap().is_empty());
        let mode =
            |below: &str| std::fs::metadata(dir.path().join(below)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("etc/owned"), mode("etc/strange"), mode("top")), (0o711, 0o2755, 0o644));
        assert_eq!(
            strangers(&upper, &owned).unwrap(),
            [PathBuf::from("/etc/strange"), PathBuf::from("/etc/\u{fffd}")]
        );
        std::fs::create_dir_all(dir.path().join("var").join("d/".repeat(LEVELS - 1))).unwrap();
        assert!(strangers(&upper, &owned).is_ok());
        std::fs::create_dir_all(dir.path().join("var").join("d/".repeat(LEVELS))).unwrap();
        let why = disarm(&upper, &rules).unwrap_err().to_string();
        assert!(why.contains("more than 256 levels deep") && why.starts_with("/var/d/d/"), "{why}");
    }
}
