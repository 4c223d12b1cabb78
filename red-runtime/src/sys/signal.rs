//! Signals: dispositions, masks, and a descriptor to read them from.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::last;

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// No signal.
    fn empty() -> Self {
        // SAFETY: sigemptyset(3) initialises what is passed to it; all-zero is a valid start.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            Self(set)
        }
    }

    /// These signals.
    pub(crate) fn of(signals: &[i32]) -> Self {
        let mut set = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised; a number that is no signal is refused and changes nothing.
            unsafe { libc::sigaddset(&raw mut set.0, *signal) };
        }
        set
    }

    /// Adds it to the mask of this process.
    ///
    /// # Errors
    /// None for a valid set.
    pub(crate) fn block(self) -> rustix::io::Result<()> {
        // SAFETY: the set is initialised and live; nobody asks for the old one.
        let result = unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const self.0, std::ptr::null_mut()) };
        if result == 0 { Ok(()) } else { Err(last()) }
    }

    /// A descriptor that the blocked signals of the set are read from; it closes on exec.
    ///
    /// # Errors
    /// What signalfd(2) says.
    pub(crate) fn descriptor(self) -> rustix::io::Result<OwnedFd> {
        // SAFETY: the set is initialised.
        let fd = unsafe { libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        // SAFETY: it is fresh, and nobody else owns it.
        if fd < 0 { Err(last()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
    }
}

/// A descriptor that can be read when a signal is held back that is to end this process; it closes on exec.
/// Of signals that are not held back, and of those that whoever started this process had it ignore, it never
/// tells.
///
/// # Errors
/// What signalfd(2) says.
pub(crate) fn ending() -> rustix::io::Result<OwnedFd> {
    let all = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    let heeded: Vec<i32> = all.into_iter().filter(|number| !is_ignored(*number)).collect();
    SignalSet::of(&heeded).descriptor()
}

/// A signal that was sent to this process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) number: i32,
    /// Whether the kernel sent it, such as a terminal does to all of its foreground.
    pub(crate) by_kernel: bool,
}

/// The next signal of a descriptor of [`SignalSet::descriptor`]; `None` when there is none now.
///
/// # Errors
/// What read(2) says.
pub(crate) fn next(descriptor: &OwnedFd) -> rustix::io::Result<Option<Received>> {
    // SAFETY: an all-zero siginfo is valid, and read(2) writes at most its size.
    let (result, info) = unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        (libc::read(descriptor.as_raw_fd(), (&raw mut info).cast(), size), info)
    };
    match result {
        result if result > 0 => Ok(Some(Received {
            number: i32::try_from(info.ssi_signo).unwrap_or(0),
            by_kernel: info.ssi_code == libc::SI_KERNEL,
        })),
        _ => match last() {
            Errno::AGAIN => Ok(None),
            errno => Err(errno),
        },
    }
}

/// Whether whoever started this process had a signal ignored, as nohup(1) does with SIGHUP and a shell
/// without job control with SIGINT and SIGQUIT of what it runs in the background.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid place for the answer; nothing is changed.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Sends a signal to a process by its descriptor, whatever the number (real-time signals too).
///
/// # Errors
/// What pidfd_send_signal(2) says.
pub(crate) fn send(pidfd: impl std::os::fd::AsFd, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: without siginfo the kernel fills in its own; plain numbers otherwise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}
