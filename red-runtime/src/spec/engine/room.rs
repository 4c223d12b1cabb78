//! Mount points of an engine's mounts in exports of a node.
//!
//! Nothing is made in a node. Where an export is read-only, a missing mount point can be in a layer of the launch
//! over it; where it is writable, what is written to a layer would not reach the node.

use std::collections::BTreeMap;

use super::mounts::{below, entry, owner};
use super::{Combined, Need, Placed, refused};
use crate::node::diagnostic::{Code, Diagnostic, Report};
use crate::node::family::Family;
use crate::spec::host::Host;
use crate::spec::layout::{Mount as Mounted, MountKind};
use crate::spec::plan::Plan;

/// A mount point that is missing in a read-only export.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingPoint {
    /// Path below the export's mount point.
    pub path: String,
    /// Whether it is a directory.
    pub dir: bool,
}

/// A mount point that is missing in an export.
struct Missing<'p> {
    /// The mount of the export.
    mount: &'p Mounted,
    /// Path below the mount point.
    rest: String,
    /// The same on the host.
    path: String,
    writable: bool,
}

/// Missing mount points of the engine's mounts, by the index of the export's mount in the layout. One in a writable
/// export is an error in `report`.
pub fn room(
    combined: &Combined,
    (plan, family): (&Plan, &Family),
    host: &mut dyn Host,
    report: &mut Report,
) -> BTreeMap<usize, Vec<MissingPoint>> {
    let mut missing_points: BTreeMap<usize, Vec<MissingPoint>> = BTreeMap::new();
    for (index, placed) in combined.mounts.iter().enumerate() {
        let Placed::Engine { mount, need, source } = placed else { continue };
        let otherwise = match need {
            Need::User => Otherwise::Elsewhere,
            Need::Engine => Otherwise::Restricted,
            Need::Optional => continue,
        };
        let destination = mount.destination().to_string_lossy();
        let under = |placed: &&Placed| below(&destination, &place_of(placed, plan));
        let cover = combined.mounts[..index].iter().filter(under).max_by_key(|one| place_of(one, plan).len());
        let Some(Placed::Node(cover)) = cover else { continue };
        let Some(missing) = missing(plan, *cover, &destination, host) else { continue };
        let dir = source.as_ref().is_none_or(|opened| opened.facts.is_dir());
        if missing.writable {
            let what = entry(mount, &destination);
            report.push(no_room(&what, &missing, (dir, otherwise), (plan, family)));
        } else {
            missing_points.entry(*cover).or_default().push(MissingPoint { path: missing.rest, dir });
        }
    }
    missing_points
}

/// Places at which engines mount files and directories of their own: podman, containerd and kubelets.
const USUAL: [(&str, bool); 8] = [
    ("/dev/mqueue", true),
    ("/dev/pts", true),
    ("/dev/shm", true),
    ("/dev/termination-log", false),
    ("/etc/hostname", false),
    ("/etc/hosts", false),
    ("/etc/resolv.conf", false),
    ("/var/run/secrets/kubernetes.io/serviceaccount", true),
];

/// Warns of missing mount points that keep engines' containers from starting.
pub fn check(plan: &Plan, family: &Family, host: &mut dyn Host, report: &mut Report) {
    for (place, dir) in USUAL {
        let destination = plan.layout.resolve(place);
        let mounts = plan.layout.mounts.iter().enumerate();
        let under = mounts.filter(|(_, mount)| below(&destination, &mount.destination));
        let Some((cover, _)) = under.max_by_key(|(_, mount)| mount.destination.len()) else { continue };
        if plan.layout.mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        if let Some(missing) = missing(plan, cover, &destination, host).filter(|missing| missing.writable) {
            let what = format!("what engines mount at {place}");
            let mut diagnostic = no_room(&what, &missing, (dir, Otherwise::Restricted), (plan, family));
            diagnostic.severity = crate::node::diagnostic::Severity::Warning;
            diagnostic.code = Code::MountPoint;
            report.push(diagnostic);
        }
    }
}

fn place_of(placed: &Placed, plan: &Plan) -> String {
    match placed {
        Placed::Node(index) => plan.layout.mounts[*index].destination.clone(),
        Placed::Engine { mount, .. } => mount.destination().to_string_lossy().into_owned(),
    }
}

/// A mount point that is missing in a directory which a node exports. Behind a link of the contents it may
/// be in something of the launch's, which is found out when it is made.
fn missing<'p>(plan: &'p Plan, cover: usize, destination: &str, host: &mut dyn Host) -> Option<Missing<'p>> {
    let mount = plan.layout.mounts.get(cover)?;
    let MountKind::Bind { source, writable, dir: true } = &mount.kind else { return None };
    let rest = destination.strip_prefix(&mount.destination)?.trim_start_matches('/').to_owned();
    let path = format!("{}/{rest}", source.trim_end_matches('/'));
    let made = |created: &crate::spec::layout::Created| created.path == path || below(&created.path, &path);
    if plan.layout.create.iter().any(made) {
        return None;
    }
    let trace = host.trace(&path, None)?;
    let is_missing = trace.links.is_empty() && trace.facts.is_none();
    is_missing.then_some(Missing { mount, rest, path, writable: *writable })
}

/// What can be done instead of making a mount point.
#[derive(Clone, Copy)]
enum Otherwise {
    /// The mount can be elsewhere.
    Elsewhere,
    /// The export can be read-only.
    Restricted,
}

fn no_room(
    what: &str,
    missing: &Missing<'_>,
    (dir, otherwise): (bool, Otherwise),
    (plan, family): (&Plan, &Family),
) -> Diagnostic {
    let Missing { mount, path, .. } = missing;
    let export = plan.merged.exports.get(mount.export);
    let node = export.map_or_else(|| "a node".to_owned(), |export| owner(family, export));
    let top = &mount.destination;
    let kind = if dir { "directory" } else { "empty file" };
    let otherwise = match otherwise {
        Otherwise::Elsewhere => "mount it elsewhere".to_owned(),
        Otherwise::Restricted => format!("export {top} `Restricted`"),
    };
    let diagnostic = refused(format!(
        "{what} has no mount point, and nothing is made in {top}, which {node} exports: make the {kind} {path}, or {otherwise}"
    ));
    match export {
        Some(export) => diagnostic.at(export.origin.at),
        None => diagnostic,
    }
}
