//! The parts of a plan → an OCI configuration that any runtime understands.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDevice,
    LinuxDeviceBuilder, LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount,
    MountBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::digest::Digest;
use super::environment::EnvEntry;
use super::host::CgroupMode;
use super::identity::Inside;
use super::layout::{Layout, Mount as Placed, MountKind, anonymous_mode};
use super::plan::Request;
use super::{annotation, resources};
use crate::node::config::Namespace;
use crate::node::diagnostic::Report;
use crate::node::merge::{Merged, Sharing};

/// The version of the runtime specification the configuration keeps to.
const OCI_VERSION: &str = "1.0.2";

/// The umask when nobody sets one.
const DEFAULT_UMASK: u32 = 0o022;

/// What a configuration is made from.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// What was asked for.
    pub request: &'a Request,
    /// The merged family.
    pub merged: &'a Merged,
    /// The root and the mounts.
    pub layout: &'a Layout,
    /// The environment.
    pub environment: &'a [EnvEntry],
    /// Who the command is inside.
    pub inside: &'a Inside,
}

/// Assembles the configuration. What the machine cannot hold is warned of in `report`.
///
/// # Errors
/// None in practice: every builder gets what it needs.
pub fn spec(
    parts: &Parts<'_>,
    redpath: &str,
    digest: &Digest,
    mode: CgroupMode,
    report: &mut Report,
) -> Result<Spec, OciSpecError> {
    let annotations = HashMap::from([
        (annotation::full(annotation::ORIGIN_REDPATH), redpath.to_owned()),
        (annotation::full(annotation::ORIGIN_DIGEST), digest.to_string()),
    ]);
    let mut spec = SpecBuilder::default()
        .version(OCI_VERSION)
        .root(RootBuilder::default().path("rootfs").readonly(false).build()?)
        .mounts(mounts(parts)?)
        .process(process(parts)?)
        .linux(linux(parts, mode, report)?)
        .annotations(annotations)
        .build()?;
    // The builder would put the name of another runtime there.
    let hostname = parts.merged.tags.hostname.as_ref();
    spec.set_hostname(hostname.map(|hostname| hostname.value.actual.clone()));
    Ok(spec)
}

fn process(parts: &Parts<'_>) -> Result<Process, OciSpecError> {
    let umask = parts.merged.tags.umask.as_ref().map_or(DEFAULT_UMASK, |umask| umask.value);
    let user = UserBuilder::default().uid(parts.inside.uid).gid(parts.inside.gid).umask(umask).build()?;
    let env: Vec<String> = parts
        .environment
        .iter()
        .map(|entry| format!("{}={}", entry.key, entry.value.as_deref().unwrap_or("")))
        .collect();
    let mut process = ProcessBuilder::default()
        .terminal(parts.request.terminal)
        .user(user)
        .args(parts.request.args.clone())
        .env(env)
        .cwd(&parts.layout.cwd)
        .capabilities(capabilities(parts.merged)?)
        .no_new_privileges(true)
        .build()?;
    // The builder would put 1024 open files there. Limits of processes are the caller's.
    process.set_rlimits(None);
    Ok(process)
}

/// The five sets, all of them the granted capabilities: a command that is not uid 0 inside keeps
/// them over exec only when they are inheritable and ambient too (capabilities(7)).
fn capabilities(merged: &Merged) -> Result<LinuxCapabilities, OciSpecError> {
    let granted: HashSet<Capability> = merged.capabilities.granted().map(|(one, _)| one).collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(granted.clone())
        .effective(granted.clone())
        .permitted(granted.clone())
        .inheritable(granted.clone())
        .ambient(granted)
        .build()
}

fn linux(parts: &Parts<'_>, mode: CgroupMode, report: &mut Report) -> Result<Linux, OciSpecError> {
    let proc_at: Vec<&str> = parts
        .layout
        .mounts
        .iter()
        .filter(|mount| matches!(mount.kind, MountKind::Proc | MountKind::HostProc))
        .map(|mount| mount.destination.as_str())
        .collect();
    let mut builder = LinuxBuilder::default()
        .namespaces(namespaces(parts)?)
        .resources(resources::resources(&parts.merged.tightest, mode, report)?)
        .rootfs_propagation("rprivate")
        .masked_paths(below(&proc_at, &MASKED, &["/sys/firmware", "/sys/devices/virtual/powercap"]))
        .readonly_paths(below(&proc_at, &READ_ONLY, &[]));
    if !parts.layout.devices.is_empty() {
        builder = builder.devices(devices(&parts.layout.devices)?);
    }
    if !parts.inside.uid_map.is_empty() {
        builder =
            builder.uid_mappings(parts.inside.uid_map.clone()).gid_mappings(parts.inside.gid_map.clone());
    }
    builder.build()
}

/// Files of proc that tell about the host or change it.
const MASKED: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// Directories of proc through which the kernel is set.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Names below each of the mount points, and below `/proc` whatever is mounted there.
fn below(mounts: &[&str], names: &[&str], others: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let proc = std::iter::once("/proc").filter(|proc| !mounts.contains(proc));
    for mount in mounts.iter().copied().chain(proc) {
        all.extend(names.iter().map(|name| format!("{mount}/{name}")));
    }
    all.extend(others.iter().map(|&other| other.to_owned()));
    all.sort();
    all
}

