//! The second stage: in the container's root, with descriptors of the host possibly open. Nothing
//! here takes a path.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, FlockOperation, Uid, fchown, fcntl_lock, fstat};
use rustix::io::Errno;
use rustix::process::Resource;

use super::{Closed, Common, Kept};
use crate::launch::console::Terminal;
use crate::launch::error::{Doing, LaunchError};
use crate::launch::filter::Standard;
use crate::launch::job::Job;
use crate::launch::process::Setup;
use crate::launch::sync::Sync;
use crate::sys;
use crate::sys::clone::ChildToken;

/// A process in the container's root.
pub(in crate::launch) struct Rooted<'a> {
    common: Common<'a>,
    kept: Kept,
}

/// What a process gets that joins a container.
pub(in crate::launch) struct Joined<'a> {
    /// Container ID.
    pub(in crate::launch) id: &'a str,
    /// The process it becomes.
    pub(in crate::launch) setup: Setup<'a>,
    /// Its end of the conversation with the launcher.
    pub(in crate::launch) sync: &'a Sync,
    /// Socket that its terminal is sent to.
    pub(in crate::launch) console_socket: Option<OwnedFd>,
    /// Descriptors after the standard streams that are its own.
    pub(in crate::launch) passed: u32,
}

impl<'a> Rooted<'a> {
    /// The first process, whose root was just put together.
    pub(super) fn first(
        mut common: Common<'a>,
        job: &Job<'_>,
        terminal: Option<Terminal>,
        mut kept: Kept,
    ) -> Result<Self, LaunchError> {
        if let Some(terminal) = terminal {
            terminal.take(common.setup.uid())?;
        } else if job.of_engine() {
            own_streams(common.setup.uid())?;
        }
        if !job.no_new_keyring {
            keyring(job.id, job.filter)?;
        }
        (kept.locks, common.passed) = locks_held(kept.locks, common.passed)?;
        Ok(Self { common, kept })
    }

    /// A process that has joined every namespace of a container.
    ///
    /// # Errors
    /// prctl(2) or setsid(2) fails.
    pub(in crate::launch) fn joined(child: ChildToken, joined: Joined<'a>) -> Result<Self, LaunchError> {
        let Joined { id, setup, sync, console_socket, passed } = joined;
        rustix::process::setsid().doing(|| "a session of its own")?;
        keyring(id, setup.standard_filter())?;
        let kept = Kept { console_socket, ..Kept::default() };
        Ok(Self { common: Common { child, setup, sync, passed }, kept })
    }

    /// Closes everything of the host.
    ///
    /// # Errors
    /// close_range(2) fails.
    pub(in crate::launch) fn close(self) -> Result<Closed<'a>, LaunchError> {
        let mut keep = self.kept.numbers();
        keep.push(self.common.sync.number());
        sys::exec::close_all_but(&self.common.child, self.common.passed, &keep)
            .doing(|| "descriptors of the host")?;
        Ok(Closed::new(self.common, self.kept))
    }
}

/// Standard streams that are pipes belong to the user of the command, which may open them again by
/// name (`/dev/stdout`).
fn own_streams(uid: u32) -> Result<(), LaunchError> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        let Ok(stat) = fstat(stream) else { continue };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo || stat.st_uid == uid {
            continue;
        }
        match fchown(stream, Some(Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => {}
            Err(errno) => return Err(errno).doing(|| "the owner of a standard stream"),
        }
    }
    Ok(())
}

/// The container's own session keyring, by name, so that no process of it possesses the keys of its
/// launcher (session-keyring(7)).
fn keyring(id: &str, filter: Standard) -> Result<(), LaunchError> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))
        .map_err(|_nul| LaunchError::refused("id", "contains a NUL byte"))?;
    match sys::keyring::join_new(Some(&name)) {
        // A kernel without keyrings has none to keep from the container.
        Ok(()) | Err(Errno::NOSYS) => Ok(()),
        // A user at the limit of its keys still starts where keyctl(2) is denied anyway.
        Err(Errno::DQUOT) if filter == Standard::Whole => Ok(()),
        Err(errno) => Err(errno).doing(|| "a session keyring (--no-new-keyring does without)"),
    }
}

/// Takes a shared lock on each file (fcntl(2), "Advisory record locking"), beyond the descriptors that are passed
/// to the command: fewer may be passed than announced. They are moved first, for a lock is lost with the first
/// descriptor of its file that is closed. The answer has how many descriptors are passed: no more than there can be
/// beside the locks.
fn locks_held(locks: Vec<OwnedFd>, passed: u32) -> Result<(Vec<OwnedFd>, u32), LaunchError> {
    if locks.is_empty() {
        return Ok((locks, passed));
    }
    let passed = match passed {
        0 => 0,
        // No number reaches the soft limit (getrlimit(2), RLIMIT_NOFILE), so none is asked for that does.
        _ => at_most(passed, sys::limit(Resource::Nofile).doing(|| "a lock")?.current, locks.len()),
    };
    let first = i32::try_from(3_u32.saturating_add(passed)).unwrap_or(i32::MAX);
    let moved = locks.into_iter().map(|lock| rustix::io::fcntl_dupfd_cloexec(lock, first));
    let locks = moved.collect::<rustix::io::Result<Vec<_>>>().doing(|| "a lock")?;
    for lock in &locks {
        fcntl_lock(lock, FlockOperation::NonBlockingLockShared).doing(|| "a lock")?;
    }
    Ok((locks, passed))
}

/// How many of the announced descriptors there can be below a limit, with the standard streams before and locks
/// after them.
fn at_most(announced: u32, limit: Option<u64>, locks: usize) -> u32 {
    let limit = limit.map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let locks = u32::try_from(locks).unwrap_or(u32::MAX);
    announced.min(limit.saturating_sub(3).saturating_sub(locks))
}

#[cfg(test)]
mod tests {
    use super::at_most;

    #[test]
    fn what_is_announced_ends_below_the_limit() {
        assert_eq!(at_most(12, Some(1024), 1), 12);
        assert_eq!(at_most(5000, Some(1024), 1), 1020);
        assert_eq!(at_most(5000, None, 1), 5000);
        assert_eq!(at_most(u32::MAX, Some(u64::MAX), 0), u32::MAX - 3);
        assert_eq!(at_most(2, Some(4), 5), 0);
    }
}
