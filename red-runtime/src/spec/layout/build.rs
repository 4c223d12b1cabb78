//! Sets every export against what covers its mount point.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::Verdict;
use super::sources::{Finder, Found};
use super::{Content, Created, Entry, Layout, Mount, MountKind, Terms, at, links};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::node::merge::{Export, Merged, Source};
use crate::node::text_path::by_component;
use crate::node::value::ExportMode;
use crate::spec::host::{Host, Probe};

/// Files of proc that runtimes allow to be covered (runc, rootfs_linux.go, `checkProcMount`).
const PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "uptime",
    "net/dev",
    "sys/kernel/ns_last_pid",
];

/// Why something may not stand in `/proc`, whether or not the node has one: launches refuse it, because the
/// kernel's files there are masked by name (CVE-2019-16884).
fn in_proc(path: &str, kind: &MountKind, needs: Needs) -> Option<String> {
    use MountKind::{Anonymous, Dev, DevPts, DevShm, Mqueue, Tmpfs};
    if path == "/proc" {
        let other = matches!(kind, Tmpfs | Mqueue | Dev | DevPts | DevShm);
        return other.then(|| "/proc is for a proc file system and nothing else".to_owned());
    }
    let rest = path.strip_prefix("/proc/").filter(|_| *kind != Anonymous)?;
    let stands_in = needs == Needs::File && PROC_FILES.contains(&rest);
    (!stands_in).then(|| format!("{path} lies in /proc, where the kernel makes the files"))
}

pub(super) struct Builder<'a> {
    family: &'a Family,
    pub(super) merged: &'a Merged,
    pub(super) terms: Terms<'a>,
    pub(super) host: &'a mut dyn Host,
    pub(super) report: &'a mut Report,
    pub(super) layout: Layout,
    pub(super) links: BTreeMap<String, String>,
    /// Mounts by destination, to find what covers a path.
    pub(super) covers: BTreeMap<String, MountKind>,
    /// Directories a launch makes first.
    created: BTreeSet<String>,
}

/// What is below a path.
pub(super) enum Cover {
    /// The volatile root.
    Root,
    /// A file system that is empty when the container starts.
    Fresh,
    /// A path of the host.
    Bind { path: String, writable: bool, top: String },
    /// A file.
    File { top: String },
    /// A file system of the kernel's own making.
    Kernel { rest: String, top: String },
}

/// What a mount point must be.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Needs {
    Dir,
    File,
}

impl<'a> Builder<'a> {
    /// Goes on where the sources were found.
    pub(super) fn new(merged: &'a Merged, finder: Finder<'a>) -> Self {
        let Finder { family, terms, host, layout, report, .. } = finder;
        let links = merged
            .exports
            .iter()
            .filter_map(|export| match &export.source {
                Source::Target(target) => Some((export.mount.actual.clone(), target.actual.clone())),
                _ => None,
            })
            .collect();
        let created = layout.create.iter().map(|created| created.path.clone()).collect();
        Self { family, merged, terms, host, report, layout, links, covers: BTreeMap::new(), created }
    }

    /// Places every export, outer ones first.
    pub(super) fn place(&mut self, found: Vec<Found>, verdict: &Verdict) {
        let mut order: Vec<(String, usize, Found)> = Vec::new();
        for (index, found) in found.into_iter().enumerate() {
            let export = &self.merged.exports[index];
            if found == Found::Skipped {
                continue;
            }
            match links::parent_of(&export.mount.actual, &self.links) {
                Ok(path) => order.push((path, index, found)),
                Err(links::Loop) => self.report.push(
                    Diagnostic::error(
                        Code::BadPath,
                        format!("{} lies behind links that lead in a circle", export.mount.actual),
                    )
                    .at(at(export)),
                ),
            }
        }
        order.sort_by(|a, b| by_component(&a.0, &b.0));
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        // A link or a lock is no mount, and what it stands on is as it was.
        let is_mount =
            |index: usize| !matches!(self.merged.exports[index].mode, ExportMode::Symlink | ExportMode::Lock);
        let mounts = order.iter().filter(|(_, index, _)| is_mount(*index));
        let explicit: BTreeSet<String> = mounts.map(|(path, ..)| path.clone()).collect();
        for (path, index, found) in order {
            if let Some(other) = taken.insert(path.clone(), index) {
                self.same_place(&path, index, other);
                continue;
            }
            self.one(index, path.clone(), found, !verdict.read_only.contains(&index));
            self.over(&path, index, verdict, &explicit);
        }
    }

