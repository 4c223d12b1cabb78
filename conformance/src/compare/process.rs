//! The process: identity, capabilities, environment, namespaces, limits.

use std::collections::BTreeMap;

use oci_spec::runtime::{Capability, LinuxIdMapping, LinuxNamespaceType, LinuxResources, Process};

use super::{Findings, Given};
use crate::container::Observed;
use crate::report::Report;

pub(super) fn compare(given: &Given, observed: &Observed, findings: &mut Findings) {
    let report = &observed.report;
    let spec = &given.spec;
    if let Some(process) = spec.process() {
        identity(process, report, findings);
        capabilities(process, report, findings);
        environment(process, report, findings);
        findings.same("process: cwd", &process.cwd().display().to_string(), &report.cwd);
        let wanted = u8::from(process.no_new_privileges().unwrap_or(false)).to_string();
        findings.same("process: noNewPrivileges", &wanted, &status(report, "NoNewPrivs"));
    }
    if let Some(hostname) = spec.hostname() {
        findings.same("hostname", hostname, &report.hostname);
    }
    findings.same("descriptors", &vec![0, 1, 2], &report.descriptors);
    let Some(linux) = spec.linux() else { return };
    namespaces(given, observed, findings);
    maps("uid", linux.uid_mappings().as_deref(), &report.id_maps.0, findings);
    maps("gid", linux.gid_mappings().as_deref(), &report.id_maps.1, findings);
    if let (Some(resources), true) = (linux.resources(), given.controllers) {
        limits(resources, &observed.limits, findings);
    }
}

fn status(report: &Report, field: &str) -> String {
    report.status.get(field).cloned().unwrap_or_default()
}

fn identity(process: &Process, report: &Report, findings: &mut Findings) {
    let user = process.user();
    findings.same("user: uid", &user.uid(), &report.ids.0);
    findings.same("user: gid", &user.gid(), &report.ids.1);
    if let Some(umask) = user.umask() {
        findings.same("user: umask", &format!("{umask:04o}"), &status(report, "Umask"));
    }
    let mut groups: Vec<String> = user.additional_gids().iter().flatten().map(u32::to_string).collect();
    groups.sort();
    let own = user.gid().to_string();
    // A runtime may list the primary group among the others; an id without a mapping is nobody's.
    let mut seen: Vec<String> = status(report, "Groups").split_whitespace().map(str::to_owned).collect();
    seen.retain(|group| *group != own && (!report.id_maps.1.is_empty() && group != "65534"));
    seen.sort();
    findings.same("user: additionalGids", &groups, &seen);
}

fn capabilities(process: &Process, report: &Report, findings: &mut Findings) {
    let Some(sets) = process.capabilities() else {
        findings.differ("capabilities", "five sets", "none in the configuration");
        return;
    };
    for (name, set, field) in [
        ("bounding", sets.bounding(), "CapBnd"),
        ("effective", sets.effective(), "CapEff"),
        ("permitted", sets.permitted(), "CapPrm"),
        ("inheritable", sets.inheritable(), "CapInh"),
        ("ambient", sets.ambient(), "CapAmb"),
    ] {
        let wanted = set.iter().flatten().fold(0_u64, |bits, one| bits | 1 << number(*one));
        findings.same(format!("capabilities: {name}"), &format!("{wanted:016x}"), &status(report, field));
    }
}

/// The kernel's number of a capability (include/uapi/linux/capability.h). The library's order is
/// another one.
fn number(capability: Capability) -> u32 {
    match capability {
        Capability::Chown => 0,
        Capability::DacOverride => 1,
        Capability::DacReadSearch => 2,
        Capability::Fowner => 3,
        Capability::Fsetid => 4,
        Capability::Kill => 5,
        Capability::Setgid => 6,
        Capability::Setuid => 7,
        Capability::Setpcap => 8,
        Capability::LinuxImmutable => 9,
        Capability::NetBindService => 10,
        Capability::NetBroadcast => 11,
        Capability::NetAdmin => 12,
        Capability::NetRaw => 13,
        Capability::IpcLock => 14,
        Capability::IpcOwner => 15,
        Capability::SysModule => 16,
        Capability::SysRawio => 17,
        Capability::SysChroot => 18,
        Capability::SysPtrace => 19,
        Capability::SysPacct => 20,
        Capability::SysAdmin => 21,
        Capability::SysBoot => 22,
        Capability::SysNice => 23,
        Capability::SysResource => 24,
        Capability::SysTime => 25,
        Capability::SysTtyConfig => 26,
        Capability::Mknod => 27,
        Capability::Lease => 28,
        Capability::AuditWrite => 29,
        Capability::AuditControl => 30,
        Capability::Setfcap => 31,
        Capability::MacOverride => 32,
        Capability::MacAdmin => 33,
        Capability::Syslog => 34,
        Capability::WakeAlarm => 35,
        Capability::BlockSuspend => 36,
        Capability::AuditRead => 37,
        Capability::Perfmon => 38,
        Capability::Bpf => 39,
        Capability::CheckpointRestore => 40,
    }
}

