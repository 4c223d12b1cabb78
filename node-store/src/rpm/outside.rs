//! What is in a staging area: files that no package owns, which scriptlets wrote, and files that run as
//! their owner whoever starts them.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat};

use crate::generation::{StoreError, Walk, entries};

/// At most this many are listed.
const LISTED: usize = 10_000;
/// Directories may be nested this deep. No package comes near it; from some thousand levels on they have
/// no path any more (PATH_MAX), and programs that keep one descriptor a level fail.
const LEVELS: usize = 256;

/// What was found, as paths of the view.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that no package owns.
    pub(super) outside: Vec<PathBuf>,
    /// Set-user-ID and set-group-ID files, and those with capabilities.
    pub(super) privileged: Vec<PathBuf>,
}

/// Looks through `upper`; `owned` are paths of packages.
pub(super) fn look(upper: &OwnedFd, owned: &BTreeSet<PathBuf>) -> Result<Found, StoreError> {
    let mut found = Found::default();
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
            FileType::RegularFile | FileType::Symlink => {
                // What is no text cannot be written down as it is.
                let shown = || PathBuf::from(path.to_string_lossy().into_owned());
                let ours = path.starts_with("/var/lib/rpm") || path.parent() == Some(Path::new("/"));
                if !ours && !owned.contains(&path) && found.outside.len() < LISTED {
                    found.outside.push(shown());
                }
                if kind == FileType::RegularFile
                    && found.privileged.len() < LISTED
                    && is_privileged(&walk, &name)
                {
                    found.privileged.push(shown());
                }
            }
            _ => {}
        }
    }
    found.outside.sort_unstable();
    found.privileged.sort_unstable();
    Ok(found)
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
        let owned = BTreeSet::from([PathBuf::from("/etc/owned")]);
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path().join("etc/owned"), PermissionsExt::from_mode(0o4711)).unwrap();
        let found = look(&upper, &owned).unwrap();
        assert_eq!(found.privileged, [PathBuf::from("/etc/owned")]);
        assert_eq!(found.outside, [PathBuf::from("/etc/strange"), PathBuf::from("/etc/\u{fffd}")]);
        std::fs::create_dir_all(dir.path().join("var").join("d/".repeat(LEVELS - 1))).unwrap();
        assert!(look(&upper, &owned).is_ok());
        std::fs::create_dir_all(dir.path().join("var").join("d/".repeat(LEVELS))).unwrap();
        let why = look(&upper, &owned).unwrap_err().to_string();
        assert!(why.contains("more than 256 levels deep") && why.starts_with("/var/d/d/"), "{why}");
    }
}
