//! The first process of a pid namespace, where the command is not it.
//!
//! The kernel keeps signals without a handler from the first process of a pid namespace, and gives
//! it every orphan (pid_namespaces(7)). A command that was not written for that would neither end
//! on Ctrl-C nor reap what it never started.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, WaitOptions, wait};

use super::child::Inheritance;
use super::error::{Doing, LaunchError};
use crate::sys;
use crate::sys::clone::{Cloned, clone3};
use crate::sys::signal::SignalSet;

/// The command, as its reaper sees it.
pub(super) struct Command {
    pid: Pid,
    _pidfd: OwnedFd,
}

/// Becomes two processes. `None` is the one that becomes the command.
pub(super) fn split() -> Result<Option<Command>, LaunchError> {
    match clone3(0, None).doing(|| "the command's process")? {
        Cloned::Parent { pid, pidfd } => Ok(Some(Command { pid, _pidfd: pidfd })),
        Cloned::Child => Ok(None),
    }
}

/// Reaps whatever ends until the command has, and ends as it did. The kernel then ends the rest.
pub(super) fn reap<T>(command: &Command, inheritance: &Inheritance) -> Result<T, LaunchError> {
    inheritance.sync.hang_up();
    // What the terminal or the launcher sends is for the command.
    SignalSet::of(&[
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ])
    .block()
    .doing(|| "signals")?;
    // The streams are the command's; a reader of its output is not kept waiting by us.
    sys::exec::let_go_of_streams();
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command.pid => {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                sys::exec::leave(code.unwrap_or(255));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => sys::exec::leave(255),
        }
    }
}
