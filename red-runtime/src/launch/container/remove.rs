//! The end of containers: removing them, whatever state they and their records are in.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use oci_spec::runtime::Hooks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::{Status, hold_known, later, list};
use crate::launch::cgroup::{self, Layout};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::launch::hooks;
use crate::launch::record::{Held, Process, Record, Stage, Store, is_machines_root};

/// How long the end of a first process is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes a container, and with `force` ends it first. Needs nothing but its record; with `force`
/// not even that.
///
/// # Errors
/// It runs, or something of it does not end or cannot be removed: then it can be tried again.
pub(crate) fn delete(store: &Store, id: &str, force: bool) -> Result<(), LaunchError> {
    if force {
        store.unblock(id)?;
    }
    let held = match hold_known(store, id) {
        Err(LaunchError::Unknown { .. }) if force => return sweep(store, id),
        held => held?,
    };
    remove(held, store, force)
}

/// Removes a container for whoever has looked after it to its end, if it is still the one with this first
/// process: the name of one that has ended may be another's by now.
///
/// # Errors
/// As [`delete`].
pub(crate) fn delete_own(store: &Store, id: &str, first: Process) -> Result<(), LaunchError> {
    match hold_known(store, id) {
        Err(LaunchError::Unknown { .. }) => Ok(()),
        Ok(held) if held.read().is_ok_and(|record| !record.process.is_some_and(|own| own.may_be(&first))) => {
            Ok(())
        }
        held => remove(held?, store, true),
    }
}

fn remove(held: Held, store: &Store, force: bool) -> Result<(), LaunchError> {
    let record = match held.read() {
        Ok(record) => record,
        Err(LaunchError::Damaged { .. }) if force => return bury(held, store),
        Err(error) => return Err(error),
    };
    let (id, status) = (held.id.clone(), record.status(store));
    if !force && matches!(status, Status::Running | Status::Paused | Status::Creating) {
        return Err(LaunchError::State { id, status: status.name(), verb: "deleted without --force" });
    }
    let later = clear(&held, &record, store)?;
    held.forget()?;
    poststop(&record, &later);
    Ok(())
}

/// Ends a container and forgets it; its name stays locked. Returns the hooks that are still to come.
fn clear(held: &Held, record: &Record, store: &Store) -> Result<Hooks, LaunchError> {
    take_down(record)?;
    // A record that says nothing of cgroups may have lost them.
    if record.cgroups.is_none() && record.engine {
        end_default(store, &record.id)?;
    }
    // A configuration that cannot be read does not keep a container from being deleted.
    let later = later(record, store).unwrap_or_default();
    held.clear()?;
    Ok(later)
}

/// Runs the hooks that come after a container. It is gone whatever they say.
fn poststop(record: &Record, later: &Hooks) {
    hooks::run_poststop(later.poststop().as_ref(), || record.state(Status::Stopped).to_string());
}

/// Makes a name free for a new container: one of ours, which nobody looks after and which has ended, does
/// not keep it.
///
/// # Errors
/// There is a container of that name, or what is left of one cannot be removed.
pub(crate) fn free(held: &Held, store: &Store) -> Result<(), LaunchError> {
    if !held.exists() {
        return Ok(());
    }
    let exists = || LaunchError::Exists { id: held.id.clone() };
    let record = held.read().map_err(|_damaged| exists())?;
    if record.engine || record.status(store) != Status::Stopped {
        return Err(exists());
    }
    let later = clear(held, &record, store)?;
    poststop(&record, &later);
    Ok(())
}

/// The same before anything of a new container is looked at, so that what is left of the old one is in nobody's
/// way.
///
/// # Errors
/// As [`free`].
pub(crate) fn free_name(store: &Store, id: &str) -> Result<(), LaunchError> {
    match hold_known(store, id) {
        Err(LaunchError::Unknown { .. }) => Ok(()),
        held => {
            let held = held?;
            free(&held, store)?;
            held.unlock()
        }
    }
}

/// Removes what a killed command has left of a container that does not exist: one that was not yet
/// there, or no longer.
fn sweep(store: &Store, id: &str) -> Result<(), LaunchError> {
    if !store.remains(id)? {
        return Ok(());
    }
    let held = store.hold(id)?;
    // Somebody may have made one meanwhile, and that one is not what was asked for.
    if held.exists() { Ok(()) } else { held.forget() }
}

