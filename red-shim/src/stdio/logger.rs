//! A program that takes what a container writes (containerd, docs/logging.md: `binary://`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Whose;
use crate::error::{Doing, Error, tried};
use crate::reaper::{Ended, Reaper};

/// How long it may take until it is ready.
const READY: Duration = Duration::from_secs(10);

/// How long it may take over what it still has, before it is told to end, and after that.
const GRACE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A running logger. It ends when nobody writes any more.
#[derive(Debug)]
pub(super) struct Logger {
    process: OwnedFd,
    ended: Ended,
}

/// Starts one, with the reading ends as 3 and 4; gives the writing ends. It says by closing 5 that it is ready.
///
/// # Errors
/// It cannot be started, or is not ready in time.
pub(super) async fn start(
    reaper: &Reaper,
    program: &Path,
    args: &[String],
    whose: Whose<'_>,
) -> Result<(Logger, [OwnedFd; 2]), Error> {
    let what = || format!("pipes of {}", program.display());
    let (out_read, out) = pipe_with(PipeFlags::CLOEXEC).doing(what)?;
    let (err_read, err) = pipe_with(PipeFlags::CLOEXEC).doing(what)?;
    let (ready, told) = pipe_with(PipeFlags::CLOEXEC).doing(what)?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("CONTAINER_ID", whose.id)
        .env("CONTAINER_NAMESPACE", whose.namespace)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    crate::sys::give(&mut command, vec![out_read, err_read, told]);
    let child = reaper.spawn(&mut command).at("cannot execute", program)?;
    // The command holds the ends that were given.
    drop(command);
    let pid = Pid::from_raw(child.pid).ok_or_else(|| Error::State("a logger without a process".into()))?;
    let process = pidfd_open(pid, PidfdFlags::empty()).at("cannot watch", program)?;
    let logger = Logger { process, ended: child.ended };
    if tokio::time::timeout(READY, is_ready(ready)).await.is_err() {
        logger.signal(Signal::KILL);
        return Err(Error::State(format!("{} is not ready after {} s", program.display(), READY.as_secs())));
    }
    Ok((logger, [out, err]))
}

async fn is_ready(ready: OwnedFd) {
    let Ok(()) = rustix::io::ioctl_fionbio(&ready, true) else { return };
    let Ok(ready) = crate::sys::watched(ready) else { return };
    loop {
        let Ok(mut guard) = ready.readable().await else { return };
        match guard.try_io(|ready| Ok(rustix::io::read(ready, &mut [0_u8; 1])?)) {
            Err(_would_block) => {}
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) => return,
        }
    }
}

impl Logger {
    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        tried(pidfd_send_signal(&self.process, signal));
    }

    /// Waits until it has taken everything.
    pub(super) async fn finish(mut self) {
        for (limit, signal) in GRACE.into_iter().zip([Signal::TERM, Signal::KILL]) {
            if tokio::time::timeout(limit, &mut self.ended).await.is_ok() {
                return;
            }
            self.signal(signal);
        }
    }
}
