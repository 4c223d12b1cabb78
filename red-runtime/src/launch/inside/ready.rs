//! The last stage: the process is who its command will be, and the command is found.

use std::os::fd::OwnedFd;

use rustix::io::FdFlags;
use rustix::process::set_parent_process_death_signal;

use super::{Common, Kept, Never, report_and_exit};
use crate::launch::error::{Doing, LaunchError};
use crate::launch::job::{Job, Manner};
use crate::launch::process::Program;
use crate::launch::reaper::Orders;
use crate::launch::sync::{Message, Sync};
use crate::launch::{filter, hooks, seccomp, start};

/// A process that only has to become its command.
pub(in crate::launch) struct Ready<'a> {
    common: Common<'a>,
    kept: Kept,
    program: Program,
}

impl<'a> Ready<'a> {
    pub(super) fn new(common: Common<'a>, kept: Kept, program: Program) -> Self {
        Self { common, kept, program }
    }

    /// Becomes the command of a container's first process, once it is started. Never returns:
    /// whoever starts it hears what goes wrong.
    pub(super) fn start(mut self, job: &Job<'_>) -> ! {
        let launcher = self.common.sync;
        let starter = match self.wait() {
            Ok(starter) => starter,
            Err(error) => report_and_exit(launcher, error),
        };
        let reporter = starter.as_ref().unwrap_or(launcher);
        match self.command(job, reporter) {
            Ok(never) => match never {},
            Err(error) => report_and_exit(reporter, error),
        }
    }

    /// Waits, in a container that was created, until it is started. In the foreground it starts at
    /// once, and the launcher is who hears of it.
    fn wait(&mut self) -> Result<Option<Sync>, LaunchError> {
        let Common { setup, sync, passed, .. } = &mut self.common;
        if *passed > 0 && setup.listens() {
            setup.set_env("LISTEN_PID", &own_pid().to_string());
        }
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

    fn command(self, job: &Job<'_>, reporter: &Sync) -> Result<Never, LaunchError> {
        let Self { common, kept, program } = self;
        let list = job.spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
        if list.is_some() {
            hooks::run("startContainer", list, &job.state("created", Some(own_pid())))?;
        }
        let setup = &common.setup;
        let notify = if setup.gains_privileges() { None } else { seccomp::load(setup.seccomp())? };
        seccomp::hand_over(Some(job), kept.listener.as_ref(), notify)?;
        if job.filter {
            filter::load()?;
        }
        let die_with_parent = matches!(job.manner, Manner::Foreground { die_with_parent: true, .. });
        let orders = Orders { reap: job.reaps(), die_with_parent, preserve: common.passed };
        Err(match &kept.exe {
            Some(exe) => setup.exec_under(exe, orders, reporter, &program),
            None => setup.exec(&program),
        })
    }

    /// Becomes a further command of a container, under the standard filter where its first process
    /// is. Returns only when that fails.
    pub(in crate::launch) fn join(self, standard_filter: bool) -> LaunchError {
        let Self { common, program, .. } = self;
        let setup = &common.setup;
        let loaded = common.sync.say(&Message::Ready).doing(|| "the launcher").and_then(|()| {
            let notify = if setup.gains_privileges() { None } else { seccomp::load(setup.seccomp())? };
            seccomp::hand_over(None, None::<&OwnedFd>, notify)?;
            if standard_filter { filter::load() } else { Ok(()) }
        });
        match loaded {
            Ok(()) => setup.exec(&program),
            Err(error) => error,
        }
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
