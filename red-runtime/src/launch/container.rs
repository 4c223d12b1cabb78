//! A container that was made: what it is now, signals, its end.

mod remove;

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::Hooks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};

use super::cgroup::{self, Layout};
use super::error::{Doing, LaunchError, tried};
use super::record::{Held, Process, Record, Stage, Store};
use super::schedule::Schedule;
use super::{hooks, start};
use crate::spec::annotation;
use crate::sys::signal;

pub(crate) use remove::{collect, delete, delete_own, free, free_name, take_down};

/// What a container is now (runtime specification, runtime.md, "State").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// It is being made.
    Creating,
    /// It waits to be started.
    Created,
    /// Its command runs.
    Running,
    /// Everything in it is stopped.
    Paused,
    /// It has ended.
    Stopped,
}

impl Status {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Process {
    /// A process that exists.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn of(pid: Pid) -> Result<Self, LaunchError> {
        let number = pid.as_raw_nonzero().get();
        match stat(number) {
            Some(stat) => Ok(Self { pid: number, start: stat.start, pidfd: None }),
            None => Self::hidden(pid),
        }
    }

    /// A process that cannot be looked at: with `hidepid=` (proc(5)) an ordinary user does not see one that
    /// keeps others from tracing it.
    fn hidden(pid: Pid) -> Result<Self, LaunchError> {
        let gone = |_errno| LaunchError::Died("its creation");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(gone)?;
        if ended(&pidfd) {
            return Err(LaunchError::Died("its creation"));
        }
        let number = pid.as_raw_nonzero().get();
        if !is_of_pidfs(&pidfd) {
            return Err(LaunchError::refused(
                format!("process {number}"),
                "/proc does not show it (hidepid=); start a kernel of 6.9 or later, or mount /proc without",
            ));
        }
        let inode = rustix::fs::fstat(&pidfd).doing(|| "a pidfd")?.st_ino;
        Ok(Self { pid: number, start: 0, pidfd: Some(inode) })
    }

    /// Whether both can be the same process: each may have been looked at in another way.
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        let starts = self.start == other.start || self.start == 0 || other.start == 0;
        let inodes = self.pidfd == other.pidfd || self.pidfd.is_none() || other.pidfd.is_none();
        self.pid == other.pid && starts && inodes
    }

    /// It as a descriptor, when it is still the same and has not ended.
    pub(crate) fn alive(&self) -> Option<OwnedFd> {
        // The first process of where the runtime is cannot be a container's.
        let pid = Pid::from_raw(self.pid).filter(|pid| self.pid > 0 && *pid != Pid::INIT)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if let Some(inode) = self.pidfd {
            let same = rustix::fs::fstat(&pidfd).is_ok_and(|now| now.st_ino == inode);
            return (same && !ended(&pidfd)).then_some(pidfd);
        }
        // Asked after it was opened: whatever has the number now is what the descriptor is of.
        let stat = stat(self.pid)?;
        (stat.start == self.start && !matches!(stat.state, b'Z' | b'X')).then_some(pidfd)
    }
}

/// The type of the file system that pidfds are of (`PID_FS_MAGIC` in linux/magic.h).
const PIDFS: u64 = 0x5049_4446;

/// Whether a pidfd has an inode of its own (Linux 6.9).
pub(crate) fn is_of_pidfs(pidfd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(pidfd).is_ok_and(|facts| facts.f_type as u64 == PIDFS)
}

/// Whether a process has ended.
fn ended(pidfd: &OwnedFd) -> bool {
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&none)).is_ok_and(|count| count > 0)
}

/// What `/proc/PID/stat` says of a process (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stat {
    state: u8,
    parent: i32,
    start: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses is the process's own choice: it may have any bytes in it, closing
/// parentheses and newlines too. No field after it has one.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&line[end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

impl Record {
    /// What the container is now.
    pub(crate) fn status(&self, store: &Store) -> Status {
        let alive = self.process.is_some_and(|process| process.alive().is_some());
        match self.stage {
            Stage::Creating if alive || (self.process.is_none() && store.is_held(&self.id)) => {
                Status::Creating
            }
            _ if !alive => Status::Stopped,
            Stage::Creating => Status::Creating,
            // Whoever started it may have been killed before it could write that down; a process that
            // became the command no longer listens.
            Stage::Created if self.paused => Status::Paused,
            Stage::Created if store.waits(&self.id) => Status::Created,
            Stage::Created => Status::Running,
            Stage::Started if self.cgroups.as_ref().is_some_and(cgroup::Cgroups::frozen) => Status::Paused,
            Stage::Started => Status::Running,
        }
    }