    /// Two mount points that are one behind a link.
    fn same_place(&mut self, path: &str, index: usize, other: usize) {
        let (export, other) = (&self.merged.exports[index], &self.merged.exports[other]);
        self.report.push(
            Diagnostic::error(
                Code::ConflictDuplicate,
                format!("{} and {} are both {path} behind a link", export.mount.actual, other.mount.actual),
            )
            .at(at(export))
            .related(at(other), "the other one")
            .help("mount one of them elsewhere"),
        );
    }

    /// What lies over a writable export, so that the places in it that decide stay as they are.
    fn over(&mut self, path: &str, index: usize, verdict: &Verdict, explicit: &BTreeSet<String>) {
        let all = verdict.over.get(&index).filter(|_| self.covers.contains_key(path));
        for over in all.into_iter().flatten() {
            let destination = format!("{path}/{}", over.at);
            if !explicit.contains(&destination) {
                let kind =
                    MountKind::Bind { source: over.source.clone(), writable: over.writable, dir: over.dir };
                self.covers.insert(destination.clone(), kind.clone());
                self.layout.mounts.push(Mount { destination, kind, export: index, id: over.id });
            }
        }
    }

    fn one(&mut self, index: usize, path: String, found: Found, may_write: bool) {
        let merged = self.merged;
        let export = &merged.exports[index];
        match (export.mode, found) {
            (_, Found::Path { real, dir, facts }) => {
                let writable = may_write && export.mode.bind().unwrap_or(false);
                // What the host replaces meanwhile, such as /etc/resolv.conf, may be another file then.
                let id =
                    facts.filter(|facts| writable || !facts.is_file()).map(|facts| (facts.dev, facts.ino));
                self.bind(index, path, MountKind::Bind { source: real, writable, dir }, id);
            }
            (ExportMode::Anonymous, _) => match self.cover(&path) {
                Cover::Root => self.add(&path, Entry::Anonymous),
                _ => self.mount(index, path, MountKind::Anonymous),
            },
            (ExportMode::Tmpfs, _) => self.mount(index, path, MountKind::Tmpfs),
            (ExportMode::Procfs, _) => self.proc(index, path),
            (ExportMode::Mqueue, _) => self.mqueue(index, path),
            (ExportMode::Devfs, _) => self.devfs(index, path),
            (ExportMode::Symlink, _) => self.symlink(export, &path),
            (ExportMode::Lock, _) => self.lock(index, &path),
            (ExportMode::Execfd | ExportMode::Internal, _) => {
                let content = match &export.source {
                    Source::Descriptor(number) => Content::Descriptor(*number),
                    source => Content::Command(source.show()),
                };
                self.mount(index, path, MountKind::File(content));
            }
            // Bind modes always have a path behind them.
            _ => {}
        }
    }

    /// What covers the directory that `path` is to be made in.
    pub(super) fn cover(&self, path: &str) -> Cover {
        let mut top = path;
        while let Some((parent, _)) = top.rsplit_once('/') {
            if parent.is_empty() {
                break;
            }
            if let Some(kind) = self.covers.get(parent) {
                let rest = path[parent.len() + 1..].to_owned();
                let top = parent.to_owned();
                return match kind {
                    MountKind::Bind { source, writable, dir: true } => {
                        let source = if source == "/" { "" } else { source };
                        Cover::Bind { path: format!("{source}/{rest}"), writable: *writable, top }
                    }
                    MountKind::Tmpfs | MountKind::Anonymous | MountKind::Dev | MountKind::DevShm => {
                        Cover::Fresh
                    }
                    MountKind::Bind { .. } | MountKind::File(_) => Cover::File { top },
                    _ => Cover::Kernel { rest, top },
                };
            }
            top = parent;
        }
        Cover::Root
    }

    /// Adds a mount, and what it stands on.
    pub(super) fn mount(&mut self, index: usize, path: String, kind: MountKind) {
        self.bind(index, path, kind, None);
    }

    fn bind(&mut self, index: usize, path: String, kind: MountKind, id: Option<(u64, u64)>) {
        if self.stands(index, &path, &kind) {
            self.covers.insert(path.clone(), kind.clone());
            self.layout.mounts.push(Mount { destination: path, kind, export: index, id });
        }
    }

