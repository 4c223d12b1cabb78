//! Namespaces: what the node keeps for itself the engine cannot share, and what the engine
//! separates the node cannot join again.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Spec};

use super::refused;
use crate::node::config::Namespace;
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::merge::Sharing;
use crate::spec::plan::Plan;

fn kind(namespace: Namespace) -> LinuxNamespaceType {
    match namespace {
        Namespace::User => LinuxNamespaceType::User,
        Namespace::Cgroup => LinuxNamespaceType::Cgroup,
        Namespace::Net => LinuxNamespaceType::Network,
        Namespace::Pid => LinuxNamespaceType::Pid,
        Namespace::Ipc => LinuxNamespaceType::Ipc,
        Namespace::Time => LinuxNamespaceType::Time,
    }
}

/// How engines call their option.
fn option(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Net => "--network host",
        Namespace::Pid => "--pid host",
        Namespace::Ipc => "--ipc host",
        Namespace::Cgroup => "--cgroupns host",
        Namespace::User => "--userns host",
        Namespace::Time => "the host's time namespace",
    }
}

pub(super) fn combine(spec: &mut Spec, plan: &Plan, report: &mut Report) {
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut all: Vec<LinuxNamespace> = linux.namespaces().clone().unwrap_or_default();
    for (namespace, share) in plan.merged.shares.iter() {
        let typ = kind(namespace);
        let theirs = all.iter().position(|one| one.typ() == typ);
        let value = if namespace == Namespace::User { &plan.inside.user_namespace } else { &share.value };
        match (value, theirs) {
            // What the engine separates stays separate.
            (Sharing::Host, _) | (Sharing::New, Some(_)) => {}
            (Sharing::New, None) if implied(namespace) => all.extend(new(typ, None)),
            (Sharing::New, None) => {
                let leaf = &plan.redpath;
                let by = if share.origin.is_some() { "" } else { " by default" };
                let message = format!(
                    "the engine demands {}, and node {leaf} has `{}: Disabled`{by}",
                    option(namespace),
                    namespace.tag()
                );
                report.push(placed(refused(message), share.origin).help("start it without that option"));
            }
            (Sharing::Join(path), None) => all.extend(new(typ, Some(Path::new(&path.actual)))),
            (Sharing::Join(path), Some(index)) => {
                let same = all[index].path().as_deref() == Some(Path::new(&path.actual));
                if !same {
                    let message = format!(
                        "the node joins {} with `{}`, and the engine gives it another namespace",
                        path.actual,
                        namespace.tag()
                    );
                    report.push(placed(refused(message), share.origin).help("let the engine join the same"));
                }
            }
        }
    }
    if plan.merged.tags.hostname.is_some() && !has(&all, LinuxNamespaceType::Uts) {
        // A host name of its own without one would be the host's.
        all.extend(new(LinuxNamespaceType::Uts, None));
    }
    if !has(&all, LinuxNamespaceType::Mount) {
        all.extend(new(LinuxNamespaceType::Mount, None));
    }
    let user = all.iter().find(|one| one.typ() == LinuxNamespaceType::User);
    let made_for_node =
        user.is_some_and(|one| one.path().is_none()) && spec_maps(&linux).is_none_or(|maps| maps == 0);
    if made_for_node {
        linux.set_uid_mappings(Some(plan.inside.uid_map.clone()));
        linux.set_gid_mappings(Some(plan.inside.gid_map.clone()));
    }
    linux.set_namespaces(Some(all));
    if let Some(propagation) = linux.rootfs_propagation()
        && propagation.contains("shared")
    {
        linux.set_rootfs_propagation(Some("rslave".to_owned()));
    }
    spec.set_linux(Some(linux));
    if let Some(hostname) = &plan.merged.tags.hostname {
        spec.set_hostname(Some(hostname.value.actual.clone()));
    }
}

fn has(all: &[LinuxNamespace], typ: LinuxNamespaceType) -> bool {
    all.iter().any(|one| one.typ() == typ)
}

fn spec_maps(linux: &Linux) -> Option<usize> {
    linux.uid_mappings().as_ref().map(Vec::len)
}

/// Namespaces whose absence engines do not mean as a demand for the host's.
fn implied(namespace: Namespace) -> bool {
    matches!(namespace, Namespace::User | Namespace::Cgroup | Namespace::Time)
}

fn new(typ: LinuxNamespaceType, path: Option<&Path>) -> Option<LinuxNamespace> {
    let builder = LinuxNamespaceBuilder::default().typ(typ);
    match path {
        Some(path) => builder.path(path).build().ok(),
        None => builder.build().ok(),
    }
}

fn placed(diagnostic: Diagnostic, origin: Option<crate::node::family::Origin>) -> Diagnostic {
    debug_assert_eq!(diagnostic.code, Code::EngineConflict);
    match origin {
        Some(origin) => diagnostic.at(origin.at),
        None => diagnostic,
    }
}
