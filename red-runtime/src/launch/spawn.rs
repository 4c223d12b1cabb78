//! The launcher's part while a container is made.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use oci_spec::runtime::{LinuxIdMapping, Spec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};

use super::cgroup;
use super::error::{Doing, LaunchError, tried};
use super::hooks;
use super::inside::{Entered, Inheritance};
use super::job::Job;
use super::namespaces::{Away, CLONE_NEWTIME, Namespaces, new_time, time_offsets};
use super::process::{self, Setup};
use super::record::is_machines_root;
use super::root::early::Opening;
use super::schedule::Schedule;
use super::sibling::{Made, made_within};
use super::sync::{Message, Sync};
use super::warning::warn;
use crate::sys;
use crate::sys::clone::{Cloned, clone3};

/// How long each step of a first process may take: more than any that works, less than for ever. Hooks that
/// run inside have limits of their own, which come on top.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a first process ended that said nothing.
fn how(end: &WaitIdStatus) -> String {
    match (end.terminating_signal(), end.exit_status()) {
        (Some(libc::SIGSYS), _) => {
            "was ended by SIGSYS: a system call filter that it was started under (SystemCallFilter= of a unit) \
             does not allow what it needs"
                .to_owned()
        }
        (Some(libc::SIGKILL), _) => {
            "was ended by SIGKILL while it was made; memory limits are the usual reason".to_owned()
        }
        (Some(signal), _) => format!("was ended by signal {signal} while it was made"),
        (None, status) => format!("ended with status {} while it was made", status.unwrap_or(255)),
    }
}

/// A container whose first process has done everything but to become the command.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its number.
    pub(crate) pid: Pid,
    /// It.
    pub(crate) pidfd: OwnedFd,
    /// The conversation with it.
    pub(crate) sync: Sync,
}

