//! The cgroups of a family in a scope, which are made once systemd has made the scope.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::process::Pid;

use super::base::Service;
use super::systemd::Scope;
use super::{Cgroups, MOUNT, apply, place, write};
use crate::launch::error::LaunchError;

/// What is made in a scope.
#[derive(Clone, Debug)]
pub(crate) struct Nested {
    /// Cgroups of the nodes and their limits: path in the scope, and limits.
    pub(crate) chain: Vec<(String, LinuxResources)>,
    /// The container's own, in the last of them.
    pub(crate) leaf: String,
    /// The service that the launch belongs to.
    pub(crate) service: Option<Service>,
}

/// Limits of a unit, which hold for what it starts too.
const LIMITS: [&str; 6] =
    ["memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpuset.cpus"];

impl Nested {
    /// Has systemd make the scope with a process in it, and makes the cgroups in the scope.
    ///
    /// # Errors
    /// systemd refuses, or the kernel does.
    pub(super) fn make(&self, scope: &Scope, cgroups: &mut Cgroups, pid: Pid) -> Result<(), LaunchError> {
        let id = cgroups.path.trim_start_matches('/').to_owned();
        let unit = self.service.as_ref().map(|service| service.unit.as_str());
        scope.start(pid, &format!("red-runtime container {id}"), unit)?;
        let text = place::of_process(&pid.as_raw_nonzero().to_string())?;
        let top = text.lines().find_map(|line| line.strip_prefix("0::"));
        let top = top.filter(|top| top.ends_with(&scope.unit)).ok_or_else(|| {
            LaunchError::refused(
                format!("systemd unit {}", scope.unit),
                "its cgroup is not where the process is",
            )
        })?;
        let directory: PathBuf = Path::new(MOUNT).join(top.trim_start_matches('/'));
        if let Some(service) = &self.service {
            within(service, &directory)?;
        }
        let leaf = directory.join(&self.leaf);
        std::fs::create_dir_all(&leaf)
            .map_err(|error| place::unmade(&format!("{top}/{}", self.leaf), &leaf, error))?;
        write(&leaf.join("cgroup.procs"), &pid.as_raw_nonzero().to_string())?;
        cgroups.path = format!("{top}/{}", self.leaf);
        place::delegate(top, &cgroups.path);
        // The limits of the nodes are not those of the scope.
        let mut above = Cgroups { systemd: None, ..cgroups.clone() };
        for (path, limits) in &self.chain {
            above.path = format!("{top}/{path}");
            apply(&above, limits)?;
        }
        cgroups.identify();
        Ok(())
    }
}

/// Gives a scope the limits of the service beside it: a child narrows, and leaving the unit would widen.
fn within(service: &Service, scope: &Path) -> Result<(), LaunchError> {
    let own = Path::new(MOUNT).join(service.path.trim_start_matches('/'));
    for file in LIMITS {
        let text = std::fs::read_to_string(own.join(file)).unwrap_or_default();
        let text = text.trim();
        if !text.is_empty() && text.split(' ').next() != Some("max") {
            write(&scope.join(file), text)?;
        }
    }
    Ok(())
}
