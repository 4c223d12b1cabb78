//! Creation of processes by the runtime's `create` and `exec`.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::Container;
use crate::address::SOCKET_DIR;
use crate::error::{Error, best_effort};
use crate::process::Process;
use crate::reaper::{ExitFuture, ExitGuard};
use crate::runtime::{self, CallFiles};
use crate::stdio::{ConsoleSocket, ContainerRef, Streams};

impl Container {
    /// Runs the runtime's `create` or `exec` with the process's streams attached. The command is made for the path of a
    /// console socket, if the process has a terminal.
    ///
    /// # Errors
    /// A stream cannot be opened, the runtime fails, or its process cannot be attached and is killed.
    pub(super) async fn launch(
        &self,
        process: &Process,
        files: &CallFiles,
        command: impl FnOnce(Option<&Path>) -> Command,
        subcommand: &'static str,
    ) -> Result<ExitFuture, Error> {
        let exit_guard = self.shim.reaper.retain_exits();
        let streams = if process.stdio.terminal {
            let socket = ConsoleSocket::new(Path::new(SOCKET_DIR))?;
            let mut command = command(Some(socket.path()));
            runtime::run(&self.shim.reaper, subcommand, &mut command, files).await?;
            match self.attach_console(process, socket).await {
                Ok(streams) => streams,
                Err(error) => {
                    self.kill_unattached(&exit_guard, files, None).await;
                    return Err(error);
                }
            }
        } else {
            let mut command = command(None);
            let streams = Streams::attach(&process.stdio, self.container_ref(), &mut command).await?;
            let result = runtime::run(&self.shim.reaper, subcommand, &mut command, files).await;
            // The command owns the process's ends of the streams.
            drop(command);
            if let Err(error) = result {
                self.shim.finish(streams).await;
                return Err(error);
            }
            streams
        };
        match attach(process, &exit_guard, files) {
            Ok(exit) => {
                process.set_streams(streams);
                Ok(exit)
            }
            Err(error) => {
                self.kill_unattached(&exit_guard, files, Some(streams)).await;
                Err(error)
            }
        }
    }

    fn container_ref(&self) -> ContainerRef<'_> {
        ContainerRef { id: &self.id, shim: &self.shim }
    }

    async fn attach_console(&self, process: &Process, socket: ConsoleSocket) -> Result<Streams, Error> {
        let master = socket.receive_master().await?;
        Streams::attach_console(&process.stdio, self.container_ref(), master).await
    }

    /// Kills a process that the runtime has created and of which no client will know, and closes its streams.
    async fn kill_unattached(&self, exit_guard: &ExitGuard, files: &CallFiles, streams: Option<Streams>) {
        let mut killed = kill_created(exit_guard, files);
        if let Some(streams) = streams {
            self.shim.finish(streams).await;
        }
        if killed.is_err() {
            // Closed streams have freed file descriptors, which reading the PID file may have lacked.
            killed = kill_created(exit_guard, files);
        }
        if let Err(error) = killed {
            crate::sys::log(&format!("cannot kill a process of container `{}`: {error}", self.id));
        }
    }
}

/// Reads the PID of a process that the runtime has created, and opens its pidfd. Without a pidfd it is killed.
fn attach(process: &Process, exit_guard: &ExitGuard, files: &CallFiles) -> Result<ExitFuture, Error> {
    let pid = files.read_pid()?;
    let (exit, reaped) = exit_guard.claim(pid);
    process.set_pid(pid, reaped).inspect_err(|_| kill_unless_reaped(pid, reaped))?;
    Ok(exit)
}

/// Kills a process that the runtime has created.
fn kill_created(exit_guard: &ExitGuard, files: &CallFiles) -> Result<(), Error> {
    let pid = files.read_pid()?;
    let (_exit, reaped) = exit_guard.claim(pid);
    kill_unless_reaped(pid, reaped);
    Ok(())
}

/// Kills a child process, whose PID may be reused once it was reaped.
fn kill_unless_reaped(pid: i32, reaped: bool) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| !reaped) {
        // It may have exited.
        best_effort(kill_process(pid, Signal::KILL));
    }
}