impl Spawned {
    /// Ends it, unless it has ended, and returns how it did.
    fn end(&self) -> Option<WaitIdStatus> {
        // It may have ended by itself; there is nothing else to be done about a child.
        tried(pidfd_send_signal(&self.pidfd, Signal::KILL));
        waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).ok().flatten()
    }

    /// What it said before it gave up, if it has.
    fn said(&self) -> Option<LaunchError> {
        loop {
            match self.sync.hear_within(Duration::ZERO) {
                Ok(Some(Message::Failed(said))) => return Some(said),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Ends it, and says better why it did not come to be: what goes wrong here is often so because it is gone.
    pub(super) fn fail(&self, error: LaunchError) -> LaunchError {
        let silent = matches!(error, LaunchError::Call { errno: Errno::TIMEDOUT, .. });
        let said = self.said();
        let before = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let gone = waitid(WaitId::PidFd(self.pidfd.as_fd()), before).ok().flatten().is_some();
        let end = self.end();
        match (error, end, said) {
            _ if silent => LaunchError::Silent { seconds: PATIENCE.as_secs() },
            (_, _, Some(said)) => said,
            (LaunchError::Died(_), Some(end), None) => LaunchError::Ended { how: how(&end) },
            (error @ (LaunchError::Call { .. } | LaunchError::Cgroup { .. }), Some(end), None) if gone => {
                LaunchError::Ended { how: format!("{} ({error})", how(&end)) }
            }
            (error, _, None) => error,
        }
    }

    /// Hands it over to itself: it no longer ends with the launcher.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn release(&self) -> Result<(), LaunchError> {
        self.sync.say(&Message::Go).doing(|| "the container's first process")?;
        match self.sync.hear().doing(|| "the container's first process")? {
            Some(Message::Ready) => Ok(()),
            Some(Message::Failed(error)) => Err(error),
            _ => Err(LaunchError::Died("its creation")),
        }
    }

    /// Waits until it has become the command.
    ///
    /// # Errors
    /// It could not.
    pub(crate) fn wait_exec(&self) -> Result<(), LaunchError> {
        match self.sync.hear().doing(|| "the container's first process")? {
            None => Ok(()),
            Some(Message::Failed(error)) => Err(error),
            Some(_) => Err(LaunchError::Died("its start")),
        }
    }
}

/// What is done once a process is there and accounted for, while it prepares itself.
pub(crate) type OnMade<'a> = &'a mut dyn FnMut(&Spawned, Option<&cgroup::Cgroups>) -> Result<(), LaunchError>;

/// Makes a container. Its first process waits; in the foreground until `made` is over, for it is on record
/// then.
///
/// # Errors
/// Something is refused; then no process of it is left. Its cgroups are the caller's.
pub(crate) fn spawn(job: &mut Job<'_>, made: OnMade<'_>) -> Result<Spawned, LaunchError> {
    let namespaces = Namespaces::of(job.spec, &job.root.namespaces)?;
    let setup =
        Setup::of(job.spec)?.of_own_launch(job.own).under(job.filter).keeping_groups(job.keeps_groups);
    super::streams::guard()?;
    let (ours, theirs) = Sync::pair().doing(|| "a socket")?;
    let patience = PATIENCE + hooks::longest(job.spec.hooks().as_ref());
    let ours = ours.interruptible(patience).doing(|| "a socket")?;
    let entry = entry(job)?;
    let maps = Maps::of(job.spec, &namespaces)?;
    let offsets = time_offsets(job.spec, &namespaces)?;
    let schedule = job.spec.process().as_ref().map(Schedule::of).transpose()?.unwrap_or_default();
    let limits =
        job.spec.process().as_ref().and_then(|process| process.rlimits().clone()).unwrap_or_default();
    let adjust = job.spec.process().as_ref().and_then(|process| process.oom_score_adj());
    let (early, adjust) = if namespaces.joins(libc::CLONE_NEWUSER) { (adjust, None) } else { (None, adjust) };
    let joins_later = job.cgroups.as_ref().is_some_and(|cgroups| cgroups.systemd.is_some());
    let wait =
        maps.is_some() || joins_later || !limits.is_empty() || adjust.is_some() || !schedule.is_empty();
    // Before anything is made: it may be that nobody listens.
    let listener = super::seccomp::listener(setup.seccomp())?;
    let mapped_by_user = maps.is_some() && !rustix::process::geteuid().is_root();
    // Whoever has not all of the host's users inside may not enter every directory of the host.
    let all = |one: &LinuxIdMapping| one.host_id() == 0 && one.size() >= u32::MAX - 1;
    let whole = maps.as_ref().is_some_and(|maps| maps.users.iter().any(all) && maps.groups.iter().any(all));
    let mapped = job.root.mounts.iter().any(|mount| mount.owners.is_some());
    let opens = (namespaces.has_user() && !whole || mapped) && rustix::process::geteuid().is_root();
    let inheritance = Inheritance { sync: theirs, wait, mapped_by_user, opens };
    let place = Place { adjust: early, entry, offsets };
    let (pid, pidfd) = start(job, &namespaces, setup, inheritance, place)?;
    // They are the command's now. Whoever is at their other end is to notice when it lets go of them, and not when
    // this process ends, which in the foreground waits for it.
    sys::descriptors::close_handed(job.preserve);
    let spawned = Spawned { pid, pidfd, sync: ours };
    let go = || spawned.sync.say(&Message::Go).doing(|| "the container's first process");
    let result = (|| {
        if wait {
            attend(job, &spawned, maps.as_ref())?;
            process::raise(spawned.pid, &limits)?;
            // Of one that was created whoever starts it does that.
            if !(schedule.comes_last() && job.of_engine()) {
                schedule.give(spawned.pid)?;
            }
            if let Some(adjust) = adjust {
                oom(&spawned.pid.as_raw_nonzero().to_string(), adjust)?;
            }
            go()?;
        }
        made(&spawned, job.cgroups.as_ref())?;
        // Said beforehand it keeps nobody waiting. Hooks and answers come in between, and are waited for first.
        let early = job.spec.hooks().is_none() && !opens;
        if early && !job.of_engine() {
            // One that has failed by now is gone and has said why; one that was not reached would wait for ever.
            match go() {
                Err(LaunchError::Call { errno: Errno::PIPE | Errno::CONNRESET, .. }) => {}
                said => said?,
            }
        }
        listen(job, &spawned, listener.as_ref())?;
        if early || job.of_engine() { Ok(()) } else { go() }
    })();
    match result {
        Ok(()) => Ok(spawned),
        Err(error) => Err(spawned.fail(error)),
    }
}

/// The cgroups that the process is made in. Into a scope it is put by systemd, later.
fn entry(job: &Job<'_>) -> Result<cgroup::Entry, LaunchError> {
    let cgroups = job.cgroups.as_ref().filter(|cgroups| cgroups.systemd.is_none());
    cgroups.map_or_else(|| Ok(cgroup::Entry::default()), |cgroups| cgroup::Entry::of(cgroups.leaves()))
}

/// What the clone itself decides.
struct Place {
    /// OOM score adjustment, where it cannot be set later.
    adjust: Option<i32>,
    /// Its cgroups.
    entry: cgroup::Entry,
    /// Clocks of a new time namespace.
    offsets: Option<String>,
}

/// Clones. A user namespace to join has to be entered before anything is made in it, from where there is no
/// way back, and back into the host's own namespaces only root of the machine may go (setns(2)): an engine
/// without root, which is root of a user namespace, may not. Then a process of its own enters, and makes the
/// container as its sibling.
fn start(
    job: &mut Job<'_>,
    namespaces: &Namespaces,
    setup: Setup<'_>,
    inheritance: Inheritance,
    place: Place,
) -> Result<(Pid, OwnedFd), LaunchError> {
    // A clone straight into a time namespace would leave no moment to set its clocks.
    let early = if place.offsets.is_some() { CLONE_NEWTIME } else { 0 };
    let new = namespaces.new & !libc::CLONE_NEWCGROUP & !early;
    let flags = u64::try_from(new).unwrap_or(0);
    let others = namespaces.joined.iter().filter(|one| !one.is_joined_inside());
    let stays = others.clone().next().is_none() && place.offsets.is_none();
    if !namespaces.joins(libc::CLONE_NEWUSER) && (stays || is_machines_root()) {
        let mut away = Away::to(&namespaces.joined)?;
        if let Some(offsets) = &place.offsets {
            away = away.with_time(offsets)?;
        }
        let cloned = match clone3(flags, place.entry.unified()) {
            Ok(Cloned::Child(child)) => {
                Entered::run(child, job, namespaces, setup, (inheritance, place.entry))
            }
            Ok(Cloned::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(error) => Err(error).doing(|| "new namespaces"),
        };
        away.back()?;
        return cloned;
    }
    let enter = || {
        others.clone().try_for_each(super::namespaces::Joined::join)?;
        place.offsets.as_deref().map_or(Ok(()), new_time)
    };
    match made_within(place.adjust, enter, flags, place.entry.unified())? {
        Made::Child(child) => Entered::run(child, job, namespaces, setup, (inheritance, place.entry)),
        Made::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}

/// Does for the new process what only the launcher may.
fn attend(job: &mut Job<'_>, spawned: &Spawned, maps: Option<&Maps>) -> Result<(), LaunchError> {
    if let Some(maps) = maps {
        maps.write(spawned.pid)?;
    }
    let Some(cgroups) = &mut job.cgroups else { return Ok(()) };
    if cgroups.systemd.is_some() {
        cgroup::scope(cgroups, job.nested.as_ref(), spawned.pid)?;
        if let Some(resources) = job.resources {
            cgroup::apply(cgroups, resources)?;
        }
        if !job.later_filter {
            cgroup::filter_devices(cgroups, job.resources)?;
        }
    }
    Ok(())
}

/// Listens until the process inside is ready.
fn listen(job: &Job<'_>, spawned: &Spawned, agent: Option<&OwnedFd>) -> Result<(), LaunchError> {
    let mut opening = None;
    loop {
        let heard = spawned.sync.hear().doing(|| "the container's first process")?;
        drop(opening.take());
        match heard {
            Some(Message::Wants(index)) => {
                opening = Some(Opening::begin(job.root, index, spawned.pidfd.as_fd(), &spawned.sync)?);
            }
            Some(Message::Ready) => {
                return match &job.cgroups {
                    Some(cgroups) if job.later_filter => cgroup::filter_devices(cgroups, job.resources),
                    _ => Ok(()),
                };
            }
            Some(Message::Mounted) => {
                outside(job, spawned.pid)?;
                spawned.sync.say(&Message::Go).doing(|| "the container's first process")?;
            }
            Some(Message::Asks) => {
                let notify = spawned.sync.take_over()?;
                let agent = agent.ok_or(LaunchError::Died("its creation"))?;
                let pid = spawned.pid.as_raw_nonzero().get();
                super::seccomp::hand_over(
                    job.spec,
                    (pid, &job.state("creating", Some(pid))),
                    agent,
                    &notify,
                )?;
            }
            Some(Message::Warning(text)) => warn(&text),
            Some(Message::Failed(error)) => return Err(error),
            _ => return Err(LaunchError::Died("its creation")),
        }
    }
}

fn outside(job: &Job<'_>, pid: Pid) -> Result<(), LaunchError> {
    let Some(all) = job.spec.hooks() else { return Ok(()) };
    let state = job.state("creating", Some(pid.as_raw_nonzero().get()));
    hooks::run("prestart", all.prestart().as_ref(), &state, None)?;
    hooks::run("createRuntime", all.create_runtime().as_ref(), &state, None)
}

/// Sets the OOM score adjustment of a process, by its PID or `self`.
pub(super) fn oom(process: &str, adjust: i32) -> Result<(), LaunchError> {
    let path = format!("/proc/{process}/oom_score_adj");
    match std::fs::write(&path, adjust.to_string()) {
        Ok(()) => Ok(()),
        Err(error) => {
            // An ordinary user may only raise it; one that stands there already needs no writing.
            let now = std::fs::read_to_string(&path).unwrap_or_default();
            let now: i32 = now.trim().parse().unwrap_or(i32::MIN);
            if now >= adjust && !rustix::process::geteuid().is_root() {
                return Ok(());
            }
            Err(error).doing(|| format!("process.oomScoreAdj {adjust}"))
        }
    }
}

/// Ids of a new user namespace.
struct Maps {
    users: Vec<LinuxIdMapping>,
    groups: Vec<LinuxIdMapping>,
}

impl Maps {
    fn of(spec: &Spec, namespaces: &Namespaces) -> Result<Option<Self>, LaunchError> {
        if !namespaces.makes(libc::CLONE_NEWUSER) {
            return Ok(None);
        }
        let linux = spec.linux().as_ref();
        let users = linux.and_then(|linux| linux.uid_mappings().clone()).unwrap_or_default();
        let groups = linux.and_then(|linux| linux.gid_mappings().clone()).unwrap_or_default();
        if users.is_empty() || groups.is_empty() {
            return Err(LaunchError::refused(
                "linux.uidMappings",
                "a new user namespace needs mappings of users and groups",
            ));
        }
        Ok(Some(Self { users, groups }))
    }

    /// Writes them. An ordinary user maps itself; more than that the set-user-id helpers do, which
    /// know what it may (newuidmap(1)).
    fn write(&self, pid: Pid) -> Result<(), LaunchError> {
        let pid = pid.as_raw_nonzero().get();
        let root = rustix::process::geteuid().is_root();
        let single = |maps: &[LinuxIdMapping], own: u32| matches!(maps, [one] if one.size() == 1 && one.host_id() == own);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if root || (single(&self.users, uid) && single(&self.groups, gid)) {
            if !root {
                std::fs::write(format!("/proc/{pid}/setgroups"), "deny").doing(|| "setgroups")?;
            }
            direct(pid, "uid_map", &self.users)?;
            return direct(pid, "gid_map", &self.groups);
        }
        helper("newgidmap", pid, &self.groups)?;
        helper("newuidmap", pid, &self.users)
    }
}

fn direct(pid: i32, file: &str, maps: &[LinuxIdMapping]) -> Result<(), LaunchError> {
    let lines: String =
        maps.iter().map(|map| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size())).collect();
    std::fs::write(format!("/proc/{pid}/{file}"), &lines)
        .doing(|| format!("{file} ({})", lines.trim_end().replace('\n', ", ")))
}

fn helper(program: &str, pid: i32, maps: &[LinuxIdMapping]) -> Result<(), LaunchError> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for map in maps {
        command.args([map.container_id(), map.host_id(), map.size()].map(|number| number.to_string()));
    }
    let output = command.output().doing(|| format!("{program} (package uidmap)"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LaunchError::refused(program, String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use rustix::process::{PidfdFlags, pidfd_open};

    use super::*;

    /// What is said of a process that did this, when something else went wrong because of it.
    #[expect(clippy::zombie_processes, reason = "`fail` waits for it")]
    fn words(script: &str, said: Option<LaunchError>, error: LaunchError) -> String {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (sync, theirs) = Sync::pair().unwrap();
        if let Some(said) = said {
            theirs.say(&Message::Warning("beside".into())).unwrap();
            theirs.say(&Message::Failed(said)).unwrap();
        }
        drop(theirs);
        let spawned = Spawned { pid, pidfd: pidfd_open(pid, PidfdFlags::empty()).unwrap(), sync };
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if script != "exec sleep 100" {
            waitid(WaitId::PidFd(spawned.pidfd.as_fd()), ended).unwrap();
        }
        spawned.fail(error).to_string()
    }

    #[test]
    fn what_is_told_is_why_the_process_is_gone() {
        let cgroup = || LaunchError::Cgroup { path: "/c".into(), why: "no such process".into() };
        let call = || LaunchError::Call { what: "uid_map".into(), errno: Errno::PERM };
        let inside = || LaunchError::Inside("mount point /x: no".into());
        for error in [cgroup(), call(), LaunchError::Died("its creation")] {
            assert_eq!(words("exit 1", Some(inside()), error), "mount point /x: no");
        }
        let killed = words("kill -KILL $$", None, cgroup());
        assert!(killed.contains("SIGKILL") && killed.contains("(cgroup /c: no such process)"), "{killed}");
        assert!(words("exit 3", None, call()).contains("ended with status 3 while it was made (uid_map"));
        // What goes wrong while it lives is what went wrong.
        assert_eq!(words("exec sleep 100", None, cgroup()), cgroup().to_string());
    }
}
