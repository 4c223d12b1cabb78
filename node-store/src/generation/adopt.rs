//! A node as red-pak or `red-conf create` made it becomes one with generations.
//!
//! What stands in the node is taken into generation 0 (or the current one), then each directory is
//! exchanged with a link to it, one atomic renameat2(2) at a time. At every moment each path of the
//! node shows what it showed before.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, RenameFlags, openat, renameat_with, symlinkat, unlinkat};
use rustix::io::Errno;

use super::tree::{How, make_directory, remove, same_attributes, take_over};
use super::{At, DATABASE, DIRECTORY, NEVER, RED, Store, StoreError, USUAL, is_directory};

/// How a top directory comes into a new generation.
pub(super) fn how(top: &str) -> How {
    // People and programs change configuration in place; nobody does that to programs.
    if matches!(top, "etc" | "srv") { How::Copy } else { How::Link }
}

impl Store {
    /// Makes sure that every directory that packages own, or will (`tops`), leads through `current`,
    /// and returns the current generation. The caller holds the node's lock alone and has
    /// [swept](Store::sweep).
    pub(crate) fn adopt(&self, tops: &BTreeSet<String>) -> Result<u64, StoreError> {
        drop(make_directory(&self.dir, &self.path, ".red/gen")?);
        let before = self.current()?;
        let current = match before {
            Some(current) => current,
            None => self.first()?,
        };
        let wanted: BTreeSet<&str> = USUAL.into_iter().chain(tops.iter().map(String::as_str)).collect();
        let mut changed = false;
        for top in wanted.into_iter().filter(|top| is_directory(&self.dir, top)) {
            self.allowed(top)?;
            self.take_in(current, top)?;
            changed = true;
        }
        // What runs in the node may write to its `var`: a link in the place of a directory is refused here.
        drop(make_directory(&self.dir, &self.path, "var/lib")?);
        if is_directory(&self.dir, DATABASE) {
            if before.is_none() {
                self.take_in(current, DATABASE)?;
            } else {
                // Not ours: what runs in the node could have put it in the place of the link.
                self.exchange(DATABASE)?;
            }
            changed = true;
        }
        // A link that leads nowhere would keep the node from starting when this transaction fails.
        drop(make_directory(&self.dir, &self.path, format!(".red/gen/{current}/{DATABASE}"))?);
        self.link_database()?;
        if changed {
            self.sync_names()?;
        }
        Ok(current)
    }

    /// Refuses a directory that is no packages'.
    fn allowed(&self, top: &str) -> Result<(), StoreError> {
        let why = if NEVER.contains(&top) {
            "packages of a node may not own it"
        } else if is_directory(&self.dir, &format!("{top}/.rednode.yaml")) || self.holds_nodes(top) {
            "a child node is there, and a package wants the same name"
        } else {
            return Ok(());
        };
        Err(StoreError::InTheWay { path: self.path.join(top), why: why.to_owned() })
    }

    fn holds_nodes(&self, top: &str) -> bool {
        self.path.join(top).join(".rednode.yaml").exists()
    }

    /// An empty generation 0 that is current.
    fn first(&self) -> Result<u64, StoreError> {
        let number = self.numbers()?.last().map_or(0, |last| last + 1);
        drop(make_directory(&self.dir, &self.path, format!(".red/gen/{number}/{DATABASE}"))?);
        self.sync_all()?;
        self.point(number)?;
        Ok(number)
    }

    /// Takes what stands at `below` into a generation, and puts a link in its place.
    fn take_in(&self, generation: u64, below: &str) -> Result<(), StoreError> {
        let path = self.path.join(below);
        let target = format!(".red/gen/{generation}/{below}");
        // What an earlier attempt left there is older than what stands in the node.
        let (above, name) = target.rsplit_once('/').unwrap_or((RED, &target));
        let above = make_directory(&self.dir, &self.path, above)?;
        remove(&above, &self.path.join(&target), name)?;
        let into = make_directory(&self.dir, &self.path, &target)?;
        let from = openat(&self.dir, below, DIRECTORY, Mode::empty()).at(&path)?;
        // The database is what sqlite changes in place.
        let how = if below == DATABASE { How::Copy } else { how(below) };
        take_over((&from, &path), (&into, &self.path.join(&target)), how)?;
        same_attributes(&from, &into, &self.path.join(&target))?;
        self.sync_all()?;
        self.exchange(below)
    }

    /// Puts a link to the current generation where a directory is, and removes the directory.
    fn exchange(&self, below: &str) -> Result<(), StoreError> {
        let aside = ".red/aside";
        remove(&self.dir, &self.path, aside)?;
        symlinkat(link_of(below), &self.dir, aside).at(self.path.join(aside))?;
        renameat_with(&self.dir, aside, &self.dir, below, RenameFlags::EXCHANGE).at(self.path.join(below))?;
        // The link is durable before what it replaced is gone.
        self.sync_all()?;
        remove(&self.dir, &self.path, aside)
    }

    /// Puts a link at a name that nothing has yet. `true` when it was made.
    pub(super) fn link(&self, below: &str) -> Result<bool, StoreError> {
        match symlinkat(link_of(below), &self.dir, below) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno).at(self.path.join(below)),
        }
    }

    /// Puts a link at a name that nothing has yet, or directories without files: a launch makes those for
    /// what a node exports and does not have.
    pub(super) fn link_or_exchange(&self, top: &str) -> Result<(), StoreError> {
        if !self.link(top)? && is_directory(&self.dir, top) {
            self.exchange(top)?;
        }
        Ok(())
    }

    /// The link to the database of the current generation, in the place of whatever link is there.
    pub(super) fn link_database(&self) -> Result<(), StoreError> {
        let lib = make_directory(&self.dir, &self.path, "var/lib")?;
        let path = self.path.join(DATABASE);
        match rustix::fs::readlinkat(&lib, "rpm", Vec::new()) {
            Ok(link) if link.to_string_lossy() == link_of(DATABASE) => return Ok(()),
            Ok(_) => unlinkat(&lib, "rpm", AtFlags::empty()).at(&path)?,
            Err(Errno::NOENT) => {}
            // Something else than a link was taken in before (readlink(2), EINVAL).
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno).at(path),
        }
        symlinkat(link_of(DATABASE), &lib, "rpm").at(path)
    }

    /// Removes links into the current generation that lead nowhere.
    pub(super) fn unlink_dangling(&self) -> Result<(), StoreError> {
        for name in super::names(&self.dir, &self.path, ".")? {
            let Ok(link) = rustix::fs::readlinkat(&self.dir, &*name, Vec::new()) else { continue };
            let ours = link.to_string_lossy() == link_of(&name);
            if ours && !self.path.join(&name).exists() {
                unlinkat(&self.dir, &*name, AtFlags::empty()).at(self.path.join(&name))?;
            }
        }
        Ok(())
    }
}

/// Whether anything but directories is in one.
pub(super) fn has_files(above: impl std::os::fd::AsFd, shown: &Path, name: &str) -> Result<bool, StoreError> {
    let path = shown.join(name);
    let dir = openat(above, name, DIRECTORY, Mode::empty()).at(&path)?;
    for below in super::names(&dir, &path, ".")? {
        if !is_directory(&dir, &below) || has_files(&dir, &path, &below)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a link at `below` leads, relative to it.
pub(super) fn link_of(below: &str) -> String {
    let up = "../".repeat(Path::new(below).components().count() - 1);
    format!("{up}.red/current/{below}")
}
