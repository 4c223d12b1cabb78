//! Where every export ends up: as a mount, or as something in the volatile root.
//!
//! The root is a tmpfs that belongs to the launch. Everything a mount needs to stand on is made in
//! it beforehand (the *skeleton*), so nothing is ever written into a node to make room for a mount.

mod build;
mod guard;
mod kept;
mod links;
mod services;
mod sources;
mod special;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::node::diagnostic::Report;
use crate::node::family::{Family, Origin};
use crate::node::guard::Rules;
use crate::node::merge::{Export, Merged};

use super::host::Host;

pub(in crate::spec) use kept::CORE;
pub(crate) use kept::{Walk, walk};
pub use sources::Created;

/// What a layout needs to know besides the exports.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'r> {
    /// What is missing is an error.
    pub strict: bool,
    /// The container has a user namespace that is not the host's.
    pub user_namespace: bool,
    /// The container has the host's processes.
    pub host_pids: bool,
    /// The container has the host's inter-process communication.
    pub host_ipc: bool,
    /// User the command runs as.
    pub uid: u32,
    /// What the host says about exports.
    pub rules: &'r Rules,
}

/// Something in the volatile root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A directory to stand on, owned by the container's root.
    Dir,
    /// A directory the command may write into.
    Anonymous,
    /// An empty file to stand on.
    File,
    /// A symbolic link.
    Symlink {
        /// Its target.
        target: String,
    },
    /// An empty file with a shared lock held while the container lives.
    Lock,
}

/// Contents of a file that is bound into the container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// What a command prints at launch.
    Command(String),
    /// What an open descriptor of the launcher holds.
    Descriptor(u32),
}

/// What a mount is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// The path, without symbolic links.
        source: String,
        /// Whether the container may write through it.
        writable: bool,
        /// Whether it is a directory.
        dir: bool,
    },
    /// A file of the launch, read-only.
    File(Content),
    /// A tmpfs for everybody inside.
    Tmpfs,
    /// A tmpfs that stands for an Anonymous directory where the root has none.
    Anonymous,
    /// A proc file system.
    Proc,
    /// The host's proc file system, where a new one cannot be mounted.
    HostProc,
    /// A message queue file system.
    Mqueue,
    /// The tmpfs of `/dev`.
    Dev,
    /// Pseudo terminals of its own.
    DevPts,
    /// Shared memory.
    DevShm,
}

/// One mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// Where, links of the plan resolved.
    pub destination: String,
    /// What.
    pub kind: MountKind,
    /// Position of its export in [`Merged::exports`].
    pub export: usize,
    /// Device and inode of what is bound, where a launch must find the very same that was judged.
    pub id: Option<(u64, u64)>,
}

/// An export that is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// Position of the export in [`Merged::exports`].
    pub export: usize,
    /// Why.
    pub reason: String,
}

/// A file to be made with a lock on it in a writable export.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostLock {
    /// Where, on the host.
    pub path: String,
    /// Position of its export in [`Merged::exports`].
    pub export: usize,
}

/// Where everything ends up.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The mounts, in the order they must be made.
    pub mounts: Vec<Mount>,
    /// The volatile root, by path.
    pub skeleton: BTreeMap<String, Entry>,
    /// Links and directories to be made in a tmpfs once it is mounted, by path.
    pub within: BTreeMap<String, Entry>,
    /// Device nodes to be made outside `/dev`, by directory.
    pub devices: Vec<String>,
    /// Directories of nodes to be made first.
    pub create: Vec<Created>,
    /// Locked files in writable exports.
    pub host_locks: Vec<HostLock>,
    /// What is left out.
    pub skipped: Vec<Skipped>,
    /// Exports of privileged services, by position in [`Merged::exports`], with whose they are.
    pub privileged: BTreeMap<usize, &'static str>,
    /// Working directory, links of the plan resolved.
    pub cwd: String,
}

impl Layout {
    /// Where a path inside leads, links of the plan followed. A path behind links that lead in a
    /// circle stays as it is.
    #[must_use]
    pub fn resolve(&self, path: &str) -> String {
        links::whole(path, &self.links()).unwrap_or_else(|links::Loop| path.to_owned())
    }

    /// The same, but for the last component, which may itself be a link of the plan.
    #[must_use]
    pub fn resolve_parent(&self, path: &str) -> String {
        links::parent_of(path, &self.links()).unwrap_or_else(|links::Loop| path.to_owned())
    }

    fn links(&self) -> BTreeMap<String, String> {
        let links = self.skeleton.iter().chain(&self.within).filter_map(|(path, entry)| match entry {
            Entry::Symlink { target } => Some((path.clone(), target.clone())),
            _ => None,
        });
        links.collect()
    }
}

/// Mode of an Anonymous directory. Programs of every user expect to write to temporary directories.
#[must_use]
pub fn anonymous_mode(path: &str) -> u32 {
    if matches!(path, "/tmp" | "/var/tmp") { 0o1777 } else { 0o755 }
}

/// Lays out the exports of a family. Mistakes go to `report`.
pub fn layout(
    family: &Family,
    merged: &Merged,
    terms: Terms<'_>,
    host: &mut dyn Host,
    report: &mut Report,
) -> Layout {
    let (layout, links) = (Layout::default(), BTreeMap::new());
    let mut finder = sources::Finder { family, terms, host, layout, links, report };
    let found = finder.all(merged);
    let verdict = guard::judge(&mut finder, merged, &found);
    let mut builder = build::Builder::new(merged, finder);
    builder.place(found, &verdict);
    builder.finish()
}

/// Where an export was written.
fn at(export: &Export) -> crate::node::source::At {
    let Origin { at, .. } = export.origin;
    at
}
