//! Mounts of the engine among those of the plan.
//!
//! A mount is classed by its type, its source and what it would cover. Only the kernel's file systems
//! at the places that engines give them, and files that the engine itself has made, are exempt from
//! the rule of volumes: nothing over an export, nothing inside a read-only one.

use std::path::PathBuf;

use oci_spec::runtime::{Mount, Spec};

use super::facts::{BindSource, EngineFacts, EngineFile, KernelFs, freeze, is_bind, is_read_only};
use super::{Need, Placed, refused};
use crate::node::config::Namespace;
use crate::node::diagnostic::Report;
use crate::node::family::{Family, Layer};
use crate::node::guard::Opened;
use crate::node::merge::{Export, Sharing};
use crate::node::text_path::clean;
use crate::node::value::ExportMode;
use crate::spec::layout::{Mount as Mounted, MountKind};
use crate::spec::plan::Plan;

/// What a mount of an engine is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// A file system of the kernel's at its place: the plan's own yields to it.
    Kernel,
    /// A new file system, empty or a copy of what it covers.
    Fresh,
    /// A file or directory that the engine has made for the container.
    Own,
    /// Everything else.
    Volume,
}

/// File systems that engines bring to every container, with their places (runc, `libcontainer/SPEC.md`;
/// containerd, `oci.WithDefaultSpec`).
const KERNEL: [(&str, &str); 9] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("cgroup", "/sys/fs/cgroup"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("devpts", "/dev/pts"),
    ("mqueue", "/dev/mqueue"),
    ("tmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/run"),
];

/// Files of proc that may be covered (runc, rootfs_linux.go, `checkProcMount`): programs that show a
/// container its own share of the machine do so.
pub(crate) const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

pub(super) fn below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above == "/" || rest.starts_with('/'))
}

/// One mount of the engine, classed.
struct Theirs {
    /// Destination behind the plan's own links.
    destination: String,
    /// The mount, with that destination.
    mount: Mount,
    class: Class,
    /// Its source, as it was opened.
    source: Option<Opened>,
    need: Need,
}

/// All mounts, in the order they are made.
pub(super) fn combine(
    engine: &Spec,
    facts: &EngineFacts,
    plan: &Plan,
    family: &Family,
    report: &mut Report,
) -> Vec<Placed> {
    let judge = Judge { plan, family };
    let mut theirs: Vec<Theirs> = Vec::new();
    for (index, mount) in engine.mounts().iter().flatten().enumerate() {
        let said = clean(&mount.destination().to_string_lossy());
        let destination = plan.layout.resolve(&said);
        let source = facts.source(index);
        let class = match judge.class(mount, &said, &destination, source) {
            Ok(class) => class,
            Err(why) => {
                let help = "start it without that mount";
                report.push(refused(format!("the engine's mount at {said}: {why}")).help(help));
                continue;
            }
        };
        let mut mount = mount.clone();
        mount.set_destination(PathBuf::from(&destination));
        judge.propagation(&mut mount, class, report);
        if class == Class::Kernel {
            watch_only(&mut mount, source);
        }
        match class {
            Class::Kernel | Class::Own => {}
            Class::Fresh => judge.fresh(&mount, &destination, report),
            Class::Volume if judge.has_already(&mount, &destination, source) => continue,
            Class::Volume => judge.volume(&mount, &destination, report),
        }
        let need = match class {
            Class::Fresh | Class::Volume => Need::User,
            _ if source.and_then(|found| found.made).is_some_and(EngineFile::is_optional) => Need::Optional,
            Class::Kernel | Class::Own => Need::Engine,
        };
        let source = source.map(|found| found.opened.clone());
        theirs.push(Theirs { destination, mount, class, source, need });
    }
    in_order(plan, theirs)
}

