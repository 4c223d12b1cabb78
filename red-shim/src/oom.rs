//! OOM kills in a container's memory cgroup.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::WatchFlags;
use tokio::io::unix::AsyncFd;

use crate::inotify::{Inotify, Watch};
use crate::metrics::Cgroup;

/// OOM notification of a cgroup.
#[derive(Debug)]
pub(crate) enum OomWatch {
    /// No memory controller.
    Unavailable,
    /// cgroup v1: an eventfd registered for `memory.oom_control` (kernel, admin-guide/cgroup-v1/memory).
    EventFd { eventfd: AsyncFd<OwnedFd>, _control: File, path: PathBuf },
    /// cgroup v2: a watch of `memory.events`, and the last `oom_kill` count.
    MemoryEvents { watch: Watch, file: PathBuf, last_count: u64 },
}

impl OomWatch {
    /// Watches a cgroup; a failure is logged.
    pub(crate) fn new(cgroup: &Cgroup, inotify: &Inotify) -> Self {
        let watch = match cgroup {
            Cgroup::Unified(dir) => Self::memory_events(dir, inotify),
            Cgroup::Legacy(controllers) => {
                controllers.get("memory").map_or(Ok(Self::Unavailable), |dir| Self::oom_control(dir))
            }
        };
        watch.unwrap_or_else(|error| {
            crate::sys::log(&format!("cannot watch for OOM kills: {error}; there will be no OOM events"));
            Self::Unavailable
        })
    }

    fn oom_control(dir: &Path) -> io::Result<Self> {
        let path = dir.join("memory.oom_control");
        let control = File::open(&path)?;
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        std::fs::write(dir.join("cgroup.event_control"), line)?;
        Ok(Self::EventFd { eventfd: crate::sys::async_fd(counter)?, _control: control, path })
    }

    fn memory_events(dir: &Path, inotify: &Inotify) -> io::Result<Self> {
        let file = dir.join("memory.events");
        if !file.exists() {
            return Ok(Self::Unavailable);
        }
        let watch = inotify.watch(&file, WatchFlags::MODIFY)?;
        let last_count = oom_kill_count(&file);
        Ok(Self::MemoryEvents { watch, file, last_count })
    }

    /// Waits for the next OOM kill; forever if there are no notifications.
    pub(crate) async fn next(&mut self) {
        loop {
            match self {
                Self::Unavailable => std::future::pending().await,
                Self::EventFd { eventfd, path, .. } => {
                    let result = crate::sys::read(eventfd, &mut [0_u8; 8]).await;
                    // Removing the cgroup signals the eventfd too.
                    if result.is_ok() && path.exists() {
                        return;
                    }
                    *self = Self::Unavailable;
                }
                Self::MemoryEvents { watch, .. } => {
                    watch.changed().await;
                    if self.take_pending() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether there was an OOM kill since the last call of this function or [`OomWatch::next`].
    pub(crate) fn take_pending(&mut self) -> bool {
        match self {
            Self::Unavailable => false,
            Self::EventFd { eventfd, path, .. } => {
                rustix::io::read(&*eventfd, &mut [0_u8; 8]).is_ok() && path.exists()
            }
            Self::MemoryEvents { file, last_count, .. } => {
                let count = oom_kill_count(file);
                let increased = count > *last_count;
                *last_count = count;
                increased
            }
        }
    }
}

fn oom_kill_count(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_events_are_counted_without_losing_the_last() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let write = |count: u64| {
            std::fs::write(dir.path().join("memory.events"), format!("oom 9\noom_kill {count}\n"))
                .expect("write");
        };
        write(1);
        let cgroup = Cgroup::Unified(dir.path().into());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio runtime");
        runtime.block_on(async {
            let mut watch = OomWatch::new(&cgroup, &Inotify::default());
            assert!(!watch.take_pending());
            write(2);
            watch.next().await;
            assert!(!watch.take_pending());
            write(4);
            assert!(watch.take_pending());
        });
        let none = Cgroup::Unified(dir.path().join("none"));
        assert!(matches!(OomWatch::new(&none, &Inotify::default()), OomWatch::Unavailable));
    }
}
