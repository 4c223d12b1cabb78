//! One command at a time changes a node; its ancestors stay as they are meanwhile.
//!
//! The lock is flock(2) on the node's directory: it needs no file, works on read-only ancestors, and
//! goes away with the process. Who holds it is in `/proc/locks`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, flock, fstat};
use rustix::io::Errno;

use super::{At, DIRECTORY, StoreError};

/// How long to wait for another command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Until it ends.
    Forever,
    /// This long.
    For(Duration),
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// The directory cannot be opened or locked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else holds it for too long.
    #[error("{node} is in use by {holder}; `--wait=SECONDS` waits longer")]
    Busy {
        /// The node.
        node: PathBuf,
        /// Who.
        holder: String,
    },
}

/// A held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: OwnedFd,
}

impl Lock {
    /// Lets processes that are started from now on keep the lock until they have ended too, so that
    /// nobody finds a node whose transaction is dying and not dead.
    pub(crate) fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        let flags = if on { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
        rustix::io::fcntl_setfd(&self.dir, flags).at("the lock")
    }

    /// Takes the lock of a node: alone to change it, shared to rely on it. `tell` is called once, with
    /// who holds it, before waiting.
    pub(crate) fn take(
        node: &Path,
        alone: bool,
        patience: Patience,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self, LockError> {
        let dir = rustix::fs::open(node, DIRECTORY, Mode::empty()).at(node)?;
        let (now, wait) = match alone {
            true => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
            false => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
        };
        match flock(&dir, now) {
            Ok(()) => return Ok(Self { dir }),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno).at(node).map_err(LockError::from),
        }
        let holder = holder(&dir).unwrap_or_else(|| "another command".to_owned());
        match patience {
            Patience::Forever => {
                tell(&format!("{} is in use by {holder}; waiting", node.display()));
                retry(|| flock(&dir, wait)).at(node)?;
            }
            Patience::For(limit) => {
                if !limit.is_zero() {
                    tell(&format!("{} is in use by {holder}; waiting", node.display()));
                }
                let start = Instant::now();
                loop {
                    match flock(&dir, now) {
                        Ok(()) => break,
                        Err(Errno::WOULDBLOCK) if start.elapsed() < limit => {
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        Err(Errno::WOULDBLOCK) => {
                            return Err(LockError::Busy { node: node.to_owned(), holder });
                        }
                        Err(errno) => return Err(errno).at(node).map_err(LockError::from),
                    }
                }
            }
        }
        Ok(Self { dir })
    }
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Who holds a lock on a directory, in words (proc_locks(5)).
fn holder(dir: impl AsFd) -> Option<String> {
    let stat = fstat(dir).ok()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let place = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let mut waiting_or_not = locks.lines().filter(|line| line.contains(&place) && !line.contains("->"));
    let pid: u32 = waiting_or_not.find_map(|line| line.split_whitespace().nth(4)?.parse().ok())?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = words
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| red_runtime::node::render::visible(&String::from_utf8_lossy(word)).into_owned())
        .collect();
    let command = if words.is_empty() { String::new() } else { format!(" ({})", words.join(" ")) };
    Some(format!("process {pid}{command}"))
}
