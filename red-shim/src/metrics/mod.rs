//! Cgroup metrics of a container, in containerd's protobuf messages.

mod legacy;
mod unified;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::well_known_types::any::Any;

use crate::error::{Context, Error, encode};

/// Cgroup directories of a container, as they were when it was created: its processes may move to others.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Cgroup {
    /// cgroup v2 directory.
    Unified(PathBuf),
    /// cgroup v1 directories by controller.
    Legacy(HashMap<String, PathBuf>),
}

impl Cgroup {
    /// Cgroups of a process.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the cgroup is not mounted.
    pub(crate) fn of_process(pid: u32) -> Result<Self, Error> {
        let path = format!("/proc/{pid}/cgroup");
        let memberships = std::fs::read_to_string(&path).path_context("cannot read", Path::new(&path))?;
        let mounts = "/proc/self/mountinfo";
        let mounts = std::fs::read_to_string(mounts).path_context("cannot read", Path::new(mounts))?;
        Self::find(&memberships, &mounts)
            .ok_or_else(|| Error::FailedPrecondition(format!("cgroup of process {pid} not found")))
    }

    fn exists(&self) -> bool {
        match self {
            Self::Unified(dir) => dir.is_dir(),
            Self::Legacy(controllers) => controllers.values().any(|dir| dir.is_dir()),
        }
    }

    /// Parses `/proc/PID/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    fn find(memberships: &str, mounts: &str) -> Option<Self> {
        let mut unified = None;
        let mut controllers = HashMap::new();
        for line in memberships.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            if names.is_empty() {
                unified = find_mount(mounts, "cgroup2", "").and_then(|mount| mount.directory(path));
            }
            for name in names.split(',').filter(|name| !name.is_empty()) {
                if let Some(dir) = find_mount(mounts, "cgroup", name).and_then(|mount| mount.directory(path))
                {
                    controllers.insert(name.to_owned(), dir);
                }
            }
        }
        // In hybrid mode the v2 hierarchy has no controllers.
        if controllers.keys().any(|name| !name.starts_with("name=")) {
            Some(Self::Legacy(controllers))
        } else {
            unified.map(Self::Unified)
        }
    }
}

/// A mount of a cgroup hierarchy.
struct CgroupMount<'a> {
    root: &'a str,
    point: &'a str,
}

impl CgroupMount<'_> {
    fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(self.root)? };
        Some(Path::new(self.point).join(below.trim_start_matches('/')))
    }
}

fn find_mount<'a>(mounts: &'a str, fs_type: &str, controller: &str) -> Option<CgroupMount<'a>> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let options = (system.next()? == fs_type).then(|| system.nth(1))??;
        if !controller.is_empty() && !options.split(',').any(|option| option == controller) {
            return None;
        }
        let mut mount = mount.split(' ').skip(3);
        Some(CgroupMount { root: mount.next()?, point: mount.next()? })
    })
}

/// Metrics of a cgroup.
///
/// # Errors
/// The cgroup does not exist any more.
pub(crate) fn collect(cgroup: &Cgroup) -> Result<Any, Error> {
    if !cgroup.exists() {
        return Err(Error::FailedPrecondition("the container's cgroup does not exist any more".into()));
    }
    let (type_url, value) = match cgroup {
        Cgroup::Unified(dir) => {
            ("io.containerd.cgroups.v2.Metrics", encode(&unified::metrics(dir), "metrics")?)
        }
        Cgroup::Legacy(all) => {
            ("io.containerd.cgroups.v1.Metrics", encode(&legacy::metrics(all), "metrics")?)
        }
    };
    Ok(Any { type_url: type_url.into(), value, ..Any::default() })
}

/// A flat-keyed file: lines of a name and a counter.
#[derive(Debug, Default)]
struct Counters(HashMap<String, u64>);

impl Counters {
    fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// Value of a single-value file; 0 if it is missing, `u64::MAX` for `max`.
fn read_u64(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match text.trim() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 23 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                          31 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                          32 23 0:27 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn hybrid_mode_uses_v1_controllers() {
        let found =
            Cgroup::find("4:memory:/docker/x/a\n3:cpu,cpuacct:/a\n0::/a\n", HYBRID).expect("v1 controllers");
        let Cgroup::Legacy(all) = found else { panic!("{found:?}") };
        assert_eq!(all["memory"], Path::new("/sys/fs/cgroup/memory/a"));
        assert_eq!(all["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct/a"));
    }

    #[test]
    fn unified_mode_uses_v2() {
        let mounts = "30 23 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Cgroup::find("0::/a/b\n", mounts), Some(Cgroup::Unified("/sys/fs/cgroup/a/b".into())));
        assert_eq!(Cgroup::find("0::/a/b\n", ""), None);
    }

    #[test]
    fn flat_keyed_counters_are_parsed() {
        let counters = Counters::parse("usage_usec 12\nuser_usec 7\nodd\n");
        assert_eq!((counters.get("usage_usec"), counters.get("odd")), (12, 0));
    }
}
