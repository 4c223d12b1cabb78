//! Hooks of a configuration (runtime specification, config.md, "POSIX-platform Hooks").
//!
//! What a failure means is that of version 1.3 of the specification (runtime.md, "Lifecycle"): hooks before
//! the start end the container, and its poststop hooks run; a poststart hook stops it; a poststop hook is
//! warned of, and the others run all the same.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, Hooks};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::{LaunchError, tried};
use super::sync::GRACE;
use super::warning::warn;
use crate::node::place::plain;
use crate::sys;

/// How long a hook may take that sets no limit of its own: longer than any sane one, shorter than
/// for ever.
const DEFAULT_SECONDS: u64 = 120;

/// The longest limit of a hook, a year: the clock has an end.
const MOST_SECONDS: u64 = 366 * 24 * 3600;

/// What a hook has that runs inside the container, beside its command.
pub(crate) struct Inside<'a> {
    /// Its environment, unless it has one of its own.
    pub(crate) environment: &'a [CString],
    /// What confines it, called between fork and exec.
    pub(crate) confine: Arc<dyn Fn() -> rustix::io::Result<()> + Send + Sync>,
}

/// How long the hooks that run inside may take together.
pub(super) fn longest(hooks: Option<&Hooks>) -> Duration {
    let Some(hooks) = hooks else { return Duration::ZERO };
    let inside = [hooks.create_container(), hooks.start_container()].into_iter().flatten().flatten();
    let seconds =
        inside.map(|hook| hook.timeout().map_or(DEFAULT_SECONDS, |given| given.max(1).unsigned_abs()));
    Duration::from_secs(seconds.fold(0, u64::saturating_add).min(86_400))
}

/// Runs hooks one after another, each with the state on its standard input. The first failure
/// ends it.
///
/// # Errors
/// A hook cannot be started, fails or takes too long; it is killed then.
pub(crate) fn run(
    kind: &'static str,
    hooks: Option<&Vec<Hook>>,
    state: &str,
    inside: Option<&Inside<'_>>,
) -> Result<(), LaunchError> {
    hooks.into_iter().flatten().try_for_each(|hook| one(kind, hook, state, inside))
}

/// Runs every hook of a container that is gone, whatever becomes of the others.
pub(crate) fn run_poststop(hooks: Option<&Vec<Hook>>, state: impl FnOnce() -> String) {
    let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else { return };
    let state = state();
    for hook in hooks {
        if let Err(error) = one("poststop", hook, &state, None) {
            warn(&error.to_string());
        }
    }
}

fn one(kind: &'static str, hook: &Hook, state: &str, inside: Option<&Inside<'_>>) -> Result<(), LaunchError> {
    let failed = |why| LaunchError::Hook { kind, path: hook.path().display().to_string(), why };
    let mut child =
        command(hook, inside).spawn().map_err(|error| failed(said("cannot be started", &error)))?;
    // One that runs inside is of the container's first process, and what comes last is not left out.
    let stop = inside.is_none() && kind != "poststop";
    let result = talk(&mut child, hook, state, stop);
    if result.is_err() {
        // What it has started goes first, for it holds our stderr, which an engine reads to the end. All may
        // have ended meanwhile; then there is nothing to kill.
        i32::try_from(child.id()).iter().for_each(|pid| end_children(*pid, DEEPEST));
        tried(child.kill());
    }
    let status = child.wait().map_err(|error| failed(said("cannot be waited for", &error)))?;
    result.map_err(failed)?;
    if status.success() { Ok(()) } else { Err(failed(format!("failed ({status})"))) }
}

/// How deep below a hook processes are ended.
const DEEPEST: u32 = 16;

/// Ends what a process has started, where `/proc` tells.
fn end_children(parent: i32, deeper: u32) {
    let listed = || {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        children.unwrap_or_default()
    };
    for word in listed().split_ascii_whitespace() {
        let Some(pid) = word.parse().ok().and_then(Pid::from_raw) else { continue };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // Opened first: what is a child still is what the descriptor is of.
        if listed().split_ascii_whitespace().any(|other| other == word) {
            if deeper > 0 {
                end_children(pid.as_raw_nonzero().get(), deeper - 1);
            }
            tried(pidfd_send_signal(&pidfd, Signal::KILL));
        }
    }
}

fn said(what: &str, error: &std::io::Error) -> String {
    format!("{what}: {}", Errno::from_io_error(error).map_or_else(|| error.to_string(), plain))
}

fn command(hook: &Hook, inside: Option<&Inside<'_>>) -> Command {
    let mut command = Command::new(hook.path());
    match hook.args().as_deref().and_then(<[String]>::split_first) {
        Some((name, args)) => command.arg0(name).args(args),
        None => &mut command,
    };
    command.env_clear();
    let own: Option<Vec<&[u8]>> = hook.env().as_ref().map(|env| env.iter().map(String::as_bytes).collect());
    let inherited =
        || inside.iter().flat_map(|inside| inside.environment).map(|one| one.as_bytes()).collect();
    for variable in own.unwrap_or_else(inherited) {
        let mut halves = variable.splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
        if let (Some(key), Some(value)) = (halves.next().filter(|key| !key.is_empty()), halves.next()) {
            command.env(key, value);
        }
    }
    let confine = inside.map(|inside| Arc::clone(&inside.confine));
    sys::exec::begin_with(&mut command, move || match &confine {
        Some(confine) => confine().map_err(std::io::Error::from),
        None => Ok(()),
    });
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// Tells a hook the state, of which it may read as much as it likes, and waits for its end; with `stop` no
/// longer than a moment after a signal that is to end this process.
fn talk(child: &mut Child, hook: &Hook, state: &str, stop: bool) -> Result<(), String> {
    let lost = |errno: Errno| format!("cannot be waited for: {}", plain(errno));
    let seconds = hook.timeout().map_or(DEFAULT_SECONDS, |given| given.max(1).unsigned_abs());
    let mut end = Instant::now() + Duration::from_secs(seconds.min(MOST_SECONDS));
    let mut stop = stop.then(sys::signal::ending).transpose().map_err(lost)?;
    let mut over = format!("took more than {seconds} s");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("has no number")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(lost)?;
    let mut telling = child.stdin.take();
    if let Some(stdin) = &telling {
        fcntl_setfl(stdin, OFlags::NONBLOCK).map_err(lost)?;
    }
    let mut rest = state.as_bytes();
    loop {
        telling = match telling {
            Some(stdin) => tell(stdin, &mut rest)?,
            None => None,
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(over);
        }
        let timeout = Timespec::try_from(left).map_err(|_long| "has too long a limit")?;
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        fds.extend(stop.as_ref().map(|stop| PollFd::new(stop, PollFlags::IN)));
        fds.extend(telling.as_ref().map(|stdin| PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(lost(errno)),
        }
        let signalled = stop.is_some() && !fds[1].revents().is_empty();
        drop(fds);
        if signalled {
            stop = None;
            end = end.min(Instant::now() + GRACE);
            "was ended by a signal for the launcher".clone_into(&mut over);
        }
    }
}

/// Writes as much as there is room for. Gives the pipe back while there is more.
fn tell(stdin: ChildStdin, rest: &mut &[u8]) -> Result<Option<ChildStdin>, String> {
    match rustix::io::write(&stdin, rest) {
        Ok(count) if count == rest.len() => Ok(None),
        Ok(count) => {
            *rest = &rest[count..];
            Ok(Some(stdin))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(Some(stdin)),
        // A hook need not read its state.
        Err(Errno::PIPE) => Ok(None),
        Err(errno) => Err(format!("cannot be told the state: {}", plain(errno))),
    }
}
