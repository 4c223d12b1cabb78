//! A plan → a root.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::Mount as OciMount;

use super::{Base, DeviceNode, Mount, NodeDir, Otherwise, Root, Source, What, devices, oci};
use crate::launch::error::LaunchError;
use crate::node::family::Family;
use crate::node::guard::Opened;
use crate::spec::engine::room::MissingPoint;
use crate::spec::engine::{Combined, Need, Placed};
use crate::spec::layout::{Mount as InLayout, MountKind};
use crate::spec::plan::Plan;
use crate::sys::mount_attr::{MountAttr, flag};

/// The root of a plan. Flags and options are those of its OCI configuration, so that a launch and
/// a bundle cannot differ; what is bound is opened as the plan found it.
///
/// # Errors
/// None for a plan of this program.
pub(crate) fn root(plan: &Plan, family: &Family) -> Result<Root, LaunchError> {
    let mounts = own(plan)?;
    let dev = plan.layout.mounts.iter().any(|mount| mount.kind == MountKind::Dev);
    Ok(around(plan, family, mounts, dev))
}

/// The root of a plan that an engine starts, whose own mounts stand among the plan's.
///
/// # Errors
/// An option of the engine's mounts is not supported.
pub(crate) fn of_engine(
    plan: &Plan,
    family: &Family,
    (combined, mut missing_points): (&Combined, BTreeMap<usize, Vec<MissingPoint>>),
    bundle: &Path,
) -> Result<Root, LaunchError> {
    let mut own: Vec<Option<Mount>> = own(plan)?.into_iter().map(Some).collect();
    // A directory for the command is for whoever that is.
    let user = combined.spec.process().as_ref().map(|process| (process.user().uid(), process.user().gid()));
    if let Some(user) = user {
        let all = own.iter_mut().flatten().zip(&plan.layout.mounts);
        all.filter(|(_, placed)| placed.kind == MountKind::Anonymous)
            .for_each(|(mount, _)| owned(mount, user));
    }
    let mut mounts = Vec::with_capacity(combined.mounts.len());
    for placed in &combined.mounts {
        match placed {
            Placed::Node(index) => {
                let mount = own.get_mut(*index).and_then(Option::take);
                let missing_points = missing_points.remove(index).unwrap_or_default();
                mounts.extend(mount.map(|mount| Mount { missing_points, ..mount }));
            }
            Placed::Engine { mount, need, source } => {
                let mut mount = oci::mount(mount, bundle)?;
                if mount.owners.is_some() {
                    return Err(LaunchError::refused(
                        format!("mount {}", mount.destination),
                        "owners of a node's volumes cannot be mapped (`idmap`, `uidMappings`, `gidMappings`)",
                    ));
                }
                mount.check(source.as_ref().map(Opened::id));
                mount.otherwise = match need {
                    Need::User => Otherwise::Fail,
                    Need::Engine => Otherwise::FailEngines,
                    Need::Optional => Otherwise::Skip,
                };
                mounts.push(mount);
            }
        }
    }
    // A directory that the node exports there has the devices that it has.
    let dev = mounts.iter().rfind(|mount| mount.destination == "/dev");
    let dev = dev.is_some_and(|mount| !matches!(mount.what, What::Bind { .. }));
    let mut root = around(plan, family, mounts, dev);
    root.readonly = combined.readonly;
    if let (Base::Skeleton { owner, .. }, Some(user)) = (&mut root.base, user) {
        *owner = user;
    }
    Ok(root)
}

/// Gives the top directory of a new file system to a user.
fn owned(mount: &mut Mount, (uid, gid): (u32, u32)) {
    let What::New { options, .. } = &mut mount.what else { return };
    options.retain(|option| !option.starts_with("uid=") && !option.starts_with("gid="));
    options.extend([format!("uid={uid}"), format!("gid={gid}")]);
}

fn around(plan: &Plan, family: &Family, mounts: Vec<Mount>, dev: bool) -> Root {
    let layout = &plan.layout;
    let mut nodes: Vec<DeviceNode> = Vec::new();
    if dev {
        devices::add_default(&mut nodes);
    }
    for directory in &layout.devices {
        devices::add_default_in(directory, &mut nodes);
    }
    let owner = (plan.inside.uid, plan.inside.gid);
    Root {
        base: Base::Skeleton { entries: layout.skeleton.clone(), owner },
        mounts,
        within: layout.within.clone(),
        nodes: family
            .nodes
            .iter()
            .map(|node| NodeDir { path: node.path.clone(), id: (node.facts.dev, node.facts.ino) })
            .collect(),
        host_locks: layout.host_locks.iter().map(|lock| lock.path.clone()).collect(),
        devices: nodes,
        ..Root::default()
    }
}

/// The mounts of a plan, in its order.
fn own(plan: &Plan) -> Result<Vec<Mount>, LaunchError> {
    let mut contents = plan.files.iter().map(|file| file.content.clone().unwrap_or_default());
    let said = plan.spec.mounts().iter().flatten();
    plan.layout.mounts.iter().zip(said).map(|(placed, said)| mount(placed, said, &mut contents)).collect()
}

fn mount(
    placed: &InLayout,
    said: &OciMount,
    contents: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<Mount, LaunchError> {
    let mut mount = oci::mount(said, Path::new("/"))?;
    match &placed.kind {
        MountKind::Bind { source, dir, .. } => {
            mount.what = What::Bind { source: Source::Straight(source.into(), placed.id), all: *dir };
        }
        MountKind::File(_) => {
            mount.what = What::File(contents.next().unwrap_or_default());
            mount.attr = MountAttr { set: flag::NOSUID | flag::NODEV | flag::RDONLY, ..MountAttr::default() };
        }
        _ => {}
    }
    Ok(mount)
}