    /// Sees to it that a mount point exists; reports why not.
    fn stands(&mut self, index: usize, path: &str, kind: &MountKind) -> bool {
        let export = &self.merged.exports[index];
        let needs = match kind {
            MountKind::Bind { dir: false, .. } | MountKind::File(_) => Needs::File,
            _ => Needs::Dir,
        };
        if let Some(message) = in_proc(path, kind, needs) {
            self.report.push(
                Diagnostic::error(Code::MountPoint, message)
                    .at(at(export))
                    .help("mount it elsewhere; mode Procfs makes a /proc"),
            );
            return false;
        }
        match self.cover(path) {
            Cover::Root => {
                self.add(path, if needs == Needs::Dir { Entry::Dir } else { Entry::File });
                true
            }
            // Runtimes make mount points in a fresh file system by themselves.
            Cover::Fresh => true,
            Cover::Bind { path: below, writable, top } => {
                self.made_in_node(index, &below, needs, writable)
                    || self.stands_in_bind(export, &below, needs, &top)
            }
            Cover::File { top } => {
                self.report.push(
                    Diagnostic::error(Code::MountPoint, format!("{path} lies below {top}, which is a file"))
                        .at(at(export))
                        .help("mount it elsewhere"),
                );
                false
            }
            Cover::Kernel { rest, top } => {
                let allowed = needs == Needs::File && PROC_FILES.contains(&rest.as_str());
                if !allowed {
                    let message = format!("{path} lies in {top}, where the kernel makes the files");
                    self.report.push(
                        Diagnostic::error(Code::MountPoint, message)
                            .at(at(export))
                            .help("mount it elsewhere"),
                    );
                }
                allowed
            }
        }
    }

    /// A directory that is missing below a writable directory of a node is made first, like a missing
    /// source; the known admin templates count on it.
    fn made_in_node(&mut self, index: usize, below: &str, needs: Needs, writable: bool) -> bool {
        let node =
            self.family.node_of(below).filter(|_| writable && needs == Needs::Dir && !self.terms.strict);
        let Some(node) = node else { return false };
        let missing = !self.will_exist(below) && self.host.probe(below, None) == Probe::Missing;
        if missing {
            self.created.insert(below.to_owned());
            self.layout.create.push(Created {
                node: node.path.clone(),
                path: below.to_owned(),
                export: index,
                private: false,
            });
        }
        missing
    }

    fn stands_in_bind(&mut self, export: &Export, below: &str, needs: Needs, top: &str) -> bool {
        if needs == Needs::Dir && self.will_exist(below) {
            return true;
        }
        let real = |real: &str| real == below;
        let problem = match (self.host.probe(below, None), needs) {
            (Probe::Dir { real: path, .. }, Needs::Dir) | (Probe::Other { real: path, .. }, Needs::File)
                if real(&path) =>
            {
                return true;
            }
            (Probe::Dir { real: path, .. } | Probe::Other { real: path, .. }, _) if !real(&path) => {
                format!("{below}, which is a link to {path}")
            }
            (Probe::Dir { .. }, _) => format!("{below}, which is a directory while its source is a file"),
            (Probe::Other { .. }, _) => format!("{below}, which is no directory while its source is one"),
            (Probe::Missing, _) => format!("{below}, which does not exist"),
            (Probe::Refused { reason }, _) => format!("{below}: {reason}"),
        };
        let mount = &export.mount.actual;
        let outer = self.covering(top);
        let mut diagnostic = Diagnostic::error(
            Code::MountPoint,
            format!("{mount} lies in the export of {top}: it needs {problem}"),
        )
        .at(at(export));
        if let Some(outer) = outer {
            diagnostic = diagnostic.related(at(outer), format!("{top} is exported here"));
        }
        let kind = if needs == Needs::Dir { "directory" } else { "file" };
        self.report.push(diagnostic.help(format!(
            "nothing is written into a node to make room for a mount: make the {kind} {below} once, or mount elsewhere"
        )));
        false
    }

    /// Whether a directory is among those a launch makes first, or above one of them.
    pub(super) fn will_exist(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        let first = self.created.range(inside.clone()..).next();
        self.created.contains(path) || first.is_some_and(|one| one.starts_with(&inside))
    }

    /// The export whose mount is at `top`.
    pub(super) fn covering(&self, top: &str) -> Option<&'a Export> {
        let mount = self.layout.mounts.iter().find(|mount| mount.destination == top)?;
        self.merged.exports.get(mount.export)
    }

    /// Adds something to the root, with the directories on the way to it.
    pub(super) fn add(&mut self, path: &str, entry: Entry) {
        let mut parent = path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            if above.is_empty() {
                break;
            }
            self.layout.skeleton.entry(above.to_owned()).or_insert(Entry::Dir);
            parent = above;
        }
        self.layout.skeleton.insert(path.to_owned(), entry);
    }

    /// Everything placed, the mounts in the order they must be made.
    pub(super) fn finish(mut self) -> Layout {
        self.cwd();
        self.layout.mounts.sort_by(|a, b| by_component(&a.destination, &b.destination));
        self.layout
    }
}
