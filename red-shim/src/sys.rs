//! Unsafe system calls: fork, file descriptor passing, readiness of arbitrary descriptors.

#![allow(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use tokio::io::unix::AsyncFd;

/// Forks. Returns the child's PID in the parent, and `None` in the child.
///
/// # Errors
/// fork(2) fails.
///
/// # Panics
/// The kernel returns an invalid PID.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: `start` calls this before any thread exists, so no lock is held by another thread in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(pid).expect("a PID is positive"))),
    }
}

/// Passes file descriptors to a command as 3, 4 and so on.
pub(crate) fn pass_fds<const N: usize>(command: &mut Command, fds: [OwnedFd; N]) {
    let duplicate = move || {
        let first = 3;
        let end = first + RawFd::try_from(N).map_err(|_overflow| io::Error::from(Errno::MFILE))?;
        // Moved above the target range first, so that no descriptor is overwritten before it is duplicated.
        let mut moved = [-1; N];
        for (slot, fd) in moved.iter_mut().zip(&fds) {
            // SAFETY: fcntl(2) on an open descriptor.
            *slot = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, end) };
            if *slot < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for (number, from) in (first..end).zip(moved) {
            duplicate_to(from, number)?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes async-signal-safe system calls, and does not allocate.
    unsafe { command.pre_exec(duplicate) };
}

/// Kills the command when this process dies: what it has not finished then is cleaned up by `delete`, which must not be
/// followed by the rest of it.
pub(crate) fn kill_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let request = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was requested (PR_SET_PDEATHSIG(2const)).
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: the closure only makes async-signal-safe system calls, and does not allocate.
    unsafe { command.pre_exec(request) };
}

fn duplicate_to(from: RawFd, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2(2) on integers; the child uses no other descriptor of this number.
    if unsafe { libc::dup2(from, number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Signal by number (signal(7)), including real-time signals.
#[must_use]
pub(crate) fn signal(number: u32) -> Option<Signal> {
    let number = i32::try_from(number).ok().filter(|number| (1..=64).contains(number))?;
    // SAFETY: a valid signal number, which is only sent; no handler is installed for signals reserved by libc.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// Registers a descriptor with the tokio reactor.
///
/// # Errors
/// epoll_ctl(2) fails, with EPERM for a regular file.
pub(crate) fn async_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open and unchanged while it lives, and AsyncFd owns it.
    unsafe { AsyncFd::register(fd) }.map_err(Into::into)
}

/// Reads from a non-blocking descriptor once it is readable. Returns the number of bytes, 0 at EOF.
///
/// # Errors
/// read(2) fails.
pub(crate) async fn read(fd: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    // A writer that is always ahead must not keep the shim's one thread from everything else: AsyncFd has no part in
    // tokio's budget.
    tokio::task::consume_budget().await;
    loop {
        let mut ready = fd.readable().await?;
        match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *buffer)?)) {
            Err(_would_block) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return result,
        }
    }
}

/// Closes all descriptors from 3 on except `kept`: a leaked pipe would keep its reader waiting for EOF as long as
/// the shim runs.
///
/// # Errors
/// close_range(2) fails.
pub(crate) fn close_fds_except(kept: &impl AsRawFd) -> io::Result<()> {
    let kept = libc::c_uint::try_from(kept.as_raw_fd()).unwrap_or(libc::c_uint::MAX - 1);
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.saturating_add(1).max(3), libc::c_uint::MAX)] {
        // SAFETY: called right after fork, when the child owns no descriptor but `kept` and the standard streams.
        if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Exits without running exit handlers or flushing buffers.
pub(crate) fn exit_immediately(code: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Logs a message to stderr, which containerd copies into its log.
pub(crate) fn log(message: &str) {
    use std::io::Write;
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // A failed write must not stop the shim.
    drop(writeln!(
        io::stderr(),
        "containerd-shim-red-v2[{}] {}: {message}",
        std::process::id(),
        time.as_secs()
    ));
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[tokio::test]
    async fn a_reader_that_never_waits_lets_others_run() {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe");
        assert_eq!(rustix::io::write(&to, &[0; 60_000]).expect("a pipe holds 64 KiB"), 60_000);
        drop(to);
        let from = async_fd(from).expect("a pipe can be polled");
        let (turns, mut buffer) = (Cell::new(0), [0; 16]);
        let reader = async { while read(&from, &mut buffer).await.expect("open") > 0 {} };
        let other = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = reader => {}
            () = other => {}
        }
        assert!(turns.get() > 10, "{} turns in 3750 reads", turns.get());
    }
}
