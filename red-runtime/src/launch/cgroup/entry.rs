//! How a process that is being made gets into its cgroups.
//!
//! A process that is moved by another one waits for a grace period of RCU, 5 to 15 ms, because all processes
//! of the machine have to stand still for that (`cgroup_attach_lock` in kernel/cgroup/cgroup.c). Neither a
//! clone into a cgroup of version 2 nor a thread that moves itself waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};

use crate::launch::error::{Doing, LaunchError};

/// Cgroups that a process is made in, opened by whoever makes it.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Directory of version 2.
    unified: Option<OwnedFd>,
    /// `tasks` of each hierarchy of version 1.
    tasks: Vec<(OwnedFd, PathBuf)>,
}

impl Entry {
    /// That of directories, one a hierarchy.
    ///
    /// # Errors
    /// One is missing, or this user may not put anything there.
    pub(crate) fn of(directories: impl IntoIterator<Item = PathBuf>) -> Result<Self, LaunchError> {
        let mut entry = Self::default();
        for directory in directories {
            let file = directory.join("tasks");
            match open(&file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
                // Version 2 has no such file.
                Err(Errno::NOENT) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let opened = open(&directory, flags, Mode::empty());
                    entry.unified = Some(opened.doing(|| format!("cgroup {}", directory.display()))?);
                }
                opened => {
                    let opened = opened.doing(|| format!("cgroup {}", directory.display()))?;
                    entry.tasks.push((opened, directory));
                }
            }
        }
        Ok(entry)
    }

    /// The directory that the process is cloned into.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process into the cgroups of version 1. It has one thread.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn join(self) -> Result<(), LaunchError> {
        for (tasks, directory) in &self.tasks {
            write(tasks, b"0").doing(|| format!("joining cgroup {}", directory.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let [first, second] = ["v1", "v2"].map(|name| root.path().join(name));
        std::fs::create_dir(&first).unwrap();
        std::fs::create_dir(&second).unwrap();
        std::fs::write(first.join("tasks"), "").unwrap();
        let entry = Entry::of([first.clone(), second]).unwrap();
        assert!(entry.unified().is_some());
        entry.join().unwrap();
        assert_eq!(std::fs::read_to_string(first.join("tasks")).unwrap(), "0");
        let missing = Entry::of([root.path().join("none")]).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
