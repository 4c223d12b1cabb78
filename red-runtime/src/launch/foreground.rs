//! Waiting for a command in the foreground: its end, signals for it, its terminal.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

use super::container::command_of;
use super::error::{Doing, LaunchError, tried};
use super::relay::Relay;
use crate::sys::signal::{self, SignalSet};

/// Signals that whoever holds the launcher means for the command.
const FORWARDED: [i32; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGCONT,
];

/// Signals of the launcher, held back while it waits.
pub(crate) struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Holds them back. Done before anything is started, so that none is lost. Those that whoever called
    /// us had us ignore are left ignored, for a launcher that nohup(1) or a shell's `&` is to outlive; the
    /// command has every signal at its default.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(crate) fn hold() -> Result<Self, LaunchError> {
        let kept = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];
        let ignored = |number: &i32| kept.contains(number) && signal::is_ignored(*number);
        let held: Vec<i32> = FORWARDED.into_iter().filter(|number| !ignored(number)).collect();
        let set = SignalSet::of(&held);
        set.block().doing(|| "signals")?;
        Ok(Self { descriptor: set.descriptor().doing(|| "signals")? })
    }
}

/// Whether the launcher has a terminal, as a stream or as the controlling one of its session. What
/// runs in the same session could type into it (TIOCSTI, CVE-2017-5226) or open it (`/dev/tty`).
pub(super) fn has_terminal() -> bool {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    streams.into_iter().any(rustix::termios::isatty)
        // ENXIO without a controlling terminal (tty(4)).
        || rustix::fs::open("/dev/tty", flags, Mode::empty()).is_ok()
}

/// What is waited for.
pub(crate) struct Watched<'a> {
    /// The process whose end is the end.
    pub(crate) pidfd: BorrowedFd<'a>,
    /// Its number.
    pub(crate) pid: Pid,
    /// Whether it is our own and the command is its child.
    pub(crate) reaper: bool,
    /// Whether a terminal's signals reach the command without us.
    pub(crate) shares_terminal: bool,
    /// The outer side of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Waits for the end; returns the status as a shell would have it.
///
/// # Errors
/// What the kernel says.
pub(crate) fn wait(watched: &Watched<'_>, signals: &Signals) -> Result<i32, LaunchError> {
    let mut relay = watched.terminal.as_ref().map(Relay::begin).transpose()?;
    loop {
        let mut fds =
            vec![PollFd::new(&watched.pidfd, PollFlags::IN), PollFd::new(&signals.descriptor, PollFlags::IN)];
        let timeout = relay.as_ref().and_then(|relay| relay.awaits(&mut fds));
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => continue,
            other => other.doing(|| "waiting for the command")?,
        };
        let [ended, signalled] = [0, 1].map(|index: usize| !fds[index].revents().is_empty());
        drop(fds);
        if signalled {
            forward(watched, signals)?;
        }
        if let Some(relay) = &mut relay {
            relay.pass();
        }
        if ended {
            let code = status(watched.pidfd)?;
            if let Some(relay) = &mut relay {
                relay.drain();
            }
            return Ok(code);
        }
    }
}

/// How a process ended that is our child.
pub(crate) fn status(pidfd: BorrowedFd<'_>) -> Result<i32, LaunchError> {
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(Errno::INTR) | Ok(None) => {}
            Err(errno) => return Err(errno).doing(|| "the end of the command"),
            Ok(Some(end)) => {
                let signal = end.terminating_signal().map(|signal| 128 + signal);
                return Ok(end.exit_status().or(signal).unwrap_or(255));
            }
        }
    }
}

fn forward(watched: &Watched<'_>, signals: &Signals) -> Result<(), LaunchError> {
    while let Some(received) = signal::next(&signals.descriptor).doing(|| "signals")? {
        if received.number == libc::SIGWINCH
            && let Some(terminal) = &watched.terminal
        {
            copy_size(terminal);
            continue;
        }
        if received.by_kernel && watched.shares_terminal {
            continue;
        }
        let command = if watched.reaper { command_of(watched.pid.as_raw_nonzero().get()) } else { None };
        let sent = match &command {
            Some(command) => signal::send(command, received.number),
            None => signal::send(watched.pidfd, received.number),
        };
        match sent {
            // It has just ended.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno).doing(|| format!("passing on signal {}", received.number)),
        }
    }
    Ok(())
}

pub(super) fn copy_size(terminal: &OwnedFd) {
    // A size that cannot be told or taken changes nothing.
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        tried(tcsetwinsize(terminal, size));
    }
}
