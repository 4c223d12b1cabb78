//! Where the cgroups of a node begin: with whoever started it, so that a unit's end, limits and accounting hold for
//! what it runs.

use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use rustix::io::Errno;

use super::{Layout, MOUNT, own_path, write};
use crate::launch::error::{Doing, LaunchError};
use crate::launch::record::is_machines_root;

/// Where the cgroups of a node begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Base {
    /// In a cgroup that systemd has handed to the unit of this process (`Delegate=`, systemd.resource-control(5)).
    Delegated {
        /// Its path.
        path: String,
        /// Whether processes stand in it, which is not to be where limits are handed down (cgroup-v2.rst, "No
        /// Internal Process Constraint").
        occupied: bool,
    },
    /// In a scope that systemd makes; what is in this process's own unit is systemd's.
    Scope {
        /// Slice of the scope.
        slice: String,
        /// This process's unit, if that is a service: what it starts ends with it, and has its limits.
        service: Option<Service>,
    },
    /// Below a path, where systemd keeps nothing.
    Free(String),
}

/// The unit of a process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Service {
    /// Name of the unit.
    pub(crate) unit: String,
    /// Path of its cgroup.
    pub(crate) path: String,
}

impl Base {
    /// That of this process.
    pub(crate) fn here(layout: Layout) -> Self {
        let own = own_path();
        if layout != Layout::V2 || !Path::new("/run/systemd/system").is_dir() {
            return free(&own);
        }
        Self::of(&own, is_machines_root(), &is_delegated)
    }

    /// That of a process in a cgroup, on a machine that systemd manages.
    fn of(own: &str, root: bool, is_delegated: &dyn Fn(&Path) -> bool) -> Self {
        let own = Path::new(own);
        let innermost = own
            .ancestors()
            .find(|path| path.file_name().is_some_and(|name| is_unit(&name.to_string_lossy())));
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(unit) = innermost else {
            let slice = if root { "system.slice" } else { "app.slice" };
            return Self::Scope { slice: slice.to_owned(), service: None };
        };
        // A part of it may be handed on (`DelegateSubgroup=`), and the unit itself stays the outer end.
        if is_delegated(unit) {
            let path = unit.to_string_lossy().into_owned();
            return Self::Delegated { path, occupied: own == unit };
        }
        // The manager of an ordinary user has units below its own.
        let manager = unit.ancestors().skip(1).find(|path| name(path).starts_with("user@"));
        // Of its slices the system's manager, which root asks, knows nothing.
        let above = if root { manager.unwrap_or(unit) } else { unit };
        let slices = above.ancestors().skip(1).take_while(|path| root || Some(*path) != manager);
        let slice = slices.map(name).find(|name| name.ends_with(".slice"));
        let slice = match (root, manager) {
            (true, _) => slice.unwrap_or_else(|| "system.slice".to_owned()),
            (false, Some(_)) => slice.unwrap_or_else(|| "app.slice".to_owned()),
            (false, None) => "app.slice".to_owned(),
        };
        // Of a unit of the other manager this one knows nothing.
        let known = root == manager.is_none() && name(unit).ends_with(".service");
        let path = unit.to_string_lossy().into_owned();
        Self::Scope { slice, service: known.then(|| Service { unit: name(unit), path }) }
    }
}

fn free(own: &str) -> Base {
    Base::Free(if rustix::process::geteuid().is_root() {
        "/red-runtime".to_owned()
    } else {
        format!("{}/red-runtime", own.trim_end_matches('/'))
    })
}

/// Units that processes run in (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    [".service", ".scope"].iter().any(|kind| name.ends_with(kind))
}

