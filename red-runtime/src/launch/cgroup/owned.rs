//! Which cgroups are a container's own. What a record names is frozen, killed and removed, so it is looked at
//! when it is read: a record that was damaged, or came from elsewhere, must not make that anybody else's.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, lstat};
use rustix::io::Errno;

use super::{Cgroups, Layout, MOUNT};

impl Cgroups {
    /// Remembers the inodes of the container's own cgroups, as they are now. A kernfs inode is not used
    /// again while the machine runs (`kernfs_id_ino` in include/linux/kernfs.h), so another cgroup
    /// that comes to have the same path is told apart.
    pub(crate) fn identify(&mut self) {
        self.inodes =
            self.leaves().into_iter().filter_map(|leaf| inode(&leaf).map(|inode| (leaf, inode))).collect();
    }

    /// Why these are not the cgroups of a container, if they are not: they would be everybody's, lie
    /// elsewhere, or were made by somebody else since.
    pub(crate) fn doubt(&self) -> Option<String> {
        let parts = plain(Path::new(&self.path)).unwrap_or_default();
        if parts.is_empty() {
            return Some(format!("cgroup `{}` is the cgroup of everything, or no path", self.path));
        }
        let leads = |path: &Path| below(self.layout, path).is_some_and(|below| parts.starts_with(&below));
        if let Some(other) = self.made.iter().find(|made| !leads(made)) {
            return Some(format!("{} is not on the way to cgroup {}", other.display(), self.path));
        }
        if let Some(systemd) = &self.systemd {
            // It is stopped by its name, and where there is no systemd taken for a path.
            let scope = unit(systemd);
            let there = |unit: &String| self.inodes.is_empty() || parts.contains(unit);
            if !scope.as_ref().is_some_and(there) {
                return Some(format!("`{systemd}` is not the unit of cgroup {}", self.path));
            }
        }
        for (leaf, known) in &self.inodes {
            if below(self.layout, leaf).as_ref() != Some(&parts) {
                return Some(format!("{} is not cgroup {}", leaf.display(), self.path));
            }
            if inode(leaf).is_some_and(|now| now != *known) {
                return Some(format!("{} is another cgroup than the one that was made", leaf.display()));
            }
        }
        None
    }

    /// Whether a process is in these cgroups, or below them.
    pub(crate) fn holds(&self, pid: i32) -> bool {
        let below = format!("{}/", self.path.trim_end_matches('/'));
        super::of_process(&pid.to_string()).is_ok_and(|text| {
            text.lines()
                .filter_map(|line| line.splitn(3, ':').nth(2))
                .any(|path| path == self.path || path.starts_with(&below))
        })
    }
}

/// The unit that systemd makes of `slice:prefix:name`.
fn unit(systemd: &str) -> Option<String> {
    let parts: Vec<&str> = systemd.split(':').collect();
    let [_, prefix, name] = parts.as_slice() else { return None };
    let fits = !name.is_empty() && !systemd.contains('/') && !systemd.contains(char::is_control);
    fits.then(|| match (name.ends_with(".slice"), prefix.is_empty()) {
        (true, _) => (*name).to_owned(),
        (false, true) => format!("{name}.scope"),
        (false, false) => format!("{prefix}-{name}.scope"),
    })
}

/// Names on the way to a cgroup. `None` for what is no plain absolute path.
fn plain(path: &Path) -> Option<Vec<String>> {
    let mut parts = path.components();
    (parts.next() == Some(Component::RootDir)).then_some(())?;
    parts
        .map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

/// Names below the hierarchy that a directory is in; `None` outside, and for the hierarchy itself.
fn below(layout: Layout, directory: &Path) -> Option<Vec<String>> {
    let mut parts = plain(&Path::new("/").join(directory.strip_prefix(MOUNT).ok()?))?;
    if layout == Layout::V1 && !parts.is_empty() {
        parts.remove(0);
    }
    (!parts.is_empty()).then_some(parts)
}

/// The inode of a cgroup; `None` when it is not there. What cannot be looked at is none that was made.
fn inode(directory: &Path) -> Option<u64> {
    match lstat(directory) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Some(stat.st_ino),
        Err(Errno::NOENT | Errno::NOTDIR) => None,
        Ok(_) | Err(_) => Some(0),
    }
}

