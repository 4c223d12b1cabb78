//! OOM kills in a container's memory cgroup.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use crate::metrics::Cgroup;
use crate::process::Process;

/// Calls `on_oom` for each OOM kill in the cgroup of `pid`, until the process has exited.
pub(crate) async fn watch(pid: u32, process: Arc<Process>, on_oom: impl Fn()) {
    // Without a memory controller there are no OOM notifications.
    let Ok(cgroup) = Cgroup::of_process(pid) else { return };
    let Some(mut oom_watch) = OomWatch::of(&cgroup) else { return };
    loop {
        tokio::select! {
            result = oom_watch.next() => match result {
                Ok(true) => on_oom(),
                Ok(false) => {}
                Err(_) => return,
            },
            // An OOM kill is often the cause of the exit, so it is reported first.
            _ = process.wait() => {
                if oom_watch.take_pending() { on_oom() }
                return;
            }
        }
    }
}

/// OOM notification of a cgroup.
enum OomWatch {
    /// cgroup v1: an eventfd registered for `memory.oom_control` (kernel, admin-guide/cgroup-v1/memory).
    EventFd { eventfd: AsyncFd<OwnedFd>, control: File, path: PathBuf },
    /// cgroup v2: an inotify watch of `memory.events`, and the last `oom_kill` count.
    MemoryEvents { watch: AsyncFd<OwnedFd>, file: PathBuf, last_count: u64 },
}

impl OomWatch {
    fn of(cgroup: &Cgroup) -> Option<Self> {
        match cgroup {
            Cgroup::Unified(dir) => Self::memory_events(dir).ok(),
            Cgroup::Legacy(controllers) => Self::oom_control(controllers.get("memory")?).ok(),
        }
    }

    fn oom_control(dir: &Path) -> io::Result<Self> {
        let path = dir.join("memory.oom_control");
        let control = File::open(&path)?;
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        std::fs::write(dir.join("cgroup.event_control"), line)?;
        Ok(Self::EventFd { eventfd: crate::sys::async_fd(counter)?, control, path })
    }

    fn memory_events(dir: &Path) -> io::Result<Self> {
        let file = dir.join("memory.events");
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, &file, inotify::WatchFlags::MODIFY)?;
        let last_count = oom_kill_count(&file);
        Ok(Self::MemoryEvents { watch: crate::sys::async_fd(watch)?, file, last_count })
    }

    async fn next(&mut self) -> io::Result<bool> {
        let fd = match self {
            Self::EventFd { eventfd, .. } => eventfd,
            Self::MemoryEvents { watch, .. } => watch,
        };
        let mut guard = fd.readable().await?;
        let mut buffer = [0; 1024];
        match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) {
            Err(_would_block) => return Ok(false),
            Ok(read) => read?,
        };
        Ok(match self {
            // Removing the cgroup signals the eventfd too.
            Self::EventFd { path, .. } => path.exists(),
            Self::MemoryEvents { .. } => self.take_pending(),
        })
    }

    fn take_pending(&mut self) -> bool {
        match self {
            Self::EventFd { eventfd, control, path } => {
                let signalled = rustix::io::read(&*eventfd, &mut [0_u8; 8]).is_ok();
                signalled && path.exists() && control.metadata().is_ok()
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
