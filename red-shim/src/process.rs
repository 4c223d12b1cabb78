//! A process of a container: its first one, or one that was added by `exec`.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use crate::error::{Doing, Error};
use crate::reaper::Exit;
use crate::stdio::{Streams, Wanted};

/// Where a process stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// It waits to be started.
    Created,
    /// It runs.
    Running,
    /// It is stopped with all of its container.
    Paused,
    /// It has ended.
    Stopped,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Name of an added one; empty for a container's first process.
    pub(crate) exec_id: String,
    /// Its streams, as they were asked for.
    pub(crate) wanted: Wanted,
    live: Mutex<Live>,
    /// How it ended, once it has.
    ended: watch::Sender<Option<Exit>>,
    /// Held by whatever changes where it stands; its end is told after the start that it overtook.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Live {
    pid: i32,
    /// The process itself, whatever has its number later.
    process: Option<OwnedFd>,
    started: bool,
    paused: bool,
    streams: Option<Streams>,
}

impl Process {
    /// One that is not there yet.
    #[must_use]
    pub(crate) fn new(exec_id: String, wanted: Wanted) -> Self {
        Self {
            exec_id,
            wanted,
            live: Mutex::default(),
            ended: watch::Sender::new(None),
            gate: tokio::sync::Mutex::new(()),
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is there, as a child of the shim; `over` when it has been waited for already, so that its number may be
    /// somebody else's by now.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(crate) fn made(&self, pid: i32, over: bool) -> Result<(), Error> {
        let number = Pid::from_raw(pid).ok_or_else(|| Error::Invalid(format!("process {pid}")))?;
        let process = match over {
            true => None,
            false => {
                let opened = pidfd_open(number, PidfdFlags::empty());
                Some(opened.doing(|| format!("cannot watch process {pid}"))?)
            }
        };
        let mut live = self.live();
        live.pid = pid;
        live.process = process;
        Ok(())
    }

    /// Keeps its streams.
    pub(crate) fn keep(&self, streams: Streams) {
        self.live().streams = Some(streams);
    }

    /// Takes them, to be finished.
    #[must_use]
    pub(crate) fn take_streams(&self) -> Option<Streams> {
        self.live().streams.take()
    }

    /// Does something with them.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn with_streams<T>(&self, what: impl FnOnce(&mut Streams) -> T) -> Result<T, Error> {
        let mut live = self.live();
        let streams = live.streams.as_mut();
        Ok(what(streams.ok_or_else(|| Error::State("the process was not started".into()))?))
    }

    /// It has become its command.
    pub(crate) fn start(&self) {
        self.live().started = true;
    }

    /// All of its container is stopped, or goes on.
    pub(crate) fn pause(&self, paused: bool) {
        self.live().paused = paused;
    }

    /// It has ended.
    pub(crate) fn end(&self, exit: Exit) {
        self.live().process = None;
        self.ended.send_replace(Some(exit));
    }

    /// Its number; 0 as long as it is not there.
    #[must_use]
    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.live().pid).unwrap_or(0)
    }

    /// How it ended, if it has.
    #[must_use]
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Exit {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or_else(|| Exit::now(255)),
            Err(_gone) => Exit::now(255),
        }
    }

    /// Where it stands.
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

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended, is not there yet, or the signal is none.
    pub(crate) fn signal(&self, number: u32) -> Result<(), Error> {
        let live = self.live();
        let gone = || Error::Unknown("process already finished".into());
        if self.exit().is_some() || (live.pid != 0 && live.process.is_none()) {
            return Err(gone());
        }
        let process =
            live.process.as_ref().ok_or_else(|| Error::State("the process was not started".into()))?;
        let signal = crate::sys::signal(number)
            .ok_or_else(|| Error::Invalid(format!("there is no signal {number}")))?;
        match pidfd_send_signal(process, signal) {
            Err(rustix::io::Errno::SRCH) => Err(gone()),
            other => other.doing(|| format!("signal {number} for process {}", live.pid)),
        }
    }
}
