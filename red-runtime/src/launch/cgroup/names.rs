//! Strings in `linux.resources` that libcgroups makes file names of.
//!
//! It joins them to the cgroup's directory and writes there as root: an absolute path, or one that leads
//! through `..`, would be any file of the host, and a file of the core a process of the host's. So they are
//! looked at here, where limits of every container are set: of a node, of a plain bundle, by `update`.

use oci_spec::runtime::LinuxResources;

use crate::launch::error::LaunchError;

/// Files of the core that only limit what is below (cgroup-v2.rst, "Core Interface Files"). The others
/// move, freeze and end processes.
const CORE: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// Whether resources name nothing but files of the container's own cgroup.
///
/// # Errors
/// A name in `unified`, of a huge page or of an RDMA device is none of the kernel's.
pub(super) fn check(resources: &LinuxResources) -> Result<(), LaunchError> {
    let refused = |field: &str, name: &str, why: &str| {
        let what = format!("linux.resources.{field}: invalid name `{}`", name.escape_debug());
        Err(LaunchError::refused(what, why))
    };
    for file in resources.unified().iter().flatten().map(|(file, _)| file) {
        if !is_file(file) {
            return refused("unified", file, "expected a file of the cgroup, such as `memory.high`");
        }
        if file.starts_with("cgroup.") && !CORE.contains(&file.as_str()) {
            return refused("unified", file, "this file is not a limit; set limits of controllers");
        }
    }
    for size in resources.hugepage_limits().iter().flatten().map(|limit| limit.page_size()) {
        if !is_page_size(size) {
            return refused("hugepageLimits", size, "expected a page size, such as `2MB`");
        }
    }
    for device in resources.rdma().iter().flatten().map(|(device, _)| device) {
        if device.is_empty() || !device.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
            return refused("rdma", device, "expected a device, such as `mlx5_0`");
        }
    }
    for interface in resources.network().iter().filter_map(|network| network.priorities().as_ref()).flatten()
    {
        let name = interface.name();
        if name.is_empty() || name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control()) {
            return refused("network.priorities", name, "expected a network interface, such as `eth0`");
        }
    }
    Ok(())
}

/// CONTROLLER.FILE, as the kernel names them (`cgroup_file_name` in kernel/cgroup/cgroup.c).
fn is_file(name: &str) -> bool {
    name.split('.').count() > 1
        && name
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// A number and a unit (`mem_fmt` in mm/hugetlb_cgroup.c).
fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(resources: Value) -> Result<(), String> {
        check(&serde_json::from_value(resources).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_a_file_of_the_cgroup_and_nothing_else() {
        for name in [
            "/etc/passwd",
            "../other/memory.max",
            "./memory.max",
            "memory.max/",
            "below/memory.max",
            "memory..max",
            ".memory.max",
            "memory.max.",
            "memory",
            "tasks",
            "",
            "memory.max\n",
            "memory max",
            "cgroup.procs",
            "cgroup.threads",
            "cgroup.kill",
            "cgroup.freeze",
            "cgroup.subtree_control",
            "cgroup.type",
        ] {
            let said = checked(json!({"unified": {name: "1"}})).unwrap_err();
            assert!(said.contains("linux.resources.unified: invalid name"), "{name}: {said}");
        }
        for name in ["memory.high", "hugetlb.2MB.max", "io.bfq.weight", "cgroup.max.descendants", "misc.max"]
        {
            assert_eq!(checked(json!({"unified": {name: "1"}})), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_other_strings_lead_nowhere_either() {
        for size in ["2/../../x", "2MB/../x", "2", "MB", "2mb", "-2MB", ""] {
            let said = checked(json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]})).unwrap_err();
            assert!(said.contains("hugepageLimits"), "{size}: {said}");
        }
        for size in ["64KB", "2MB", "1GB"] {
            assert_eq!(checked(json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]})), Ok(()));
        }
        for device in ["../x", "a/b", "a b", ""] {
            assert!(checked(json!({"rdma": {device: {"hcaHandles": 1}}})).is_err(), "{device}");
        }
        assert_eq!(checked(json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}})), Ok(()));
        let network = |name: &str| json!({"network": {"priorities": [{"name": name, "priority": 1}]}});
        assert!(checked(network("eth0 1\nlo")).is_err());
        assert_eq!(checked(network("eth0")), Ok(()));
    }
}
