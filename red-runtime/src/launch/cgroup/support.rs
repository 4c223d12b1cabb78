//! Limits that nobody would apply, and so are refused; and those that libcgroups leaves out.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxPids, LinuxResources};

use super::{Cgroups, Layout, MOUNT, write};
use crate::launch::error::LaunchError;

/// Whether every limit has a place here: the version of cgroups has it, and its controller is there. What asks
/// for nothing of a controller that is missing is taken away, for libcgroups would want the controller.
///
/// # Errors
/// One has none, and is named.
pub(super) fn check(cgroups: &Cgroups, resources: &mut LinuxResources) -> Result<(), LaunchError> {
    match cgroups.layout {
        Layout::V1 => first(resources)?,
        Layout::V2 => second(resources)?,
        Layout::None => {}
    }
    if resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()) {
        return refused("rdma", "is not supported");
    }
    let there = Controllers::of(cgroups);
    for (field, controller) in asked(cgroups.layout, resources) {
        if !there.has(controller) {
            let all = there.names();
            let why =
                format!("controller `{controller}` is missing; controllers that are available here: {all}");
            return refused(field, &why);
        }
    }
    for file in resources.unified().iter().flatten().map(|(file, _)| file) {
        let controller = file.split('.').next().unwrap_or_default();
        if controller != "cgroup" && !there.has(controller) {
            let all = there.names();
            let why =
                format!("controller `{controller}` is missing; controllers that are available here: {all}");
            return refused(&format!("unified `{file}`"), &why);
        }
    }
    without_missing(cgroups.layout, &there, resources);
    Ok(())
}

fn without_missing(layout: Layout, there: &Controllers, resources: &mut LinuxResources) {
    let io = if layout == Layout::V2 { "io" } else { "blkio" };
    if resources.memory().is_some() && !there.has("memory") {
        resources.set_memory(None);
    }
    if resources.pids().is_some() && !there.has("pids") {
        resources.set_pids(None);
    }
    if let Some(mut cpu) = resources.cpu().clone() {
        if !there.has("cpu") {
            // Sets of processors are another controller's.
            let sets = (cpu.cpus().clone(), cpu.mems().clone());
            cpu = LinuxCpu::default();
            cpu.set_cpus(sets.0);
            cpu.set_mems(sets.1);
        }
        resources.set_cpu((cpu != LinuxCpu::default()).then_some(cpu));
    }
    if resources.block_io().is_some() && !there.has(io) {
        resources.set_block_io(None);
    }
}

fn refused<T>(field: &str, why: &str) -> Result<T, LaunchError> {
    Err(LaunchError::refused(format!("linux.resources.{field}"), why))
}

/// What only version 2 has.
fn first(resources: &LinuxResources) -> Result<(), LaunchError> {
    if let Some((file, _)) = resources.unified().iter().flatten().next() {
        return refused(
            &format!("unified `{file}`"),
            "is of cgroups version 2, and this machine has version 1",
        );
    }
    if resources.block_io().as_ref().is_some_and(|io| io.leaf_weight().is_some_and(|weight| weight > 0)) {
        return refused("blockIO.leafWeight", "is not supported");
    }
    Ok(())
}

/// What only version 1 has.
fn second(resources: &LinuxResources) -> Result<(), LaunchError> {
    let only = |field: &str| refused(field, "is of cgroups version 1, and this machine has version 2");
    if let Some(memory) = resources.memory() {
        if memory.disable_oom_killer().unwrap_or(false) {
            return only("memory.disableOOMKiller");
        }
        if memory.swappiness().is_some() {
            return only("memory.swappiness");
        }
        if memory.kernel().is_some_and(|limit| limit > 0)
            || memory.kernel_tcp().is_some_and(|limit| limit > 0)
        {
            return only("memory.kernel");
        }
    }
    if let Some(network) = resources.network() {
        if network.class_id().is_some_and(|class| class > 0) {
            return only("network.classID");
        }
        if network.priorities().as_ref().is_some_and(|all| !all.is_empty()) {
            return only("network.priorities");
        }
    }
    Ok(())
}

