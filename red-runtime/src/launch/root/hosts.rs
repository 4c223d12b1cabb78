//! A root that is entered without pivot_root(2): the host's mounts stay in the namespace.

use std::fs::File;
use std::io::{Read, Seek};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::assemble::{Assembled, attach_at};
use super::fresh::fresh;
use super::place::{host, mount_id};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::sys::mount_attr::flag;

impl Assembled {
    /// Takes the host's proc and sysfs out of the mount namespace. A user namespace below may mount a new,
    /// bare one where it finds a whole one (`mount_too_revealing` in fs/namespace.c), and with it everything
    /// that is masked in the container's own. It finds those too that something else is mounted over.
    ///
    /// # Errors
    /// They cannot be found, or neither be unmounted nor covered.
    pub(crate) fn hide_hosts(&self) -> Result<(), LaunchError> {
        let own = mount_id(self.root()).doing(WHAT)?;
        // Open for a second look, when there is no proc any more.
        let mut table = File::open("/proc/self/mountinfo").doing(WHAT)?;
        let all = hosts(&read(&mut table)?, own);
        let mut hidden = Vec::new();
        for mount in all.iter().rev().filter(|mount| mount.kernels) {
            if mount.is_on_top()? { mount.hide()? } else { hidden.push(mount) }
        }
        if hidden.is_empty() {
            return Ok(());
        }
        // What covers a mount comes after it. The command needs nothing of the host's any more.
        for mount in all.iter().rev().filter(|mount| mount.path != "/") {
            if hidden.iter().any(|one| one.id == mount.id) && mount.is_on_top()? {
                mount.hide()?;
            } else if !mount.kernels && mount.is_on_top()? {
                tried(unmount(mount.path.as_str(), UnmountFlags::DETACH));
            }
        }
        // Those that were covered just now can be found, and show nothing.
        let left = hosts(&read(&mut table)?, own);
        let still = |mount: &&&Host| left.iter().any(|one| one.id == mount.id && !is_covered(one, &left));
        match hidden.iter().find(still) {
            None => Ok(()),
            Some(mount) => Err(LaunchError::refused(
                WHAT(),
                format!(
                    "{} is hidden below another mount, and cannot be taken away; unmount that on the host, or leave out --no-pivot",
                    mount.path
                ),
            )),
        }
    }
}

const WHAT: fn() -> &'static str = || "the host's proc and sysfs (--no-pivot)";

/// A mount of the host.
#[derive(Debug, Eq, PartialEq)]
struct Host {
    id: u64,
    parent: u64,
    path: String,
    /// It is a proc or sysfs.
    kernels: bool,
}

impl Host {
    /// Whether its path leads to it, and not to something that is mounted over it.
    fn is_on_top(&self) -> Result<bool, LaunchError> {
        match host(&self.path) {
            Ok(found) => Ok(mount_id(&found).doing(WHAT)? == self.id),
            Err(_) => Ok(false),
        }
    }

    fn hide(&self) -> Result<(), LaunchError> {
        match unmount(self.path.as_str(), UnmountFlags::DETACH) {
            Ok(()) => Ok(()),
            // Mounts of another user namespace's can only be covered.
            Err(Errno::INVAL | Errno::PERM) => {
                let cover = fresh("tmpfs", "tmpfs", &["size=0k".to_owned()], flag::RDONLY)?;
                attach_at(&cover, host(&self.path)?).doing(WHAT)
            }
            Err(errno) => Err(errno).doing(WHAT),
        }
    }
}

fn read(table: &mut File) -> Result<String, LaunchError> {
    let mut text = String::new();
    table.rewind().and_then(|()| table.read_to_string(&mut text)).doing(WHAT)?;
    Ok(text)
}

/// Whether something is mounted over the whole of a mount.
fn is_covered(mount: &Host, all: &[Host]) -> bool {
    all.iter().any(|over| over.parent == mount.id && over.path == mount.path)
}

/// The mounts that do not stand in the root, from `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
fn hosts(text: &str, root: u64) -> Vec<Host> {
    let mut ours = vec![root];
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (Some(id), Some(parent)) = (number(), number()) else { continue };
        // A mount comes after the one that it is mounted on.
        if id == root || ours.contains(&parent) {
            ours.push(id);
            continue;
        }
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        if let (Some(kind), Some(path)) = (kind, line.split(' ').nth(4)) {
            found.push(Host { id, parent, path: plain(path), kernels: matches!(kind, "proc" | "sysfs") });
        }
    }
    found
}

/// A path without the octal escapes of spaces and the like.
fn plain(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::hosts;

    #[test]
    fn what_stands_in_the_root_is_the_containers() {
        let text = "20 1 0:1 / / rw - overlay overlay rw
21 20 0:2 / /proc rw - proc proc rw
22 20 0:3 / /sys\\040x rw shared:1 - sysfs sysfs rw
40 20 0:9 / / rw - tmpfs red-root rw
41 40 0:2 / /proc rw - proc proc rw
42 41 0:2 /sys /proc/sys ro - proc proc rw
";
        let found: Vec<_> = hosts(text, 40).into_iter().map(|mount| (mount.path, mount.kernels)).collect();
        let wanted = [("/", false), ("/proc", true), ("/sys x", true)];
        assert_eq!(found, wanted.map(|(path, kernels)| (path.to_owned(), kernels)));
    }
}