/// Cgroups as a record of an earlier version, or one that was written before they were made, has them.
pub(crate) fn unidentified(layout: Layout, path: String, made: Vec<PathBuf>) -> Cgroups {
    Cgroups { layout, path, made, systemd: None, inodes: BTreeMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(layout: Layout, path: &str, made: &[&str]) -> Option<String> {
        unidentified(layout, path.into(), made.iter().map(Into::into).collect()).doubt()
    }

    #[test]
    fn what_is_not_on_the_way_is_doubted() {
        let v1 = ["/sys/fs/cgroup/pids/red", "/sys/fs/cgroup/cpu,cpuacct/red/c"];
        assert_eq!(doubt(Layout::V1, "/red/c", &v1), None);
        assert_eq!(doubt(Layout::V2, "/red/c", &["/sys/fs/cgroup/red", "/sys/fs/cgroup/red/c"]), None);
        assert_eq!(doubt(Layout::V2, "/red/c", &[]), None);
        for (path, made) in [
            ("/", "/sys/fs/cgroup/pids"),
            ("/", "/sys/fs/cgroup/pids/inno"),
            ("//", "/sys/fs/cgroup/pids/inno"),
            ("/red/c", "/sys/fs/cgroup/pids"),
            ("/red/c", "/sys/fs/cgroup"),
            ("/red/c", "/sys/fs/cgroup/pids/inno"),
            ("/red/c", "/sys/fs/cgroup/pids/red/c/below"),
            ("/red/c", "/sys/fs/cgroup/pids/red/../inno"),
            ("/red/c", "/etc"),
            ("/red/c", "sys/fs/cgroup/pids/red"),
            ("/red/../../c", "/sys/fs/cgroup/pids/red"),
            ("red/c", "/sys/fs/cgroup/pids/red"),
            ("", "/sys/fs/cgroup/pids/red"),
        ] {
            assert!(doubt(Layout::V1, path, &[made]).is_some(), "{path} {made}");
        }
        assert!(doubt(Layout::V2, "/red/c", &["/sys/fs/cgroup/pids/red"]).is_some());
    }

    #[test]
    fn a_unit_is_that_of_the_cgroup() {
        let of = |systemd: &str, made: bool| {
            let mut cgroups = unidentified(Layout::V2, "/machine.slice/libpod-abc.scope".into(), Vec::new());
            cgroups.systemd = Some(systemd.to_owned());
            if made {
                cgroups.inodes.insert("/sys/fs/cgroup/machine.slice/libpod-abc.scope".into(), 7);
            }
            cgroups.doubt()
        };
        assert_eq!(of("machine.slice:libpod:abc", true), None);
        assert_eq!(of("machine.slice:libpod:abc", false), None);
        for other in [
            "machine.slice:libpod:other",
            "system.slice::ssh",
            "/redtest",
            "",
            "a:b",
            "a:b:",
            "a:b:../x",
            "a:/b:c",
        ] {
            assert!(of(other, true).is_some(), "{other}");
        }
        assert!(of("/redtest", false).is_some());
    }

    #[test]
    fn another_inode_is_doubted() {
        let root = Path::new(MOUNT);
        let Some(leaf) = std::fs::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .map(|one| one.path())
            .find(|path| inode(path).is_some_and(|inode| inode > 0))
        else {
            return;
        };
        let name = leaf.strip_prefix(root).unwrap();
        let mut cgroups = unidentified(Layout::V2, format!("/{}", name.display()), Vec::new());
        cgroups.inodes.insert(leaf.clone(), inode(&leaf).unwrap());
        assert_eq!(cgroups.doubt(), None);
        cgroups.inodes.insert(leaf, 1 << 60);
        assert!(cgroups.doubt().is_some_and(|why| why.contains("another cgroup")));
    }
}