/// Whether anything is asked for that takes a cgroup; devices are none of it.
pub(crate) fn asks(resources: &LinuxResources) -> bool {
    // Which version has it makes no difference here.
    !asked(Layout::V2, resources).is_empty()
        || resources.unified().as_ref().is_some_and(|all| !all.is_empty())
        || resources.rdma().as_ref().is_some_and(|all| !all.is_empty())
}

/// Fields that ask for something, each with its controller. A number that means "as it is" or "no limit"
/// asks for nothing.
fn asked(layout: Layout, resources: &LinuxResources) -> Vec<(&'static str, &'static str)> {
    let limit = |number: Option<i64>| number.is_some_and(|number| number > 0);
    let memory = |memory: &LinuxMemory| {
        [memory.limit(), memory.swap(), memory.reservation()].into_iter().any(limit)
            || memory.swappiness().is_some()
            || memory.disable_oom_killer().unwrap_or(false)
    };
    let cpu = |cpu: &LinuxCpu| {
        let some = |number: Option<u64>| number.is_some_and(|number| number > 0);
        [cpu.shares(), cpu.period(), cpu.burst(), cpu.realtime_period()].into_iter().any(some)
            || limit(cpu.quota())
            || limit(cpu.realtime_runtime())
            || limit(cpu.idle())
    };
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let sets = |cpu: &LinuxCpu| set(cpu.cpus()) || set(cpu.mems());
    let some = |list: bool, field, controller| list.then_some((field, controller));
    let network = resources.network().as_ref();
    let io = if layout == Layout::V2 { "io" } else { "blkio" };
    [
        some(resources.memory().as_ref().is_some_and(memory), "memory", "memory"),
        some(resources.pids().as_ref().map(LinuxPids::limit).is_some_and(|most| most > 0), "pids", "pids"),
        some(resources.cpu().as_ref().is_some_and(cpu), "cpu", "cpu"),
        some(resources.cpu().as_ref().is_some_and(sets), "cpu", "cpuset"),
        some(resources.block_io().as_ref().is_some_and(blocks), "blockIO", io),
        some(
            resources.hugepage_limits().as_ref().is_some_and(|all| !all.is_empty()),
            "hugepageLimits",
            "hugetlb",
        ),
        some(network.and_then(LinuxNetwork::class_id).is_some_and(|class| class > 0), "network", "net_cls"),
        some(
            network.and_then(|network| network.priorities().as_ref()).is_some_and(|all| !all.is_empty()),
            "network",
            "net_prio",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn blocks(io: &LinuxBlockIo) -> bool {
    let rates = [
        io.throttle_read_bps_device(),
        io.throttle_write_bps_device(),
        io.throttle_read_iops_device(),
        io.throttle_write_iops_device(),
    ];
    io.weight().is_some_and(|weight| weight > 0)
        || io.weight_device().as_ref().is_some_and(|all| !all.is_empty())
        || rates.into_iter().flatten().any(|all| !all.is_empty())
}

/// A file that every cgroup of a controller of version 1 has.
const FILES: [(&str, &str); 8] = [
    ("memory", "memory.limit_in_bytes"),
    ("pids", "pids.max"),
    ("cpu", "cpu.shares"),
    ("cpuset", "cpuset.cpus"),
    ("blkio", "blkio.throttle.read_bps_device"),
    ("hugetlb", "hugetlb.2MB.limit_in_bytes"),
    ("net_cls", "net_cls.classid"),
    ("net_prio", "net_prio.ifpriomap"),
];

/// Controllers that a container's cgroup has.
enum Controllers {
    First(Cgroups),
    Second(String),
    /// systemd has not made the cgroup yet.
    Unknown,
}

impl Controllers {
    fn of(cgroups: &Cgroups) -> Self {
        match cgroups.unified() {
            Some(leaf) => {
                std::fs::read_to_string(leaf.join("cgroup.controllers")).map_or(Self::Unknown, Self::Second)
            }
            None if cgroups.systemd.is_some() => Self::Unknown,
            None => Self::First(cgroups.clone()),
        }
    }

    fn has(&self, controller: &str) -> bool {
        match self {
            // A hierarchy has the name of its controller, or of several.
            Self::First(cgroups) => {
                let usual = Path::new(MOUNT).join(controller).join(cgroups.path.trim_start_matches('/'));
                has_files(&usual, controller)
                    || cgroups.leaves().iter().any(|leaf| has_files(leaf, controller))
            }
            Self::Second(all) => all.split_ascii_whitespace().any(|one| one == controller),
            Self::Unknown => true,
        }
    }

    fn names(&self) -> String {
        let all: Vec<&str> = match self {
            Self::First(_) => FILES.iter().map(|(name, _)| *name).filter(|name| self.has(name)).collect(),
            Self::Second(all) => all.split_ascii_whitespace().collect(),
            Self::Unknown => Vec::new(),
        };
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

fn has_files(leaf: &Path, controller: &str) -> bool {
    if controller == "hugetlb" {
        // Which sizes there are differs between machines.
        let entries = std::fs::read_dir(leaf).into_iter().flatten().flatten();
        return entries
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().starts_with("hugetlb."));
    }
    FILES.iter().any(|(name, file)| *name == controller && leaf.join(file).exists())
}

/// Whether the kernel is to leave a container's processes alone when its memory runs out. Where an update says
/// nothing of it, it stays as it is.
pub(super) fn oom_killer_off(cgroups: &Cgroups, resources: &LinuxResources) -> bool {
    let Some(memory) = resources.memory() else { return false };
    if cgroups.layout != Layout::V1 {
        return false;
    }
    memory.disable_oom_killer().unwrap_or_else(|| {
        let file = leaf_with(cgroups, "memory.oom_control").map(|leaf| leaf.join("memory.oom_control"));
        let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        text.lines().any(|line| line == "oom_kill_disable 1")
    })
}

/// Sets what libcgroups leaves out.
///
/// # Errors
/// The kernel refuses a value, or has no such file.
pub(super) fn rest(cgroups: &Cgroups, resources: &LinuxResources) -> Result<(), LaunchError> {
    if cgroups.layout == Layout::V2 {
        return weight(cgroups, resources);
    }
    if let Some(burst) = resources.cpu().as_ref().and_then(LinuxCpu::burst) {
        set(cgroups, "cpu.burst", &["cpu.cfs_burst_us"], &burst.to_string())?;
    }
    for device in resources.block_io().iter().filter_map(|io| io.weight_device().as_ref()).flatten() {
        if device.leaf_weight().is_some_and(|weight| weight > 0) {
            return refused("blockIO.weightDevice.leafWeight", "is not supported");
        }
        if let Some(weight) = device.weight() {
            let line = format!("{}:{} {weight}", device.major(), device.minor());
            set(cgroups, "blockIO.weightDevice", &["blkio.weight_device", "blkio.bfq.weight_device"], &line)?;
        }
    }
    Ok(())
}

/// Takes away the weight of blocks of version 2, which libcgroups 0.7 computes in too few bits.
pub(super) fn without_weight(layout: Layout, resources: &mut LinuxResources) {
    if let (Layout::V2, Some(mut blocks)) = (layout, resources.block_io().clone()) {
        blocks.set_weight(None);
        resources.set_block_io(Some(blocks));
    }
}

/// Sets the weight of blocks on version 2: that of the scheduler BFQ as it is, the other one on its own scale
/// (runc, fs2/io.go).
fn weight(cgroups: &Cgroups, resources: &LinuxResources) -> Result<(), LaunchError> {
    let asked = resources.block_io().as_ref().and_then(LinuxBlockIo::weight).filter(|weight| *weight > 0);
    let Some(weight) = asked else { return Ok(()) };
    let bfq = leaf_with(cgroups, "io.bfq.weight");
    let weight = if bfq.is_some() { u32::from(weight) } else { io_weight(weight) };
    set(cgroups, "blockIO.weight", &["io.bfq.weight", "io.weight"], &weight.to_string())
}

/// 10 to 1,000 of version 1 on the scale from 1 to 10,000 of version 2.
fn io_weight(weight: u16) -> u32 {
    1 + u32::from(weight).saturating_sub(10) * 9999 / 990
}

fn leaf_with(cgroups: &Cgroups, file: &str) -> Option<PathBuf> {
    cgroups.leaves().into_iter().find(|leaf| leaf.join(file).exists())
}

fn set(cgroups: &Cgroups, field: &str, files: &[&str], value: &str) -> Result<(), LaunchError> {
    let found = files.iter().find_map(|file| leaf_with(cgroups, file).map(|leaf| leaf.join(file)));
    match found {
        Some(file) => write(&file, value),
        None => refused(field, &format!("this kernel has no {}", files.join(" or "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resources(value: serde_json::Value) -> LinuxResources {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_asks_for_nothing_needs_no_controller() {
        for value in [
            json!({}),
            json!({"memory": {}, "cpu": {}, "blockIO": {}, "hugepageLimits": [], "network": {}}),
            json!({"memory": {"limit": -1, "swap": 0, "disableOOMKiller": false}, "pids": {"limit": -1}}),
            json!({"cpu": {"shares": 0, "quota": -1, "cpus": ""}}),
        ] {
            assert_eq!(asked(Layout::V1, &resources(value.clone())), [], "{value}");
        }
        let all = resources(json!({
            "memory": {"swappiness": 0}, "pids": {"limit": 5}, "cpu": {"burst": 5, "mems": "0"},
            "blockIO": {"weight": 100}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
        }));
        let names: Vec<&str> =
            asked(Layout::V2, &all).into_iter().map(|(_, controller)| controller).collect();
        assert_eq!(names, ["memory", "pids", "cpu", "cpuset", "io", "hugetlb"]);
    }

    #[test]
    fn weights_of_blocks_are_those_of_runc() {
        for (weight, wanted) in [(10, 1), (100, 910), (300, 2930), (500, 4950), (1000, 10000)] {
            assert_eq!(io_weight(weight), wanted);
        }
    }

    #[test]
    fn what_the_other_version_has_is_refused() {
        let at = |layout, value: serde_json::Value| {
            let cgroups = Cgroups {
                layout,
                path: "/red-nothing".into(),
                made: Vec::new(),
                systemd: None,
                inodes: std::collections::BTreeMap::new(),
            };
            check(&cgroups, &mut resources(value)).map_err(|error| error.to_string())
        };
        assert!(at(Layout::V1, json!({"unified": {"memory.high": "1"}})).unwrap_err().contains("version 2"));
        for value in [
            json!({"memory": {"disableOOMKiller": true}}),
            json!({"memory": {"swappiness": 10}}),
            json!({"network": {"classID": 5}}),
            json!({"network": {"priorities": [{"name": "lo", "priority": 1}]}}),
        ] {
            let said = at(Layout::V2, value.clone()).unwrap_err();
            assert!(said.contains("version 1"), "{value}: {said}");
        }
        for layout in [Layout::V1, Layout::V2] {
            let said = at(layout, json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}})).unwrap_err();
            assert!(said.contains("linux.resources.rdma"), "{said}");
        }
        let cgroups = Cgroups {
            layout: Layout::V1,
            path: "/red-nothing".into(),
            made: Vec::new(),
            systemd: None,
            inodes: std::collections::BTreeMap::new(),
        };
        let mut nothing =
            resources(json!({"memory": {"limit": -1}, "pids": {"limit": 0}, "cpu": {}, "blockIO": {}}));
        check(&cgroups, &mut nothing).unwrap();
        assert_eq!(nothing, LinuxResources::default());
        let said = at(Layout::V1, json!({"pids": {"limit": 5}})).unwrap_err();
        assert!(
            said.contains("controller `pids` is missing; controllers that are available here: none"),
            "{said}"
        );
    }
}