fn in_order(plan: &Plan, theirs: Vec<Theirs>) -> Vec<Placed> {
    let mut all: Vec<(Vec<String>, u8, Placed)> = Vec::new();
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    for (index, mount) in plan.layout.mounts.iter().enumerate() {
        let same = theirs.iter().find(|one| one.destination == mount.destination);
        if !same.is_some_and(|one| yields(&mount.kind, one.class, &mount.destination)) {
            all.push((parts(&mount.destination), 1, Placed::Node(index)));
        }
    }
    for Theirs { destination, mount, class, source, need } in theirs {
        // podman makes up accounts for an image that has none; a node's own come first.
        let accounts = class == Class::Own && matches!(destination.as_str(), "/etc/passwd" | "/etc/group");
        if accounts && has_accounts(plan, &destination) {
            continue;
        }
        let rank = if matches!(class, Class::Kernel | Class::Fresh) { 0 } else { 2 };
        all.push((parts(&destination), rank, Placed::Engine { mount, need, source }));
    }
    all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    all.into_iter().map(|(_, _, placed)| placed).collect()
}

/// Whether a plan has accounts at a place: a mount there, or what it exports around it.
fn has_accounts(plan: &Plan, destination: &str) -> bool {
    let mounts = plan.layout.mounts.iter();
    let around =
        mounts.filter(|held| held.destination == destination || below(destination, &held.destination));
    around
        .max_by_key(|held| held.destination.len())
        .is_some_and(|held| held.destination == destination || matches!(held.kind, MountKind::Bind { .. }))
}

/// Makes a file system that sets up the whole machine, or the limits of containers, one to look at.
fn watch_only(mount: &mut Mount, source: Option<&BindSource>) {
    match source {
        // Below the host's /sys are its cgroups.
        Some(found) if matches!(found.kernel, Some(KernelFs::Sysfs | KernelFs::Cgroup)) => freeze(mount),
        None if matches!(mount.typ().as_deref(), Some("sysfs" | "cgroup" | "cgroup2")) => {
            let mut options = mount.options().clone().unwrap_or_default();
            options.push("ro".to_owned());
            mount.set_options(Some(options));
        }
        _ => {}
    }
}

/// Whether a mount of the plan makes room for the engine's at the same place.
fn yields(kind: &MountKind, class: Class, destination: &str) -> bool {
    match class {
        // The file systems of the kernel's making come from the engine; what is exported stays.
        Class::Kernel | Class::Fresh => !matches!(kind, MountKind::Bind { .. } | MountKind::File(_)),
        Class::Own => !matches!(destination, "/etc/passwd" | "/etc/group"),
        // A directory of this launch alone has nothing of a node's.
        Class::Volume => matches!(kind, MountKind::Tmpfs | MountKind::Anonymous),
    }
}

/// The rules for what a node does not bring.
struct Judge<'a> {
    plan: &'a Plan,
    family: &'a Family,
}

