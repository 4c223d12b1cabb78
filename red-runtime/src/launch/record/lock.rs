//! The lock of one container.
//!
//! It is a record lock of fcntl(2), which is the process's own: neither a container nor a helper
//! inherits it, so it ends with the command that took it, whoever that has started. For the same reason
//! this process would lose it by closing *any* descriptor of the file ("Record locks", fcntl(2)), so it
//! keeps a list of those it has and never opens one of them again.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, OFlags, Stat, fcntl_lock, fstat, statat};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::trusted;
use crate::launch::error::{Doing, LaunchError};

/// How long a command waits for another one that works on the same container.
const PATIENCE: Duration = Duration::from_secs(20);

/// Device and inode of a lock file.
type Identity = (u64, u64);

/// Locks that this process has.
static OWN: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn own() -> MutexGuard<'static, Vec<Identity>> {
    // The list is whole between any two of its operations.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// Name of the lock file of a container, in the state directory.
pub(super) fn name(id: &str) -> String {
    format!(".{id}.lock")
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Lock {
    identity: Identity,
    /// Closed last: with it the lock goes.
    _file: OwnedFd,
}

impl Drop for Lock {
    fn drop(&mut self) {
        own().retain(|held| *held != self.identity);
    }
}

impl Lock {
    /// Takes the lock of a container, waiting for whoever has it.
    ///
    /// # Errors
    /// It cannot be opened, or somebody has it for too long.
    pub(super) fn take(store: &OwnedFd, id: &str) -> Result<Self, LaunchError> {
        let name = name(id);
        let what = || format!("lock of container `{id}`");
        let end = Instant::now() + PATIENCE;
        loop {
            // Waiting for itself would be for ever.
            if is_own(store, &name) {
                return Err(LaunchError::Busy { id: id.to_owned(), holder: own_pid() });
            }
            let file = trusted::file(store, &name, OFlags::CREATE | OFlags::RDWR)
                .map_err(|error| LaunchError::refused(what(), error.to_string()))?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let identity = identity(&fstat(&file).doing(what)?);
                    if now(store, &name) == Some(identity) {
                        own().push(identity);
                        return Ok(Self { identity, _file: file });
                    }
                    // Whoever removed the container removed its lock with it.
                }
                Err(Errno::AGAIN | Errno::ACCESS) if Instant::now() < end => {
                    drop(file);
                    std::thread::sleep(Duration::from_millis(3));
                }
                Err(Errno::AGAIN | Errno::ACCESS) => {
                    return Err(LaunchError::Busy { id: id.to_owned(), holder: holder(&file).unwrap_or(0) });
                }
                Err(errno) => return Err(errno).doing(what),
            }
        }
    }

    /// Whether anybody has the lock of a container now.
    pub(super) fn is_taken(store: &OwnedFd, id: &str) -> bool {
        let name = name(id);
        is_own(store, &name)
            || trusted::file(store, &name, OFlags::RDWR).is_ok_and(|file| holder(&file).is_some())
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// What the lock file is now.
fn now(store: &OwnedFd, name: &str) -> Option<Identity> {
    statat(store, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| identity(&stat))
}

fn is_own(store: &OwnedFd, name: &str) -> bool {
    now(store, name).is_some_and(|now| own().contains(&now))
}

fn holder(file: &OwnedFd) -> Option<i32> {
    let found = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok()??;
    Some(found.pid.map_or(0, |pid| pid.as_raw_nonzero().get()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use rustix::fs::CWD;

    use super::*;

    /// Whether another process finds the lock taken: of its own locks no process is told.
    fn taken_for_others(dir: &Path, id: &str) -> bool {
        let script = "import fcntl, sys\ntry: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n\
                      except OSError: sys.exit(9)";
        let status = Command::new("python3").args(["-c", script]).arg(dir.join(name(id))).status();
        match status.expect("python3 starts").code() {
            Some(9) => true,
            Some(0) => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn looking_at_a_lock_does_not_lose_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = trusted::directory(CWD, dir.path()).unwrap();
        assert!(!Lock::is_taken(&store, "c"));
        let lock = Lock::take(&store, "c").unwrap();
        assert!(taken_for_others(dir.path(), "c"));
        assert!(Lock::is_taken(&store, "c"));
        assert!(taken_for_others(dir.path(), "c"), "lost by looking");
        assert!(matches!(Lock::take(&store, "c"), Err(LaunchError::Busy { .. })));
        assert!(taken_for_others(dir.path(), "c"), "lost by taking it twice");
        drop(lock);
        assert!(!taken_for_others(dir.path(), "c"));
        assert!(!Lock::is_taken(&store, "c"));
        drop(Lock::take(&store, "c").unwrap());
    }
}
