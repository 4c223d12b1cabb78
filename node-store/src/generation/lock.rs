//! One command at a time changes a node; its ancestors stay as they are meanwhile.
//!
//! The lock is flock(2) on the file `.red/lock`, which only whoever may change the node can open: who
//! can open a file can lock it, and a directory that everybody may read everybody could lock for ever.
//! It goes away with the process. Who holds it is in `/proc/locks`.
//!
//! Who may not open the lock of an ancestor relies on it without one, and looks in the end whether it is
//! still the same.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat};
use rustix::io::Errno;

use super::{At, DIRECTORY, RED, StoreError, make_directory};

/// The file, below a node.
const FILE: &str = ".red/lock";

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
    /// The node is not the caller's to change.
    #[error(
        "{}: {}: the node belongs to user {owner}; run this as that user, or where it may be written to",
        .node.join(FILE).display(),
        std::io::Error::from(*.errno)
    )]
    Foreign {
        /// The node.
        node: PathBuf,
        /// Its owner.
        owner: u32,
        /// What the kernel said.
        errno: Errno,
    },
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
    file: OwnedFd,
}

impl Lock {
    /// Lets the process that watches a transaction keep the lock until all of it has ended, so that nobody
    /// finds a node whose transaction is dying and not dead. It hands it on to nobody.
    pub(crate) fn pass_on(&self, on: bool) -> Result<(), StoreError> {
        let flags = if on { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
        rustix::io::fcntl_setfd(&self.file, flags).at("the lock")
    }

    /// Takes the lock of a node: alone to change it, shared to rely on it. `tell` is called once, with
    /// who holds it, before waiting.
    pub(crate) fn take(
        node: &Path,
        alone: bool,
        patience: Patience,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self, LockError> {
        loop {
            let file = open(node, alone).map_err(|error| whose(node, error))?;
            wait(node, &file, alone, patience, tell)?;
            // Whoever may change the node may have put another file there before this one was locked.
            if is_there(node, &file) {
                return Ok(Self { file });
            }
        }
    }
}

/// Says whose a node is that the caller may not change.
fn whose(node: &Path, error: StoreError) -> LockError {
    match error {
        StoreError::File { errno: errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS), .. } => {
            let owner = statat(rustix::fs::CWD, node, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_uid);
            match owner {
                Ok(owner) => LockError::Foreign { node: node.to_owned(), owner, errno },
                Err(_) => error.into(),
            }
        }
        error => error.into(),
    }
}

/// Opens the lock of a node, and makes it when it is missing: for those who will change the node
/// whatever there is, for others only in a node that has `.red`.
fn open(node: &Path, alone: bool) -> Result<OwnedFd, StoreError> {
    let shown = node.join(FILE);
    let dir = rustix::fs::open(node, DIRECTORY, Mode::empty()).at(node)?;
    if alone {
        drop(make_directory(&dir, node, RED)?);
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // For a lock alone, network file systems want a descriptor that can be written to (flock(2)).
    let flags = flags | if alone { OFlags::RDWR } else { OFlags::RDONLY };
    let red = openat(&dir, RED, DIRECTORY, Mode::empty()).at(node.join(RED))?;
    let file = match openat(&red, "lock", flags, Mode::empty()) {
        Err(Errno::NOENT) => make(&dir, &red, flags).at(&shown)?,
        opened => opened.at(&shown)?,
    };
    if FileType::from_raw_mode(fstat(&file).at(&shown)?.st_mode) != FileType::RegularFile {
        let why = "not a regular file; remove it (it is the node's lock file)".to_owned();
        return Err(StoreError::InTheWay { path: shown, why });
    }
    Ok(file)
}

/// Makes the file, for the owner of the node, who may be another than root who makes it.
fn make(dir: &OwnedFd, red: &OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o600);
    let file = match openat(red, "lock", flags | OFlags::CREATE | OFlags::EXCL, mode) {
        Err(Errno::EXIST) => return openat(red, "lock", flags, mode),
        made => made?,
    };
    let (node, ours) = (fstat(dir)?, fstat(&file)?);
    if rustix::process::geteuid().is_root() && node.st_uid != ours.st_uid {
        let owner = (rustix::fs::Uid::from_raw(node.st_uid), rustix::fs::Gid::from_raw(node.st_gid));
        rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
    }
    Ok(file)
}

/// Whether a file is still the node's lock.
fn is_there(node: &Path, file: &OwnedFd) -> bool {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let there = statat(rustix::fs::CWD, node.join(FILE), AtFlags::SYMLINK_NOFOLLOW);
    matches!((there, fstat(file)), (Ok(there), Ok(ours)) if identity(there) == identity(ours))
}

/// Whether a lock could not be had because the node is not the caller's to change.
pub(crate) fn is_foreign(error: &LockError) -> bool {
    let missing = |error: &StoreError| matches!(error, StoreError::File { errno: Errno::NOENT, .. });
    match error {
        LockError::Foreign { .. } => true,
        LockError::Store(error) => missing(error),
        LockError::Busy { .. } => false,
    }
}

/// Locks an open file.
fn wait(
    node: &Path,
    file: &OwnedFd,
    alone: bool,
    patience: Patience,
    tell: &mut dyn FnMut(&str),
) -> Result<(), LockError> {
    let (now, wait) = match alone {
        true => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
        false => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
    };
    match flock(file, now) {
        Ok(()) => return Ok(()),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno).at(node).map_err(LockError::from),
    }
    let holder = holder(file).unwrap_or_else(|| "another command".to_owned());
    match patience {
        Patience::Forever => {
            tell(&format!("{} is in use by {holder}; waiting", node.display()));
            retry(|| flock(file, wait)).at(node)?;
        }
        Patience::For(limit) => {
            if !limit.is_zero() {
                tell(&format!("{} is in use by {holder}; waiting", node.display()));
            }
            let start = Instant::now();
            loop {
                match flock(file, now) {
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
    Ok(())
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Whether some command changes a node, or relies on it. Asks nobody for a lock, so anybody can tell.
pub(crate) fn is_held(node: &Path) -> bool {
    let stat = statat(rustix::fs::CWD, node.join(FILE), AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| holding(&stat).is_some())
}

/// The process that holds a lock on a file (proc_locks(5)).
fn holding(stat: &Stat) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let place = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let mut held = locks
        .lines()
        .filter(|line| !line.contains("->") && line.split_whitespace().any(|word| word == place));
    held.find_map(|line| line.split_whitespace().nth(4)?.parse().ok())
}

/// Who holds a lock on a file, in words.
fn holder(file: impl AsFd) -> Option<String> {
    let pid = holding(&fstat(file).ok()?)?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = words
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| red_runtime::node::render::visible(&String::from_utf8_lossy(word)).into_owned())
        .collect();
    let command = if words.is_empty() { String::new() } else { format!(" ({})", words.join(" ")) };
    Some(format!("process {pid}{command}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn take(node: &Path, alone: bool) -> Result<Lock, LockError> {
        Lock::take(node, alone, Patience::For(Duration::ZERO), &mut |_line| ())
    }

    #[test]
    fn one_alone_or_several_together() {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path();
        let alone = take(node, true).unwrap();
        let mode = std::fs::metadata(node.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else opens it");
        let busy = take(node, false).unwrap_err().to_string();
        assert!(busy.contains(&format!("is in use by process {}", std::process::id())), "{busy}");
        drop(alone);
        let both = (take(node, false).unwrap(), take(node, false).unwrap());
        assert!(matches!(take(node, true), Err(LockError::Busy { .. })));
        drop(both);
        take(node, true).unwrap();
    }

    #[test]
    fn a_lock_on_the_directory_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let stranger = rustix::fs::open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
        flock(&stranger, FlockOperation::NonBlockingLockExclusive).unwrap();
        take(dir.path(), true).unwrap();
    }

    #[test]
    fn looking_makes_nothing_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_foreign(&take(dir.path(), false).unwrap_err()));
        assert!(!dir.path().join(RED).exists());
        std::fs::create_dir(dir.path().join(RED)).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join(FILE)).unwrap();
        assert!(take(dir.path(), true).is_err() && !dir.path().join("elsewhere").exists());
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        let why = take(dir.path(), false).unwrap_err().to_string();
        assert!(why.contains("not a regular file"), "{why}");
    }
}
