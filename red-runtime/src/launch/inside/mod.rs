//! The process inside, from its first moment to the command, as a sequence of types.
//!
//! ```text
//! Entered ──assemble──▶ Rooted ──close──▶ Closed ──become_user──▶ Ready ──▶ the command
//! ```
//!
//! Each stage consumes the one before it and offers only what is safe there:
//!
//! - [`Entered`]: a fresh process in its namespaces, the host's root still around it. It opens
//!   sources and mounts them, runs the hooks that come before the root is changed, and changes it.
//! - [`Rooted`]: in the container's root. Descriptors of the host may still be open, so there is no
//!   way to name a path here. `exec` begins here, in a container that stands already.
//! - [`Closed`]: everything is closed but the descriptors of [`Kept`], none of which is a
//!   directory. Only now are paths of the configuration used: terminal, working directory, command
//!   (CVE-2024-21626 is what happens when one is used earlier).
//! - [`Ready`]: the identity, capabilities and limits of the command, which is found. It waits to be
//!   started, runs the hooks that run inside, loads the system call filter last of all, and becomes the
//!   command.
//!
//! Fields are private to each stage's module, so a stage can only be had from the one before it,
//! and a change of the order does not compile.

mod capabilities;
mod closed;
mod entered;
mod home;
mod ready;
mod rooted;
#[cfg(test)]
mod tests;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

pub(super) use entered::{Entered, Inheritance};
pub(super) use rooted::{Joined, Rooted};

use closed::Closed;
use ready::Ready;

use super::error::{Doing, LaunchError, tried};
use super::process::Setup;
use super::reaper::Sealed;
use super::sync::{Message, Sync};
use crate::sys;
use crate::sys::clone::ChildToken;

/// What a process needs in every stage.
struct Common<'a> {
    child: ChildToken,
    setup: Setup<'a>,
    sync: &'a Sync,
    /// Descriptors after the standard streams that are the command's.
    passed: u32,
}

/// Descriptors that are still open once everything of the host is closed. All close on exec but for
/// the locks of the first process and the file of its end; none is a directory, so none leads anywhere.
#[derive(Debug, Default)]
struct Kept {
    /// Socket at which the first process waits to be started.
    start_socket: Option<OwnedFd>,
    /// File that the status of the command is written to.
    ended: Option<OwnedFd>,
    /// Socket that a terminal made inside is sent to.
    console_socket: Option<OwnedFd>,
    /// The program of our own first process.
    exe: Option<Sealed>,
    /// Regular files that locks are held on.
    locks: Vec<OwnedFd>,
}

impl Kept {
    fn numbers(&self) -> Vec<RawFd> {
        let single = [&self.start_socket, &self.ended, &self.console_socket];
        let single = single.into_iter().flatten().chain(self.exe.as_ref().map(Sealed::file));
        single.chain(&self.locks).map(AsRawFd::as_raw_fd).collect()
    }
}

/// Keeps other processes from tracing this one and from opening what is below its `/proc/PID`
/// (PR_SET_DUMPABLE(2const)). Clones inherit it; an exec ends it.
pub(super) fn hide() -> Result<(), LaunchError> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing(|| "hiding from the container")
}

/// Reports an error to the launcher and exits.
pub(super) fn report_and_exit(sync: &Sync, error: LaunchError) -> ! {
    // When the launcher is gone there is nobody left to tell.
    tried(sync.say(&Message::Failed(error)));
    sys::exec::leave(1)
}

#[derive(Debug)]
enum Never {}
