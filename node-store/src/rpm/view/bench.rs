//! A staging area in memory, for nodes on file systems that overlayfs does not write to: another overlay
//! (a container without a volume), network and FUSE file systems.
//!
//! The process that makes the namespaces mounts a tmpfs over the stage before the transaction starts,
//! and copies what it left when nothing of it runs any more.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use red_runtime::node::guard::MountTable;

use crate::generation::{At, DIRECTORY, StoreError, clear, transfer};

/// Variable with the path of a staging area that must be in memory.
pub(crate) const BENCH: &str = "RED_BENCH";

/// File systems that overlayfs writes to (`ovl_get_upper`; it makes whiteouts by `RENAME_WHITEOUT`).
const WRITTEN: [&str; 9] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "bcachefs", "zfs"];

/// Whether overlayfs writes to a file system of this type.
pub(super) fn is_written(fstype: &str) -> bool {
    WRITTEN.contains(&fstype)
}

/// The variable that a process for a staging area is started with, where it must be in memory.
pub(crate) fn variable(upper: &Path) -> Option<(&'static str, PathBuf)> {
    let real = upper.ancestors().find_map(|above| std::fs::canonicalize(above).ok())?;
    let mounts = MountTable::read();
    let mount = mounts.mount_of(super::host::mount_id(&real), real.to_str()?)?;
    (!is_written(&mount.fstype)).then(|| (BENCH, upper.to_path_buf()))
}

/// A staging area in memory.
#[derive(Debug)]
pub(crate) struct Bench {
    upper: PathBuf,
    /// The directory on disk, reached past the tmpfs.
    disk: OwnedFd,
    /// Whether what comes of it is kept.
    kept: bool,
}

impl Bench {
    /// Makes one if the caller asked for it, with what the stage has already. It is in a mount namespace
    /// of its own; the process may mount.
    pub(crate) fn open() -> Result<Option<Self>, StoreError> {
        let Some(upper) = std::env::var_os(BENCH).map(PathBuf::from) else { return Ok(None) };
        let stage = upper.parent().unwrap_or(&upper).to_path_buf();
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|error| Errno::from_raw_os_error(error as i32))
            .at("a mount namespace for the staging area")?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).at("/")?;
        let disk = rustix::fs::open(&upper, DIRECTORY, Mode::empty()).at(&upper)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("red-stage", &stage, "tmpfs", flags, Some(c"mode=700")).at(&stage)?;
        std::fs::create_dir(&upper).at(&upper)?;
        let memory = rustix::fs::open(&upper, DIRECTORY, Mode::empty()).at(&upper)?;
        transfer((&disk, &upper), (&memory, &upper))?;
        let kept = std::env::var_os(super::super::call::LOOK).is_none();
        Ok(Some(Self { upper, disk, kept }))
    }

    /// Brings what the transaction left to where the node is.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        if !self.kept {
            return Ok(());
        }
        let memory = rustix::fs::open(&self.upper, DIRECTORY, Mode::empty()).at(&self.upper)?;
        clear(&self.disk, &self.upper)?;
        transfer((&memory, &self.upper), (&self.disk, &self.upper))
    }
}
