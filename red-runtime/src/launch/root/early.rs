//! What a root is made of, opened before the process changes its ids.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::sources::Opener;
use super::{Root, What};
use crate::launch::error::LaunchError;

/// What is opened with the launcher's ids, before the process takes those of the container, which may not
/// enter every directory of the host.
#[derive(Default)]
pub(super) struct Early {
    /// Sources of binds, by position of the mount.
    pub(super) sources: HashMap<usize, (OwnedFd, bool)>,
    /// Files to hold locks on.
    pub(super) locks: Vec<OwnedFd>,
}

impl Early {
    /// Opens everything.
    ///
    /// # Errors
    /// Something may not be opened; what is missing is told when it is needed.
    pub(super) fn open(root: &Root, opener: &mut Opener<'_>) -> Result<Self, LaunchError> {
        let mut early = Self::default();
        for (index, mount) in root.mounts.iter().enumerate() {
            let What::Bind { source, .. } = &mount.what else { continue };
            match opener.open(source) {
                Ok(opened) => drop(early.sources.insert(index, opened)),
                // It says so when it is needed, or is left out.
                Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        early.locks = locks(root, opener)?;
        Ok(early)
    }
}

/// Opens the files that locks are held on.
///
/// # Errors
/// One is missing.
pub(super) fn locks(root: &Root, opener: &mut Opener<'_>) -> Result<Vec<OwnedFd>, LaunchError> {
    root.host_locks.iter().map(|path| opener.lock(path)).collect()
}
