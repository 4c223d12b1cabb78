//! The last stage: the process is who its command will be, and the command is found.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::io::FdFlags;
use rustix::process::set_parent_process_death_signal;

use super::capabilities::Sets;
use super::{Common, Kept, Never, report_and_exit};
use crate::launch::error::{Doing, LaunchError};
use crate::launch::filter::Standard;
use crate::launch::job::{Job, Manner};
use crate::launch::process::{Program, Setup};
use crate::launch::reaper::Orders;
use crate::launch::schedule::Schedule;
use crate::launch::seccomp::Compiled;
use crate::launch::sync::{Message, Sync};
use crate::launch::{hooks, start};
use crate::sys;

/// A filter that is loaded right before the command is executed.
#[derive(Debug)]
pub(super) struct Pending {
    compiled: Compiled,
    /// Capabilities of a process that may gain privileges.
    sets: Option<Sets>,
}

impl Pending {
    pub(super) fn new(compiled: Compiled, sets: Option<Sets>) -> Self {
        Self { compiled, sets }
    }

    pub(super) fn asks(&self) -> bool {
        self.compiled.asks()
    }

    /// Loads the filter before the process waits, and gives up what that needed.
    pub(super) fn load_early(&self) -> rustix::io::Result<Option<OwnedFd>> {
        let listener = self.load()?;
        self.sets.as_ref().map_or(Ok(()), Sets::settle)?;
        Ok(listener)
    }

    /// Loads the filter; nothing is allocated, and the last call is the one that loads it.
    pub(super) fn load(&self) -> rustix::io::Result<Option<OwnedFd>> {
        self.sets.as_ref().map_or(Ok(()), Sets::load_filter)?;
        self.compiled.load()
    }
}

/// A process that only has to become its command.
pub(in crate::launch) struct Ready<'a> {
    common: Common<'a>,
    kept: Kept,
    program: Program,
    filter: Option<Arc<Pending>>,
}

impl<'a> Ready<'a> {
    pub(super) fn new(common: Common<'a>, kept: Kept, program: Program, filter: Option<Pending>) -> Self {
        Self { common, kept, program, filter: filter.map(Arc::new) }
    }

    /// Becomes the command of a container's first process, once it is started. Never returns:
    /// whoever starts it hears what goes wrong.
    pub(super) fn start(mut self, job: &Job<'_>) -> ! {
        let launcher = self.common.sync;
        self.name_listener(self.kept.exe.is_some() && job.reaps());
        let starter = match self.wait() {
            Ok(starter) => starter,
            Err(error) => report_and_exit(launcher, error),
        };
        let reporter = starter.as_ref().unwrap_or(launcher);
        match self.command(job, reporter, starter.is_some()) {
            Ok(never) => match never {},
            Err(error) => report_and_exit(reporter, error),
        }
    }

    /// Names the process that sockets are handed to (sd_listen_fds(3)): this one, or where that reaps, its first
    /// child, which in a fresh namespace is the second process.
    fn name_listener(&mut self, reaps: bool) {
        let Common { setup, passed, .. } = &mut self.common;
        if *passed > 0 && setup.listens() {
            setup.set_env("LISTEN_PID", (own_pid() + i32::from(reaps)).to_string());
        }
    }

    /// Waits, in a container that was created, until it is started. In the foreground it starts at
    /// once, and the launcher is who hears of it.
    fn wait(&mut self) -> Result<Option<Sync>, LaunchError> {
        let sync = self.common.sync;
        // Locks are the first process's, and stay with it over exec as long as their files are open.
        for lock in &self.kept.locks {
            rustix::io::fcntl_setfd(lock, FdFlags::empty()).doing(|| "a lock")?;
        }
        let Some(socket) = self.kept.start_socket.take() else { return Ok(None) };
        sync.say(&Message::Ready).doing(|| "the launcher")?;
        sync.wait_go()?;
        set_parent_process_death_signal(None).doing(|| "the signal at the launcher's end")?;
        // Only now may the launcher end without this process ending too.
        sync.say(&Message::Ready).doing(|| "the launcher")?;
        start::wait(&socket).map(Some)
    }

    fn command(self, job: &Job<'_>, reporter: &Sync, created: bool) -> Result<Never, LaunchError> {
        let Self { common, kept, program, filter } = self;
        let setup = &common.setup;
        let list = job.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
        if list.is_some() {
            let filter = filter.clone();
            let inside = hooks::Inside {
                environment: setup.environment(),
                confine: Arc::new(move || filter.as_ref().map_or(Ok(()), |filter| filter.load().map(drop))),
            };
            let state = job.state("created", Some(own_pid()));
            hooks::run("startContainer", list, &state, Some(&inside))?;
        }
        if created && Schedule::of(setup.process())?.comes_last() {
            reporter.say(&Message::Unscheduled).doing(|| "whoever starts the container")?;
            reporter.wait_go()?;
        }
        // What comes before may need what it denies.
        if setup.standard_filter() == Standard::Whole {
            setup.standard_filter().load()?;
        }
        let die_with_parent = matches!(job.manner, Manner::Foreground { die_with_parent: true, .. });
        let (preserve, waits) = (common.passed, !job.of_engine());
        let ended = kept.ended.and_then(|file| for_init(file, preserve));
        let ended = ended.as_ref().map(AsRawFd::as_raw_fd);
        let orders = Orders { reap: job.reaps(), die_with_parent, preserve, waits, ended };
        match &kept.exe {
            // The first process is ours, and gives signals back to the command itself.
            Some(exe) => {
                load(filter.as_deref())?;
                Err(setup.exec_under(exe, orders, reporter, &program))
            }
            None => Err(execute(setup, &program, filter.as_deref())),
        }
    }

    /// Becomes a further command of a container, under the standard filter where its first process
    /// is. Returns only when that fails.
    pub(in crate::launch) fn join(self) -> LaunchError {
        let Self { common, program, filter, .. } = self;
        let loaded = common.sync.say(&Message::Ready).doing(|| "the launcher");
        let standard = common.setup.standard_filter();
        match loaded.and_then(|()| if standard == Standard::Whole { standard.load() } else { Ok(()) }) {
            Ok(()) => execute(&common.setup, &program, filter.as_deref()),
            Err(error) => error,
        }
    }
}

/// Becomes the command. Returns only when that fails. Everything is made beforehand, so that the only call
/// that the filter sees is the one that executes the command.
fn execute(setup: &Setup<'_>, program: &Program, filter: Option<&Pending>) -> LaunchError {
    let image = setup.image(program);
    sys::reset_signals();
    match load(filter) {
        Ok(()) => image.execute(),
        Err(error) => error,
    }
}

/// The file of the command's end, as red-init gets it: beyond what is passed to the command, which red-init closes.
/// `None` where no number is left; then the end is not known to anybody, and the command starts all the same.
fn for_init(file: OwnedFd, preserve: u32) -> Option<OwnedFd> {
    let first = i32::try_from(3_u32.saturating_add(preserve)).ok()?;
    let file = rustix::io::fcntl_dupfd_cloexec(file, first).ok()?;
    rustix::io::fcntl_setfd(&file, FdFlags::empty()).ok().map(|()| file)
}

fn load(filter: Option<&Pending>) -> Result<(), LaunchError> {
    let Some(filter) = filter else { return Ok(()) };
    filter.load().map(drop).doing(|| "loading the filter of linux.seccomp")
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
