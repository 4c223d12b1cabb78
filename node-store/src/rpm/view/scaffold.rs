//! What the view put into the staging area for its own sake, and how it goes away again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, ResolveFlags, Stat, openat2, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::generation::{At, DIRECTORY, StoreError};

/// Facts that change when a file is written to, replaced or given other attributes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Stamp([i64; 6]);

impl Stamp {
    /// Of a path, links not followed.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self::from(&statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
    }
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let nanoseconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self([
            number(stat.st_ino),
            stat.st_size,
            stat.st_mtime,
            nanoseconds(stat.st_mtime_nsec),
            stat.st_ctime,
            nanoseconds(stat.st_ctime_nsec),
        ])
    }
}

/// A scaffold as the process in the view tells of it to the one outside: names are bytes, and need not be
/// text.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    dirs: Vec<OsString>,
    files: Vec<(OsString, Stamp)>,
    points: Vec<OsString>,
    own: Vec<OsString>,
    overlays: Vec<OsString>,
}

impl From<Told> for Scaffold {
    fn from(told: Told) -> Self {
        let paths = |names: Vec<OsString>| names.into_iter().map(PathBuf::from);
        Self {
            dirs: paths(told.dirs).collect(),
            files: told.files.into_iter().map(|(name, stamp)| (name.into(), stamp)).collect(),
            points: paths(told.points).collect(),
            own: paths(told.own).collect(),
            overlays: paths(told.overlays).collect(),
            split_at: BTreeSet::new(),
        }
    }
}

impl From<Scaffold> for Told {
    fn from(scaffold: Scaffold) -> Self {
        Self {
            dirs: scaffold.dirs.into_iter().map(OsString::from).collect(),
            files: scaffold.files.into_iter().map(|(name, stamp)| (name.into(), stamp)).collect(),
            points: scaffold.points.into_iter().map(OsString::from).collect(),
            own: scaffold.own.into_iter().map(OsString::from).collect(),
            overlays: scaffold.overlays.into_iter().map(OsString::from).collect(),
        }
    }
}

/// What was put into the staging area. Paths are relative to it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "Told", into = "Told")]
pub(crate) struct Scaffold {
    /// Directories, parents first.
    pub(crate) dirs: Vec<PathBuf>,
    /// Copies and links, as they were made.
    pub(crate) files: Vec<(PathBuf, Stamp)>,
    /// Empty files that others are mounted on.
    pub(crate) points: Vec<PathBuf>,
    /// What the node itself has of the names of split directories.
    pub(crate) own: BTreeSet<PathBuf>,
    /// Directories that overlayfs writes to: only what is in one of them can have marks of its own.
    pub(crate) overlays: Vec<PathBuf>,
    /// Mount points and nodes that directories are split at.
    pub(crate) split_at: BTreeSet<PathBuf>,
}

impl Scaffold {
    /// Adds to rpm's words for a failure what the view has to do with it: entries of split directories are
    /// mounts of their own, and link(2) does not work across them (`EXDEV`).
    pub(crate) fn explain(&self, message: String) -> String {
        if self.split_at.is_empty() || !message.contains("could not be unpacked") {
            return message;
        }
        let points: Vec<String> = self.split_at.iter().map(|point| point.display().to_string()).collect();
        format!(
            "{message}\n  entries of the directories above {} are mounts of their own, so that no package can have \
             hard links between them; unmount what is there for the transaction, or move the node",
            points.join(", ")
        )
    }

    /// Names of the node that the transaction removed from split directories, which no overlay has marked.
    /// `view` is where the staging area is mounted. First those that are missing; then directories that are
    /// empty, which cannot be removed where something is mounted: whether they are a package's is for the
    /// process outside to say.
    pub(crate) fn gone(&self, view: &Path) -> (Vec<OsString>, Vec<OsString>) {
        let (mut missing, mut emptied) = (Vec::new(), Vec::new());
        for name in &self.own {
            match state(&view.join(name)) {
                State::Missing => missing.push(name.clone().into()),
                State::Emptied => emptied.push(name.clone().into()),
                State::There => {}
            }
        }
        (missing, emptied)
    }

    /// Takes away copies that nobody wrote to, once the view is gone, so that what was below them comes
    /// through again. Scriptlets may have put links in place of anything, so none is followed. Returns
    /// directories and mount points that are to be removed when they are empty and no package's, children first.
    pub(crate) fn remove(&self, upper: &OwnedFd, shown: &Path) -> Result<Vec<OsString>, StoreError> {
        for (below, stamp) in &self.files {
            let Some((above, name)) = above(upper, below) else { continue };
            let now = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW);
            if now.is_ok_and(|now| Stamp::from(&now) == *stamp) {
                match unlinkat(&above, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno).at(shown.join(below)),
                }
            }
        }
        Ok(self.points.iter().chain(self.dirs.iter().rev()).map(|path| path.clone().into()).collect())
    }
}

/// The directory that a path lies in, if it is still there, and its last name.
fn above<'a>(upper: &OwnedFd, below: &'a Path) -> Option<(OwnedFd, &'a std::ffi::OsStr)> {
    let name = below.file_name()?;
    let above = below.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Some((openat2(upper, above, DIRECTORY, Mode::empty(), resolve).ok()?, name))
}

/// What became of a name.
enum State {
    There,
    Missing,
    Emptied,
}

fn state(path: &Path) -> State {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() && fs::read_dir(path).is_ok_and(|mut all| all.next().is_none()) => {
            State::Emptied
        }
        Err(error) if error.kind() == ErrorKind::NotFound => State::Missing,
        _ => State::There,
    }
}

#[cfg(test)]
#[path = "scaffold_tests.rs"]
mod tests;
