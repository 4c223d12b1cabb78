//! How a command ended that nobody waited for: red-init writes its exit status into the container's directory.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};

use super::cgroup;
use super::container::Status;
use super::error::{Doing, LaunchError};
use super::record::{Record, Store};

/// Name of the file in a container's directory.
pub(in crate::launch) const NAME: &str = "ended";

/// Makes the file.
///
/// # Errors
/// What open(2) says.
pub(super) fn offer(directory: &OwnedFd) -> Result<OwnedFd, LaunchError> {
    let flags =
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, NAME, flags, Mode::from_raw_mode(0o600)).doing(|| "the file of the end")
}

/// The end of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct End {
    /// Exit status as a shell would have it.
    pub(crate) status: u8,
    /// Whether the kernel ended a process of the container because memory ran out. `None` where the container's cgroup,
    /// which counts that, is gone, as a scope's is at once, and a limit makes it likely.
    pub(crate) oom: Option<bool>,
}

impl End {
    /// That of a container; `None` of one that runs, or whose end nobody writes down.
    pub(crate) fn of(record: &Record, store: &Store) -> Option<Self> {
        if record.status(store) != Status::Stopped {
            return None;
        }
        let status = store.ended(&record.id)?;
        let there =
            record.cgroups.as_ref().filter(|cgroups| cgroups.leaves().iter().any(|leaf| leaf.is_dir()));
        let counted = there.map(|cgroups| cgroup::oom_kills(cgroups) > 0);
        let limited = record.limits.as_ref().is_some_and(|limits| limits.memory().is_some());
        let oom = match counted {
            Some(counted) => Some(counted),
            None => (!limited || status != KILLED).then_some(false),
        };
        Some(Self { status, oom })
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        let Self { status, oom } = self;
        match (status, oom) {
            (_, Some(true)) => format!("out of memory, status {status}"),
            (KILLED, None) => format!("killed, status {status}; its memory limit is the usual reason"),
            (..=128, _) => format!("status {status}"),
            _ => format!("status {status}, signal {}", status - 128),
        }
    }
}

/// The status of a command that was ended by SIGKILL.
pub(in crate::launch) const KILLED: u8 = 137;

#[cfg(test)]
mod tests {
    use super::End;

    #[test]
    fn an_end_in_words() {
        for (status, oom, words) in [
            (0, Some(false), "status 0"),
            (3, None, "status 3"),
            (143, Some(false), "status 143, signal 15"),
            (137, Some(false), "status 137, signal 9"),
            (137, Some(true), "out of memory, status 137"),
            (1, Some(true), "out of memory, status 1"),
            (137, None, "killed, status 137; its memory limit is the usual reason"),
        ] {
            assert_eq!(End { status, oom }.words(), words);
        }
    }
}