    /// The state that engines read.
    pub(crate) fn state(&self, status: Status) -> Value {
        let pid = if status == Status::Stopped { 0 } else { self.process.map_or(0, |process| process.pid) };
        let mut annotations = self.annotations.clone();
        let mut note = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                annotations.insert(annotation::full(key), value.clone());
            }
        };
        note(annotation::ORIGIN_REDPATH, &self.redpath);
        note(annotation::ORIGIN_DIGEST, &self.digest);
        json!({
            "ociVersion": self.oci,
            "id": self.id,
            "status": status.name(),
            "pid": pid,
            "bundle": self.bundle,
            "rootfs": self.root,
            "created": self.created,
            "owner": crate::command::accounts::name_of(self.owner),
            "annotations": annotations,
        })
    }

    /// Its first process as a descriptor.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn first(&self) -> Result<(Process, OwnedFd), LaunchError> {
        let alive = self.process.and_then(|process| Some((process, process.alive()?)));
        alive.ok_or_else(|| LaunchError::NotRunning { id: self.id.clone() })
    }
}

/// Sends a signal to the first process of a container, or to all of them. Nothing else changes.
///
/// # Errors
/// It is not running, or the signal may not be sent.
pub(crate) fn kill(store: &Store, id: &str, number: i32, all: bool) -> Result<(), LaunchError> {
    let record = store.read(id)?;
    let what = || format!("signal {number} for container `{id}`");
    // Of one that is being made it is not known yet which cgroups are its own.
    let known = |cgroups: &&cgroup::Cgroups| record.stage != Stage::Creating || !cgroups.inodes.is_empty();
    let everything = record.cgroups.as_ref().filter(|_| all).filter(known);
    if let Some(cgroups) = everything {
        // Of one that has ended there may be processes left, or none: both are well (runc, "kill --all").
        cgroups.signal(number)?;
    } else {
        let (first, pidfd) = record.first()?;
        // A signal to end it all is for the first process, others are for the command.
        let command = if record.reaper && number != libc::SIGKILL { command_of(first.pid) } else { None };
        match signal::send(command.as_ref().unwrap_or(&pidfd), number) {
            Err(rustix::io::Errno::SRCH) => return Err(LaunchError::NotRunning { id: id.to_owned() }),
            other => other.doing(what)?,
        }
    }
    // The freezer of version 1 keeps even this signal from what it holds (freezer-subsystem.rst).
    match record.cgroups {
        Some(cgroups) if number == libc::SIGKILL && cgroups.layout == Layout::V1 && cgroups.frozen() => {
            cgroups.freeze(false)
        }
        _ => Ok(()),
    }
}

/// The command below a first process of ours.
pub(super) fn command_of(first: i32) -> Option<OwnedFd> {
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).ok()?;
    let pid = children.split_ascii_whitespace().next()?.parse().ok().and_then(Pid::from_raw)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Whoever has the number now is still its child.
    (stat(pid.as_raw_nonzero().get())?.parent == first).then_some(pidfd)
}

/// Stops or continues everything in a container.
///
/// # Errors
/// It is not running, or has no freezer.
pub(crate) fn pause(store: &Store, id: &str, pause: bool) -> Result<(), LaunchError> {
    let held = hold_known(store, id)?;
    let mut record = held.read()?;
    let status = record.status(store);
    // One that waits to be started can be paused too (runc).
    let fits =
        if pause { matches!(status, Status::Running | Status::Created) } else { status == Status::Paused };
    if !fits {
        let verb = if pause { "paused" } else { "resumed" };
        return Err(LaunchError::State { id: id.to_owned(), status: status.name(), verb });
    }
    let cgroups = record.cgroups.clone().ok_or_else(|| {
        LaunchError::refused(format!("container `{id}`"), "it has no cgroup to be stopped in")
    })?;
    // A record that says so too early is mended by resuming; one that does not say so leaves a container that
    // seems to wait for its start, and answers nobody.
    let first = pause && status == Status::Created;
    if first {
        record.paused = true;
        held.update(&held.open()?, &record)?;
    }
    let frozen = cgroups.freeze(pause);
    if first && frozen.is_err() || !first && frozen.is_ok() && record.paused {
        record.paused = pause && !first;
        held.update(&held.open()?, &record)?;
    }
    frozen
}

