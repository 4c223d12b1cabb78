//! What of the kernel and of volatile places the install view has, and how it becomes the root.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, UnmountFlags, mount, mount_bind, move_mount, unmount};

use crate::generation::{At, StoreError};

/// File systems of the kernel, and volatile places.
pub(super) fn places() -> Result<(), StoreError> {
    for name in ["proc", "dev", "run", "tmp", "sys"] {
        std::fs::create_dir_all(name).at(name)?;
    }
    proc()?;
    for (name, mode) in
        [("run", c"mode=755,size=64m"), ("tmp", c"mode=1777,size=512m"), ("dev", c"mode=755,size=64k")]
    {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("red-view", name, "tmpfs", flags, Some(mode)).at(name)?;
    }
    for device in ["null", "zero", "full", "random", "urandom"] {
        let (from, to) = (format!("/dev/{device}"), format!("dev/{device}"));
        std::fs::File::create(&to).at(&to)?;
        // Root in the view is who owns these files of the host, and could change their modes.
        let node = rustix::fs::open(&from, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(&from)?;
        let node = red_runtime::confine::read_only_device(&node).at(&from)?;
        move_mount(&node, "", CWD, &to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(&to)?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let path = Path::new("dev").join(link);
        std::os::unix::fs::symlink(target, &path).at(path)?;
    }
    std::fs::create_dir_all("dev/shm").at("dev/shm")?;
    Ok(())
}

/// Processes of the view's own pid namespace, and nothing else of /proc: no settings of the kernel, which
/// uid 0 of the machine may write to without any capability, and nothing of other processes (proc(5),
/// "subset", "hidepid").
fn proc() -> Result<(), StoreError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    match mount("proc", "proc", "proc", flags, Some(c"subset=pid,hidepid=1")) {
        Err(Errno::PERM) => one_process(flags),
        mounted => mounted.at("proc"),
    }
}

/// Where a container hides parts of its /proc, its kernel lets nobody mount a new one in a user namespace
/// (mount_too_revealing() in fs/namespace.c). The whole of the old one would show every process around, so
/// only this one's directory is shown, which is all that rpm needs.
fn one_process(flags: MountFlags) -> Result<(), StoreError> {
    let own = std::fs::read_link("/proc/self").at("/proc/self")?;
    mount("red-view", "proc", "tmpfs", flags.difference(MountFlags::RDONLY), Some(c"mode=555,size=4k"))
        .at("proc")?;
    std::fs::create_dir("proc/1").at("proc/1")?;
    mount_bind(Path::new("/proc").join(own), "proc/1").at("proc/1")?;
    for (link, target) in [("self", "1"), ("mounts", "self/mounts")] {
        std::os::unix::fs::symlink(target, Path::new("proc").join(link)).at("proc")?;
    }
    Ok(())
}

/// Makes the working directory the root, and lets the old one go (pivot_root(2), "pivot_root(".", ".")").
pub(super) fn pivot() -> Result<(), StoreError> {
    rustix::process::pivot_root(".", ".").at("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).at("the old root")?;
    rustix::process::chdir("/").at("/")
}
