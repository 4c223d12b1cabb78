//! Whom the process is while it puts a root together.
//!
//! In a user namespace whose mapping leaves out the launcher, the process belongs to nobody: it may make
//! nothing in a file system of the namespace (EOVERFLOW), and what it makes elsewhere belongs to nobody
//! inside. So it becomes the namespace's root first (user_namespaces(7)), or whom the mapping begins with.
//!
//! The mapping is asked of the kernel: that of a namespace of others is in no configuration, and what the
//! process is called there says nothing, for somebody who is not mapped has the number 65534.

use rustix::process::{Gid, Signal, Uid, getgid, getuid, set_parent_process_death_signal};

use crate::launch::error::{Doing, LaunchError};
use crate::launch::inside;

/// The ids that a process takes to make a root: 0, or what the mapping begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RootInside {
    uid: u32,
    gid: u32,
}

impl RootInside {
    /// Whom a process in another user namespace has to become; `None` when it is root there already.
    ///
    /// # Errors
    /// The namespace maps nobody, so nobody in it could make anything.
    pub(crate) fn of_own_namespace() -> Result<Option<Self>, LaunchError> {
        let wanted = Self::in_namespace_of("self")?;
        // The number of nobody mapped is never 0 (proc_sys_kernel(5), "overflowuid").
        let root = (wanted.uid, wanted.gid) == (0, 0) && getuid().is_root() && getgid().is_root();
        Ok((!root).then_some(wanted))
    }

    /// Who makes things in the user namespace of a process, by its PID or `self`.
    ///
    /// # Errors
    /// As of [`RootInside::of_own_namespace`].
    pub(in crate::launch) fn in_namespace_of(process: &str) -> Result<Self, LaunchError> {
        Ok(Self { uid: mapped(process, "uid_map")?, gid: mapped(process, "gid_map")? })
    }

    /// Takes the ids. The capabilities in the namespace stay.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(in crate::launch) fn take(self) -> Result<(), LaunchError> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
            .doing(|| format!("user {} and group {} of the user namespace", self.uid, self.gid))?;
        // A change of ids takes that away (proc(5), "fs.suid_dumpable").
        inside::hide()
    }
}

/// The smallest id inside that a mapping of a process's namespace has.
fn mapped(process: &str, file: &str) -> Result<u32, LaunchError> {
    let path = format!("/proc/{process}/{file}");
    let text = std::fs::read_to_string(&path).doing(|| path)?;
    first(&text).ok_or_else(|| {
        LaunchError::refused(
            "user namespace",
            format!("its {file} is empty, so nobody in it can make a root"),
        )
    })
}

/// The smallest id of a mapping as the kernel shows it.
fn first(text: &str) -> Option<u32> {
    text.lines().filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok()).min()
}

/// Whether the user namespace of this process has a group.
///
/// # Errors
/// What it maps cannot be read.
pub(super) fn has_group(group: u32) -> Result<bool, LaunchError> {
    let path = "/proc/self/gid_map";
    std::fs::read_to_string(path).doing(|| path).map(|text| covers(&text, group))
}

/// Whether a mapping as the kernel shows it has an id inside.
fn covers(text: &str, id: u32) -> bool {
    text.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok());
        let (from, size) = (numbers.next(), numbers.nth(1));
        matches!((from, size), (Some(from), Some(size)) if id >= from && id - from < size)
    })
}

/// Takes the ids to make a root, and still ends with the launcher.
///
/// # Errors
/// The kernel refuses.
pub(super) fn become_root(ids: RootInside) -> Result<(), LaunchError> {
    ids.take()?;
    // A change of ids takes that away, too (prctl(2), "PR_SET_PDEATHSIG").
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "the signal at the launcher's end")
}

#[cfg(test)]
mod tests {
    use super::{covers, first};

    #[test]
    fn a_mapping_covers_what_is_inside_of_its_ranges() {
        let text = "         0     100000          5\n      1000     200000         10\n";
        for (id, wanted) in [(0, true), (4, true), (5, false), (999, false), (1009, true), (1010, false)] {
            assert_eq!(covers(text, id), wanted, "{id}");
        }
        assert!(covers("         0          0 4294967295\n", 5) && !covers("", 0));
    }

    #[test]
    fn a_mapping_begins_with_its_smallest_id() {
        assert_eq!(first("         0       1000          1\n"), Some(0));
        assert_eq!(first("     65534     100000          1\n      1000     200000         10\n"), Some(1000));
        assert_eq!(first(""), None);
    }
}
