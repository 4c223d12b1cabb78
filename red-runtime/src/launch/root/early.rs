//! What a root is made of, opened before the process changes its ids.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::{
    Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_parent_process_death_signal, waitid,
};

use super::assemble::clone_tree;
use super::sources::Opener;
use super::{Mount, Root, Source, What};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::launch::sync::{Message, Sync};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::exec::leave;
use crate::sys::namespace;

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

/// A process that opens a source for the one that makes a root: in a user namespace that one has no capability
/// on the host, and may not enter directories of other users' there. The launcher goes on meanwhile, so a file
/// system that does not answer keeps nobody waiting longer than the launcher waits for a root.
pub(in crate::launch) struct Opening(OwnedFd);

impl Opening {
    /// Opens the source of a mount as the mount namespace of `inside` has it, where flags of the host are locked
    /// and nothing that is mounted later is seen by the host (mount_namespaces(7)), and sends it by `inside`'s
    /// own conversation.
    ///
    /// # Errors
    /// There is no process to be had.
    pub(in crate::launch) fn begin(
        root: &Root,
        index: usize,
        inside: BorrowedFd<'_>,
        sync: &Sync,
    ) -> Result<Self, LaunchError> {
        match clone3(0, None).doing(|| "a process that opens a source")? {
            Cloned::Parent { pidfd, .. } => Ok(Self(pidfd)),
            Cloned::Child(_token) => {
                tried(set_parent_process_death_signal(Some(Signal::KILL)));
                let opened = namespace::join(inside, libc::CLONE_NEWNS).and_then(|()| {
                    root.mounts.get(index).map_or(Err(Errno::INVAL), |mount| tree(root, mount))
                });
                tried(sync.give(opened.ok().as_ref()));
                leave(0)
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // It has ended, or nobody waits for it any more.
        tried(pidfd_send_signal(&self.0, Signal::KILL));
        tried(waitid(WaitId::PidFd(self.0.as_fd()), WaitIdOptions::EXITED));
    }
}

/// A mount of the source of a bind, attached nowhere.
fn tree(root: &Root, mount: &Mount) -> rustix::io::Result<OwnedFd> {
    let What::Bind { source, all } = &mount.what else { return Err(Errno::INVAL) };
    let (fd, is_dir) = Opener::new(&root.nodes).open(source).map_err(|_told_inside| Errno::ACCESS)?;
    let tree = clone_tree(fd, *all && is_dir)?;
    if let Some(owners) = &mount.owners {
        owners.map(&tree)?;
    }
    Ok(tree)
}

/// What is opened with the launcher's ids, before the process takes those of the container, which may not
/// enter every directory of the host.
#[derive(Default)]
pub(super) struct Early {
    /// Sources of binds, by position of the mount.
    sources: HashMap<usize, Found>,
    /// Files to hold locks on.
    pub(super) locks: Vec<OwnedFd>,
}

impl Early {
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
        match self.sources.remove(&index) {
            Some(found) => Ok(found),
            None => opener.open(source).map(|(fd, is_dir)| Found { fd, is_dir, tree: false }),
        }
    }

    /// Opens everything. What may not be opened here the launcher is asked for.
    ///
    /// # Errors
    /// Something may not be opened; what is missing is told when it is needed.
    pub(super) fn open(
        root: &Root,
        opener: &mut Opener<'_>,
        launcher: Option<&Sync>,
    ) -> Result<Self, LaunchError> {
        let mut early = Self::default();
        for (index, mount) in root.mounts.iter().enumerate() {
            let What::Bind { source, .. } = &mount.what else { continue };
            if mount.owners.is_some() {
                // Only somebody of the file system's own user namespace may (mount_setattr(2)).
                let found = launcher.map(|launcher| asked(launcher, index)).transpose()?.flatten();
                early.sources.insert(index, found.ok_or_else(|| unmapped(&mount.destination))?);
                continue;
            }
            match early.source(index, source, opener) {
                Ok(found) => drop(early.sources.insert(index, found)),
                // It says so when it is needed, or is left out.
                Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR, .. }) => {}
                Err(error @ LaunchError::Call { errno: Errno::ACCESS, .. }) => {
                    let found = launcher.map(|launcher| asked(launcher, index)).transpose()?.flatten();
                    early.sources.insert(index, found.ok_or(error)?);
                }
                Err(error) => return Err(error),
            }
        }
        early.locks = locks(root, opener)?;
        Ok(early)
    }
}

/// Why owners are not mapped.
pub(super) fn unmapped(destination: &str) -> LaunchError {
    let why = "its source is missing, or its owners cannot be mapped: by this user, this kernel, or of this file system";
    LaunchError::refused(format!("mount {destination}"), why)
}

/// The source of a mount, as the launcher opens it; `None` when it cannot either.
fn asked(launcher: &Sync, index: usize) -> Result<Option<Found>, LaunchError> {
    let what = || "a source that the launcher opens";
    launcher.say(&Message::Wants(index)).doing(what)?;
    let Some(fd) = launcher.take().doing(what)? else { return Ok(None) };
    let is_dir = FileType::from_raw_mode(fstat(&fd).doing(what)?.st_mode).is_dir();
    Ok(Some(Found { fd, is_dir, tree: true }))
}

/// Opens the files that locks are held on.
///
/// # Errors
/// One is missing.
pub(super) fn locks(root: &Root, opener: &mut Opener<'_>) -> Result<Vec<OwnedFd>, LaunchError> {
    root.host_locks.iter().map(|path| opener.lock(path)).collect()
}
