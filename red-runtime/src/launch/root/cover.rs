//! What comes over a root that is put together: a terminal, covers, read-only parts.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::mount_bind;

use super::assemble::{Assembled, attach_at, clone_tree, fresh};
use super::place::{Kind, host, path_of};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::{self, MountAttr, flag};

impl Assembled {
    /// Puts a terminal at `/dev/console`, where there is a `/dev` of the container's own.
    ///
    /// # Errors
    /// What mount(2) says.
    pub(crate) fn console(&self, terminal: &OwnedFd) -> Result<(), LaunchError> {
        let point = match self.places.mount_point("/dev/console", Kind::File) {
            // A node without a /dev has no place for it, and no need.
            Err(Errno::NOENT) => return Ok(()),
            point => point.doing(|| "/dev/console")?,
        };
        // Only a path can name the file of a descriptor that is not O_PATH to a bind.
        let (from, to) = (path_of(terminal.as_fd()), path_of(point.as_fd()));
        mount_bind(&*from, &*to).doing(|| "/dev/console")
    }

    /// A directory inside, made where it is missing and may be made.
    ///
    /// # Errors
    /// It is no directory, or lies in something that is not ours.
    pub(crate) fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.places.directory(path)
    }

    /// Opens a path inside.
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.places.open(path, flags)
    }

    /// Covers files with `/dev/null` and directories with an empty one, read-only.
    ///
    /// # Errors
    /// What the kernel says; what is missing needs no cover.
    pub(crate) fn mask(&self, paths: &[String]) -> Result<(), LaunchError> {
        let mut null: Option<OwnedFd> = None;
        for path in paths {
            let found = match self.places.open(path, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                found => found.doing(|| format!("masked path {path}"))?,
            };
            let is_dir = crate::node::place::Facts::of(&found).doing(|| path)?.is_dir();
            let cover = if is_dir {
                fresh("tmpfs", "tmpfs", &["size=0k".to_owned()], flag::RDONLY)?
            } else {
                let null = match null.take() {
                    Some(null) => null,
                    None => host("/dev/null")?,
                };
                clone_tree(&null, false).doing(|| format!("masked path {path}"))?
            };
            attach_at(&cover, &found).doing(|| format!("masked path {path}"))?;
        }
        Ok(())
    }

    /// Makes what is at paths read-only, with all below.
    ///
    /// # Errors
    /// What the kernel says; what is missing is left out.
    pub(crate) fn freeze(&self, paths: &[String]) -> Result<(), LaunchError> {
        for path in paths {
            let found = match self.places.open(path, OFlags::PATH) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                found => found.doing(|| format!("read-only path {path}"))?,
            };
            let tree = clone_tree(&found, true).doing(|| format!("read-only path {path}"))?;
            let attr = MountAttr { set: flag::RDONLY, ..MountAttr::default() };
            mount_attr::set(&tree, true, attr).doing(|| format!("read-only path {path}"))?;
            attach_at(&tree, &found).doing(|| format!("read-only path {path}"))?;
        }
        Ok(())
    }
}
