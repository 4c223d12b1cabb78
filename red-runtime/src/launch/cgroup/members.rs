//! Processes of a cgroup: joining, stopping, ending; and removing it when it is empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Cgroups, Layout, write};
use crate::launch::error::{Doing, LaunchError, tried};

/// How long the end of all processes of a container is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a cgroup or one below it has processes.
pub(super) fn populated(directory: &Path) -> bool {
    if let Ok(events) = fs::read_to_string(directory.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 1");
    }
    let mut any = false;
    walk(directory, &mut |directory| any |= !members(directory).is_empty());
    any
}

/// Calls for a cgroup and all below it, inner ones first.
fn walk(directory: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), each);
        }
    }
    each(directory);
}

fn members(directory: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect()
}

impl Cgroups {
    /// Moves a process into the container's cgroups. On version 2 it was made there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn join(&self, pid: Pid) -> Result<(), LaunchError> {
        self.leaves()
            .iter()
            .try_for_each(|leaf| write(&leaf.join("cgroup.procs"), &pid.as_raw_nonzero().to_string()))
    }

    /// Every process of the container.
    pub(crate) fn members(&self) -> Vec<Pid> {
        let mut all = Vec::new();
        for leaf in self.leaves() {
            walk(&leaf, &mut |directory| all.extend(members(directory)));
        }
        all.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        all.dedup();
        all
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
    /// There is no freezer, or it takes too long.
    pub(crate) fn freeze(&self, freeze: bool) -> Result<(), LaunchError> {
        let Some((file, words)) = self.freezer() else {
            return Err(LaunchError::Cgroup { path: self.path.clone(), why: "there is no freezer".into() });
        };
        let word = words[usize::from(freeze)];
        write(&file, word)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let done = match self.layout {
                Layout::V2 => {
                    let events = file.with_file_name("cgroup.events");
                    let text = fs::read_to_string(&events).doing(|| events.display().to_string())?;
                    text.lines().any(|line| line == format!("frozen {}", u8::from(freeze)))
                }
                _ => fs::read_to_string(&file).doing(|| file.display().to_string())?.trim() == word,
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
                write(&file, word)?;
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
                let left: Vec<String> =
                    self.members().iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
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

    fn kill(&self) -> Result<(), LaunchError> {
        if let Some(unified) = self.unified() {
            match fs::write(unified.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                // Before Linux 5.14 there is no such file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).doing(|| format!("cgroup {}", self.path)),
            }
        }
        // Frozen, they cannot multiply while they are killed.
        let frozen = self.freeze(true).is_ok();
        for pid in self.members() {
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => {
                    return Err(errno).doing(|| format!("killing process {}", pid.as_raw_nonzero()));
                }
            }
        }
        if frozen { self.freeze(false) } else { Ok(()) }
    }

    /// Removes what was made for the container, inner directories first. What others have put
    /// something into stays.
    ///
    /// # Errors
    /// Its own cgroup cannot be removed; it can be tried again.
    pub(crate) fn remove(&self) -> Result<(), LaunchError> {
        let leaves = self.leaves();
        for leaf in leaves.iter().filter(|leaf| self.made.contains(leaf)) {
            let mut below = Vec::new();
            walk(leaf, &mut |directory| below.push(directory.to_path_buf()));
            for directory in below {
                remove_one(&directory)?;
            }
        }
        for above in self.made.iter().rev().filter(|made| !leaves.contains(made)) {
            // Another container may be in it by now.
            tried(fs::remove_dir(above));
        }
        Ok(())
    }
}

/// The kernel may need a moment after the last process has gone.
fn remove_one(directory: &Path) -> Result<(), LaunchError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error).doing(|| format!("removing cgroup {}", directory.display())),
        }
    }
}
