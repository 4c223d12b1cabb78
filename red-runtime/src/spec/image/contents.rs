//! What is in an image with contents, and in which of its layers: a plan's exports as a container sees them.

use std::collections::{BTreeMap, BTreeSet};

use super::archive::Attributes;
use super::tree::{Source, made};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::{Family, STATUS_NAME};
use crate::node::text_path::is_within;
use crate::spec::layout::{Entry, Mount, MountKind, anonymous_mode};
use crate::spec::plan::Plan;

/// What becomes of read-only exports of files that are no node's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostExports {
    /// They are copied into a layer of their own.
    Include,
    /// Their directories are empty.
    Omit,
}

/// Files that every engine makes for its containers.
const ENGINES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Names in the root of an image that make it a reference to a node, or a node.
const REFERENCES: [&str; 2] = [".redpath.yaml", STATUS_NAME];

/// Whose contents a layer has, in the order of the layers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Owner {
    /// No node's: the core OS's.
    Host,
    /// A node's, by position in the family.
    Node(usize),
}

/// Something at a path of the container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item {
    /// An exported file or directory, with all that is below it.
    Tree(Source),
    /// An empty directory.
    Directory(Attributes),
    /// A file with a mode and contents.
    File(u32, Vec<u8>),
    /// A symbolic link.
    Symlink(String),
}

/// Everything in an image.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// By path of the container.
    pub(super) items: BTreeMap<String, (Owner, Item)>,
    /// Paths that mounts cover: what is below them in an export is not seen.
    pub(super) covered: BTreeSet<String>,
}

impl Contents {
    /// Sorts the exports of a plan into layers. What cannot be in an image goes to `report`.
    pub(super) fn of(
        (plan, family): (&Plan, &Family),
        host: Option<HostExports>,
        user: (u32, u32),
        report: &mut Report,
    ) -> Self {
        let covered = plan.layout.mounts.iter().map(|mount| mount.destination.clone()).collect();
        let contents = Self { items: BTreeMap::new(), covered };
        let mut sorter =
            Sorter { plan, family, host, user, report, contents, refused: Vec::new(), lost: Vec::new() };
        for mount in &plan.layout.mounts {
            sorter.mount(mount);
        }
        sorter.skeleton();
        sorter.finish()
    }

    /// The item that a path is, or is below of.
    pub(super) fn cover(&self, path: &str) -> Option<(&str, Owner, &Item)> {
        let mut above = path;
        loop {
            if let Some((at, (owner, item))) = self.items.get_key_value(above) {
                return Some((at, *owner, item));
            }
            above = above.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty())?;
        }
    }
}

struct Sorter<'s> {
    plan: &'s Plan,
    family: &'s Family,
    host: Option<HostExports>,
    /// Owner of what the command may write to.
    user: (u32, u32),
    report: &'s mut Report,
    contents: Contents,
    /// Mounts that nobody said what to do with.
    refused: Vec<&'s Mount>,
    /// Mounts that are empty or missing in the image, with the reason.
    lost: Vec<(&'s Mount, &'static str)>,
}

impl<'s> Sorter<'s> {
    /// The layer of what is made for a launch: its paths and texts may depend on the leaf, so that layers of
    /// ancestors are the same for all of their descendants.
    fn leaf(&self) -> Owner {
        Owner::Node(self.family.nodes.len().saturating_sub(1))
    }

    fn add(&mut self, path: &str, owner: Owner, item: Item) {
        self.contents.items.insert(path.to_owned(), (owner, item));
    }

    fn anonymous(&self, path: &str) -> Item {
        let (uid, gid) = self.user;
        Item::Directory(Attributes { mode: anonymous_mode(path), uid, gid })
    }

    /// Whether a path is strictly below what engines mount file systems of the kernel on.
    fn in_engines(&self, path: &str) -> bool {
        use MountKind::{Dev, DevPts, DevShm, HostProc, Mqueue, Proc};
        let kernels = self
            .plan
            .layout
            .mounts
            .iter()
            .filter(|one| matches!(one.kind, Proc | HostProc | Mqueue | Dev | DevPts | DevShm));
        kernels.map(|one| one.destination.as_str()).any(|above| path != above && is_within(path, above))
    }

