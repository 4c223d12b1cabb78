//! What is neither a bind nor a plain directory: the kernel's file systems, links, locks, and the
//! working directory.

use std::collections::BTreeSet;

use super::build::{Builder, Cover};
use super::{Entry, HostLock, MountKind, at, links};
use crate::node::diagnostic::{Code, Diagnostic};
use crate::node::merge::{Export, Source};
use crate::spec::host::Probe;

impl Builder<'_> {
    pub(super) fn proc(&mut self, index: usize, path: String) {
        // A new proc shows the processes of a pid namespace; a user namespace may mount one only
        // for a pid namespace of its own (user_namespaces(7)).
        let host = self.terms.user_namespace && self.terms.host_pids;
        let kind = if host { MountKind::HostProc } else { MountKind::Proc };
        self.mount(index, path, kind);
    }

    pub(super) fn mqueue(&mut self, index: usize, path: String) {
        if self.terms.user_namespace && self.terms.host_ipc {
            let export = &self.merged.exports[index];
            self.report.push(
                Diagnostic::error(
                    Code::NamespaceNeeded,
                    format!("{path}: Mqueue in a user namespace needs an IPC namespace"),
                )
                .at(at(export))
                .help("set `share_ipc: Disabled`, or drop the export"),
            );
            return;
        }
        self.mount(index, path, MountKind::Mqueue);
    }

    /// A minimal `/dev`. There, runtimes make the device nodes and links by themselves (OCI
    /// runtime specification, config-linux.md, "Default Devices"). Elsewhere it is a directory
    /// of the root with the same contents.
    pub(super) fn devfs(&mut self, index: usize, path: String) {
        if path == "/dev" {
            self.mount(index, path.clone(), MountKind::Dev);
        } else if matches!(self.cover(&path), Cover::Root) {
            self.add(&path, Entry::Dir);
            for (name, target) in DEV_LINKS {
                self.add(&format!("{path}/{name}"), Entry::Symlink { target: target.to_owned() });
            }
            self.layout.devices.push(path.clone());
        } else {
            let export = &self.merged.exports[index];
            self.report.push(
                Diagnostic::error(Code::MountPoint, format!("{path}: Devfs lies in another export"))
                    .at(at(export))
                    .help("mount it at /dev"),
            );
            return;
        }
        let taken: BTreeSet<&str> = self.merged.exports.iter().map(|one| one.mount.actual.as_str()).collect();
        for (name, kind) in [("pts", MountKind::DevPts), ("shm", MountKind::DevShm)] {
            let below = format!("{path}/{name}");
            if !taken.contains(below.as_str()) {
                self.mount(index, below, kind);
            }
        }
    }

    pub(super) fn symlink(&mut self, export: &Export, path: &str) {
        let Source::Target(target) = &export.source else { return };
        let entry = Entry::Symlink { target: target.actual.clone() };
        match self.cover(path) {
            Cover::Root => self.add(path, entry),
            Cover::Fresh => {
                self.layout.within.insert(path.to_owned(), entry);
            }
            Cover::Bind { top, .. } | Cover::File { top } | Cover::Kernel { top, .. } => {
                let mut diagnostic = Diagnostic::error(
                    Code::MountPoint,
                    format!("the link {path} lies in the export of {top}"),
                )
                .at(at(export));
                if let Some(outer) = self.covering(&top) {
                    diagnostic = diagnostic.related(at(outer), format!("{top} is exported here"));
                }
                self.report.push(diagnostic.help(
                    "nothing is written into an export: make the link there once, and drop this entry",
                ));
            }
        }
    }

    pub(super) fn lock(&mut self, index: usize, path: &str) {
        let export = &self.merged.exports[index];
        match self.cover(path) {
            Cover::Root => self.add(path, Entry::Lock),
            Cover::Fresh => {
                self.layout.within.insert(path.to_owned(), Entry::Lock);
            }
            Cover::Bind { path: below, writable: true, .. } => {
                self.layout.host_locks.push(HostLock { path: below, export: index });
            }
            Cover::Bind { top, .. } | Cover::File { top } | Cover::Kernel { top, .. } => self.report.push(
                Diagnostic::error(
                    Code::MountPoint,
                    format!("the lock {path} lies in {top}, which is not writable"),
                )
                .at(at(export))
                .help("put it into a writable export or a directory of the launch"),
            ),
        }
    }

    /// The working directory must exist when the command starts.
    pub(super) fn cwd(&mut self) {
        let merged = self.merged;
        let Some(chdir) = &merged.tags.chdir else {
            "/".clone_into(&mut self.layout.cwd);
            return;
        };
        let wanted = &chdir.value.actual;
        if !wanted.starts_with('/') {
            self.bad_cwd(format!("`chdir: {wanted}` is relative"), "write it from `/`");
            return;
        }
        let Ok(path) = links::whole(wanted, &self.links) else {
            let message = format!("`chdir: {wanted}` lies behind links that lead in a circle");
            self.bad_cwd(message, "mend the links");
            return;
        };
        self.layout.cwd.clone_from(&path);
        if path == "/" || self.covers.contains_key(&path) || self.layout.skeleton.contains_key(&path) {
            return;
        }
        match self.cover(&path) {
            Cover::Root => self.add(&path, Entry::Dir),
            Cover::Fresh => {
                self.layout.within.insert(path, Entry::Dir);
            }
            Cover::Bind { path: below, .. } => {
                if !self.will_exist(&below) && !matches!(self.host.probe(&below, None), Probe::Dir { .. }) {
                    let message = format!("`chdir: {wanted}` would be {below}, which is no directory");
                    self.bad_cwd(message, "make it, or choose another");
                }
            }
            Cover::File { .. } | Cover::Kernel { .. } => {}
        }
    }

    fn bad_cwd(&mut self, message: String, help: &str) {
        let mut diagnostic = Diagnostic::error(Code::BadPath, message).help(help);
        if let Some(origin) = self.merged.tags.chdir.as_ref().and_then(|chdir| chdir.origin) {
            diagnostic = diagnostic.at(origin.at);
        }
        self.report.push(diagnostic);
    }
}

/// Links of a minimal `/dev` (OCI runtime specification, runtime-linux.md, "Dev symbolic links").
const DEV_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
