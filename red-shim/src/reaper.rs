//! Exit statuses of the shim's child processes and of the processes that the runtime creates.
//!
//! The shim is a subreaper (PR_SET_CHILD_SUBREAPER(2const)): a process that `create` or `exec` has created is
//! reparented to the shim when the runtime exits. A PID is not reused before the reaper has waited for its process.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use crate::error::best_effort;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Exit of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Exit {
    /// Exit status; 128 + signal number after a fatal signal, 255 if unknown.
    pub(crate) status: u32,
    /// Time at which the process was reaped.
    pub(crate) at: SystemTime,
}

impl Exit {
    /// An exit with this status at the current time.
    #[must_use]
    pub(crate) fn now(status: u32) -> Self {
        Self { status, at: SystemTime::now() }
    }
}

impl From<WaitStatus> for Exit {
    fn from(status: WaitStatus) -> Self {
        let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
        Self::now(code.and_then(|code| u32::try_from(code).ok()).unwrap_or(255))
    }
}

#[derive(Debug, Default)]
struct Exits {
    /// Receivers of exits by PID.
    waiters: HashMap<i32, oneshot::Sender<Exit>>,
    /// Exits by PID without a waiter, kept while an [`ExitGuard`] exists.
    unclaimed: HashMap<i32, Exit>,
    /// Number of live [`ExitGuard`]s.
    guards: usize,
    /// No child is spawned.
    is_refusing: bool,
}

/// Reaps all child processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper(Arc<Mutex<Exits>>);

impl Reaper {
    fn exits(&self) -> std::sync::MutexGuard<'_, Exits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses to spawn any child from now on. Fuzzed requests must not execute what they name.
    pub(crate) fn refuse(&self) {
        self.exits().is_refusing = true;
    }

    /// Spawns a child process.
    ///
    /// # Errors
    /// fork(2) or execve(2) fails.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        if self.exits().is_refusing {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        // No race with `reap`: the shim is single-threaded.
        let child = command.spawn()?;
        let (sender, receiver) = oneshot::channel();
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        self.exits().waiters.insert(pid, sender);
        Ok(Child { pid, exit: ExitFuture(receiver) })
    }

    /// Keeps the exits of unknown children until they are claimed or the last guard is dropped.
    #[must_use]
    pub(crate) fn retain_exits(&self) -> ExitGuard {
        self.exits().guards += 1;
        ExitGuard(self.clone())
    }

    /// Reaps children on each SIGCHLD, until the shim exits.
    pub(crate) async fn run(self, mut sigchld: Signal) {
        loop {
            self.reap();
            if sigchld.recv().await.is_none() {
                return;
            }
        }
    }

    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let mut exits = self.exits();
            if let Some(sender) = exits.waiters.remove(&pid) {
                // The receiver may have been dropped.
                best_effort(sender.send(status.into()));
            } else if exits.guards > 0 {
                exits.unclaimed.insert(pid, status.into());
            }
        }
    }
}

/// Installs the SIGCHLD handler; must be called before the first child is spawned.
///
/// # Errors
/// sigaction(2) fails.
pub(crate) fn sigchld() -> std::io::Result<Signal> {
    signal(SignalKind::child())
}

/// A spawned child process.
#[derive(Debug)]
pub(crate) struct Child {
    /// PID of the child.
    pub(crate) pid: i32,
    /// Exit of the child.
    pub(crate) exit: ExitFuture,
}

/// Future of a process's exit.
#[derive(Debug)]
pub(crate) struct ExitFuture(oneshot::Receiver<Exit>);

impl Future for ExitFuture {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Exit> {
        Pin::new(&mut self.0).poll(context).map(|exit| exit.unwrap_or_else(|_closed| Exit::now(255)))
    }
}

/// Keeps the exits of unknown children while it lives, so that a short-lived process can be claimed afterwards.
#[derive(Debug)]
pub(crate) struct ExitGuard(Reaper);

impl ExitGuard {
    /// Exit of a child process, and whether the child has been reaped already. The exit of an earlier process with the
    /// same PID is discarded: the child, which is unknown to [`Exits::waiters`], still exists then.
    pub(crate) fn claim(&self, pid: i32) -> (ExitFuture, bool) {
        let (sender, receiver) = oneshot::channel();
        let mut exits = self.0.exits();
        let unclaimed =
            exits.unclaimed.remove(&pid).filter(|_| exits.waiters.contains_key(&pid) || !is_child(pid));
        let reaped = unclaimed.is_some();
        match unclaimed {
            Some(exit) => best_effort(sender.send(exit)),
            None => {
                exits.waiters.insert(pid, sender);
            }
        }
        drop(exits);
        (ExitFuture(receiver), reaped)
    }
}

/// Whether the shim has a child process with this PID that has not been reaped.
fn is_child(pid: i32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Pid::from_raw(pid).is_some_and(|pid| waitid(WaitId::Pid(pid), options).is_ok())
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let mut exits = self.0.exits();
        exits.guards -= 1;
        if exits.guards == 0 {
            exits.unclaimed = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        runtime.block_on(future)
    }

    #[test]
    fn exits_are_delivered_to_waiters_and_late_claims() {
        block_on(async {
            let reaper = Reaper::default();
            tokio::spawn(reaper.clone().run(sigchld().expect("SIGCHLD handler")));
            let child = reaper.spawn(Command::new("sh").args(["-c", "exit 7"])).expect("spawn sh");
            assert_eq!(child.exit.await.status, 7);
            let child = reaper.spawn(Command::new("sh").args(["-c", "kill -9 $$"])).expect("spawn sh");
            assert_eq!(child.exit.await.status, 137);
            let guard = reaper.retain_exits();
            #[allow(clippy::zombie_processes, reason = "the reaper waits for it")]
            let child = Command::new("sh").args(["-c", "exit 3"]).spawn().expect("spawn sh");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let (exit, reaped) = guard.claim(i32::try_from(child.id()).expect("a PID fits into i32"));
            assert_eq!((exit.await.status, reaped), (3, true));
            // The PID was reused.
            #[allow(clippy::zombie_processes, reason = "the reaper waits for it")]
            let child = Command::new("sh").args(["-c", "sleep 0.3; exit 4"]).spawn().expect("spawn sh");
            let pid = i32::try_from(child.id()).expect("a PID fits into i32");
            reaper.exits().unclaimed.insert(pid, Exit::now(9));
            let (exit, reaped) = guard.claim(pid);
            assert_eq!((exit.await.status, reaped), (4, false));
            drop(guard);
            assert!(reaper.exits().unclaimed.is_empty());
        });
    }
}
