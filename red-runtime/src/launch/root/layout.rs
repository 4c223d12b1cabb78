//! A plan → a root.

use oci_spec::runtime::Mount as OciMount;
use std::path::Path;

use super::{Base, DeviceNode, Mount, NodeDir, Root, Source, What, devices, oci};
use crate::launch::error::LaunchError;
use crate::node::family::Family;
use crate::spec::layout::{Mount as Placed, MountKind};
use crate::spec::plan::Plan;
use crate::sys::mount_attr::{MountAttr, flag};

/// The root of a plan. Flags and options are those of its OCI configuration, so that a launch and
/// a bundle cannot differ; what is bound is opened as the plan found it.
///
/// # Errors
/// None for a plan of this program.
pub(crate) fn root(plan: &Plan, family: &Family) -> Result<Root, LaunchError> {
    let layout = &plan.layout;
    let mut contents = plan.files.iter().map(|file| file.content.clone().unwrap_or_default());
    let said = plan.spec.mounts().iter().flatten();
    let mounts: Result<Vec<Mount>, LaunchError> =
        layout.mounts.iter().zip(said).map(|(placed, said)| mount(placed, said, &mut contents)).collect();
    let mut nodes: Vec<DeviceNode> = Vec::new();
    if layout.mounts.iter().any(|mount| mount.kind == MountKind::Dev) {
        devices::add_default(&mut nodes);
    }
    for directory in &layout.devices {
        devices::add_default_in(directory, &mut nodes);
    }
    let owner = (plan.inside.uid, plan.inside.gid);
    Ok(Root {
        base: Base::Skeleton { entries: layout.skeleton.clone(), owner },
        mounts: mounts?,
        within: layout.within.clone(),
        nodes: family
            .nodes
            .iter()
            .map(|node| NodeDir { path: node.path.clone(), id: (node.facts.dev, node.facts.ino) })
            .collect(),
        host_locks: layout.host_locks.iter().map(|lock| lock.path.clone()).collect(),
        devices: nodes,
        ..Root::default()
    })
}

fn mount(
    placed: &Placed,
    said: &OciMount,
    contents: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<Mount, LaunchError> {
    let mut mount = oci::mount(said, Path::new("/"))?;
    match &placed.kind {
        MountKind::Bind { source, dir, .. } => {
            mount.what = What::Bind { source: Source::Straight(source.into()), all: *dir };
        }
        MountKind::File(_) => {
            mount.what = What::File(contents.next().unwrap_or_default());
            mount.attr = MountAttr { set: flag::NOSUID | flag::NODEV | flag::RDONLY, ..MountAttr::default() };
        }
        _ => {}
    }
    Ok(mount)
}
