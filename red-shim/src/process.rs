//! A process of a container: the init process or an exec process.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use crate::error::{Context, Error};
use crate::reaper::Exit;
use crate::stdio::{StdioConfig, Streams};

/// Exit status of a process that was never started.
const NEVER_STARTED_STATUS: u32 = 255;

/// State of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// Not started yet.
    Created,
    /// Running.
    Running,
    /// Paused with its container.
    Paused,
    /// Exited.
    Stopped,
}

/// A process of a container.
#[derive(Debug)]
pub(crate) struct Process {
    /// Exec ID; empty for the init process.
    pub(crate) exec_id: String,
    /// Requested stdio.
    pub(crate) stdio: StdioConfig,
    live: Mutex<LiveState>,
    /// Exit of the process, `None` until then.
    exit: watch::Sender<Option<Exit>>,
    /// Serializes state changes, so that an exit event never precedes its start event.
    pub(crate) state_lock: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct LiveState {
    pid: i32,
    /// pidfd, safe against PID reuse; `None` before the start and after the exit.
    pidfd: Option<OwnedFd>,
    started: bool,
    paused: bool,
    streams: Option<Streams>,
}

impl Process {
    /// A process without PID.
    #[must_use]
    pub(crate) fn new(exec_id: String, stdio: StdioConfig) -> Self {
        Self {
            exec_id,
            stdio,
            live: Mutex::default(),
            exit: watch::Sender::new(None),
            state_lock: Arc::default(),
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, LiveState> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the PID, and opens a pidfd unless the process has been reaped already and its PID may be reused.
    ///
    /// # Errors
    /// The PID is invalid, or pidfd_open(2) fails.
    pub(crate) fn set_pid(&self, pid: i32, reaped: bool) -> Result<(), Error> {
        let valid_pid = Pid::from_raw(pid).ok_or_else(|| Error::Invalid(format!("invalid PID: {pid}")))?;
        let pidfd = match reaped {
            true => None,
            false => {
                let opened = pidfd_open(valid_pid, PidfdFlags::empty());
                Some(opened.context(|| format!("cannot open a pidfd of process {pid}"))?)
            }
        };
        let mut live = self.live();
        live.pid = pid;
        live.pidfd = pidfd;
        Ok(())
    }

    /// Sets the open streams.
    pub(crate) fn set_streams(&self, streams: Streams) {
        self.live().streams = Some(streams);
    }

    /// Takes the streams, to be drained and closed.
    #[must_use]
    pub(crate) fn take_streams(&self) -> Option<Streams> {
        self.live().streams.take()
    }

    /// Calls a function with the streams.
    ///
    /// # Errors
    /// The process was not started.
    pub(crate) fn with_streams<T>(&self, function: impl FnOnce(&mut Streams) -> T) -> Result<T, Error> {
        let mut live = self.live();
        let streams = live.streams.as_mut();
        Ok(function(streams.ok_or_else(|| Error::FailedPrecondition("process not started".into()))?))
    }

    /// Marks the process as started.
    pub(crate) fn set_started(&self) {
        self.live().started = true;
    }

    /// Marks the process as paused or resumed.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.live().paused = paused;
    }

    /// Sets the exit, and wakes all waiters.
    pub(crate) fn set_exited(&self, exit: Exit) {
        self.live().pidfd = None;
        self.exit.send_replace(Some(exit));
    }

    /// Marks a process as exited that has no PID and will never be started, so that nobody waits for it forever.
    pub(crate) fn set_never_started(&self) {
        if self.pid() == 0 && self.exit().is_none() {
            self.set_exited(Exit::now(NEVER_STARTED_STATUS));
        }
    }

    /// PID; 0 before the process is created.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.live().pid).unwrap_or(0)
    }

    /// Exit of the process, if it has exited.
    #[must_use]
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for the exit.
    pub(crate) async fn wait(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or_else(|| Exit::now(255)),
            Err(_closed) => Exit::now(255),
        }
    }

    /// Current state.
    #[must_use]
    pub(crate) fn status(&self) -> Status {
        let live = self.live();
        match (self.exit(), live.started, live.paused) {
            (Some(_), ..) => Status::Stopped,
            (None, _, true) => Status::Paused,
            (None, true, false) => Status::Running,
            (None, false, false) => Status::Created,
        }
    }

    /// Sends a signal through the pidfd.
    ///
    /// # Errors
    /// The process has exited or was not started, or the signal number is invalid.
    pub(crate) fn signal(&self, number: u32) -> Result<(), Error> {
        let live = self.live();
        let finished = || Error::NotFound("process already finished".into());
        if self.exit().is_some() || (live.pid != 0 && live.pidfd.is_none()) {
            return Err(finished());
        }
        let pidfd =
            live.pidfd.as_ref().ok_or_else(|| Error::FailedPrecondition("process not started".into()))?;
        let signal =
            crate::sys::signal(number).ok_or_else(|| Error::Invalid(format!("invalid signal: {number}")))?;
        match pidfd_send_signal(pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Err(finished()),
            other => other.context(|| format!("cannot send signal {number} to process {}", live.pid)),
        }
    }
}
