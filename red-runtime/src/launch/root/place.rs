//! Places inside the root that is being put together. Links are followed as the container will
//! follow them, never out of the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

use crate::launch::error::{Doing, LaunchError};

/// What must stand at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A directory.
    Dir,
    /// Anything else.
    File,
}

/// The root that is being put together.
pub(super) struct Places {
    /// Its topmost directory.
    pub(super) root: OwnedFd,
    /// Devices of file systems in which mount points may be made: those of this launch, and the
    /// root directory of a plain bundle.
    pub(super) ours: Vec<u64>,
}

fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// The directory that holds the last part of a path, and that part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name))
}

impl Places {
    /// Opens a path inside.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, relative(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens what a mount will stand on, made if it is missing and may be made.
    pub(super) fn mount_point(&self, path: &str, kind: Kind) -> rustix::io::Result<OwnedFd> {
        match self.open(path, OFlags::PATH) {
            Ok(found) => fits(found, kind),
            Err(Errno::NOENT) => self.make(path, kind),
            Err(errno) => Err(errno),
        }
    }

    /// Makes a directory or an empty file, with the directories on the way to it.
    pub(super) fn make(&self, path: &str, kind: Kind) -> rustix::io::Result<OwnedFd> {
        let (parent, name) = split(path);
        let parent = self.directory(parent)?;
        self.may_write(&parent)?;
        match kind {
            Kind::Dir => {
                made(mkdirat(&parent, name, Mode::from_raw_mode(0o755)))?;
            }
            Kind::File => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                made(openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop))?;
            }
        }
        let found = openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        fits(found, kind)
    }

    /// A directory inside, made with those above it where it is missing.
    pub(super) fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (parent, name) = split(path);
                let parent = self.directory(parent)?;
                self.may_write(&parent)?;
                made(mkdirat(&parent, name, Mode::from_raw_mode(0o755)))?;
                self.open(path, OFlags::PATH | OFlags::DIRECTORY)
            }
            other => other,
        }
    }

    /// Nothing is written into a node to make room for a mount.
    pub(super) fn may_write(&self, directory: impl AsFd) -> rustix::io::Result<()> {
        let stat = fstat(directory)?;
        if self.ours.contains(&stat.st_dev) { Ok(()) } else { Err(Errno::NOENT) }
    }
}

/// What was made meanwhile is as good.
fn made(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn fits(found: OwnedFd, kind: Kind) -> rustix::io::Result<OwnedFd> {
    let is_dir = FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Directory;
    match (is_dir, kind) {
        (true, Kind::Dir) | (false, Kind::File) => Ok(found),
        (true, Kind::File) => Err(Errno::ISDIR),
        (false, Kind::Dir) => Err(Errno::NOTDIR),
    }
}

/// Opens a path of the host that is not a symbolic link, such as `/dev/null`.
pub(super) fn host(path: &str) -> Result<OwnedFd, LaunchError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).doing(|| path)
}

/// A path for a descriptor, for calls that take only paths. It names the descriptor's own file
/// whatever was renamed since, as long as the host's `/proc` is visible.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
