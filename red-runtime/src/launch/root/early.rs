//! What a root is made of, opened before the process changes its ids.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::assemble::{clone_tree, follows};
use super::sources::Opener;
use super::{Root, Source, What};
use crate::launch::error::LaunchError;
use crate::sys::mount_attr::{self, MountAttr};

/// A source of a bind.
#[derive(Debug)]
pub(super) struct Found {
    /// It, or with `tree` a mount of it.
    pub(super) fd: OwnedFd,
    /// Whether it is a directory.
    pub(super) is_dir: bool,
    /// It is a mount already, and attached nowhere.
    pub(super) tree: bool,
}

/// Mounts of sources that the launcher has made, by position of the mount. A process in a user namespace has no
/// capability on the host: what lies in a directory of another user's only the launcher can open.
#[derive(Debug, Default)]
pub(in crate::launch) struct Handed(HashMap<usize, (OwnedFd, bool)>);

impl Handed {
    /// Those of a root. What cannot be opened here is told by the process that needs it.
    pub(in crate::launch) fn of(root: &Root) -> Self {
        let mut opener = Opener::new(&root.nodes);
        // As the copies of the container's own mount namespace are: nothing that is mounted on them is seen by
        // the host.
        let propagation = if follows(root) { libc::MS_SLAVE } else { libc::MS_PRIVATE };
        let apart = MountAttr { propagation, ..MountAttr::default() };
        let mut handed = Self::default();
        for (index, mount) in root.mounts.iter().enumerate() {
            let What::Bind { source, all } = &mount.what else { continue };
            let Ok((fd, is_dir)) = opener.open(source) else { continue };
            let Ok(tree) = clone_tree(fd, *all && is_dir) else { continue };
            if mount_attr::set(&tree, true, apart).is_ok() {
                handed.0.insert(index, (tree, is_dir));
            }
        }
        handed
    }

    /// Their descriptors.
    pub(in crate::launch) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        self.0.values().map(|(tree, _)| tree.as_raw_fd())
    }
}

/// What is opened with the launcher's ids, before the process takes those of the container, which may not
/// enter every directory of the host.
#[derive(Default)]
pub(super) struct Early {
    /// Sources of binds, by position of the mount.
    sources: HashMap<usize, Found>,
    /// What the launcher has opened.
    handed: Handed,
    /// Files to hold locks on.
    pub(super) locks: Vec<OwnedFd>,
}

impl Early {
    /// Nothing yet but what the launcher has opened.
    pub(super) fn new(handed: Handed) -> Self {
        Self { handed, ..Self::default() }
    }

    /// The source of a bind.
    ///
    /// # Errors
    /// It is missing, or may not be opened.
    pub(super) fn source(
        &mut self,
        index: usize,
        source: &Source,
        opener: &mut Opener<'_>,
    ) -> Result<Found, LaunchError> {
        if let Some(found) = self.sources.remove(&index) {
            return Ok(found);
        }
        match opener.open(source) {
            Ok((fd, is_dir)) => Ok(Found { fd, is_dir, tree: false }),
            // Only then: what this process mounts by itself keeps the flags that the host has given it.
            Err(error @ LaunchError::Call { errno: Errno::ACCESS, .. }) => {
                let (fd, is_dir) = self.handed.0.remove(&index).ok_or(error)?;
                Ok(Found { fd, is_dir, tree: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens everything.
    ///
    /// # Errors
    /// Something may not be opened; what is missing is told when it is needed.
    pub(super) fn open(&mut self, root: &Root, opener: &mut Opener<'_>) -> Result<(), LaunchError> {
        for (index, mount) in root.mounts.iter().enumerate() {
            let What::Bind { source, .. } = &mount.what else { continue };
            match self.source(index, source, opener) {
                Ok(found) => drop(self.sources.insert(index, found)),
                // It says so when it is needed, or is left out.
                Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.locks = locks(root, opener)?;
        Ok(())
    }
}

/// Opens the files that locks are held on.
///
/// # Errors
/// One is missing.
pub(super) fn locks(root: &Root, opener: &mut Opener<'_>) -> Result<Vec<OwnedFd>, LaunchError> {
    root.host_locks.iter().map(|path| opener.lock(path)).collect()
}
