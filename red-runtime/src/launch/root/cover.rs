//! What comes over a root that is put together: a terminal, covers, read-only parts.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::mount_bind;

use super::assemble::{Assembled, attach_at, clone_tree};
use super::fresh::fresh;
use super::oci::inside_path;
use super::place::{Kind, Links, host, path_of};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::{self, MountAttr, flag};

const READ_ONLY: MountAttr = MountAttr { set: flag::RDONLY, clear: 0, propagation: 0 };

impl Assembled {
    /// Puts a terminal at `/dev/console`, where there is a `/dev` of the container's own.
    ///
    /// # Errors
    /// What mount(2) says.
    pub(crate) fn console(&self, terminal: &OwnedFd) -> Result<(), LaunchError> {
        let point = match self.places.mount_point("/dev/console", Kind::File, Links::Refuse) {
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
    /// A mount failed, or `/proc` is not the one that was mounted. What is missing needs no cover.
    pub(crate) fn mask(&self, paths: &[String]) -> Result<(), LaunchError> {
        let null = host("/dev/null")?;
        for path in paths {
            let what = || format!("masked path {path}");
            let Some(found) = self.target(path, what)? else { continue };
            let is_dir = crate::node::place::Facts::of(&found).doing(what)?.is_dir();
            let cover = if is_dir {
                fresh("tmpfs", "tmpfs", &["size=0k".to_owned()], flag::RDONLY)?
            } else {
                // The host's own device: its mode is nobody's here.
                let cover = clone_tree(&null, false).doing(what)?;
                mount_attr::set(&cover, false, READ_ONLY).doing(what)?;
                cover
            };
            attach_at(&cover, &found).doing(what)?;
        }
        self.check_proc(paths)
    }

    /// Makes what is at paths read-only, with all below.
    ///
    /// # Errors
    /// A mount failed, or `/proc` is not the one that was mounted. What is missing is left out.
    pub(crate) fn freeze(&self, paths: &[String]) -> Result<(), LaunchError> {
        for path in paths {
            let what = || format!("read-only path {path}");
            let Some(found) = self.target(path, what)? else { continue };
            let tree = clone_tree(&found, true).doing(what)?;
            mount_attr::set(&tree, true, READ_ONLY).doing(what)?;
            attach_at(&tree, &found).doing(what)?;
        }
        self.check_proc(paths)
    }

    /// What is at a path, below the very mount that stands there; `None` when it is missing.
    fn target(&self, path: &str, what: impl FnOnce() -> String) -> Result<Option<OwnedFd>, LaunchError> {
        let path = inside_path(std::path::Path::new(path))?;
        if path == "/" {
            // Nothing can be mounted over what the root is of, and half a mask is none.
            return Err(LaunchError::refused(what(), "is the root itself, which `root.readonly` is about"));
        }
        match self.places.open(&path, OFlags::PATH) {
            Err(Errno::NOENT) => Ok(None),
            // Of the bundle's own files one can be no directory; of the kernel's none may be else.
            Err(Errno::NOTDIR) if !self.places.is_anchored(&path) => Ok(None),
            found => found.map(Some).doing(what),
        }
    }

    /// Masks hang below the proc that was mounted; they are good for nothing when the container finds
    /// another one, or something else, at `/proc`.
    fn check_proc(&self, paths: &[String]) -> Result<(), LaunchError> {
        let of_proc = |path: &String| path.trim_start_matches('/').split('/').next() == Some("proc");
        if !paths.iter().any(of_proc) || self.places.proc_is_ours().doing(|| "/proc")? {
            return Ok(());
        }
        Err(LaunchError::refused(
            "/proc",
            "is not the proc that was mounted there: somebody changes the root during the launch",
        ))
    }
}
