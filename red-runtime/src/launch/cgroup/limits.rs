//! Limits and statistics, through libcgroups.

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager,
};
use libcgroups::stats::Stats;
use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use rustix::process::Pid;

use super::systemd::{self, Scope};
use super::{Cgroups, Layout, Nested, filter, names, support};
use crate::launch::error::LaunchError;
use crate::launch::process::chain;

fn error(cgroups: &Cgroups, error: &dyn std::error::Error) -> LaunchError {
    let mut why = in_our_words(&chain(error));
    if cgroups.layout == Layout::V2 && why.contains(MISSING) {
        let there = cgroups.unified().map(|dir| dir.join("cgroup.controllers"));
        let there = there.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let there = there.trim();
        let there = if there.is_empty() { "none" } else { there };
        why = format!("{why}; controllers that are available here: {there}");
    }
    LaunchError::Cgroup { path: cgroups.path.clone(), why }
}

/// What a file that is not there is called. From the C library's words podman would take it that the
/// command is missing.
const MISSING: &str = "missing (ENOENT)";

fn in_our_words(why: &str) -> String {
    let why = why.replace("No such file or directory (os error 2)", MISSING);
    let why = why.replace("No such file or directory", MISSING);
    why.strip_prefix("io error: ").map(str::to_owned).unwrap_or(why)
}

fn manager(cgroups: &Cgroups) -> Result<AnyCgroupManager, LaunchError> {
    let config = CgroupConfig {
        cgroup_path: cgroups.path.clone().into(),
        // In a scope the files are written all the same, and systemd is told.
        systemd_cgroup: false,
        container_name: cgroups.path.trim_start_matches('/').to_owned(),
    };
    create_cgroup_manager(config).map_err(|source| error(cgroups, &source))
}

/// Whether a configuration says something of anything but devices.
fn limits(resources: &LinuxResources) -> bool {
    let mut rest = resources.clone();
    rest.set_devices(None);
    rest != LinuxResources::default()
}

/// Has systemd make the scope with a process in it, and what is nested in it, and finds out where that is.
///
/// # Errors
/// systemd does not answer, or refuses.
pub(crate) fn scope(cgroups: &mut Cgroups, nested: Option<&Nested>, pid: Pid) -> Result<(), LaunchError> {
    let Some(name) = &cgroups.systemd else { return Ok(()) };
    let scope = Scope::parse(name)?;
    if let Some(nested) = nested {
        return nested.make(&scope, cgroups, pid);
    }
    let id = cgroups.path.trim_start_matches('/');
    scope.start(pid, &format!("red-runtime container {id}"), None)?;
    let text = super::place::of_process(&pid.as_raw_nonzero().to_string())?;
    let wanted = if cgroups.layout == Layout::V2 { "0::" } else { ":name=systemd:" };
    if let Some((_, path)) = text.lines().find_map(|line| line.split_once(wanted)) {
        path.clone_into(&mut cgroups.path);
    }
    cgroups.identify();
    Ok(())
}

/// Sets limits.
///
/// # Errors
/// A name is no file of the cgroup, a controller is missing, or the kernel refuses a value.
pub(crate) fn apply(cgroups: &Cgroups, resources: &LinuxResources) -> Result<(), LaunchError> {
    names::check(resources)?;
    if !limits(resources) {
        return Ok(());
    }
    let mut rest = resources.clone();
    rest.set_devices(None);
    if cgroups.layout == Layout::V1 {
        // libcgroups asks for that controller whatever it is to set.
        let devices = std::path::Path::new(super::MOUNT).join("devices");
        filter::is_there(&devices.join(cgroups.path.trim_start_matches('/')))?;
    }
    support::check(cgroups, &mut rest)?;
    support::without_weight(cgroups.layout, &mut rest);
    let options = ControllerOpt {
        resources: &rest,
        disable_oom_killer: support::oom_killer_off(cgroups, resources),
        oom_score_adj: None,
        freezer_state: None,
    };
    manager(cgroups)?.apply(&options).map_err(|source| error(cgroups, &source))?;
    support::rest(cgroups, resources)?;
    match (&cgroups.systemd, cgroups.unified()) {
        (Some(name), Some(directory)) => systemd::tell(&Scope::parse(name)?, &directory),
        _ => Ok(()),
    }
}

/// Denies all devices that no rule allows.
///
/// # Errors
/// The kernel refuses. A container of the machine's root does not start without; anybody else's
/// cannot make a device, and needs no filter that only root may load.
pub(crate) fn filter_devices(
    cgroups: &Cgroups,
    resources: Option<&LinuxResources>,
) -> Result<(), LaunchError> {
    let rules = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
    match filter::apply(cgroups, rules) {
        Err(LaunchError::Call { errno: Errno::PERM | Errno::ACCESS, .. })
            if !crate::launch::record::is_machines_root() =>
        {
            Ok(())
        }
        result => result,
    }
}

/// What the cgroups have counted.
///
/// # Errors
/// A file cannot be read or understood.
pub(crate) fn stats(cgroups: &Cgroups) -> Result<Stats, LaunchError> {
    manager(cgroups)?.stats().map_err(|source| error(cgroups, &source))
}

#[cfg(test)]
mod tests {
    use super::in_our_words;

    #[test]
    fn no_engine_reads_that_the_command_is_missing() {
        let said =
            in_our_words("failed to open /sys/fs/cgroup/x/pids.max: No such file or directory (os error 2)");
        assert_eq!(said, "failed to open /sys/fs/cgroup/x/pids.max: missing (ENOENT)");
    }
}
