//! Log driver: an external program that reads a container's output (containerd, docs/logging.md, `binary://`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ContainerRef;
use super::copy::nonblocking_async_fd;
use crate::error::{Context, Error, best_effort};
use crate::reaper::ExitFuture;

/// Timeout of the log driver's readiness.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeouts of the log driver's exit after EOF: before SIGTERM, and before SIGKILL.
const EXIT_TIMEOUTS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A running log driver, which exits at the EOF of both pipes.
#[derive(Debug)]
pub(super) struct Logger {
    pidfd: OwnedFd,
    exit: ExitFuture,
}

/// Starts a log driver with the read ends of both pipes as descriptors 3 and 4, and returns the write ends. The log
/// driver closes descriptor 5 when it is ready.
///
/// # Errors
/// The program cannot be executed, or is not ready within [`READY_TIMEOUT`].
pub(super) async fn start(
    program: &Path,
    args: &[String],
    container: ContainerRef<'_>,
) -> Result<(Logger, [OwnedFd; 2]), Error> {
    let context = || format!("cannot create pipes for {}", program.display());
    let (out_read, out) = pipe_with(PipeFlags::CLOEXEC).context(context)?;
    let (err_read, err) = pipe_with(PipeFlags::CLOEXEC).context(context)?;
    let (ready, ready_write) = pipe_with(PipeFlags::CLOEXEC).context(context)?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("CONTAINER_ID", container.id)
        .env("CONTAINER_NAMESPACE", &container.shim.namespace)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    crate::sys::pass_fds(&mut command, [out_read, err_read, ready_write]);
    let child = container.shim.reaper.spawn(&mut command).path_context("cannot execute", program)?;
    // The command owns the descriptors that were passed.
    drop(command);
    let pid = Pid::from_raw(child.pid)
        .ok_or_else(|| Error::FailedPrecondition("invalid PID of the log driver".into()))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).path_context("cannot open a pidfd of", program)?;
    let logger = Logger { pidfd, exit: child.exit };
    if tokio::time::timeout(READY_TIMEOUT, wait_ready(ready)).await.is_err() {
        logger.signal(Signal::KILL);
        return Err(Error::FailedPrecondition(format!(
            "timed out after {} s waiting for the log driver {}",
            READY_TIMEOUT.as_secs(),
            program.display()
        )));
    }
    Ok((logger, [out, err]))
}

/// Waits for data, EOF or an error.
async fn wait_ready(ready: OwnedFd) {
    if let Ok(ready) = nonblocking_async_fd(ready) {
        best_effort(crate::sys::read(&ready, &mut [0_u8; 1]).await);
    }
}

impl Logger {
    fn signal(&self, signal: Signal) {
        // Best effort: the log driver may have exited.
        best_effort(pidfd_send_signal(&self.pidfd, signal));
    }

    /// Waits for the log driver's exit; sends SIGTERM and SIGKILL after the timeouts.
    pub(super) async fn finish(mut self) {
        for (limit, signal) in EXIT_TIMEOUTS.into_iter().zip([Signal::TERM, Signal::KILL]) {
            if tokio::time::timeout(limit, &mut self.exit).await.is_ok() {
                return;
            }
            self.signal(signal);
        }
    }
}
