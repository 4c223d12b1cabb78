//! This program as the first process of a container that we launch ourselves.
//!
//! The kernel keeps signals without a handler from the first process of a pid namespace, and gives
//! it every orphan (pid_namespaces(7)). A command that was not written for that would neither end
//! on Ctrl-C nor reap what it never started. So the first process is ours, and the command its
//! child.
//!
//! It runs from a mount of this program's file that is read-only and belongs to nobody: whatever a
//! container reaches through `/proc` (CVE-2019-5736), it cannot write to it, change its mode, or
//! mount it again. And it starts from nothing, so that a few pages are all that it keeps.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, wait};

use super::error::{Doing, LaunchError, tried};
use super::process::refused;
use super::root::assemble::attach_at;
use super::sync::{Message, Sync};
use crate::confine;
use crate::sys;
use crate::sys::signal::SignalSet;

/// The name under which this program is that.
pub(crate) const NAME: &str = "red-init";
const NAME_IN_MEMORY: &std::ffi::CStr = c"red-init";

/// This program's file, where nobody can write to it.
#[derive(Debug)]
pub(super) struct Sealed(OwnedFd);

/// What the first process is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    /// The command is its child.
    pub(super) reap: bool,
    /// It ends with whoever launched it.
    pub(super) die_with_parent: bool,
    /// So many descriptors after the standard streams are the command's.
    pub(super) preserve: u32,
    /// The launcher says when it may start the command: when the container is on record.
    pub(super) waits: bool,
}

impl Sealed {
    /// Mounts this program's file read-only. The mount is attached in the container's own mount
    /// namespace, over the file, and goes with the host's root when that is left; taking it away
    /// by itself would cost more than all the rest.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn new() -> Result<Self, LaunchError> {
        let what = || "a read-only mount of the runtime's own file";
        let Some(exe) = confine::own_file().doing(what)? else {
            let what = || "a copy of the runtime's own file";
            return Ok(Self(confine::copy(NAME_IN_MEMORY).doing(what)?));
        };
        let tree = confine::read_only(&exe).doing(what)?;
        attach_at(&tree, &exe).doing(what)?;
        Ok(Self(tree))
    }

    /// The file, or a mount of it.
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
        let mut words = vec![NAME.to_owned(), sync.number().to_string()];
        words.push(u8::from(orders.reap).to_string());
        words.push(u8::from(orders.die_with_parent).to_string());
        words.push(orders.preserve.to_string());
        words.push(u8::from(orders.waits).to_string());
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

/// The program under [`NAME`]. Never returns.
pub(crate) fn main(args: Vec<OsString>) -> ! {
    let Some((sync, orders, command)) = read(args) else { sys::exec::leave(125) };
    let error = match begin(&sync, orders, &command) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    tried(sync.say(&Message::Failed(error)));
    sys::exec::leave(125)
}

fn read(args: Vec<OsString>) -> Option<(Sync, Orders, Vec<CString>)> {
    let mut words = args.into_iter().skip(1);
    let mut number = || words.next()?.to_str()?.parse::<u32>().ok();
    let (sync, reap, die, preserve, waits) = (number()?, number()?, number()?, number()?, number()?);
    let command: Vec<CString> = words.filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let sync = Sync::inherited(i32::try_from(sync).ok()?).ok()?;
    (command.len() > 1).then_some((
        sync,
        Orders { reap: reap != 0, die_with_parent: die != 0, preserve, waits: waits != 0 },
        command,
    ))
}

enum Never {}

fn begin(sync: &Sync, orders: Orders, command: &[CString]) -> Result<Never, LaunchError> {
    // Only the conversation and the locks are open beside what is passed. The locks are this process's
    // own, not its child's; where it becomes the command itself they stay with it.
    if orders.reap {
        let first = 3_u32.saturating_add(orders.preserve);
        sys::descriptors::close_from_on_exec(first).doing(|| "descriptors of the launcher")?;
    }
    let told = || sync.say(&Message::Ready).doing(|| "the launcher");
    if orders.waits {
        told()?;
        // Of a launcher that was killed before it wrote the record nothing is left.
        sync.wait_go()?;
    }
    let signal = orders.die_with_parent.then_some(Signal::KILL);
    set_parent_process_death_signal(signal).doing(|| "the signal at the launcher's end")?;
    // It may have ended before that was said; its end of the conversation is closed then.
    if orders.die_with_parent && sync.is_left().doing(|| "the launcher")? {
        return Err(LaunchError::Died("its start"));
    }
    let (program, args) = (&command[0], &command[1..]);
    let env = environment(orders);
    let failed = |errno| refused(program.to_string_lossy().into_owned(), errno);
    if !orders.waits {
        told()?;
    }
    if !orders.reap {
        sys::reset_signals();
        return Err(failed(sys::exec::Image::new(program, args, &env).execute()));
    }
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
    let spawned = sys::exec::spawn(program, args, &env).doing(|| "the command's process")?;
    match spawned {
        Ok(pid) => reap(sync, pid),
        Err(errno) => Err(failed(errno)),
    }
}

/// The environment, with the number of the process that sockets were handed to
/// (sd_listen_fds(3)): itself, or its first child, which in a fresh namespace is the second process.
fn environment(orders: Orders) -> Vec<CString> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let pid = if orders.reap { own + 1 } else { own };
    let listens = orders.preserve > 0;
    let mut env = super::process::environment();
    if listens {
        env.retain(|one| !one.as_bytes().starts_with(b"LISTEN_PID="));
        env.extend(CString::new(format!("LISTEN_PID={pid}")).ok());
    }
    env
}

/// Reaps whatever ends until the command has, and ends as it did. The kernel then ends the rest.
fn reap(sync: &Sync, command: Pid) -> Result<Never, LaunchError> {
    // The launcher learns from the end of the conversation that the command runs; the streams are
    // the command's, and a reader of its output is not kept waiting by us.
    sys::exec::let_go(sync.as_fd().as_raw_fd());
    for stream in 0..3 {
        sys::exec::let_go(stream);
    }
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                sys::exec::leave(code.unwrap_or(255));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => sys::exec::leave(255),
        }
    }
}
