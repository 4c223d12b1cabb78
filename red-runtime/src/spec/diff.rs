//! What one plan may touch that another may not.

use oci_spec::runtime::Capability;
use serde::Serialize;

use super::layout::{Mount, MountKind};
use super::plan::Plan;
use crate::node::capability::{self, capability_name};
use crate::node::config::Namespace;
use crate::node::limit_values::Limit;
use crate::node::merge::{Resolved, Sharing, Tightest};

/// One thing that the second plan may and the first may not.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct More {
    /// `write`, `read`, `service`, `mount`, `capability`, `namespace`, `limit` or `identity`.
    pub kind: &'static str,
    /// What: a path of the host, a mount point, a capability, a namespace, a limit.
    pub what: String,
    /// What the first plan says of it.
    pub first: String,
    /// What the second plan says of it.
    pub second: String,
}

/// Everything that `second` may and `first` may not, sorted.
#[must_use]
pub fn more(first: &Plan, second: &Plan) -> Vec<More> {
    let mut all = Vec::new();
    paths(first, second, &mut all);
    services(first, second, &mut all);
    kernel_mounts(first, second, &mut all);
    capabilities(first, second, &mut all);
    namespaces(first, second, &mut all);
    limits(&first.merged.tightest, &second.merged.tightest, &mut all);
    identity(first, second, &mut all);
    all.sort();
    all.dedup();
    all
}

fn add(all: &mut Vec<More>, kind: &'static str, what: &str, first: &str, second: &str) {
    let (what, first, second) = (what.to_owned(), first.to_owned(), second.to_owned());
    all.push(More { kind, what, first, second });
}

/// Paths of the host that a plan binds, with whether they are writable.
fn binds(plan: &Plan) -> impl Iterator<Item = (&str, bool, &Mount)> {
    plan.layout.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, writable, .. } => Some((source.as_str(), *writable, mount)),
        _ => None,
    })
}

/// The strongest hold that a plan has on a path of the host: through a bind of it or of a
/// directory above it.
fn hold(plan: &Plan, path: &str) -> Option<bool> {
    let above = |source: &str| {
        source == "/"
            || path.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    binds(plan).filter(|(source, ..)| above(source)).map(|(_, writable, _)| writable).max()
}

fn paths(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    for (path, writable, _) in binds(second) {
        match (hold(first, path), writable) {
            (Some(true), _) | (Some(false), false) => {}
            (Some(false), true) => add(all, "write", path, "read-only", "writable"),
            (None, true) => add(all, "write", path, "not visible", "writable"),
            (None, false) => add(all, "read", path, "not visible", "read-only"),
        }
    }
}

/// Services of the host that a plan gives access to, with the path that does.
fn services(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    let had: Vec<&str> = first.layout.privileged.values().copied().collect();
    for (index, whose) in &second.layout.privileged {
        let export = second.merged.exports.get(*index);
        let path = export.map(|export| export.source.show()).unwrap_or_default();
        if !had.contains(whose) {
            add(all, "service", whose, "no access", &format!("through {path}"));
        }
    }
}

fn kernel_mounts(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    let name = |kind: &MountKind| match kind {
        MountKind::Proc => Some("proc"),
        MountKind::HostProc => Some("the host's proc"),
        MountKind::Mqueue => Some("mqueue"),
        MountKind::Dev => Some("dev"),
        _ => None,
    };
    let of = |plan: &Plan| -> Vec<(&'static str, String)> {
        let mounts = plan.layout.mounts.iter();
        mounts.filter_map(|mount| Some((name(&mount.kind)?, mount.destination.clone()))).collect()
    };
    let had = of(first);
    for (kind, at) in of(second) {
        if had.iter().all(|(other, _)| *other != kind) {
            add(all, "mount", kind, "not mounted", &format!("at {at}"));
        }
    }
}

fn capabilities(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    let had: Vec<Capability> = first.merged.capabilities.granted().map(|(one, _)| one).collect();
    for (one, _) in second.merged.capabilities.granted() {
        if !had.contains(&one) {
            let host_users = second.merged.shares.get(Namespace::User).value == Sharing::Host;
            let granted =
                if capability::is_root(one, host_users) { "granted: root of the machine" } else { "granted" };
            add(all, "capability", capability_name(one), "not granted", granted);
        }
    }
}

fn namespaces(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    let pairs = first.merged.shares.iter().zip(second.merged.shares.iter());
    for ((namespace, a), (_, b)) in pairs {
        let more = match (&a.value, &b.value) {
            (Sharing::New, Sharing::Host | Sharing::Join(_)) | (Sharing::Join(_), Sharing::Host) => true,
            (Sharing::Join(a), Sharing::Join(b)) => a.actual != b.actual,
            _ => false,
        };
        if more {
            add(all, "namespace", namespace.tag(), a.value.show(), b.value.show());
        }
    }
    if let (Some(_), None) = (&first.merged.tags.hostname, &second.merged.tags.hostname) {
        add(all, "namespace", "hostname", "its own", "the host's");
    }
}

fn limits(first: &Tightest, second: &Tightest, all: &mut Vec<More>) {
    let most = |a: &Option<Resolved<Limit>>, b: &Option<Resolved<Limit>>, name, all: &mut Vec<More>| {
        let value = |limit: &Option<Resolved<Limit>>| limit.as_ref().map_or(Limit::Max, |limit| limit.value);
        if value(b) > value(a) {
            add(all, "limit", name, &value(a).to_string(), &value(b).to_string());
        }
    };
    most(&first.memory_max, &second.memory_max, "mem.max", all);
    most(&first.memory_high, &second.memory_high, "mem.high", all);
    most(&first.swap_max, &second.swap_max, "mem.swap_max", all);
    most(&first.swap_high, &second.swap_high, "mem.swap_high", all);
    most(&first.pids_max, &second.pids_max, "pids.max", all);
    match (&first.cpu_max, &second.cpu_max) {
        (Some(a), None) => add(all, "limit", "cpu.max", &a.value.to_string(), "max"),
        (Some(a), Some(b)) if a.value.is_tighter(b.value) => {
            add(all, "limit", "cpu.max", &a.value.to_string(), &b.value.to_string());
        }
        _ => {}
    }
    for (name, a, b) in
        [("cpuset.cpus", &first.cpus, &second.cpus), ("cpuset.mems", &first.mems, &second.mems)]
    {
        match (a, b) {
            (Some(a), None) => add(all, "limit", name, &a.value.to_string(), "all"),
            (Some(a), Some(b)) if !b.value.is_subset(&a.value) => {
                add(all, "limit", name, &a.value.to_string(), &b.value.to_string());
            }
            _ => {}
        }
    }
}

fn identity(first: &Plan, second: &Plan, all: &mut Vec<More>) {
    let show = |plan: &Plan| format!("{}:{}", plan.target.uid, plan.target.gid);
    let (a, b) = (first.target, second.target);
    if (b.uid, b.gid) != (a.uid, a.gid) {
        add(all, "identity", "user", &show(first), &show(second));
    }
}
