//! What the view put into the staging area for its own sake, and how it goes away again.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Facts that change when a file is written to, replaced or given other attributes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp([i64; 6]);

impl Stamp {
    /// Of a path, links not followed.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let facts = fs::symlink_metadata(path)?;
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Ok(Self([
            number(facts.ino()),
            number(facts.size()),
            facts.mtime(),
            facts.mtime_nsec(),
            facts.ctime(),
            facts.ctime_nsec(),
        ]))
    }
}

/// What was put into the staging area. Paths are relative to it.
#[derive(Debug, Default)]
pub(crate) struct Scaffold {
    /// Directories, parents first.
    pub(crate) dirs: Vec<PathBuf>,
    /// Copies and links, as they were made.
    pub(crate) files: Vec<(PathBuf, Stamp)>,
    /// Empty files that others are mounted on.
    pub(crate) points: Vec<PathBuf>,
    /// What the node itself has of the names of split directories.
    pub(crate) own: BTreeSet<PathBuf>,
    /// Mount points and nodes that directories are split at.
    pub(crate) split_at: BTreeSet<PathBuf>,
}

/// What is left to do with a staging area once the view is gone.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Directories and mount points, to be removed when they are empty; children first.
    pub(crate) spare: Vec<PathBuf>,
    /// Names of the node that the transaction removed from split directories, which no overlay has
    /// marked.
    pub(crate) gone: Vec<PathBuf>,
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

    /// Takes away copies that nobody wrote to, so that what was below them comes through again, and tells
    /// what else there is to do. `upper` is the staging area, `view` where it is mounted; `owned` are paths
    /// of packages, absolute.
    pub(crate) fn remove(
        &self,
        upper: &Path,
        view: &Path,
        owned: &BTreeSet<PathBuf>,
    ) -> std::io::Result<Rest> {
        let is_owned = |name: &PathBuf| owned.contains(&Path::new("/").join(name));
        // Before copies are removed, which are in the view too.
        let own = self.own.iter().filter(|name| !is_owned(name));
        let gone = own.filter(|name| is_gone(&view.join(name))).cloned().collect();
        for (name, stamp) in &self.files {
            let path = upper.join(name);
            if Stamp::of(&path).is_ok_and(|now| now == *stamp) {
                fs::remove_file(path)?;
            }
        }
        let dirs = self.dirs.iter().rev().filter(|dir| !is_owned(dir));
        let spare = self.points.iter().chain(dirs).cloned().collect();
        Ok(Rest { spare, gone })
    }
}

/// Whether a name is gone, or an empty directory, which cannot be removed where something is mounted.
fn is_gone(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

#[cfg(test)]
#[path = "scaffold_tests.rs"]
mod tests;