impl Judge<'_> {
    /// The class of a mount, or why no node has such a one.
    fn class(
        &self,
        mount: &Mount,
        said: &str,
        destination: &str,
        source: Option<&BindSource>,
    ) -> Result<Class, String> {
        let fstype = mount.typ().as_deref().unwrap_or("");
        if !is_bind(mount) {
            return match fstype {
                _ if KERNEL.contains(&(fstype, destination)) => Ok(Class::Kernel),
                "tmpfs" | "ramfs" | "devpts" | "mqueue" => Ok(Class::Fresh),
                "overlay" => Ok(Class::Volume),
                "proc" | "sysfs" | "cgroup" | "cgroup2" => {
                    Err(format!("a node has a file system of type {fstype} at its usual place only"))
                }
                other => Err(format!("a node has no file system of type `{other}`")),
            };
        }
        if let Some(kernel) = source.and_then(|found| found.kernel) {
            return self.hosts(mount, destination, kernel);
        }
        Ok(match source.and_then(|found| found.made).filter(|made| made.belongs(said)) {
            // Memory that containers share is a directory; it takes the place of the plan's.
            Some(EngineFile::Shm) => Class::Kernel,
            Some(_) => Class::Own,
            None => Class::Volume,
        })
    }

    /// The class of a bind of one of the host's own kernel file systems. None of them knows the
    /// container's namespaces.
    fn hosts(&self, mount: &Mount, destination: &str, kernel: KernelFs) -> Result<Class, String> {
        let place = match kernel {
            KernelFs::Sysfs => "/sys",
            KernelFs::Cgroup => "/sys/fs/cgroup",
            KernelFs::Mqueue => "/dev/mqueue",
            KernelFs::Proc => return Err("its source is on proc, which shows the host's processes".into()),
            KernelFs::DevPts => return Err("its source is on devpts, which has the host's terminals".into()),
            KernelFs::Shm => return self.hosts_shm(destination),
        };
        let ipc = || self.shares_ipc();
        if destination != place {
            return Err(format!("its source is one of the kernel's file systems, whose place is {place}"));
        }
        match kernel {
            KernelFs::Mqueue if !ipc() => Err(format!(
                "its source has the host's message queues, and the node has `{}: Disabled`",
                Namespace::Ipc.tag()
            )),
            KernelFs::Mqueue => Ok(Class::Kernel),
            // An engine without root may mount no sysfs of its own, and binds the host's, read-only.
            _ if is_read_only(mount) => Ok(Class::Kernel),
            _ => Err("its source is the host's, and it is not read-only".into()),
        }
    }

    fn shares_ipc(&self) -> bool {
        self.plan.merged.shares.get(Namespace::Ipc).value == Sharing::Host
    }

    /// The class of a bind of the host's shared memory, which is a part of its IPC.
    fn hosts_shm(&self, destination: &str) -> Result<Class, String> {
        match self.shares_ipc() {
            true if destination == "/dev/shm" => Ok(Class::Kernel),
            true => Ok(Class::Volume),
            false => Err(format!(
                "its source is the host's shared memory, and the node has `{}: Disabled`",
                Namespace::Ipc.tag()
            )),
        }
    }

    /// What the host mounts later comes into no node: nobody has judged it, and it would be writable below
    /// a read-only volume. What the engine brings by itself stays as it is.
    fn propagation(&self, mount: &mut Mount, class: Class, report: &mut Report) {
        const FOLLOWS: [&str; 4] = ["shared", "rshared", "slave", "rslave"];
        let mut options = mount.options().clone().unwrap_or_default();
        let Some(word) = options.iter().find(|word| FOLLOWS.contains(&word.as_str())) else { return };
        if matches!(class, Class::Volume | Class::Fresh) {
            let entry = entry(mount, &mount.destination().to_string_lossy());
            let message = format!("{entry} would follow what the host mounts later (`{word}`)");
            report.push(refused(message).help("mount it `rprivate`"));
            return;
        }
        options.extend(["private".to_owned(), "rprivate".to_owned()]);
        mount.set_options(Some(options));
    }

    /// A new file system may take the place of another new one, and stand beside exports, above them
    /// (they are mounted later), or in one that is writable.
    fn fresh(&self, mount: &Mount, destination: &str, report: &mut Report) {
        let entry = entry(mount, destination);
        if destination == "/" {
            report.push(refused(format!("{entry} would cover everything")));
            return;
        }
        let at = self.plan.layout.mounts.iter().find(|held| held.destination == destination);
        let replaced = |kind: &MountKind| {
            matches!(kind, MountKind::Tmpfs | MountKind::Anonymous | MountKind::Dev | MountKind::DevShm)
        };
        match at {
            Some(held) if replaced(&held.kind) => {}
            Some(held) => self.covers(&entry, held.export, report),
            None => self.inside(&entry, destination, report),
        }
    }

    /// Whether the plan mounts the very file or directory of a volume at its place, with the same right to write.
    /// Engines bring the host's `/etc/resolv.conf` and `/etc/hosts`, which nodes export too.
    fn has_already(&self, mount: &Mount, destination: &str, source: Option<&BindSource>) -> bool {
        let held = self.plan.layout.mounts.iter().rfind(|held| held.destination == destination);
        let (Some(source), Some(held)) = (source, held) else { return false };
        let MountKind::Bind { source: own, writable, .. } = &held.kind else { return false };
        let is_same = |own: rustix::fs::Stat| (own.st_dev, own.st_ino) == source.opened.id();
        *writable != is_read_only(mount) && rustix::fs::lstat(own.as_str()).is_ok_and(is_same)
    }

    /// A user's volume may stand beside what the node exports, in something it may write to, or in place of a
    /// directory of this launch that has nothing of a node's in it. It may not take the place of what was proven.
    fn volume(&self, mount: &Mount, destination: &str, report: &mut Report) {
        let entry = entry(mount, destination);
        if destination == "/" {
            report.push(refused(format!("{entry} would cover everything")));
            return;
        }
        let covered = |export: &Export| {
            let at = self.plan.layout.resolve_parent(&export.mount.actual);
            let of_launch = matches!(export.mode, ExportMode::Anonymous | ExportMode::Tmpfs);
            (at == destination && !of_launch) || below(&at, destination)
        };
        let exports = &self.plan.merged.exports;
        match exports.iter().position(covered) {
            Some(export) => self.covers(&entry, export, report),
            None if self.kept_part(&entry, destination, report) => {}
            // A directory of this launch that it takes the place of has a place to stand on.
            None if self.takes_the_place(destination) => {}
            None => self.inside(&entry, destination, report),
        }
    }

    fn takes_the_place(&self, destination: &str) -> bool {
        let mut at = self.plan.layout.mounts.iter().filter(|held| held.destination == destination);
        at.any(|held| matches!(held.kind, MountKind::Tmpfs | MountKind::Anonymous))
    }

    /// Refuses what would take the place of a part that the node mounts read-only over its own writable
    /// export, or of a directory on the way to it. Says whether it does.
    fn kept_part(&self, entry: &str, destination: &str, report: &mut Report) -> bool {
        let read_only = |held: &&Mounted| matches!(held.kind, MountKind::Bind { writable: false, .. });
        let covered =
            |held: &&Mounted| held.destination == destination || below(&held.destination, destination);
        let Some(part) = self.plan.layout.mounts.iter().filter(read_only).find(covered) else { return false };
        let Some(export) = self.plan.merged.exports.get(part.export) else { return false };
        let node = self.owner(export);
        let message = format!("{entry} would cover {}, which {node} has read-only", part.destination);
        report.push(refused(message).at(export.origin.at).help("mount it elsewhere"));
        true
    }

    fn covers(&self, entry: &str, export: usize, report: &mut Report) {
        let Some(export) = self.plan.merged.exports.get(export) else { return };
        let node = self.owner(export);
        let message = format!("{entry} would cover {}, which {node} exports", export.mount.actual);
        report.push(refused(message).at(export.origin.at).help("mount it elsewhere"));
    }

    /// Refuses what would change a part of something read-only, or of the kernel's.
    fn inside(&self, entry: &str, destination: &str, report: &mut Report) {
        let held = self.plan.layout.mounts.iter().filter(|held| below(destination, &held.destination));
        let Some(outer) = held.max_by_key(|held| held.destination.len()) else { return };
        let Some(export) = self.plan.merged.exports.get(outer.export) else { return };
        let how = match outer.kind {
            MountKind::Bind { writable: false, .. } | MountKind::File(_) => "exports read-only",
            MountKind::Proc | MountKind::HostProc if PROC_FILES.contains(&destination) => return,
            MountKind::Proc | MountKind::HostProc | MountKind::Mqueue | MountKind::DevPts => {
                "has from the kernel"
            }
            _ => return,
        };
        let node = self.owner(export);
        let message = format!("{entry} would cover a part of {}, which {node} {how}", outer.destination);
        report.push(refused(message).at(export.origin.at).help("mount it elsewhere"));
    }

    fn owner(&self, export: &Export) -> String {
        owner(self.family, export)
    }
}

/// The node that has an export, in messages.
pub(super) fn owner(family: &Family, export: &Export) -> String {
    let layers = family.layers();
    let layer = layers.iter().find(|layer| layer.id == export.origin.layer);
    layer.map_or_else(|| "a node".to_owned(), Layer::name)
}

/// How a mount is called in messages.
pub(super) fn entry(mount: &Mount, destination: &str) -> String {
    let fstype = mount.typ().as_deref().unwrap_or("");
    match mount.source().as_deref().filter(|_| is_bind(mount)) {
        Some(source) => format!("the engine's volume {} at {destination}", source.display()),
        None => format!("the engine's {fstype} at {destination}"),
    }
}
