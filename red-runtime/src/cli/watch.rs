//! A limit on reading what may never answer: a path on a server that is gone, or in a FUSE file system whose
//! daemon does not answer, keeps a process in the kernel, where nothing but a deadly signal reaches it
//! (fuse_request_wait_answer in fs/fuse/dev.c). So where such file systems are mounted a process of its own
//! looks on while sources are looked at, and ends this one when that takes too long. Nothing of a container
//! is made before that is over.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, pidfd_open, pidfd_send_signal, waitid,
};

use crate::launch::error::LaunchError;
use crate::node::guard::MountTable;
use crate::sys::clone::{Cloned, clone3};
use crate::sys::exec::leave;

/// How long looking at the configuration and its sources may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// File systems that wait for somebody else, by the beginning of their names (proc_pid_mountinfo(5)).
const WAITING: [&str; 10] =
    ["autofs", "fuse", "nfs", "cifs", "smb3", "9p", "ceph", "afs", "lustre", "virtiofs"];

/// Where systemd has an automount on every machine that lies in the kernel: it is answered at once, and no
/// source is there.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// The process that looks on, if there has to be one.
pub(super) struct Watch(Option<OwnedFd>);

impl Watch {
    /// Begins to look on. `tell` says what happened, in the other process.
    pub(super) fn begin(tell: impl FnOnce(&LaunchError)) -> Self {
        if !MountTable::read_early(may_wait) {
            return Self(None);
        }
        // Without descriptors or processes to spare nobody looks on; what follows says so better.
        let Ok(this) = pidfd_open(getpid(), PidfdFlags::empty()) else { return Self(None) };
        match clone3(0, None) {
            Ok(Cloned::Child(_)) => look_on(&this, tell),
            Ok(Cloned::Parent { pidfd, .. }) => Self(Some(pidfd)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(pidfd) = &self.0 else { return };
        // It is our child, and ends with this.
        if pidfd_send_signal(pidfd, Signal::KILL).is_ok() {
            while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {}
        }
    }
}

fn look_on(of: &OwnedFd, tell: impl FnOnce(&LaunchError)) -> ! {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(of, PollFlags::IN)], Some(&left)) {
            Err(Errno::INTR) => {}
            Ok(0) => break,
            // It has ended by itself.
            Ok(_) | Err(_) => leave(0),
        }
    }
    tell(&LaunchError::refused(
        "the configuration and its mount sources",
        format!(
            "not read within {} s; a server or a FUSE file system that does not answer is the usual reason; \
             nothing was started",
            PATIENCE.as_secs()
        ),
    ));
    // There is nobody else to tell when that fails.
    pidfd_send_signal(of, Signal::KILL).unwrap_or(());
    leave(0)
}

/// Whether a file system is mounted that waits for somebody else.
fn may_wait(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
        let at = line.split(' ').nth(4).unwrap_or_default();
        kind != "fusectl" && at != BINFMT && WAITING.iter().any(|known| kind.starts_with(known))
    })
}

#[cfg(test)]
mod tests {
    use super::may_wait;

    #[test]
    fn only_what_waits_for_others_is_looked_at() {
        let line = |kind: &str| format!("22 1 0:21 / /x rw,nosuid shared:7 - {kind} src rw,fd=3\n");
        for kind in ["autofs", "fuse", "fuse.sshfs", "fuseblk", "nfs", "nfs4", "cifs", "9p", "ceph"] {
            assert!(may_wait(&format!("{}{}", line("ext4"), line(kind))), "{kind}");
        }
        for kind in ["fusectl", "ext4", "overlay", "tmpfs"] {
            assert!(!may_wait(&line(kind)), "{kind}");
        }
        assert!(!may_wait("") && !may_wait("nfs"));
        assert!(!may_wait(
            "30 23 0:28 / /proc/sys/fs/binfmt_misc rw shared:14 - autofs systemd-1 rw,fd=31\n"
        ));
    }
}