/// The environment must be the one asked for, but for a HOME that runtimes add where there is none.
fn environment(process: &Process, report: &Report, findings: &mut Findings) {
    let wanted: BTreeMap<String, String> = process
        .env()
        .iter()
        .flatten()
        .filter_map(|entry| entry.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for (key, value) in &wanted {
        match report.environment.get(key) {
            Some(seen) => findings.same(format!("env {key}"), value, seen),
            None => findings.differ(format!("env {key}"), value, "unset"),
        }
    }
    for (key, value) in &report.environment {
        if !wanted.contains_key(key) && key != "HOME" {
            findings.differ(format!("env {key}"), "unset", value);
        }
    }
}

fn namespaces(given: &Given, observed: &Observed, findings: &mut Findings) {
    let asked = given.spec.linux().as_ref().and_then(|linux| linux.namespaces().clone()).unwrap_or_default();
    for (typ, name) in [
        (LinuxNamespaceType::Mount, "mnt"),
        (LinuxNamespaceType::Uts, "uts"),
        (LinuxNamespaceType::Ipc, "ipc"),
        (LinuxNamespaceType::User, "user"),
        (LinuxNamespaceType::Pid, "pid"),
        (LinuxNamespaceType::Network, "net"),
        (LinuxNamespaceType::Cgroup, "cgroup"),
        (LinuxNamespaceType::Time, "time"),
    ] {
        let entry = asked.iter().find(|one| one.typ() == typ);
        let seen = observed.report.namespaces.get(name).copied().unwrap_or(0);
        let host = observed.host_namespaces.get(name).copied().unwrap_or(0);
        let what = format!("namespace {name}");
        match entry.map(oci_spec::runtime::LinuxNamespace::path) {
            None if seen != host => findings.differ(what, "the host's", "another"),
            Some(None) if seen == host => findings.differ(what, "a new one", "the host's"),
            Some(Some(path)) => {
                use std::os::unix::fs::MetadataExt;
                let wanted = std::fs::metadata(path).map_or(0, |meta| meta.ino());
                findings.same(what, &wanted, &seen);
            }
            _ => {}
        }
    }
}

fn maps(name: &str, wanted: Option<&[LinuxIdMapping]>, seen: &[String], findings: &mut Findings) {
    let line = |map: &LinuxIdMapping| format!("{} {} {}", map.container_id(), map.host_id(), map.size());
    // Without mappings of its own the container has the host's, which maps every id to itself.
    let all = vec![format!("0 0 {}", u32::MAX)];
    let wanted = wanted.map_or(all, |maps| maps.iter().map(line).collect());
    findings.same(format!("{name} mappings"), &wanted, &seen.to_vec());
}

/// Limits by the files of either version of cgroups.
fn limits(resources: &LinuxResources, seen: &BTreeMap<String, String>, findings: &mut Findings) {
    let mut wanted: Vec<(&str, String)> = Vec::new();
    if let Some(memory) = resources.memory() {
        wanted.extend(memory.limit().map(|limit| ("memory.limit_in_bytes", limit.to_string())));
        wanted.extend(memory.reservation().map(|low| ("memory.soft_limit_in_bytes", low.to_string())));
    }
    if let Some(cpu) = resources.cpu() {
        wanted.extend(cpu.quota().map(|quota| ("cpu.cfs_quota_us", quota.to_string())));
        wanted.extend(cpu.period().map(|period| ("cpu.cfs_period_us", period.to_string())));
        wanted.extend(cpu.shares().map(|shares| ("cpu.shares", shares.to_string())));
        wanted.extend(cpu.cpus().clone().map(|cpus| ("cpuset.cpus", cpus)));
        wanted.extend(cpu.mems().clone().map(|mems| ("cpuset.mems", mems)));
    }
    if let Some(pids) = resources.pids() {
        wanted.push(("pids.max", pids.limit().to_string()));
    }
    for (file, value) in wanted {
        match seen.get(file) {
            Some(seen) => findings.same(format!("limit {file}"), &value, seen),
            None => findings.differ(format!("limit {file}"), value, "no such file"),
        }
    }
    // The device filter: everything is denied but what the rules allow.
    let open = seen.get("devices.list").filter(|list| list.lines().any(|line| line.starts_with("a ")));
    if let Some(list) = open {
        findings.differ("devices", "denied unless listed", list);
    }
}
