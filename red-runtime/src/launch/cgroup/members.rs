//! Processes of a cgroup: joining, stopping, ending; and removing it when it is empty.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::systemd::Scope;
use super::tree::{self, walk};
use super::{Cgroups, Layout, write};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::sys::signal;

/// How long the end of all processes of a container is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long processes that end by themselves are waited for.
const GRACE: Duration = Duration::from_secs(3);

/// How many processes are looked at by descriptor at once: fewer than the usual limit of open files.
const AT_ONCE: usize = 256;

/// Whether a cgroup or one below it has processes. What cannot be read may have.
pub(super) fn populated(directory: &Path) -> bool {
    if let Ok(events) = fs::read_to_string(directory.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 1");
    }
    let mut any = false;
    let mut look = |directory: BorrowedFd<'_>| {
        any |= !members(directory)?.is_empty();
        Ok(())
    };
    walk(directory, &mut look, &mut |_, _| Ok(())).is_err() || any
}

/// Whether nothing runs in a cgroup of version 2, because it or one above it is frozen (cgroup-v2.rst,
/// "cgroup.events").
///
/// # Errors
/// It cannot be read.
pub(crate) fn is_frozen(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(directory, c"cgroup.events", flags, Mode::empty()) {
        // The topmost one has none, and is never frozen.
        Err(Errno::NOENT) => Ok(false),
        events => {
            let mut text = String::new();
            fs::File::from(events?).read_to_string(&mut text)?;
            Ok(text.lines().any(|line| line == "frozen 1"))
        }
    }
}

/// Whether a cgroup has cgroups below it. What cannot be read may have.
pub(super) fn has_children(directory: &Path) -> bool {
    let mut any = false;
    let mut left = |_: BorrowedFd<'_>, _: &CString| {
        any = true;
        Ok(())
    };
    walk(directory, &mut |_| Ok(()), &mut left).is_err() || any
}

/// How many processes of a container the kernel has ended because memory ran out (memory.oom_control of
/// version 1, memory.events of version 2); 0 where nothing is counted.
pub(crate) fn oom_kills(cgroups: &Cgroups) -> u64 {
    let below = cgroups.path.trim_start_matches('/');
    let file = match cgroups.layout {
        Layout::V2 => Path::new(super::MOUNT).join(below).join("memory.events"),
        _ => Path::new(super::MOUNT).join("memory").join(below).join("memory.oom_control"),
    };
    let text = fs::read_to_string(file).unwrap_or_default();
    let count =
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.parse().ok());
    count.unwrap_or(0)
}

/// Processes of a cgroup; none of one that is not there (any more).
fn members(directory: BorrowedFd<'_>) -> io::Result<Vec<i32>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let text =
        openat(directory, c"cgroup.procs", flags, Mode::empty()).map_err(io::Error::from).and_then(|file| {
            let mut text = String::new();
            fs::File::from(file).read_to_string(&mut text).map(|_| text)
        });
    match text {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        // Removed meanwhile; or of a thread-mode group, whose processes its domain lists
        // (cgroup-v2.rst, "Threads").
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => Ok(Vec::new()),
            _ => Err(error),
        },
    }
}

