//! What a program of this project needs to hold others in a view of its own: the steps that no safe
//! library has, for the node store. Each takes something away, none gives anything.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open, readlink, stat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys::filter::{self, Who};
use crate::sys::mount_attr::{self, MountAttr, flag};
use crate::sys::{descriptors, keyring};

const SELF: &str = "/proc/self/exe";

/// Lets every descriptor but the standard streams close on exec, those too that came from the caller.
///
/// # Errors
/// close_range(2) fails.
pub fn close_on_exec() -> rustix::io::Result<()> {
    descriptors::close_from_on_exec(3)
}

/// Closes every descriptor but the standard streams and `keep`. Whatever the caller still holds of
/// others must never be used again: that nothing of the host stays open counts more than an owner
/// that finds its number gone.
///
/// # Errors
/// close_range(2) fails.
pub fn close_others(keep: &[RawFd]) -> rustix::io::Result<()> {
    descriptors::close_others(keep)
}

/// Loads the filter of system calls for scriptlets, for this process and all that it starts.
///
/// # Errors
/// This architecture has none (EOPNOTSUPP), or no_new_privs is missing.
pub fn filter_scriptlets() -> rustix::io::Result<()> {
    filter::load(Who::Scriptlets)
}

/// Gives this process a session keyring of its own, so that it possesses no key of whoever started it
/// (session-keyring(7)).
///
/// # Errors
/// What keyctl(2) says; a kernel without keyrings has none to keep.
pub fn leave_keyring() -> rustix::io::Result<()> {
    match keyring::join_new(None) {
        // A user at the limit of its keys still gets on: the filter for scriptlets denies keyctl(2).
        Err(Errno::NOSYS | Errno::DQUOT) => Ok(()),
        other => other,
    }
}

/// A file as a mount of its own, attached nowhere, through which nobody can write to it. To be used in
/// a mount namespace that the caller may change.
///
/// # Errors
/// It is not there, or mounts may not be made.
pub fn read_only(file: impl AsFd) -> rustix::io::Result<OwnedFd> {
    mount_of(file, flag::RDONLY | flag::NOSUID | flag::NODEV)
}

/// The same for a device node: what goes to the device still does, its owner and mode stay the host's.
///
/// # Errors
/// As of [`read_only`].
pub fn read_only_device(file: impl AsFd) -> rustix::io::Result<OwnedFd> {
    mount_of(file, flag::RDONLY | flag::NOSUID | flag::NOEXEC)
}

fn mount_of(file: impl AsFd, set: u64) -> rustix::io::Result<OwnedFd> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(file, "", clone | OpenTreeFlags::AT_EMPTY_PATH)?;
    mount_attr::set(&tree, false, MountAttr { set, ..MountAttr::default() })?;
    Ok(tree)
}

/// Opens a file for reading through such a mount: opened again by its number (proc_pid_fd(5)) it still
/// cannot be written to.
///
/// # Errors
/// As of [`read_only`].
pub fn open_read_only(path: &Path) -> rustix::io::Result<File> {
    use std::os::fd::AsRawFd;
    let file = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let tree = read_only(&file)?;
    let again = format!("/proc/self/fd/{}", tree.as_raw_fd());
    Ok(open(again, OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// This program's file, where nobody can write to it: to be run by its number, so that no process that
/// this program lets in can change it through `/proc/PID/exe` (CVE-2019-5736).
///
/// # Errors
/// What the kernel says.
pub fn own_program() -> rustix::io::Result<OwnedFd> {
    match own_file()? {
        Some(exe) => read_only(&exe),
        None => copy(c"red"),
    }
}

/// This program's file as this mount namespace sees it: only what is mounted in a namespace can be
/// mounted again in it. `None` when something else, or nothing, has its path.
pub(crate) fn own_file() -> rustix::io::Result<Option<OwnedFd>> {
    let running = stat(SELF)?;
    let path = readlink(SELF, Vec::new())?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = open(&path, flags, Mode::empty()) else { return Ok(None) };
    let found = rustix::fs::fstat(&file)?;
    Ok(((found.st_dev, found.st_ino) == (running.st_dev, running.st_ino)).then_some(file))
}

/// A copy of it in memory that nobody can write to, for a program whose file is no longer where it was.
pub(crate) fn copy(name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    in_memory(name, |memory| std::io::copy(&mut File::open(SELF)?, memory).map(drop))
}

/// A program in memory that nobody can write to.
///
/// # Errors
/// What memfd_create(2) says: EACCES where `vm.memfd_noexec` is 2.
pub(crate) fn in_memory(
    name: &std::ffi::CStr,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 know no other than such that can be executed.
        Err(Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let mut memory = File::from(memory);
    fill(&mut memory).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let memory = OwnedFd::from(memory);
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    match fcntl_add_seals(&memory, seals | SealFlags::EXEC) {
        Err(Errno::INVAL) => fcntl_add_seals(&memory, seals)?,
        other => other?,
    }
    Ok(memory)
}
