//! Namespaces: what the node keeps for itself the engine cannot share, and what the engine
//! separates the node cannot join again.
//!
//! A namespace that the engine names by path is what its inode says. CRI names all of them so, and
//! then the host's look like any other.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Spec};

use super::facts::{EngineFacts, NamedNamespace, Owner};
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

/// The namespaces that a node joins by path.
pub fn joined(plan: &Plan) -> impl Iterator<Item = (LinuxNamespaceType, &Path)> {
    plan.merged.shares.iter().filter_map(|(namespace, share)| {
        let value = if namespace == Namespace::User { &plan.inside.user_namespace } else { &share.value };
        match value {
            Sharing::Join(path) => Some((kind(namespace), Path::new(&path.actual))),
            _ => None,
        }
    })
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

pub(super) fn combine(spec: &mut Spec, facts: &EngineFacts, plan: &Plan, report: &mut Report) {
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut all: Vec<LinuxNamespace> = linux.namespaces().clone().unwrap_or_default();
    // Mappings beside no user namespace are of nothing.
    let maps = all.iter().any(|one| one.typ() == LinuxNamespaceType::User) && spec_maps(&linux);
    for (namespace, share) in plan.merged.shares.iter() {
        let typ = kind(namespace);
        let theirs = all.iter().position(|one| one.typ() == typ);
        let value = if namespace == Namespace::User { &plan.inside.user_namespace } else { &share.value };
        match (value, theirs) {
            (Sharing::Host, _) => {}
            // What the engine separates stays separate; what it only calls so does not.
            (Sharing::New, Some(index)) => {
                if let Some(path) = hosts(facts, &all[index]) {
                    let demand = format!("{} (it names {})", option(namespace), path.display());
                    disabled(&demand, plan, namespace, report);
                }
            }
            // The engine's choice: a namespace that it hands over is of some user namespace already, and in
            // another one its /sys, queues and processes could not be shown.
            (Sharing::New, None) if namespace == Namespace::User && handed(&all).is_some() => {
                insists(handed(&all), plan, report);
            }
            (Sharing::New, None) if implied(namespace) => all.extend(new(typ, None)),
            (Sharing::New, None) => disabled(option(namespace), plan, namespace, report),
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
    of_node(&mut all, facts, plan, report);
    check_owners(&all, facts, report);
    let user = all.iter().find(|one| one.typ() == LinuxNamespaceType::User);
    let made = user.is_some_and(|one| one.path().as_ref().is_none_or(|path| path.as_os_str().is_empty()));
    if made && !maps {
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

/// The namespaces that a node's container has whatever the engine says: of the mounts, and of the names
/// when the node has one.
fn of_node(all: &mut Vec<LinuxNamespace>, facts: &EngineFacts, plan: &Plan, report: &mut Report) {
    if plan.merged.tags.hostname.is_some() {
        // A host name of its own without one would be the host's, and so would it be in the host's.
        all.retain(|one| one.typ() != LinuxNamespaceType::Uts || hosts(facts, one).is_none());
        if !has(all, LinuxNamespaceType::Uts) {
            all.extend(new(LinuxNamespaceType::Uts, None));
        }
    }
    let mount = all.iter().find(|one| one.typ() == LinuxNamespaceType::Mount);
    let path = mount.and_then(|mount| mount.path().as_deref()).filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = path {
        let message = format!(
            "the engine names mount namespace {}, and node {} has one of its own",
            path.display(),
            plan.redpath
        );
        report.push(refused(message).help("start it without that namespace"));
    }
    if !has(all, LinuxNamespaceType::Mount) {
        all.extend(new(LinuxNamespaceType::Mount, None));
    }
}

/// A network, IPC or PID namespace that the engine hands over by path.
fn handed(all: &[LinuxNamespace]) -> Option<(LinuxNamespaceType, &Path)> {
    use LinuxNamespaceType::{Ipc, Network, Pid};
    let mut named = all.iter().filter(|one| matches!(one.typ(), Network | Ipc | Pid));
    named
        .find_map(|one| Some((one.typ(), one.path().as_deref().filter(|path| !path.as_os_str().is_empty())?)))
}

/// Says that a node has a user namespace of its own, where that is not only its default.
fn insists(handed: Option<(LinuxNamespaceType, &Path)>, plan: &Plan, report: &mut Report) {
    let share = plan.merged.shares.get(Namespace::User);
    let by_all = plan.merged.shares.all.as_ref().and_then(|all| all.origin);
    let (Some((typ, path)), Some(origin)) = (handed, share.origin) else { return };
    // What is said of all namespaces is the default of each, and says nothing of this one.
    if by_all == Some(origin) {
        return;
    }
    let message = format!(
        "the engine hands over {typ} namespace {}, which is of another user namespace than node {} would have with `{}: Disabled`",
        path.display(),
        plan.redpath,
        Namespace::User.tag()
    );
    let help = "leave the tag out, or write `Enabled`: then the engine decides the user namespace";
    report.push(placed(refused(message), share.origin).help(help));
}

/// Refuses a namespace of another user namespace than the one that is used: in the launcher's own, the process would
/// be the host's root beside those of the pod; in a third one it could do nothing there.
fn check_owners(all: &[LinuxNamespace], facts: &EngineFacts, report: &mut Report) {
    let user = all.iter().find(|one| one.typ() == LinuxNamespaceType::User);
    let user = user.and_then(|user| named(facts, user)?.1);
    for one in all {
        let Some((path, found)) = named(facts, one) else { continue };
        let owner = match found {
            // Nobody leaves what he is in already, whoever owns it.
            Some(found) if found.hosts => continue,
            // A mount namespace by path is refused as such.
            _ if matches!(one.typ(), LinuxNamespaceType::User | LinuxNamespaceType::Mount) => continue,
            Some(found) => found.owner,
            None => Owner::Hidden,
        };
        let what = match (owner, user) {
            (Owner::Runtime, _) => continue,
            (Owner::Other(owner), Some(user)) if owner == user.id => continue,
            (_, None) => "which another user namespace owns, and does not name that one".to_owned(),
            (_, Some(user)) => {
                format!("which another user namespace owns than {}, which it names too", user.path.display())
            }
        };
        let message = format!("the engine hands over {} namespace {}, {what}", one.typ(), path.display());
        report.push(refused(message).help("let the engine join the user namespace that owns it"));
    }
}

/// The path of a namespace, and what was found there.
fn named<'s>(
    facts: &'s EngineFacts,
    one: &'s LinuxNamespace,
) -> Option<(&'s Path, Option<&'s NamedNamespace>)> {
    let path = one.path().as_deref().filter(|path| !path.as_os_str().is_empty())?;
    Some((path, facts.namespaces.iter().find(|found| found.typ == one.typ() && found.path == path)))
}

/// Says that the node does not share what the engine demands.
fn disabled(demand: &str, plan: &Plan, namespace: Namespace, report: &mut Report) {
    let share = plan.merged.shares.get(namespace);
    let by = if share.origin.is_some() { "" } else { " by default" };
    let message = format!(
        "the engine demands {demand}, and node {} has `{}: Disabled`{by}",
        plan.redpath,
        namespace.tag()
    );
    report.push(placed(refused(message), share.origin).help("start it without that option"));
}

/// The path of a namespace that is the host's. One that nobody looked at could be.
fn hosts<'s>(facts: &'s EngineFacts, one: &'s LinuxNamespace) -> Option<&'s Path> {
    let (path, found) = named(facts, one)?;
    found.is_none_or(|found| found.hosts).then_some(path)
}

fn has(all: &[LinuxNamespace], typ: LinuxNamespaceType) -> bool {
    all.iter().any(|one| one.typ() == typ)
}

fn spec_maps(linux: &Linux) -> bool {
    linux.uid_mappings().as_ref().is_some_and(|maps| !maps.is_empty())
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