/// Whether systemd has handed over the cgroup of a unit: it marks those of the system's manager ("Control Group APIs and
/// Delegation"), and says it of those of a user's.
fn is_delegated(path: &Path) -> bool {
    let unit = path.file_name().unwrap_or_default().to_string_lossy();
    let of_user = path.ancestors().skip(1).filter_map(Path::file_name);
    if of_user.into_iter().any(|name| name.to_string_lossy().starts_with("user@")) {
        return super::systemd::delegates(&unit);
    }
    let directory = Path::new(MOUNT).join(path.strip_prefix("/").unwrap_or(path));
    // Readable by root only, before systemd 251.
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        getxattr(&directory, *name, &mut value).is_ok_and(|length| length == 1 && value == *b"1")
    })
}

/// Moves whatever stands in a delegated cgroup into one below it.
///
/// # Errors
/// A process cannot be moved, or more come than are moved.
pub(super) fn vacate(path: &str) -> Result<(), LaunchError> {
    /// Where they are moved to.
    const BESIDE: &str = "red-launchers";
    let directory: PathBuf = Path::new(MOUNT).join(path.trim_start_matches('/'));
    let beside = directory.join(BESIDE);
    match std::fs::create_dir(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(super::place::unmade(path, &beside, error));
        }
        _ => {}
    }
    // Each may have made another one meanwhile.
    for _ in 0..16 {
        let members = directory.join("cgroup.procs");
        let text = std::fs::read_to_string(&members).doing(|| members.display().to_string())?;
        if text.is_empty() {
            return Ok(());
        }
        for pid in text.lines() {
            match write(&beside.join("cgroup.procs"), pid) {
                // It has ended.
                Err(LaunchError::Call { errno: Errno::SRCH, .. }) => {}
                moved => moved?,
            }
        }
    }
    let why = "processes keep coming into it, so limits cannot be set below it".to_owned();
    Err(LaunchError::Cgroup { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "/user.slice/user-1000.slice/user@1000.service";

    fn of(own: &str, root: bool, delegated: &[&str]) -> Base {
        Base::of(own, root, &|path| delegated.iter().any(|one| Path::new(one) == path))
    }

    fn scope(slice: &str, service: Option<&str>) -> Base {
        let unit = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let service = service.map(|path| Service { unit: unit(path), path: path.to_owned() });
        Base::Scope { slice: slice.to_owned(), service }
    }

    #[test]
    fn a_delegated_unit_has_its_nodes() {
        let unit = "/system.slice/a.service";
        let delegated = |occupied| Base::Delegated { path: unit.to_owned(), occupied };
        assert_eq!(of(unit, true, &[unit]), delegated(true));
        assert_eq!(of(&format!("{unit}/red-launchers"), true, &[unit]), delegated(false));
        let own = format!("{USER}/app.slice/a.service");
        assert_eq!(of(&own, false, &[USER, &own]), Base::Delegated { path: own.clone(), occupied: true });
    }

    #[test]
    fn what_is_not_delegated_gets_a_scope_beside_it() {
        let unit = "/system.slice/a.service";
        assert_eq!(of(unit, true, &[]), scope("system.slice", Some(unit)));
        let nested = "/gateway.slice/gateway-can.slice/a.service";
        assert_eq!(of(nested, true, &[]), scope("gateway-can.slice", Some(nested)));
        let session = "/user.slice/user-0.slice/session-1.scope";
        assert_eq!(of(session, true, &[]), scope("user-0.slice", None));
        assert_eq!(of("/", true, &[]), scope("system.slice", None));
        // Root in a terminal of a user's desktop.
        let desktop = format!("{USER}/app.slice/terminal.scope");
        assert_eq!(of(&desktop, true, &[USER]), scope("user-1000.slice", None));
    }

    #[test]
    fn the_manager_of_a_user_keeps_what_is_its_own() {
        // It is delegated to the manager, and not to what that runs.
        let own = format!("{USER}/app.slice/a.service");
        assert_eq!(of(&own, false, &[USER]), scope("app.slice", Some(&own)));
        let session = "/user.slice/user-1000.slice/session-5.scope";
        assert_eq!(of(session, false, &[USER]), scope("app.slice", None));
        // A service of the system with `User=`: another manager's.
        assert_eq!(of("/system.slice/a.service", false, &[USER]), scope("app.slice", None));
    }
}
