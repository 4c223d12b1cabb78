//! A root that is entered without pivot_root(2): the host's mounts stay in the namespace.

use std::fs;

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::assemble::{Assembled, attach_at};
use super::fresh::fresh;
use super::place::host;
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::flag;

impl Assembled {
    /// Takes the host's proc and sysfs out of the mount namespace. A user namespace below may mount a new,
    /// bare one where it finds a whole one (`mount_too_revealing` in fs/namespace.c), and with it everything
    /// that is masked in the container's own.
    ///
    /// # Errors
    /// They cannot be found, or neither be unmounted nor covered.
    pub(crate) fn hide_hosts(&self) -> Result<(), LaunchError> {
        let what = || "the host's proc and sysfs (--no-pivot)";
        let own = statx(self.root(), c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).doing(what)?.stx_mnt_id;
        let text = fs::read_to_string("/proc/self/mountinfo").doing(what)?;
        for path in hosts(&text, own).iter().rev() {
            match unmount(path.as_str(), UnmountFlags::DETACH) {
                Ok(()) => {}
                // It went with what it was mounted on.
                Err(Errno::NOENT | Errno::INVAL) if host(path).is_err() => {}
                // Mounts of another user namespace's can only be covered.
                Err(Errno::INVAL | Errno::PERM) => {
                    attach_at(&fresh("tmpfs", "tmpfs", &["size=0k".to_owned()], flag::RDONLY)?, host(path)?)
                        .doing(what)?;
                }
                Err(errno) => return Err(errno).doing(what),
            }
        }
        Ok(())
    }
}

/// Where a proc or sysfs is mounted that does not stand in the root, from `/proc/PID/mountinfo`
/// (proc_pid_mountinfo(5)).
fn hosts(text: &str, root: u64) -> Vec<String> {
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
        if let (Some("proc" | "sysfs"), Some(path)) = (kind, line.split(' ').nth(4)) {
            found.push(plain(path));
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
        assert_eq!(hosts(text, 40), ["/proc", "/sys x"]);
    }
}