impl Cgroups {
    /// PIDs of every process of the container.
    ///
    /// # Errors
    /// One of its cgroups cannot be read.
    pub(crate) fn members(&self) -> Result<BTreeSet<i32>, LaunchError> {
        let mut all = BTreeSet::new();
        for leaf in self.leaves() {
            let mut add = |directory: BorrowedFd<'_>| {
                all.extend(members(directory)?);
                Ok(())
            };
            walk(&leaf, &mut add, &mut |_, _| Ok(()))
                .doing(|| format!("processes of cgroup {}", self.path))?;
        }
        Ok(all)
    }

    /// Sends a signal to every process of the container, and to no other: a PID may be another
    /// process's by the time it is used, so each is opened first, and is then looked for in the cgroup
    /// once more.
    ///
    /// # Errors
    /// A cgroup cannot be read, or a process not be signalled. All are tried.
    pub(crate) fn signal(&self, number: i32) -> Result<(), LaunchError> {
        let pids: Vec<i32> = self.members()?.into_iter().collect();
        let mut result = Ok(());
        let failed = |pid: i32, errno| Err(errno).doing(|| format!("signal {number} for process {pid}"));
        for some in pids.chunks(AT_ONCE) {
            let mut opened: Vec<(i32, OwnedFd)> = Vec::with_capacity(some.len());
            for pid in some {
                let Some(id) = Pid::from_raw(*pid) else { continue };
                match pidfd_open(id, PidfdFlags::empty()) {
                    Ok(pidfd) => opened.push((*pid, pidfd)),
                    Err(Errno::SRCH) => {}
                    Err(errno) => result = failed(*pid, errno),
                }
            }
            let still = self.members()?;
            for (pid, pidfd) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
                match signal::send(pidfd, number) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => result = failed(*pid, errno),
                }
            }
        }
        result
    }

    /// Whether anything runs in it.
    pub(crate) fn populated(&self) -> bool {
        self.leaves().iter().any(|leaf| populated(leaf))
    }

    /// The file of the freezer, and what is written to it.
    fn freezer(&self) -> Option<(PathBuf, [&'static str; 2])> {
        let below = self.path.trim_start_matches('/');
        let (file, words) = match self.layout {
            Layout::V2 => (Path::new(super::MOUNT).join(below).join("cgroup.freeze"), ["0", "1"]),
            Layout::V1 => (
                Path::new(super::MOUNT).join("freezer").join(below).join("freezer.state"),
                ["THAWED", "FROZEN"],
            ),
            Layout::None => return None,
        };
        file.exists().then_some((file, words))
    }

    /// Whether it is stopped by the freezer.
    pub(crate) fn frozen(&self) -> bool {
        self.freezer().is_some_and(|(file, words)| {
            fs::read_to_string(file).is_ok_and(|text| text.trim() == words[1] || text.trim() == "FREEZING")
        })
    }

    /// Stops or continues everything in it, and waits until that has happened.
    ///
    /// # Errors
    /// There is no freezer, or it takes too long. Then nothing is left half frozen.
    pub(crate) fn freeze(&self, freeze: bool) -> Result<(), LaunchError> {
        let Some((file, words)) = self.freezer() else {
            return Err(LaunchError::Cgroup { path: self.path.clone(), why: "there is no freezer".into() });
        };
        let result = self.switch(&file, words[usize::from(freeze)], freeze);
        if result.is_err() && freeze {
            tried(write(&file, words[0]));
        }
        result
    }

    fn switch(&self, file: &Path, word: &str, freeze: bool) -> Result<(), LaunchError> {
        write(file, word)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let done = match self.layout {
                Layout::V2 => {
                    let events = file.with_file_name("cgroup.events");
                    let text = fs::read_to_string(&events).doing(|| events.display().to_string())?;
                    text.lines().any(|line| line == format!("frozen {}", u8::from(freeze)))
                }
                _ => fs::read_to_string(file).doing(|| file.display().to_string())?.trim() == word,
            };
            if done {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(LaunchError::Cgroup {
                    path: self.path.clone(),
                    why: format!("not {} after {} s", word.to_lowercase(), PATIENCE.as_secs()),
                });
            }
            std::thread::sleep(Duration::from_millis(2));
            if self.layout == Layout::V1 {
                // A task that was made meanwhile is caught by asking again (freezer-subsystem.rst).
                write(file, word)?;
            }
        }
    }

    /// Ends every process of the container and waits until they are gone.
    ///
    /// # Errors
    /// Some are still there after a while; it can be tried again.
    pub(crate) fn end(&self) -> Result<(), LaunchError> {
        let end = Instant::now() + PATIENCE;
        let mut wait = Duration::from_micros(200);
        while self.populated() {
            self.kill()?;
            if Instant::now() > end {
                let left: Vec<String> = self.members()?.iter().map(ToString::to_string).collect();
                return Err(LaunchError::Cgroup {
                    path: self.path.clone(),
                    why: format!("processes {} do not end; try again later", left.join(", ")),
                });
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until nothing runs in it, and ends nothing.
    ///
    /// # Errors
    /// Something still does after a while.
    pub(crate) fn wait_empty(&self) -> Result<(), LaunchError> {
        let end = Instant::now() + GRACE;
        while self.populated() {
            if Instant::now() > end {
                let left: Vec<String> = self.members()?.iter().map(ToString::to_string).collect();
                let why = format!(
                    "processes {} are in it, and nothing shows that they are of this container; end them and try again",
                    left.join(", ")
                );
                return Err(LaunchError::Cgroup { path: self.path.clone(), why });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn kill(&self) -> Result<(), LaunchError> {
        if let Some(unified) = self.unified() {
            match fs::write(unified.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                // Before Linux 5.14 there is no such file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).doing(|| format!("cgroup {}", self.path)),
            }
        }
        // Frozen, they cannot multiply while they are killed. Where they cannot be frozen, whoever calls
        // this does so until none is left.
        let frozen = self.freeze(true).is_ok();
        let killed = self.signal(libc::SIGKILL);
        // The signal takes effect once they go on; so they do whatever came of it.
        let thawed = if frozen { self.freeze(false) } else { Ok(()) };
        killed.and(thawed)
    }

    /// Removes what was made for the container, inner directories first. What others have put
    /// something into stays.
    ///
    /// # Errors
    /// Its own cgroup cannot be removed, or systemd does not end its scope; it can be tried again.
    pub(crate) fn remove(&self) -> Result<(), LaunchError> {
        if let Some(name) = &self.systemd {
            let stopped = Scope::parse(name)?.stop();
            // Where nothing ever was in it, it was not made, and whoever did not make it need not take it away.
            if self.inodes.is_empty() {
                tried(stopped);
                return Ok(());
            }
            return stopped;
        }
        let leaves = self.leaves();
        for leaf in leaves.iter().filter(|leaf| self.made.contains(leaf)) {
            tree::remove(leaf).doing(|| format!("removing cgroup {}", leaf.display()))?;
        }
        for above in self.made.iter().rev().filter(|made| !leaves.contains(made)) {
            // Another container may be in it by now.
            tried(fs::remove_dir(above));
        }
        Ok(())
    }
}
