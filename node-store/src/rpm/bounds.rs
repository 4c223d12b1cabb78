//! How much of the machine scriptlets may take, as the process outside sees to it: processes, memory, room on
//! the node's file system. The kernel counts where it does that for the caller (control groups, as root), and
//! this process looks at all of it now and then in any case.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde::{Deserialize, Serialize};

use super::watchdog::PROCESSES;
use crate::plan::bytes;

const MIB: u64 = 1 << 20;
/// What a file system loses meanwhile without anybody being at fault: logs, its own records.
const NOISE: u64 = 16 * MIB;
/// At most this much of a file system is kept free by default.
const RESERVE: u64 = 512 * MIB;
/// Names of the control groups that are made.
const NAME: &str = "red-scriptlets-";

/// Limits of one transaction.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Limits {
    /// Seconds that one scriptlet may take; 0 for ever.
    pub(crate) seconds: u64,
    /// MiB of memory for all of it, 0 without limit; half of the machine's when absent.
    pub(crate) memory: Option<u64>,
    /// MiB of the node's file system that stay free, 0 for none; a twentieth of it when absent.
    pub(crate) reserve: Option<u64>,
    /// Bytes that packages unpack to, which are nobody's excess.
    pub(crate) packages: u64,
}

impl Limits {
    /// Bytes of memory, if there is a limit.
    fn memory(&self) -> Option<u64> {
        let machine = || {
            let facts = rustix::system::sysinfo();
            #[allow(clippy::useless_conversion, reason = "a machine with 32 bits has another type")]
            let units = u64::from(facts.totalram);
            units.saturating_mul(u64::from(facts.mem_unit)) / 2
        };
        let limit = self.memory.map_or_else(machine, |mib| mib.saturating_mul(MIB));
        (limit > 0).then_some(limit)
    }
}

/// What the view takes just now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowd {
    pub(super) processes: usize,
    /// Bytes in memory that are not those of files.
    memory: u64,
}

impl Crowd {
    /// As the view's own /proc shows it. Before the view is its root, that path is the host's own /proc, which
    /// counts for nothing.
    pub(super) fn of(child: &Child) -> Self {
        Self::count(child, |process| {
            resident(&fs::read_to_string(process.join("status")).unwrap_or_default())
        })
    }

    fn count(child: &Child, memory: impl Fn(&Path) -> u64) -> Self {
        let path = format!("/proc/{}/root/proc", child.id());
        let device = |path: &str| fs::metadata(path).map(|facts| facts.dev()).ok();
        if device(&path) == device("/proc") {
            return Self::default();
        }
        let mut crowd = Self::default();
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                crowd.processes += 1;
                crowd.memory = crowd.memory.saturating_add(memory(&entry.path()));
            }
        }
        crowd
    }
}

/// Bytes of a process, where what several share counts once. That takes the kernel longer, and older ones do not
/// tell.
fn share(process: &Path) -> u64 {
    let of = |name: &str| fs::read_to_string(process.join(name)).unwrap_or_default();
    proportional(&of("smaps_rollup")).unwrap_or_else(|| resident(&of("status")))
}

/// The same in its text (proc_pid_smaps(5)).
fn proportional(rollup: &str) -> Option<u64> {
    let of = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    of("Pss_Anon:")?.checked_add(of("Pss_Shmem:")?)?.checked_mul(1024)
}

