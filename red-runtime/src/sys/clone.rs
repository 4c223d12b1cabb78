//! clone3(2), with the child as a descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Pid;

/// Which side of a clone this is.
pub(crate) enum Cloned {
    /// The caller, with its child.
    Parent {
        /// Its number in the caller's pid namespace.
        pid: Pid,
        /// It, as a descriptor that closes on exec.
        pidfd: OwnedFd,
    },
    /// The child.
    Child(ChildToken),
}

/// Proof that this process is a clone that shares no descriptor table with its parent, and that the
/// frames copied from the parent never run again: it ends in an exec or an exit. So whatever those
/// frames own may be closed here. Only [`clone3`] makes one.
#[derive(Debug)]
pub(crate) struct ChildToken(());

/// Clones this process as fork(2) does, into new namespaces (`CLONE_NEW…`) and, with a descriptor
/// of its directory, straight into a cgroup of version 2.
///
/// With `CLONE_PARENT` the child becomes a sibling, which must not ask for a signal at its end.
///
/// # Errors
/// What clone3(2) says.
pub(crate) fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args is valid (clone(2)); zero means "not asked for".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    if flags & libc::CLONE_PARENT as u64 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX);
    }
    // SAFETY: without CLONE_VM the child gets a copy of this address space, as after fork(2), and
    // goes on at this very place with this very stack. `args` lives until the call returns in
    // either process. This program has one thread, so no lock is held by somebody who is not
    // copied.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<libc::clone_args>())
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    match i32::try_from(pid).map(Pid::from_raw) {
        // SAFETY: the kernel stored a fresh descriptor there, which nobody else owns.
        Ok(Some(pid)) => Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Ok(Cloned::Child(ChildToken(()))),
    }
}

/// The C library's binding has it with the wrong type on some targets (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