    fn mount(&mut self, mount: &'s Mount) {
        let (path, leaf) = (mount.destination.as_str(), self.leaf());
        if self.in_engines(path) {
            if !matches!(mount.kind, MountKind::DevPts | MountKind::DevShm | MountKind::Mqueue) {
                self.lost.push((mount, "is below what engines mount"));
            }
            return;
        }
        let expected = match &mount.kind {
            MountKind::Bind { source, writable, dir } => return self.bind(mount, source, (*writable, *dir)),
            MountKind::File(_) => {
                let mut files = self.plan.files.iter();
                let file = files.find(|file| file.destination == path);
                let content = file.and_then(|file| file.content.clone()).unwrap_or_default();
                return self.add(path, leaf, Item::File(0o444, content));
            }
            MountKind::Tmpfs => return self.add(path, leaf, Item::Directory(made(0o1777))),
            MountKind::Anonymous => return self.add(path, leaf, self.anonymous(path)),
            MountKind::Proc | MountKind::HostProc => "/proc",
            MountKind::Mqueue => "/dev/mqueue",
            MountKind::Dev => "/dev",
            MountKind::DevPts => "/dev/pts",
            MountKind::DevShm => "/dev/shm",
        };
        self.add(path, leaf, Item::Directory(made(0o755)));
        if path != expected {
            self.lost.push((mount, "is empty: engines mount nothing there"));
        }
    }

    fn bind(&mut self, mount: &'s Mount, source: &str, (writable, dir): (bool, bool)) {
        let path = mount.destination.as_str();
        let node = self.family.node_of(source);
        let node = node.and_then(|node| self.family.nodes.iter().position(|one| one.path == node.path));
        let tree =
            || Item::Tree(Source { path: source.to_owned(), id: mount.id, created: self.created(source) });
        if let Some(node) = node {
            let tree = tree();
            return self.add(path, Owner::Node(node), tree);
        }
        if !dir && ENGINES.contains(&path) {
            return;
        }
        let copied = !writable && self.host == Some(HostExports::Include);
        if copied {
            let tree = tree();
            return self.add(path, Owner::Host, tree);
        }
        if dir {
            self.add(path, self.leaf(), Item::Directory(made(0o755)));
        }
        match (writable, self.host) {
            (true, _) if dir => {
                self.lost.push((mount, "is empty: what is writable on the host is its state"))
            }
            (true, _) => self.lost.push((mount, "is missing: what is writable on the host is its state")),
            (false, None) => self.refused.push(mount),
            // The caller has said so.
            (false, Some(_)) => {}
        }
    }

    /// The mode of a directory that a launch makes.
    fn created(&self, source: &str) -> Option<u32> {
        let mut all = self.plan.layout.create.iter();
        let made =
            all.find(|created| is_within(&created.path, source) || is_within(source, &created.path))?;
        Some(if made.private { 0o700 } else { 0o775 })
    }

    fn skeleton(&mut self) {
        let (plan, leaf) = (self.plan, self.leaf());
        for (path, entry) in plan.layout.skeleton.iter().chain(&plan.layout.within) {
            if self.contents.covered.contains(path) || self.in_engines(path) {
                continue;
            }
            let item = match entry {
                Entry::Dir => Item::Directory(made(0o755)),
                Entry::Anonymous => self.anonymous(path),
                Entry::File => continue,
                Entry::Lock => Item::File(0o644, Vec::new()),
                Entry::Symlink { target } => Item::Symlink(target.clone()),
            };
            self.add(path, leaf, item);
        }
        for lock in &plan.layout.host_locks {
            let Some(export) = plan.merged.exports.get(lock.export) else { continue };
            let there = std::fs::symlink_metadata(&lock.path).is_ok();
            if !there {
                self.add(&export.mount.actual, leaf, Item::File(0o644, Vec::new()));
            }
        }
    }

    fn finish(mut self) -> Contents {
        for (mount, why) in std::mem::take(&mut self.lost) {
            let warning = Diagnostic::warning(Code::ImageContents, format!("{} {why}", mount.destination));
            self.push(mount, warning);
        }
        if let [first, rest @ ..] = &std::mem::take(&mut self.refused)[..] {
            let all: Vec<&str> = [*first]
                .into_iter()
                .chain(rest.iter().copied())
                .map(|one| one.destination.as_str())
                .collect();
            let message = format!("exports of the host, which are no node's: {}", all.join(", "));
            let help = "`--host-exports include` copies them into a layer, `--host-exports omit` leaves their directories empty";
            let mut error = Diagnostic::error(Code::ImageContents, message).help(help);
            for mount in rest {
                if let Some(export) = self.plan.merged.exports.get(mount.export) {
                    error = error.related(export.origin.at, format!("{} too", mount.destination));
                }
            }
            self.push(first, error);
        }
        let mut paths = self.contents.items.keys();
        let is_reference = |path: &str| path.split('/').nth(1).is_some_and(|name| REFERENCES.contains(&name));
        if let Some(path) = paths.find(|path| is_reference(path)) {
            let message = format!("{path} would make red-runtime take the image for a reference or a node");
            self.report.push(Diagnostic::error(Code::ImageContents, message).help("mount it elsewhere"));
        }
        self.contents
    }

    /// Reports something about a mount.
    fn push(&mut self, mount: &Mount, diagnostic: Diagnostic) {
        self.report.push(match self.plan.merged.exports.get(mount.export) {
            Some(export) => diagnostic.at(export.origin.at),
            None => diagnostic,
        });
    }
}
