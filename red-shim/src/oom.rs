//! Memory that ran out in a container.

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

/// Calls `told` each time, until the process has ended.
pub(crate) async fn watch(pid: u32, process: Arc<Process>, told: impl Fn()) {
    // Without a memory controller there is nothing to be told.
    let Ok(cgroup) = Cgroup::of(pid) else { return };
    let Some(mut source) = Source::of(&cgroup) else { return };
    loop {
        tokio::select! {
            happened = source.next() => match happened {
                Ok(true) => told(),
                Ok(false) => {}
                Err(_) => return,
            },
            // The last one is told before the end, as it is often the cause.
            _ = process.wait() => {
                if source.now() { told() }
                return;
            }
        }
    }
}

enum Source {
    /// Version 1: a counter that the kernel raises (memory cgroup, memory.oom_control).
    Counter { counter: AsyncFd<OwnedFd>, control: File, at: PathBuf },
    /// Version 2: a file that changes (memory.events), and how often it had happened before.
    Events { watch: AsyncFd<OwnedFd>, file: PathBuf, before: u64 },
}

impl Source {
    fn of(cgroup: &Cgroup) -> Option<Self> {
        match cgroup {
            Cgroup::Unified(dir) => Self::events(dir).ok(),
            Cgroup::Legacy(controllers) => Self::counter(controllers.get("memory")?).ok(),
        }
    }

    fn counter(dir: &Path) -> io::Result<Self> {
        let at = dir.join("memory.oom_control");
        let control = File::open(&at)?;
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let line = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        std::fs::write(dir.join("cgroup.event_control"), line)?;
        Ok(Self::Counter { counter: crate::sys::watched(counter)?, control, at })
    }

    fn events(dir: &Path) -> io::Result<Self> {
        let file = dir.join("memory.events");
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&watch, &file, inotify::WatchFlags::MODIFY)?;
        let before = kills(&file);
        Ok(Self::Events { watch: crate::sys::watched(watch)?, file, before })
    }

    async fn next(&mut self) -> io::Result<bool> {
        let fd = match self {
            Self::Counter { counter, .. } => counter,
            Self::Events { watch, .. } => watch,
        };
        let mut guard = fd.readable().await?;
        let mut buffer = [0; 1024];
        match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) {
            Err(_would_block) => return Ok(false),
            Ok(read) => read?,
        };
        Ok(match self {
            // It is raised when the cgroup goes, too.
            Self::Counter { at, .. } => at.exists(),
            Self::Events { .. } => self.now(),
        })
    }

    fn now(&mut self) -> bool {
        match self {
            Self::Counter { counter, control, at } => {
                let raised = rustix::io::read(&*counter, &mut [0_u8; 8]).is_ok();
                raised && at.exists() && control.metadata().is_ok()
            }
            Self::Events { file, before, .. } => {
                let count = kills(file);
                let more = count > *before;
                *before = count;
                more
            }
        }
    }
}

fn kills(file: &Path) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
