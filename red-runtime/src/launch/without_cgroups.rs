//! What a container without cgroups may be: nothing else keeps the machine's devices from it.

use oci_spec::runtime::{Capability, LinuxNamespaceType, Spec};

use super::create::Request;
use super::error::LaunchError;
use super::namespaces::hosts;

/// Refuses a container without cgroups that could use devices of the machine, for which there is no other filter.
/// Only the machine's root can: by making some, with a capability in the host's user namespace; or by opening those
/// of a plain root, or of an engine's volume, whatever user namespace its user or group of the machine is in.
///
/// # Errors
/// It could. In a plain bundle that is accepted where an engine asks for no cgroups.
pub(super) fn devices_are_kept(request: &Request<'_>) -> Result<(), LaunchError> {
    if !super::record::is_machines_root() {
        return Ok(());
    }
    let spec = request.spec;
    let held =
        spec.process().as_ref().and_then(|process| process.capabilities().as_ref()?.bounding().clone());
    let makes = !has_other_users(spec)
        && held.is_some_and(|held| held.contains(&Capability::Mknod) || held.contains(&Capability::SysAdmin));
    let opens = !has_only_others(spec);
    let why = if request.node.is_none() {
        if !makes && !opens || request.terms.no_cgroups {
            return Ok(());
        }
        "this machine has no cgroups, without which a container of root can use every device; `--cgroups=disabled` of \
         podman, `--cgroup-manager disabled` of ours, accept that"
            .to_owned()
    } else if makes {
        "the node may make devices (CAP_MKNOD or CAP_SYS_ADMIN), and without cgroups it could use all of the machine's"
            .to_owned()
    } else if let Some(mount) = request.root.mounts.iter().find(|mount| opens && mount.may_have_devices()) {
        format!(
            "{} is mounted without `nodev` (`rnodev` for all below), and without cgroups the node could use devices in \
             it",
            mount.destination
        )
    } else {
        return Ok(());
    };
    Err(LaunchError::refused("linux.resources.devices", why))
}

/// Whether a configuration has a user namespace other than the host's.
fn has_other_users(spec: &Spec) -> bool {
    let all = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let users = all.and_then(|all| all.iter().find(|one| one.typ() == LinuxNamespaceType::User));
    users.is_some_and(|users| {
        users.path().as_ref().is_none_or(|path| {
            let stat = rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
            stat.is_ok_and(|inode| !hosts(libc::CLONE_NEWUSER).contains(&inode))
        })
    })
}

/// Whether a configuration makes a user namespace in which nobody is a user or group that the system gives rights
/// to (login.defs(5), SYS_UID_MAX and SYS_GID_MAX): uid 0 and groups such as `disk`, for which a user namespace is
/// no obstacle. Of one that it joins that is not known.
fn has_only_others(spec: &Spec) -> bool {
    const SYSTEM: u32 = 1000;
    let Some(linux) = spec.linux() else { return false };
    let mut all = linux.namespaces().iter().flatten();
    let fresh = all.any(|one| one.typ() == LinuxNamespaceType::User && one.path().is_none());
    let mut maps = linux.uid_mappings().iter().chain(linux.gid_mappings()).flatten();
    fresh && maps.all(|map| map.host_id() >= SYSTEM)
}
