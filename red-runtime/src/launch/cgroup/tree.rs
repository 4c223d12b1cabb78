//! Walks over cgroups by descriptor. Whoever may make cgroups inside can nest them deeper than a path
//! can be long, and than a process may have files open: only one directory is open at a time.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::members::PATIENCE;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Names of the directories in one; none of one that cannot be read. Not with std's iterator: that aborts
/// the process when closing a directory fails.
pub(super) fn names_at(path: &Path) -> Vec<CString> {
    openat(CWD, path, DIRECTORY, Mode::empty()).and_then(|directory| names(&directory)).unwrap_or_default()
}

/// Names of the cgroups in one.
fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            all.push(name.to_owned());
        }
    }
    Ok(all)
}

/// Calls `each` for a cgroup and all below it, inner ones first, and `left` with the parent and the name
/// of each one below it after that. One that is not there (any more) is none.
///
/// # Errors
/// One cannot be opened or read, or what was called failed.
pub(super) fn walk(
    top: &Path,
    each: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>,
    left: &mut dyn FnMut(BorrowedFd<'_>, &CString) -> io::Result<()>,
) -> io::Result<()> {
    let mut here = match openat(CWD, top, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        top => top?,
    };
    // What is still to be visited on each level, and by which names the way led here.
    let mut pending = vec![names(&here)?];
    let mut way: Vec<CString> = Vec::new();
    while let Some(level) = pending.last_mut() {
        if let Some(name) = level.pop() {
            match openat(&here, &name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {}
                below => {
                    here = below?;
                    pending.push(names(&here)?);
                    way.push(name);
                }
            }
            continue;
        }
        each(here.as_fd())?;
        pending.pop();
        let Some(name) = way.pop() else { break };
        here = openat(&here, c"..", DIRECTORY, Mode::empty())?;
        left(here.as_fd(), &name)?;
    }
    Ok(())
}

/// Removes a cgroup with all below it.
///
/// # Errors
/// One cannot be removed; it can be tried again.
pub(super) fn remove(top: &Path) -> io::Result<()> {
    walk(top, &mut |_| Ok(()), &mut |parent, name| remove_at(parent, name))?;
    let name = CString::new(top.as_os_str().as_encoded_bytes())?;
    remove_at(CWD, &name)
}

/// The kernel may need a moment after the last process has gone.
fn remove_at(parent: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories are as good as cgroups here.
    #[test]
    fn depth_is_no_limit() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let mut here = openat(CWD, &top, DIRECTORY, Mode::empty()).unwrap();
        let name = CString::new("n".repeat(200)).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&here, &name, Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&here, c"side", Mode::RWXU).unwrap();
            here = openat(&here, &name, DIRECTORY, Mode::empty()).unwrap();
        }
        let mut seen = 0;
        let mut count = |_: BorrowedFd<'_>| {
            seen += 1;
            Ok(())
        };
        walk(&top, &mut count, &mut |_, _| Ok(())).unwrap();
        assert_eq!(seen, 3001);
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&top).unwrap();
    }
}