/// Takes the lock of a container that exists.
///
/// # Errors
/// It does not.
pub(crate) fn hold_known(store: &Store, id: &str) -> Result<Held, LaunchError> {
    let unknown = || LaunchError::Unknown { id: id.to_owned() };
    super::record::check_id(id)?;
    if !store.names()?.iter().any(|name| name == id) {
        return Err(unknown());
    }
    let held = store.hold(id)?;
    if held.exists() {
        return Ok(held);
    }
    held.unlock()?;
    Err(unknown())
}

/// Starts a container that was created.
///
/// # Errors
/// It is not in that state, or its command cannot be executed.
pub(crate) fn start(store: &Store, id: &str) -> Result<(), LaunchError> {
    let held = hold_known(store, id)?;
    let mut record = held.read()?;
    let status = record.status(store);
    if status != Status::Created {
        return Err(LaunchError::State { id: id.to_owned(), status: status.name(), verb: "started" });
    }
    let directory = held.open()?;
    let waiting = start::reach(&directory)?;
    waiting.go(|| {
        let spec = store.spec(id)?;
        let schedule = spec.process().as_ref().map(Schedule::of).transpose()?.unwrap_or_default();
        let (first, _held) = record.first()?;
        let gone = || LaunchError::Died("its start");
        schedule.give(Pid::from_raw(first.pid).ok_or_else(gone)?)
    })?;
    record.stage = Stage::Started;
    // The command runs. On a full disk an error would say that it does not, and to note it is not needed: a process
    // that no longer waits is running (`Record::status`).
    tried(held.update(&directory, &record));
    tried(rustix::fs::unlinkat(&directory, start::NAME, rustix::fs::AtFlags::empty()));
    let later = later(&record, store)?;
    if later.poststart().is_some() {
        let state = record.state(Status::Running).to_string();
        // One that fails ends the container; to remove it, and to run its poststop hooks, is `delete`'s.
        hooks::run("poststart", later.poststart().as_ref(), &state, None).or_else(|error| {
            take_down(&record)?;
            Err(error)
        })?;
    }
    Ok(())
}

/// Hooks that are still to come. An earlier version's record does not have them.
fn later(record: &Record, store: &Store) -> Result<Hooks, LaunchError> {
    match &record.later {
        Some(later) => Ok(later.clone()),
        None => Ok(store.spec(&record.id)?.hooks().clone().unwrap_or_default()),
    }
}

/// Everything that is known, with what could not be read.
pub(crate) struct Listed {
    /// Containers, by name.
    pub(crate) records: Vec<Record>,
    /// Why others are missing.
    pub(crate) bad: Vec<LaunchError>,
}

/// Lists containers. One that cannot be read is named, and the others are shown all the same.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn list(store: &Store) -> Result<Listed, LaunchError> {
    let mut listed = Listed { records: Vec::new(), bad: Vec::new() };
    for name in store.names()? {
        match store.read(&name) {
            Ok(record) => listed.records.push(record),
            // It was deleted meanwhile.
            Err(LaunchError::Unknown { .. }) => {}
            Err(error) => listed.bad.push(error),
        }
    }
    Ok(listed)
}

/// A name for a container that nobody else has: a path below `/` without slashes, and a number.
pub(crate) fn fresh_id(path: &str) -> String {
    let last =
        Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || "+-_".contains(c) { c } else { '-' }).collect();
    format!("{}-{}", plain.trim_start_matches('.').chars().take(100).collect::<String>(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_the_same_however_it_was_looked_at() {
        let seen = Process { pid: 7, start: 42, pidfd: None };
        let hidden = Process { pid: 7, start: 0, pidfd: Some(9) };
        assert!(seen.may_be(&seen) && seen.may_be(&hidden) && hidden.may_be(&seen));
        assert!(!seen.may_be(&Process { start: 43, ..seen }) && !seen.may_be(&Process { pid: 8, ..seen }));
        assert!(!hidden.may_be(&Process { pidfd: Some(8), ..hidden }));
    }

    #[test]
    fn a_process_is_told_by_its_stat_whatever_its_name_is() {
        let rest = b" S 1 7 7 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1 0 4242 1000 10";
        let wanted = Stat { state: b'S', parent: 1, start: 4242 };
        for name in [&b"sh"[..], b"\xff\xfe", b") Z 9 (", b"a)\n9 (b", b"", b")))", "\u{e9}) R 2".as_bytes()]
        {
            let line = [b"12 (", name, b")", rest].concat();
            assert_eq!(parse_stat(&line), Some(wanted), "{name:?}");
        }
        for line in [&b""[..], b"12 (sh)", b"12 (sh) S x", b"12 sh S 1 2 3"] {
            assert_eq!(parse_stat(line), None, "{line:?}");
        }
    }
}
