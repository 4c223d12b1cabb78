//! What no safe library does: becoming a process of its own, and giving a program descriptors by number.

#![allow(unsafe_code, reason = "the system calls that no safe library has")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal};
use tokio::io::unix::AsyncFd;

/// Splits this process in two. `None` in the new one.
///
/// # Errors
/// There is no process to be had.
///
/// # Panics
/// The kernel gives a number that is none.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the program has one thread at this point, as `start` sees to, so that the new process has every
    // lock in the state in which it finds it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(pid).expect("a process has a number"))),
    }
}

/// Has a program start with these descriptors as 3, 4 and so on, in a session of its own, and every signal at its
/// default.
pub(crate) fn give(command: &mut Command, fds: Vec<OwnedFd>) {
    let begin = move || {
        let first = 3;
        // Out of the way first, so that none is overwritten before it is copied.
        let mut moved = [-1; 8];
        for (slot, fd) in moved.iter_mut().zip(&fds) {
            // SAFETY: a plain system call on a descriptor that is open.
            *slot = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, first + 16) };
            if *slot < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for (number, from) in (first..).zip(moved.iter().copied().filter(|fd| *fd >= 0)) {
            place(from, number)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated but in an error's path that
    // holds a number.
    unsafe { command.pre_exec(begin) };
}

fn place(from: RawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: plain numbers; what `number` was in this new process nobody needs.
    if unsafe { libc::dup2(from, number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A signal by its number (signal(7)), those without a name included.
#[must_use]
pub(crate) fn signal(number: u32) -> Option<Signal> {
    let number = i32::try_from(number).ok().filter(|number| (1..=64).contains(number))?;
    // SAFETY: it is a signal of the kernel's, and it is only sent, so that nothing of this process's own library
    // is touched by it.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// A descriptor whose readiness is awaited.
///
/// # Errors
/// Descriptors or memory ran out, or it is of a file that is always ready (epoll_ctl(2), EPERM).
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open and the same for as long as it lives, and here it is moved into what watches it.
    unsafe { AsyncFd::register(fd) }.map_err(Into::into)
}

/// Closes every descriptor from 3 on but this one: what a daemon was started with is not for a process that outlives
/// it, as somebody may wait for the end of a pipe.
///
/// # Errors
/// What the kernel says.
pub(crate) fn close_others(kept: &impl AsRawFd) -> io::Result<()> {
    let kept = libc::c_uint::try_from(kept.as_raw_fd()).unwrap_or(libc::c_uint::MAX - 1);
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1).max(3), libc::c_uint::MAX)] {
        // SAFETY: called right after fork, when nothing of this process owns a descriptor but `kept` and those
        // below 3.
        if first <= last && unsafe { libc::close_range(first, last, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Ends a process at once, without what a library would still do at its end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// Says something to whoever reads the shim's standard error: containerd's log.
pub(crate) fn log(text: &str) {
    use std::io::Write;
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // A log that nobody reads any more is no reason to stop.
    drop(writeln!(io::stderr(), "containerd-shim-red-v2[{}] {}: {text}", std::process::id(), time.as_secs()));
}