fn namespaces(parts: &Parts<'_>) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    let new = |typ| LinuxNamespaceBuilder::default().typ(typ);
    let mut all = vec![new(LinuxNamespaceType::Mount).build()?];
    if parts.merged.tags.hostname.is_some() {
        all.push(new(LinuxNamespaceType::Uts).build()?);
    }
    for (namespace, share) in parts.merged.shares.iter() {
        let typ = match namespace {
            Namespace::User => LinuxNamespaceType::User,
            Namespace::Cgroup => LinuxNamespaceType::Cgroup,
            Namespace::Net => LinuxNamespaceType::Network,
            Namespace::Pid => LinuxNamespaceType::Pid,
            Namespace::Ipc => LinuxNamespaceType::Ipc,
            Namespace::Time => LinuxNamespaceType::Time,
        };
        let share = if namespace == Namespace::User { &parts.inside.user_namespace } else { &share.value };
        match share {
            Sharing::Host => {}
            Sharing::New => all.push(new(typ).build()?),
            Sharing::Join(path) => all.push(new(typ).path(&path.actual).build()?),
        }
    }
    Ok(all)
}

/// Device nodes of a `/dev` that stands elsewhere.
fn devices(directories: &[String]) -> Result<Vec<LinuxDevice>, OciSpecError> {
    let nodes =
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
    let mut all = Vec::new();
    for directory in directories {
        for (name, major, minor) in nodes {
            let device = LinuxDeviceBuilder::default().typ(LinuxDeviceType::C).major(major).minor(minor);
            let device =
                device.path(format!("{directory}/{name}")).file_mode(0o666_u32).uid(0_u32).gid(0_u32);
            all.push(device.build()?);
        }
    }
    Ok(all)
}

fn mounts(parts: &Parts<'_>) -> Result<Vec<Mount>, OciSpecError> {
    let mut number = 0;
    let one = |mount: &super::layout::Mount| {
        let (typ, source, options) = kind(mount, parts.inside, &mut number);
        MountBuilder::default()
            .destination(&mount.destination)
            .typ(typ)
            .source(source)
            .options(options)
            .build()
    };
    parts.layout.mounts.iter().map(one).collect()
}

/// Options of a bind of a directory: no set-user-id, no devices, no propagation, for what is
/// mounted below it too (mount_setattr(2), AT_RECURSIVE).
const DIRECTORY: [&str; 6] = ["rbind", "nosuid", "nodev", "rnosuid", "rnodev", "rprivate"];

/// Options of a bind of a file. Nothing can be mounted below it, and crun up to 1.8 opens the
/// target of recursive options as a directory.
const FILE: [&str; 4] = ["bind", "nosuid", "nodev", "private"];

/// Options of a bind.
fn bind(dir: bool, writable: bool) -> Vec<String> {
    let kind: &[&str] = if dir { &DIRECTORY } else { &FILE };
    let read_only: &[&str] = match (dir, writable) {
        (_, true) => &[],
        (true, false) => &["ro", "rro"],
        (false, false) => &["ro"],
    };
    words(&[kind, read_only].concat())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn kind(mount: &Placed, inside: &Inside, files: &mut usize) -> (&'static str, PathBuf, Vec<String>) {
    match &mount.kind {
        MountKind::Bind { source, writable, dir } => ("bind", source.into(), bind(*dir, *writable)),
        MountKind::File(_) => {
            *files += 1;
            ("bind", super::bundle::file_name(*files), bind(false, false))
        }
        MountKind::Tmpfs => ("tmpfs", "tmpfs".into(), words(&["nosuid", "nodev", "mode=1777"])),
        MountKind::Anonymous => {
            let mut options = words(&["nosuid", "nodev"]);
            options.push(format!("mode={:04o}", anonymous_mode(&mount.destination)));
            options.extend([format!("uid={}", inside.uid), format!("gid={}", inside.gid)]);
            ("tmpfs", "tmpfs".into(), options)
        }
        MountKind::Proc => ("proc", "proc".into(), words(&["nosuid", "noexec", "nodev"])),
        MountKind::HostProc => {
            ("bind", "/proc".into(), words(&[&DIRECTORY[..], &["noexec", "rnoexec"]].concat()))
        }
        MountKind::Mqueue => ("mqueue", "mqueue".into(), words(&["nosuid", "noexec", "nodev"])),
        MountKind::Dev => {
            ("tmpfs", "tmpfs".into(), words(&["nosuid", "strictatime", "mode=0755", "size=65536k"]))
        }
        MountKind::DevPts => {
            let mut options = words(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
            // The group of terminals, where it exists inside (Linux Allocated Devices: tty is 5).
            if has_group(inside, 5) {
                options.push("gid=5".to_owned());
            }
            ("devpts", "devpts".into(), options)
        }
        MountKind::DevShm => ("tmpfs", "shm".into(), words(&["nosuid", "noexec", "nodev", "mode=1777"])),
    }
}

fn has_group(inside: &Inside, group: u32) -> bool {
    let maps = &inside.gid_map;
    let covers = |from: u32, size: u32| group >= from && group - from < size;
    maps.is_empty() || maps.iter().any(|map| covers(map.container_id(), map.size()))
}

#[cfg(test)]
mod tests;
