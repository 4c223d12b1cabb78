//! What makes the view writable for an ordinary user.
//!
//! Directories of the core OS belong to the machine's root, who is nobody in the user's namespace:
//! nothing can be made in them, not even above an overlay. Directories of the same names in the
//! staging area, which are the user's own, take their place in the view. Those that stayed empty go
//! away again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat, openat2, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::generation::{At, DIRECTORY, StoreError};

/// Levels of /etc and /var that scriptlets may write to.
const DEPTH: usize = 3;
/// At most this many directories.
const MOST: usize = 20_000;
/// Files that the tools for users and groups change in place or copy with their owner.
const ACCOUNTS: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];

/// What was put into the staging area.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Mirror {
    /// Directories, relative, parents first.
    dirs: Vec<OsString>,
    /// Files, relative, and what they held.
    files: Vec<(String, Vec<u8>)>,
}

/// Makes directories that packages or scriptlets will write to, as far as a layer has them.
pub(super) fn make(job: &Job, needed: &BTreeSet<PathBuf>) -> std::io::Result<Mirror> {
    let mut wanted: BTreeSet<PathBuf> = needed.clone();
    for lower in &job.lowers {
        for top in ["etc", "var"] {
            collect(&lower.root, Path::new(top), DEPTH, &mut wanted);
        }
    }
    let mut mirror = Mirror::default();
    for dir in wanted.into_iter().take(MOST) {
        // Through links of the layer, such as /lib → usr/lib, nothing is mirrored: rpm goes there itself.
        let found = job.lowers.iter().map(|lower| lower.root.join(&dir)).find(|path| path.exists());
        let Some(found) = found.filter(|path| path.is_dir() && !path.is_symlink()) else { continue };
        let mode = fs::metadata(&found)?.permissions().mode() & 0o7777;
        let path = job.upper.join(&dir);
        match fs::create_dir(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700))?;
                mirror.dirs.push(dir.into());
            }
            // Its parent may be a link.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotFound
                ) => {}
            Err(error) => return Err(error),
        }
    }
    for name in ACCOUNTS {
        let (path, theirs) = (
            job.upper.join(name),
            job.lowers.iter().map(|lower| lower.root.join(name)).find(|path| path.exists()),
        );
        let Some(theirs) = theirs else { continue };
        // Nobody but root may read passwords; here there are none.
        let text = fs::read(theirs).unwrap_or_default();
        fs::write(&path, &text)?;
        mirror.files.push((name.into(), text));
    }
    Ok(mirror)
}

fn collect(root: &Path, below: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(below.to_path_buf());
    if depth == 0 || found.len() > MOST {
        return;
    }
    for entry in fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &below.join(entry.file_name()), depth - 1, found);
        }
    }
}

impl Mirror {
    /// Takes away what nobody wrote to. `owned` are paths of packages, absolute. Scriptlets may have put
    /// links in place of anything, so none is followed.
    pub(super) fn remove(
        &self,
        upper: &OwnedFd,
        shown: &Path,
        owned: &BTreeSet<PathBuf>,
    ) -> Result<(), StoreError> {
        let spared = |below: &Path| owned.contains(&Path::new("/").join(below));
        for (name, text) in &self.files {
            let below = Path::new(name);
            if let Some((above, name)) = above(upper, below).filter(|_| !spared(below))
                && holds(&above, name, text)
            {
                unlinkat(&above, name, AtFlags::empty()).at(shown.join(below))?;
            }
        }
        for dir in self.dirs.iter().rev() {
            let below = Path::new(dir);
            let Some((above, name)) = above(upper, below).filter(|_| !spared(below)) else { continue };
            match unlinkat(&above, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOTEMPTY | Errno::BUSY | Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno).at(shown.join(below)),
            }
        }
        Ok(())
    }
}

/// The directory that a path lies in, if it is still there, and its last name.
fn above<'a>(upper: &OwnedFd, below: &'a Path) -> Option<(OwnedFd, &'a std::ffi::OsStr)> {
    let name = below.file_name()?;
    let above = below.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Some((openat2(upper, above, DIRECTORY, Mode::empty(), resolve).ok()?, name))
}

/// Whether a name is a file that holds a text and nothing else.
fn holds(above: &OwnedFd, name: &std::ffi::OsStr, text: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(above, name, flags, Mode::empty()) else { return false };
    let file = fs::File::from(file);
    if !file.metadata().is_ok_and(|facts| facts.is_file() && facts.len() == text.len() as u64) {
        return false;
    }
    let mut now = Vec::new();
    file.take(text.len() as u64 + 1).read_to_end(&mut now).is_ok() && now == text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scriptlet that puts a link where the mirror was.
    #[test]
    fn nothing_is_taken_away_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (upper, host) = (dir.path().join("upper"), dir.path().join("host"));
        fs::create_dir_all(host.join("empty")).unwrap();
        fs::write(host.join("passwd"), "root").unwrap();
        fs::create_dir(&upper).unwrap();
        std::os::unix::fs::symlink(&host, upper.join("etc")).unwrap();
        fs::create_dir_all(upper.join("var/lib")).unwrap();
        std::os::unix::fs::symlink(host.join("passwd"), upper.join("var/passwd")).unwrap();
        let mirror = Mirror {
            dirs: vec!["etc/empty".into(), "var".into(), "var/lib".into(), "gone/x".into()],
            files: vec![("etc/passwd".into(), b"root".to_vec()), ("var/passwd".into(), b"root".to_vec())],
        };
        let fd = rustix::fs::open(&upper, DIRECTORY, Mode::empty()).unwrap();
        mirror.remove(&fd, &upper, &BTreeSet::new()).unwrap();
        assert!(host.join("empty").is_dir() && host.join("passwd").is_file());
        assert!(!upper.join("var/lib").exists() && upper.join("var/passwd").is_symlink());
    }
}
