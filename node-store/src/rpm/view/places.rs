//! What of the kernel and of volatile places the install view has, and how it becomes the root.

use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};

use crate::generation::{At, StoreError};

/// File systems of the kernel, and volatile places. What of them the host has is bound where a new
/// one may not be mounted.
pub(super) fn places() -> Result<(), StoreError> {
    let nothing = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for name in ["proc", "dev", "run", "tmp", "sys"] {
        std::fs::create_dir_all(name).at(name)?;
    }
    match mount("proc", "proc", "proc", nothing, None) {
        // In containers that hide parts of /proc only a view of theirs may be had.
        Err(Errno::PERM) => mount_bind_recursive("/proc", "proc").at("proc")?,
        mounted => mounted.at("proc")?,
    }
    for (name, mode) in
        [("run", c"mode=755,size=64m"), ("tmp", c"mode=1777,size=512m"), ("dev", c"mode=755,size=64k")]
    {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("red-view", name, "tmpfs", flags, Some(mode)).at(name)?;
    }
    for device in ["null", "zero", "full", "random", "urandom"] {
        let (from, to) = (format!("/dev/{device}"), format!("dev/{device}"));
        std::fs::File::create(&to).at(&to)?;
        mount_bind(&from, &to).at(&to)?;
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

/// Makes the working directory the root, and lets the old one go (pivot_root(2), "pivot_root(".", ".")").
pub(super) fn pivot() -> Result<(), StoreError> {
    rustix::process::pivot_root(".", ".").at("pivot_root")?;
    unmount(".", UnmountFlags::DETACH).at("the old root")?;
    rustix::process::chdir("/").at("/")
}
