//! mount_setattr(2): flags of mounts, also of all mounts below one.

use std::os::fd::{AsFd, AsRawFd};

#[cfg(feature = "launch")]
use rustix::fs::StatVfsMountFlags;

use super::last;

/// Flags to set and to clear (`MOUNT_ATTR_…`), and a propagation (`MS_PRIVATE` and the like, 0 for
/// none).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct MountAttr {
    /// Flags that are set.
    pub(crate) set: u64,
    /// Flags that are cleared before.
    pub(crate) clear: u64,
    /// What becomes of mounts made below later.
    pub(crate) propagation: u64,
}

impl MountAttr {
    /// Whether it changes nothing.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The flags of mount_setattr(2).
pub(crate) mod flag {
    /// Nothing can be written through the mount.
    pub(crate) const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    /// Set-user-id has no effect.
    pub(crate) const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
    /// Device files cannot be opened.
    pub(crate) const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
    /// Nothing can be executed.
    pub(crate) const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
    /// All that is about access times of files.
    pub(crate) const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
    /// Access times are not kept.
    pub(crate) const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
    /// Access times are always kept.
    pub(crate) const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
    /// Access times of directories are not kept.
    pub(crate) const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
    /// Symbolic links are not followed.
    pub(crate) const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
}

/// The flags of the mount that something is on, for another mount to have them too.
///
/// # Errors
/// What fstatvfs(3) says.
#[cfg(feature = "launch")]
pub(crate) fn of(mount: impl AsFd) -> rustix::io::Result<MountAttr> {
    // As of Linux 5.10 (linux/statfs.h); others are options of file systems.
    const NOSYMFOLLOW: StatVfsMountFlags = StatVfsMountFlags::from_bits_retain(0x2000);
    let found = rustix::fs::fstatvfs(mount)?.f_flag;
    let flags = [
        (StatVfsMountFlags::RDONLY, flag::RDONLY),
        (StatVfsMountFlags::NOSUID, flag::NOSUID),
        (StatVfsMountFlags::NODEV, flag::NODEV),
        (StatVfsMountFlags::NOEXEC, flag::NOEXEC),
        (StatVfsMountFlags::NODIRATIME, flag::NODIRATIME),
        (NOSYMFOLLOW, flag::NOSYMFOLLOW),
    ];
    let set = flags.iter().filter(|(one, _)| found.contains(*one)).fold(0, |set, (_, flag)| set | flag);
    // Of these three one holds, and relative access times are none of the flags (mount_setattr(2)).
    let atime = if found.contains(StatVfsMountFlags::NOATIME) {
        flag::NOATIME
    } else if found.contains(StatVfsMountFlags::RELATIME) {
        0
    } else {
        flag::STRICTATIME
    };
    Ok(MountAttr { set: set | atime, clear: flag::ATIME, propagation: 0 })
}

/// Changes the mount that `mount` is the root of, and with `recursive` all mounts below it.
///
/// # Errors
/// What mount_setattr(2) says; then nothing is changed.
pub(crate) fn set(mount: impl AsFd, recursive: bool, attr: MountAttr) -> rustix::io::Result<()> {
    if attr.is_empty() {
        return Ok(());
    }
    call(mount, recursive, attr, 0)
}

/// Maps owners of what the mount shows as a user namespace does.
///
/// # Errors
/// What mount_setattr(2) says; then nothing is changed.
#[cfg(feature = "launch")]
pub(crate) fn map_owners(mount: impl AsFd, recursive: bool, namespace: impl AsFd) -> rustix::io::Result<()> {
    let namespace = u64::try_from(namespace.as_fd().as_raw_fd()).unwrap_or(u64::MAX);
    let attr = MountAttr { set: libc::MOUNT_ATTR_IDMAP, ..MountAttr::default() };
    call(mount, recursive, attr, namespace)
}

fn call(mount: impl AsFd, recursive: bool, attr: MountAttr, namespace: u64) -> rustix::io::Result<()> {
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    let result = {
        let raw = libc::mount_attr {
            attr_set: attr.set,
            attr_clr: attr.clear,
            propagation: attr.propagation,
            userns_fd: namespace,
        };
        // SAFETY: an empty path with AT_EMPTY_PATH means the descriptor itself, which lives for the
        // call; the structure is passed with its size, as mount_setattr(2) wants.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                mount.as_fd().as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | below,
                std::ptr::from_ref(&raw),
                size_of::<libc::mount_attr>(),
            )
        }
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}
