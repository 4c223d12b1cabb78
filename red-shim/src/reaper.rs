//! The ends of processes: of those that the shim starts, and of those that the runtime leaves to it.
//!
//! The shim is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): what `create` and `exec` make becomes its child when
//! they end. A number stays taken until its process is waited for here, so no other process can be meant by it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use crate::error::tried;
use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Exit {
    /// Its status, 128 and the number of the signal that ended it, or 255 where nobody could wait for it.
    pub(crate) status: u32,
    /// When that was seen.
    pub(crate) at: SystemTime,
}

impl Exit {
    /// Of a process that ended with this status just now.
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
struct Ends {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    /// Of processes that nobody has asked for yet, while somebody may.
    unclaimed: HashMap<i32, Exit>,
    held: usize,
}

/// Waits for every child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper(Arc<Mutex<Ends>>);

impl Reaper {
    fn ends(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be executed.
    pub(crate) fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        // Nothing is waited for between the two: there is one thread.
        let child = command.spawn()?;
        let (told, ended) = oneshot::channel();
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        self.ends().waiting.insert(pid, told);
        Ok(Child { pid, ended: Ended(ended) })
    }

    /// Keeps what ends from now on until it is claimed or nobody holds any more.
    #[must_use]
    pub(crate) fn hold(&self) -> Held {
        self.ends().held += 1;
        Held(self.clone())
    }

    /// Reaps for as long as the shim runs.
    pub(crate) async fn run(self, mut children: Signal) {
        loop {
            self.reap();
            if children.recv().await.is_none() {
                return;
            }
        }
    }

    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let mut ends = self.ends();
            if let Some(told) = ends.waiting.remove(&pid) {
                // Whoever asked may have gone.
                tried(told.send(status.into()));
            } else if ends.held > 0 {
                ends.unclaimed.insert(pid, status.into());
            }
        }
    }
}

/// The signal that tells of ended children; to be taken before the first one is started.
///
/// # Errors
/// The handler cannot be installed.
pub(crate) fn children() -> std::io::Result<Signal> {
    signal(SignalKind::child())
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number.
    pub(crate) pid: i32,
    /// Its end.
    pub(crate) ended: Ended,
}

/// The end of a process, to be awaited.
#[derive(Debug)]
pub(crate) struct Ended(oneshot::Receiver<Exit>);

impl Future for Ended {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Exit> {
        Pin::new(&mut self.0).poll(context).map(|exit| exit.unwrap_or_else(|_gone| Exit::now(255)))
    }
}

/// As long as it lives, ends of processes are kept that nobody knows yet.
#[derive(Debug)]
pub(crate) struct Held(Reaper);

impl Held {
    /// The end of a process that has become a child of the shim, and whether it has come already.
    pub(crate) fn claim(&self, pid: i32) -> (Ended, bool) {
        let (told, ended) = oneshot::channel();
        let mut ends = self.0.ends();
        let unclaimed = ends.unclaimed.remove(&pid);
        let over = unclaimed.is_some();
        match unclaimed {
            Some(exit) => tried(told.send(exit)),
            None => {
                ends.waiting.insert(pid, told);
            }
        }
        drop(ends);
        (Ended(ended), over)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut ends = self.0.ends();
        ends.held -= 1;
        if ends.held == 0 {
            ends.unclaimed = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it is small");
        runtime.block_on(future)
    }

    #[test]
    fn ends_reach_whoever_asked_and_those_who_ask_later() {
        block_on(async {
            let reaper = Reaper::default();
            tokio::spawn(reaper.clone().run(children().expect("it is ours")));
            let ended = reaper.spawn(Command::new("sh").args(["-c", "exit 7"])).expect("it starts");
            assert_eq!(ended.ended.await.status, 7);
            let ended = reaper.spawn(Command::new("sh").args(["-c", "kill -9 $$"])).expect("it starts");
            assert_eq!(ended.ended.await.status, 137);
            let held = reaper.hold();
            #[allow(clippy::zombie_processes, reason = "the reaper waits for it")]
            let child = Command::new("sh").args(["-c", "exit 3"]).spawn().expect("it starts");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let (ended, over) = held.claim(i32::try_from(child.id()).expect("it is small"));
            assert_eq!((ended.await.status, over), (3, true));
            drop(held);
            assert!(reaper.ends().unclaimed.is_empty());
        });
    }
}
