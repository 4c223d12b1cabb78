//! Mounts of the engine among those of the plan.

use std::path::PathBuf;

use oci_spec::runtime::{Mount, Spec};

use super::{Placed, refused};
use crate::node::diagnostic::Report;
use crate::node::family::Family;
use crate::node::merge::Export;
use crate::spec::layout::MountKind;
use crate::spec::plan::Plan;

/// What a mount of an engine is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// A file system of the kernel's making.
    Api,
    /// A file that tells a container about its surroundings.
    Own,
    /// Something a user asked for.
    Volume,
}

/// Files and directories that engines bring to every container.
const OWN: [&str; 11] = [
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/passwd",
    "/etc/group",
    "/run/.containerenv",
    "/.dockerenv",
    "/dev/init",
    "/dev/termination-log",
    "/run/podman-init",
];

/// Directories that hold secrets.
const SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above == "/" || rest.starts_with('/'))
}

fn class(mount: &Mount, destination: &str) -> Class {
    let fstype = mount.typ().as_deref().unwrap_or("");
    let options = mount.options().as_deref().unwrap_or_default();
    let bind = fstype == "bind" || options.iter().any(|option| option == "bind" || option == "rbind");
    let secret = SECRETS.iter().any(|dir| destination == *dir || below(destination, dir));
    if OWN.contains(&destination) || secret {
        Class::Own
    } else if !bind || matches!(destination, "/dev/shm" | "/dev/mqueue" | "/sys" | "/sys/fs/cgroup") {
        Class::Api
    } else {
        Class::Volume
    }
}

/// All mounts, in the order they are made.
pub(super) fn combine(engine: &Spec, plan: &Plan, family: &Family, report: &mut Report) -> Vec<Placed> {
    let mut theirs: Vec<(String, Mount, Class)> = Vec::new();
    for mount in engine.mounts().iter().flatten() {
        let said = mount.destination().to_string_lossy().into_owned();
        let destination = plan.layout.resolve(&clean(&said));
        let class = class(mount, &clean(&said));
        let mut mount = mount.clone();
        mount.set_destination(PathBuf::from(&destination));
        if class == Class::Volume {
            volume(&mount, &destination, plan, family, report);
        }
        theirs.push((destination, mount, class));
    }
    let mut all: Vec<(Vec<String>, u8, Placed)> = Vec::new();
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    for (index, mount) in plan.layout.mounts.iter().enumerate() {
        let same = theirs.iter().find(|(destination, ..)| *destination == mount.destination);
        if !same.is_some_and(|(_, _, class)| yields(&mount.kind, *class, &mount.destination)) {
            all.push((parts(&mount.destination), 1, Placed::Node(index)));
        }
    }
    for (destination, mount, class) in theirs {
        // podman makes up accounts for an image that has none; a node's own come first.
        let accounts = matches!(destination.as_str(), "/etc/passwd" | "/etc/group");
        if accounts && plan.layout.mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        let rank = if class == Class::Api { 0 } else { 2 };
        let optional = class != Class::Volume;
        all.push((parts(&destination), rank, Placed::Engine { mount, optional }));
    }
    all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    all.into_iter().map(|(_, _, placed)| placed).collect()
}

fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

/// Whether a mount of the plan makes room for the engine's at the same place.
fn yields(kind: &MountKind, class: Class, destination: &str) -> bool {
    let kernel = !matches!(kind, MountKind::Bind { .. } | MountKind::File(_));
    match class {
        // The file systems of the kernel's making come from the engine.
        Class::Api => kernel,
        Class::Own => !matches!(destination, "/etc/passwd" | "/etc/group"),
        Class::Volume => false,
    }
}

/// A user's volume may stand beside what the node exports, or in something it may write to. It may
/// not take the place of what was proven.
fn volume(mount: &Mount, destination: &str, plan: &Plan, family: &Family, report: &mut Report) {
    let source = mount.source().as_deref().map(|source| source.display().to_string()).unwrap_or_default();
    let entry = format!("the engine's volume {source} at {destination}");
    if destination == "/" {
        report.push(refused(format!("{entry} would cover everything")));
        return;
    }
    let exports = &plan.merged.exports;
    let at = |export: &Export| plan.layout.resolve_parent(&export.mount.actual);
    if let Some(export) = exports.iter().find(|export| {
        let at = at(export);
        at == destination || below(&at, destination)
    }) {
        let node = owner(export, family);
        let message = format!("{entry} would cover {}, which {node} exports", export.mount.actual);
        report.push(refused(message).at(export.origin.at).help("mount the volume elsewhere"));
        return;
    }
    let outer = plan.layout.mounts.iter().filter(|held| below(destination, &held.destination));
    let Some(outer) = outer.max_by_key(|held| held.destination.len()) else { return };
    let Some(export) = exports.get(outer.export) else { return };
    let read_only = matches!(outer.kind, MountKind::Bind { writable: false, .. } | MountKind::File(_));
    if read_only {
        let node = owner(export, family);
        let message =
            format!("{entry} would cover a part of {}, which {node} exports read-only", export.mount.actual);
        report.push(refused(message).at(export.origin.at).help("mount the volume elsewhere"));
    }
}

fn owner(export: &Export, family: &Family) -> String {
    let layers = family.layers();
    let layer = layers.iter().find(|layer| layer.id == export.origin.layer);
    layer.map_or_else(|| "a node".to_owned(), super::super::super::node::family::Layer::name)
}
