//! Hooks of a configuration (runtime specification, config.md, "POSIX-platform Hooks").

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::error::{LaunchError, tried};

/// How long a hook may take that sets no limit of its own: longer than any sane one, shorter than
/// for ever.
const DEFAULT_SECONDS: i64 = 120;

/// Runs hooks one after another, each with the state on its standard input. The first failure
/// ends it.
///
/// # Errors
/// A hook cannot be started, fails or takes too long; it is killed then.
pub(crate) fn run(kind: &'static str, hooks: Option<&Vec<Hook>>, state: &str) -> Result<(), LaunchError> {
    for hook in hooks.into_iter().flatten() {
        one(hook, state).map_err(|why| LaunchError::Hook {
            kind,
            path: hook.path().display().to_string(),
            why,
        })?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &str) -> Result<(), String> {
    let mut command = Command::new(hook.path());
    match hook.args().as_deref().and_then(<[String]>::split_first) {
        Some((name, args)) => command.arg0(name).args(args),
        None => &mut command,
    };
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((key, value)) = variable.split_once('=') {
            command.env(key, value);
        }
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let result = talk(&mut child, hook, state);
    if result.is_err() {
        // It may have ended meanwhile; then there is nothing to kill.
        tried(child.kill());
    }
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    result?;
    if status.success() { Ok(()) } else { Err(format!("failed ({status})")) }
}

fn talk(child: &mut Child, hook: &Hook, state: &str) -> Result<(), String> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(state.as_bytes()) {
            // A hook need not read its state.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(format!("cannot be told the state: {error}"));
            }
            _ => {}
        }
    }
    let seconds = hook.timeout().unwrap_or(DEFAULT_SECONDS).max(1);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("has no number")?;
    let pidfd =
        pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| format!("cannot be waited for: {errno}"))?;
    let end = Instant::now() + Duration::from_secs(seconds.unsigned_abs());
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("took more than {seconds} s"));
        }
        let timeout = Timespec::try_from(left).map_err(|_long| "has too long a limit")?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(format!("cannot be waited for: {errno}")),
        }
    }
}
