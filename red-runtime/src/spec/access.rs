//! May what runs in a plan read or write a path, and through which entry?

use serde::Serialize;

use super::layout::{Entry, MountKind};
use super::plan::Plan;
use super::provenance::{From, Speller};
use crate::node::family::Family;

/// The answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Access {
    /// The path that was asked for.
    pub path: String,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// What it is, for people.
    pub what: String,
    /// The path of the host behind it, if there is one.
    pub host: Option<String>,
    /// Mount point of the entry that decides.
    pub through: Option<String>,
    /// Where that entry was written.
    pub from: Option<From>,
    /// The privileged service of the host that can be reached through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'static str>,
}

/// Answers for one absolute path, links of the plan followed. Permissions of files are not looked
/// at: this is what the plan allows, whatever their owners say.
#[must_use]
pub fn access(family: &Family, plan: &Plan, path: &str) -> Access {
    let speller = Speller::new(family);
    let path = plan.layout.resolve(path);
    let covers = |destination: &str| {
        path.strip_prefix(destination).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Mounts are sorted, so the last one that covers the path is the innermost.
    let mount = plan.layout.mounts.iter().rev().find(|mount| covers(&mount.destination));
    let Some(mount) = mount else {
        let from = plan.merged.exports.iter().rev().find(|export| covers(&export.mount.actual));
        let what = match plan.layout.skeleton.get(&path) {
            Some(Entry::Anonymous) => "a fresh directory of the launch",
            Some(Entry::Symlink { .. }) => "a link of the launch",
            Some(Entry::Lock) => "a lock of the launch",
            Some(Entry::Dir | Entry::File) => "a part of the volatile root",
            None => "nothing yet: the volatile root, which is forgotten at the end",
        };
        return Access {
            read: true,
            write: true,
            what: what.to_owned(),
            host: None,
            through: from.map(|export| export.mount.actual.clone()),
            from: from.map(|export| speller.from(export.origin)),
            service: None,
            path,
        };
    };
    let rest = &path[mount.destination.len()..];
    let (write, what, host) = match &mount.kind {
        MountKind::Bind { source, writable, .. } => {
            let host = format!("{}{rest}", source.trim_end_matches('/'));
            (*writable, if *writable { "bound writable" } else { "bound read-only" }, Some(host))
        }
        MountKind::File(_) => (false, "a file of the launch, read-only", None),
        MountKind::Tmpfs | MountKind::Anonymous => (true, "a tmpfs of the launch", None),
        MountKind::Dev | MountKind::DevPts | MountKind::DevShm => {
            (true, "a minimal /dev of the launch", None)
        }
        MountKind::Proc | MountKind::HostProc => {
            (false, "the kernel's proc, with its settings read-only", None)
        }
        MountKind::Mqueue => (true, "message queues of the launch", None),
    };
    let export = plan.merged.exports.get(mount.export);
    Access {
        read: true,
        write,
        what: what.to_owned(),
        host,
        through: Some(mount.destination.clone()),
        from: export.map(|export| speller.from(export.origin)),
        service: plan.layout.privileged.get(&mount.export).copied(),
        path,
    }
}
