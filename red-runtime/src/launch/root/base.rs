//! What a root is put together on: a mount tree that is detached from the host's, and the directory of a plain bundle.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};

use super::assemble::clone_tree;
use super::{CheckedRoot, Root};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::{self, MountAttr, flag};

/// Whatever is mounted from here on stays in this namespace. What the host mounts later is seen
/// only where somebody asked for it.
pub(super) fn detach_from_host(root: &Root) -> Result<(), LaunchError> {
    let kind = if follows(root) { MountPropagationFlags::DOWNSTREAM } else { MountPropagationFlags::PRIVATE };
    mount_change("/", kind | MountPropagationFlags::REC).doing(|| "a private mount tree")
}

/// Whether something of a root sees what the host mounts later.
fn follows(root: &Root) -> bool {
    let follows = |attr: MountAttr| attr.propagation & (libc::MS_SLAVE | libc::MS_SHARED) != 0;
    root.propagation.is_some()
        || root.mounts.iter().any(|mount| follows(mount.attr) || follows(mount.recursive))
}

/// The root directory of a plain bundle, with everything mounted in it. `/dev`, `/proc` and `/sys`
/// must be directories: a link there would put the container's own file systems elsewhere.
pub(super) fn directory(path: &Path, checked: Option<CheckedRoot>) -> Result<(OwnedFd, u64), LaunchError> {
    let what = || format!("root {}", path.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::open(path, flags, Mode::empty()).doing(what)?;
    let stat = fstat(&source).doing(what)?;
    if checked.is_some_and(|root| root.id != (stat.st_dev, stat.st_ino)) {
        return Err(LaunchError::refused(what(), "another directory took its place during the launch"));
    }
    for name in ["dev", "proc", "sys"] {
        match openat(&source, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => {}
            found => {
                let found = crate::node::place::Facts::of(found.doing(what)?).doing(what)?;
                if !found.is_dir() {
                    return Err(LaunchError::refused(what(), format!("/{name} in it is not a directory")));
                }
            }
        }
    }
    let tree = clone_tree(&source, true).doing(what)?;
    let set = if checked.is_some_and(|root| root.kept) { flag::RDONLY } else { 0 };
    let private = MountAttr { set, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    mount_attr::set(&tree, true, private).doing(what)?;
    let device = fstat(&tree).doing(what)?.st_dev;
    Ok((tree, device))
}
