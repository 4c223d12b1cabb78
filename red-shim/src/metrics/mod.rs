//! What the cgroups of a container have counted, in the messages that containerd decodes.

mod legacy;
mod unified;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;

use crate::error::{Doing, Error};

/// Where the cgroups of a process are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Cgroup {
    /// Version 2.
    Unified(PathBuf),
    /// Version 1, with a directory for each controller.
    Legacy(HashMap<String, PathBuf>),
}

impl Cgroup {
    /// Of a process.
    ///
    /// # Errors
    /// It has ended, or has none that can be seen.
    pub(crate) fn of(pid: u32) -> Result<Self, Error> {
        let path = format!("/proc/{pid}/cgroup");
        let memberships = std::fs::read_to_string(&path).at("cannot read", Path::new(&path))?;
        let mounts = "/proc/self/mountinfo";
        let mounts = std::fs::read_to_string(mounts).at("cannot read", Path::new(mounts))?;
        Self::find(&memberships, &mounts).ok_or_else(|| Error::State(format!("process {pid} has no cgroup")))
    }

    /// From the lines of `/proc/PID/cgroup` (cgroups(7)) and `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    fn find(memberships: &str, mounts: &str) -> Option<Self> {
        let mut unified = None;
        let mut controllers = HashMap::new();
        for line in memberships.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            if names.is_empty() {
                unified = mounted(mounts, "cgroup2", "").and_then(|mount| mount.below(path));
            }
            for name in names.split(',').filter(|name| !name.is_empty()) {
                if let Some(dir) = mounted(mounts, "cgroup", name).and_then(|mount| mount.below(path)) {
                    controllers.insert(name.to_owned(), dir);
                }
            }
        }
        // Beside controllers of version 1 the other hierarchy has none.
        if controllers.keys().any(|name| !name.starts_with("name=")) {
            Some(Self::Legacy(controllers))
        } else {
            unified.map(Self::Unified)
        }
    }
}

struct Mounted<'a> {
    root: &'a str,
    point: &'a str,
}

impl Mounted<'_> {
    fn below(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(self.root)? };
        Some(Path::new(self.point).join(below.trim_start_matches('/')))
    }
}

fn mounted<'a>(mounts: &'a str, kind: &str, controller: &str) -> Option<Mounted<'a>> {
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let options = (system.next()? == kind).then(|| system.nth(1))??;
        if !controller.is_empty() && !options.split(',').any(|option| option == controller) {
            return None;
        }
        let mut mount = mount.split(' ').skip(3);
        Some(Mounted { root: mount.next()?, point: mount.next()? })
    })
}

/// The counters of a container, by its first process.
///
/// # Errors
/// It has ended.
pub(crate) fn of(pid: u32) -> Result<Any, Error> {
    let (kind, value) = match Cgroup::of(pid)? {
        Cgroup::Unified(dir) => ("io.containerd.cgroups.v2.Metrics", unified::metrics(&dir).write_to_bytes()),
        Cgroup::Legacy(all) => ("io.containerd.cgroups.v1.Metrics", legacy::metrics(&all).write_to_bytes()),
    };
    let value = value.map_err(|source| Error::Message { what: "counters", source })?;
    Ok(Any { type_url: kind.into(), value, ..Any::default() })
}

/// A file of counters with a name each.
#[derive(Debug, Default)]
struct Counters(HashMap<String, u64>);

impl Counters {
    fn read(path: &Path) -> Self {
        Self::of(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn of(text: &str) -> Self {
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

/// A file with one number; 0 without it, the largest where there is no limit.
fn number(path: &Path) -> u64 {
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
    fn controllers_of_version_1_count_where_there_are_some() {
        let found =
            Cgroup::find("4:memory:/docker/x/a\n3:cpu,cpuacct:/a\n0::/a\n", HYBRID).expect("there are");
        let Cgroup::Legacy(all) = found else { panic!("{found:?}") };
        assert_eq!(all["memory"], Path::new("/sys/fs/cgroup/memory/a"));
        assert_eq!(all["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct/a"));
    }

    #[test]
    fn version_2_alone() {
        let mounts = "30 23 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Cgroup::find("0::/a/b\n", mounts), Some(Cgroup::Unified("/sys/fs/cgroup/a/b".into())));
        assert_eq!(Cgroup::find("0::/a/b\n", ""), None);
    }

    #[test]
    fn counters() {
        let counters = Counters::of("usage_usec 12\nuser_usec 7\nodd\n");
        assert_eq!((counters.get("usage_usec"), counters.get("odd")), (12, 0));
    }
}