/// Ends everything of a container and removes its cgroups.
///
/// # Errors
/// Something does not end or cannot be removed.
pub(crate) fn take_down(record: &Record) -> Result<(), LaunchError> {
    if let Some(pidfd) = record.process.and_then(|process| process.alive()) {
        ignore_ended(pidfd_send_signal(&pidfd, Signal::KILL)).doing(|| "ending the first process")?;
        if let Some(cgroups) = &record.cgroups
            && cgroups.layout == Layout::V1
            && cgroups.frozen()
        {
            cgroups.freeze(false)?;
        }
        wait_end(&pidfd, &record.id)?;
    }
    let Some(cgroups) = &record.cgroups else { return Ok(()) };
    if record.stage == Stage::Creating && cgroups.inodes.is_empty() {
        // Nothing but the first process was ever in them, and it ends with whoever makes it. What is in them
        // all the same is somebody else's.
        cgroups.wait_empty()?;
    } else {
        cgroups.end()?;
    }
    cgroups.remove()
}

/// Waits for the end of a process, which may be somebody else's child.
fn wait_end(pidfd: &OwnedFd, id: &str) -> Result<(), LaunchError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LaunchError::refused(
                format!("container `{id}`"),
                format!("its first process does not end within {} s; try again later", PATIENCE.as_secs()),
            ));
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(10),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno).doing(|| "waiting for the first process"),
        }
    }
    // When it is our child it is not left behind as a zombie; when it is not, this says so.
    tried(waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG));
    Ok(())
}

/// Removes a container whose record is not believed: its first process, where that can be told, whatever
/// runs in the cgroup that it has when nobody says otherwise, and its directory.
fn bury(held: Held, store: &Store) -> Result<(), LaunchError> {
    if let Some(pidfd) = held.first_process().and_then(|process| process.alive()) {
        ignore_ended(pidfd_send_signal(&pidfd, Signal::KILL)).doing(|| "ending the first process")?;
    }
    end_default(store, &held.id)?;
    held.forget()
}

/// Ends whatever runs in the cgroup that a container has when nobody says otherwise, and removes it; not
/// when another container is in it.
fn end_default(store: &Store, id: &str) -> Result<(), LaunchError> {
    if !is_machines_root() {
        return Ok(());
    }
    let path = cgroup::default_path(id, &store.scope());
    let within = format!("{path}/");
    let others = list(store)?.records;
    let theirs = |record: &Record| {
        let used = record.cgroups.as_ref().map(|cgroups| cgroups.path.as_str());
        record.id != id && used.is_some_and(|used| used == path || used.starts_with(&within))
    };
    if others.iter().any(theirs) {
        return Ok(());
    }
    let mut cgroups = cgroup::unidentified(Layout::here(), path, Vec::new());
    cgroups.made = cgroups.leaves().into_iter().filter(|leaf| leaf.is_dir()).collect();
    if cgroups.made.is_empty() {
        return Ok(());
    }
    cgroups.end()?;
    cgroups.remove()
}

/// Removes what was left behind: containers whose making was interrupted, those of the foreground
/// whose launcher was killed and which have ended, and damaged records.
///
/// # Errors
/// The directory cannot be read. What cannot be removed is told with its name.
pub(crate) fn collect(store: &Store) -> Result<BTreeMap<String, Result<(), LaunchError>>, LaunchError> {
    let mut done = BTreeMap::new();
    for name in store.remainders()? {
        sweep(store, &name)?;
    }
    for name in store.names()? {
        if store.is_held(&name) {
            continue;
        }
        let left = match store.read(&name) {
            Ok(record) => {
                let status = record.status(store);
                status == Status::Stopped && (!record.engine || record.stage == Stage::Creating)
            }
            Err(LaunchError::Damaged { .. }) => true,
            Err(_) => false,
        };
        if left {
            let result = delete(store, &name, true);
            done.insert(name, result);
        }
    }
    Ok(done)
}

fn ignore_ended(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other,
    }
}