/// Bytes of memory in a process's status (proc_pid_status(5)).
fn resident(status: &str) -> u64 {
    let of = |line: &str| {
        line.strip_prefix("RssAnon:")
            .or(line.strip_prefix("RssShmem:"))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    status.lines().filter_map(of).fold(0_u64, |sum, kib: u64| sum.saturating_add(kib.saturating_mul(1024)))
}

/// Watches over a transaction.
pub(super) struct Bounds {
    limits: Limits,
    /// The staging area, and what its file system had free in the beginning.
    upper: OwnedFd,
    free: u64,
    shown: PathBuf,
    groups: Groups,
}

impl Bounds {
    /// For a staging area.
    pub(super) fn new(limits: Limits, upper: OwnedFd, shown: &Path) -> Self {
        let groups = Groups::make(limits.memory());
        let free =
            rustix::fs::fstatvfs(&upper).map_or(0, |facts| facts.f_bavail.saturating_mul(facts.f_frsize));
        Self { limits, upper, free, shown: shown.to_path_buf(), groups }
    }

    /// Holds a process that has started nothing yet.
    pub(super) fn hold(&self, child: &Child) {
        self.groups.take_in(child.id());
        // When the machine itself runs out of memory, scriptlets go first (proc_pid_oom_score_adj(5)).
        fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000").unwrap_or(());
    }

    /// What the view takes. Processes that forked share pages, which counting each alone counts several times:
    /// beyond the limit it is looked at closer.
    pub(super) fn crowd(&self, child: &Child) -> Crowd {
        let crowd = Crowd::of(child);
        match self.limits.memory() {
            Some(limit) if crowd.memory > limit => Crowd::count(child, share),
            _ => crowd,
        }
    }

    /// Why all of it must be stopped, when it must. `who` runs just now.
    pub(super) fn exceeded(&self, crowd: Crowd, who: &str) -> Option<String> {
        let ends = |what: String, option: &str| {
            Some(format!(
                "{who}: {what}, killed; nothing has changed (--setopt={option}=MIB sets another limit, 0 none)"
            ))
        };
        if let Some(limit) = self.limits.memory()
            && (crowd.memory > limit || self.groups.ran_out())
        {
            return ends(format!("more than {} of memory", bytes(limit)), "scriptlet_memory");
        }
        let (reserve, left) = self.short()?;
        ends(
            format!(
                "only {} are left of the file system of {}, of which {} stay free",
                bytes(left),
                self.shown.display(),
                bytes(reserve)
            ),
            "scriptlet_reserve",
        )
    }

    /// What is to stay free and what there is, when that is less and packages alone are not the reason.
    fn short(&self) -> Option<(u64, u64)> {
        let facts = rustix::fs::fstatvfs(&self.upper).ok()?;
        let unit = facts.f_frsize;
        let (size, left) = (facts.f_blocks.saturating_mul(unit), facts.f_bavail.saturating_mul(unit));
        let reserve = self.limits.reserve.map_or(RESERVE.min(size / 20), |mib| mib.saturating_mul(MIB));
        let taken = self.free.saturating_sub(left);
        let excess = taken > self.limits.packages.saturating_add(NOISE);
        (left < reserve && excess).then_some((reserve, left))
    }
}

/// Control groups of a transaction, removed in the end. There are none where the caller may not make any: an
/// ordinary user, a container with a read-only `/sys/fs/cgroup`.
#[derive(Debug, Default)]
struct Groups {
    dirs: Vec<PathBuf>,
}

impl Groups {
    fn make(memory: Option<u64>) -> Self {
        let mut groups = Self::default();
        if !rustix::process::geteuid().is_root() {
            return groups;
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // The processes outside of the limit that ends the transaction with a message: no more than twice as many.
        let processes = (PROCESSES * 2).to_string();
        let memory = memory.map(|limit| limit.to_string());
        for dir in places(&own, &mounts) {
            clear(&dir);
            let group = dir.join(format!("{NAME}{}", std::process::id()));
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let set = |name: &str, value: &str| fs::write(group.join(name), value).is_ok();
            let mut held = set("pids.max", &processes);
            if let Some(memory) = &memory {
                held |= set("memory.max", memory) || set("memory.limit_in_bytes", memory);
                // All of them at once, so that nothing goes on without a part of it.
                set("memory.oom.group", "1");
            }
            groups.dirs.push(group);
            if !held {
                // It would only look as if something were held.
                drop(groups.dirs.pop().map(fs::remove_dir));
            }
        }
        groups
    }

    fn take_in(&self, pid: u32) {
        for dir in &self.dirs {
            // What is not held so is still counted from outside.
            fs::write(dir.join("cgroup.procs"), pid.to_string()).unwrap_or(());
        }
    }

    /// Whether the kernel ended a process because the limit was reached (cgroups(7), "memory.events").
    fn ran_out(&self) -> bool {
        let killed = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
        };
        self.dirs
            .iter()
            .any(|dir| killed(dir.join("memory.events")) || killed(dir.join("memory.oom_control")))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Processes that have ended are taken out of a group a moment later.
            for _ in 0..100 {
                if fs::remove_dir(dir).is_ok() || !dir.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

/// Removes groups of transactions that were killed; a group that holds anything cannot be removed.
fn clear(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(NAME).and_then(|pid| pid.parse::<u32>().ok());
        if process.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            drop(fs::remove_dir(entry.path()));
        }
    }
}

/// Directories that groups can be made in: of the hierarchies of pids and memory, or below cgroup2 where these
/// controllers are on for the children of a directory (cgroups(7)): the process's own, or the one above.
fn places(own: &str, mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let wanted =
            controllers.is_empty() || controllers.split(',').any(|name| matches!(name, "pids" | "memory"));
        let Some(dir) = wanted.then(|| mounted(controllers, path, mounts)).flatten() else { continue };
        if !controllers.is_empty() {
            found.push(dir);
            continue;
        }
        let on = |dir: &&Path| {
            let text = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
            text.split_whitespace().any(|name| matches!(name, "pids" | "memory"))
        };
        found.extend(dir.ancestors().take(2).find(on).map(Path::to_path_buf));
    }
    found
}

/// Where a path of a hierarchy is mounted.
fn mounted(controllers: &str, path: &str, mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let fields: Vec<&str> = place.split(' ').collect();
        let (root, point) = (fields.get(3)?, fields.get(4)?);
        let mut kind = kind.split(' ');
        let fits = match (kind.next()?, controllers) {
            ("cgroup2", "") => true,
            ("cgroup", "") => false,
            ("cgroup", names) => {
                let options = kind.nth(1)?;
                names.split(',').all(|name| options.split(',').any(|option| option == name))
            }
            _ => false,
        };
        let below = Path::new(path).strip_prefix(root).ok()?;
        fits.then(|| if below.as_os_str().is_empty() { point.into() } else { Path::new(point).join(below) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_where_controllers_are() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      31 1 0:27 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 1 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "9:name=systemd:/x\n8:pids:/a/b\n4:memory:/box/c\n1:cpu:/\n0::/none\n";
        let wanted = ["/sys/fs/cgroup/pids/a/b", "/sys/fs/cgroup/memory/c"].map(PathBuf::from);
        assert_eq!(places(own, mounts), wanted);
        assert_eq!(
            places("4:memory:/elsewhere\n", mounts),
            Vec::<PathBuf>::new(),
            "outside of what is mounted"
        );
    }

    #[test]
    fn memory_of_files_is_nobodys() {
        let status = "VmRSS:\t 9999 kB\nRssAnon:\t    10 kB\nRssFile:\t 7777 kB\nRssShmem:\t     2 kB\n";
        assert_eq!(resident(status), 12 << 10);
        assert_eq!(resident("State:\tZ (zombie)\n"), 0);
    }

    #[test]
    fn memory_that_is_shared_counts_once() {
        let rollup = "Rss: 900 kB\nPss: 400 kB\nPss_Anon:      20 kB\nPss_File: 9 kB\nPss_Shmem:  1 kB\n";
        assert_eq!(proportional(rollup), Some(21 << 10));
        assert_eq!(proportional("Rss: 900 kB\nPss: 400 kB\n"), None, "older kernels");
        let own = Path::new("/proc/self");
        let status = fs::read_to_string(own.join("status")).unwrap();
        let most = resident(&status).saturating_add(16 * MIB);
        assert!(share(own) > 0 && share(own) <= most, "{}", share(own));
    }

    #[test]
    fn a_limit_of_memory_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            || rustix::fs::open(dir.path(), crate::generation::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let limits = Limits { memory: Some(10), ..Limits::default() };
        let bounds = Bounds::new(limits, open(), Path::new("/node"));
        let crowd = |memory| Crowd { processes: 1, memory };
        assert_eq!(bounds.exceeded(crowd(10 * MIB), "%post(a)"), None);
        let why = bounds.exceeded(crowd(10 * MIB + 1), "%post(a)").unwrap();
        assert!(
            why.starts_with("%post(a): more than 10.0 MiB of memory, killed; nothing has changed"),
            "{why}"
        );
        let none = Bounds::new(Limits { memory: Some(0), ..Limits::default() }, open(), Path::new("/node"));
        assert_eq!(none.exceeded(crowd(u64::MAX), "%post(a)"), None);
        let made = bounds.groups.dirs.clone();
        drop((bounds, none));
        assert!(made.iter().all(|dir| !dir.exists()), "{made:?}");
    }

    #[test]
    fn room_is_kept_only_from_whoever_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let upper =
            rustix::fs::open(dir.path(), crate::generation::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let limits = Limits { reserve: Some(u64::MAX / MIB), ..Limits::default() };
        let mut bounds = Bounds::new(limits, upper, Path::new("/node"));
        bounds.free = 0;
        assert_eq!(bounds.short(), None, "it was as full before");
        bounds.free = u64::MAX;
        assert!(
            bounds.exceeded(Crowd::default(), "rpm").is_some_and(|why| why.contains("scriptlet_reserve"))
        );
        bounds.limits.packages = u64::MAX;
        assert_eq!(bounds.short(), None, "packages take what they have");
    }
}
