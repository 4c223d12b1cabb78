//! `red-init`, the first process of a container that we launch ourselves.
//!
//! The kernel keeps signals without a handler from the first process of a pid namespace, and gives
//! it every orphan (pid_namespaces(7)). A command that was not written for that would neither end
//! on Ctrl-C nor reap what it never started. So the first process is ours, and the command its
//! child.
//!
//! It is a program of its own ([`sys::init`]), a page of system calls without a C library, whose start
//! and whose memory cost next to nothing. It is executed from sealed memory: whatever a container reaches
//! through `/proc` (CVE-2019-5736), nobody can write to it, and nothing of the host is behind it. Where a
//! host allows no programs in memory (`vm.memfd_noexec`), or there is none for the architecture, this
//! program is it, from a mount of its file that is read-only and belongs to nobody.

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use rustix::io::Errno;

use super::error::{Doing, LaunchError};
use super::process::refused;
use super::root::assemble::attach_at;
use super::sync::Sync;
use crate::confine;
use crate::sys;
use crate::sys::init::{FailureReport, Step};

/// The name under which this program is that.
pub(crate) const NAME: &str = "red-init";
const NAME_IN_MEMORY: &std::ffi::CStr = c"red-init";

/// The program of the first process, where nobody can write to it.
#[derive(Debug)]
pub(super) struct Sealed(OwnedFd);

/// Instructions for red-init.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    /// Start the command as a child, and reap orphans.
    pub(super) reap: bool,
    /// Be killed when the launcher ends (PR_SET_PDEATHSIG).
    pub(super) die_with_parent: bool,
    /// Number of descriptors after the standard streams that the command gets.
    pub(super) preserve: u32,
    /// Start the command only when the launcher says so: when the record is written.
    pub(super) waits: bool,
    /// Descriptor that the status of the command is written to.
    pub(super) ended: Option<RawFd>,
}

impl Sealed {
    /// The program of its own, or else this one.
    ///
    /// # Errors
    /// This program's file cannot be mounted.
    pub(super) fn new() -> Result<Self, LaunchError> {
        match sys::init::PROGRAM.and_then(Self::in_memory) {
            Some(sealed) => Ok(sealed),
            None => Self::own(),
        }
    }

    /// A program in memory. `None` where there may be none, for whatever reason: the caller then takes this
    /// program's own file, whose errors are reported.
    fn in_memory(program: &[u8]) -> Option<Self> {
        let memory = confine::in_memory(NAME_IN_MEMORY, |file| file.write_all(program)).ok()?;
        sys::exec::may_execute(&memory).then_some(Self(memory))
    }

    /// Mounts this program's file read-only. The mount is attached in the container's own mount
    /// namespace, over the file, and goes with the host's root when that is left; taking it away
    /// by itself would cost more than all the rest.
    fn own() -> Result<Self, LaunchError> {
        let what = || "a read-only mount of the runtime's own file";
        let Some(exe) = confine::own_file().doing(what)? else {
            let what = || "a copy of the runtime's own file";
            return Ok(Self(confine::copy(NAME_IN_MEMORY).doing(what)?));
        };
        let tree = confine::read_only(&exe).doing(what)?;
        attach_at(&tree, &exe).doing(what)?;
        Ok(Self(tree))
    }

    /// The file in memory, or the mount.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.0
    }

    /// Becomes the first process. Returns only when that fails.
    pub(super) fn run(
        &self,
        orders: Orders,
        sync: &Sync,
        (program, args, env): (&CString, &[CString], &[CString]),
    ) -> LaunchError {
        let words = words(orders, sync);
        let mut all: Vec<CString> = words.into_iter().filter_map(|word| CString::new(word).ok()).collect();
        all.push(program.clone());
        all.extend_from_slice(args);
        if let Err(error) = sync.keep_over_exec().doing(|| "the conversation with the launcher") {
            return error;
        }
        let errno = sys::exec::execve_of(&self.0, &all, env);
        LaunchError::Call { what: "the container's first process".into(), errno }
    }
}

/// Its command line before the command.
fn words(orders: Orders, sync: &Sync) -> [String; 7] {
    let flag = |set: bool| u8::from(set).to_string();
    [
        NAME.to_owned(),
        sync.number().to_string(),
        flag(orders.reap),
        flag(orders.die_with_parent),
        orders.preserve.to_string(),
        flag(orders.waits),
        orders.ended.unwrap_or(0).to_string(),
    ]
}

/// This program under [`NAME`]. Never returns.
pub(crate) fn main(args: Vec<OsString>) -> ! {
    // The kernel handed them over as such strings, so they are.
    let args: Vec<CString> = args.into_iter().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect();
    sys::init::run(&args)
}

/// The error that a failure message of red-init stands for.
pub(super) fn failure(message: &[u8]) -> LaunchError {
    let Some(FailureReport { step, errno, program }) = sys::init::parse_failure(message) else {
        let why = format!("the first process failed, and said nothing of why ({} bytes)", message.len());
        return LaunchError::Inside(why);
    };
    let what = match step {
        Step::Unrecorded => return inside(LaunchError::Died("its preparation")),
        Step::Orphaned => return inside(LaunchError::Died("its start")),
        Step::Command => "the command",
        Step::Hiding => "keeping the first process from others",
        Step::Descriptors => "descriptors of the launcher",
        Step::Launcher => "the launcher",
        Step::Waiting => "waiting for the launcher",
        Step::DeathSignal => "the signal at the launcher's end",
        Step::Signals => "signals",
        Step::Process => "the command's process",
    };
    // Whoever has taken over the conversation may say anything (errno(3): none is larger).
    if !(1..=4095).contains(&errno) {
        return LaunchError::Inside(format!("{what}: invalid error number: {errno}"));
    }
    let errno = Errno::from_raw_os_error(errno);
    match step {
        Step::Command => refused(String::from_utf8_lossy(program).into_owned(), errno),
        _ => inside(LaunchError::Call { what: what.into(), errno }),
    }
}

/// The same error as one from inside the container.
fn inside(error: LaunchError) -> LaunchError {
    LaunchError::Inside(error.to_string())
}

#[cfg(test)]
mod tests;
