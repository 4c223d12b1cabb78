//! Mount points that an export lacks, in a layer of the launch over it: nothing is made in a node. And directories
//! for the command, which stay writable in a root that does not.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::Mount;
use super::assemble::{Builder, attach_at, clone_tree};
use super::fresh::fresh;
use super::place::{mount_id, path_of};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::spec::engine::room::Hole;
use crate::spec::layout::Entry;
use crate::sys::mount_attr::flag;

impl Builder<'_> {
    /// Covers a read-only directory that is mounted with an overlay of it and of the mount points that it
    /// lacks (overlayfs.rst, "Multiple lower layers"). Without a layer for what is written it is read-only as
    /// the directory is.
    pub(super) fn with_room(&mut self, mount: &Mount) -> Result<OwnedFd, LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("mount {destination}");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let below = self.places.open(destination, flags).doing(what)?;
        if has_mounts(mount_id(&below).doing(what)?).doing(what)? {
            return Err(no_room(mount, "other file systems are mounted below it"));
        }
        let layer = fresh("tmpfs", "red-room", &["mode=0755".to_owned()], flag::NOSUID | flag::NODEV)?;
        for hole in &mount.holes {
            make(&layer, &below, hole).doing(|| format!("mount point {destination}/{}", hole.path))?;
        }
        // Layers are found by path, and in no other mount namespace than this one.
        attach_at(&layer, &below).doing(what)?;
        let above = self.places.open(destination, flags).doing(what)?;
        let layers = format!("lowerdir={}:{}", path_of(above.as_fd()), path_of(below.as_fd()));
        let overlay = fresh("overlay", "red-room", &[layers], flag::RDONLY);
        unmount(path_of(above.as_fd()).as_str(), UnmountFlags::DETACH).doing(what)?;
        let overlay = overlay.map_err(|error| no_room(mount, &error.to_string()))?;
        Self::set_flags(&overlay, mount)?;
        attach_at(&overlay, &below).doing(what)?;
        Ok(overlay)
    }

    /// Refuses what a link has led to where something else was mounted since: nobody would find it.
    pub(super) fn check_led(&self) -> Result<(), LaunchError> {
        for (destination, mount) in &self.led {
            let found = self.places.open(destination, OFlags::PATH).and_then(mount_id);
            // It can be missing there, too.
            if found.ok() != Some(*mount) {
                return Err(LaunchError::refused(
                    format!("mount point {destination}"),
                    "is a symbolic link into another mount; make it a file of its own",
                ));
            }
        }
        Ok(())
    }
}

/// Mounts directories for the command onto themselves, so that they stay writable in a root that does not.
pub(super) fn stay_writable(root: &OwnedFd, entries: &BTreeMap<String, Entry>) -> Result<(), LaunchError> {
    for (path, _) in entries.iter().filter(|(_, entry)| **entry == Entry::Anonymous) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(root, &path[1..], flags, Mode::empty()).doing(|| path.as_str())?;
        let tree = clone_tree(&directory, false).doing(|| path.as_str())?;
        attach_at(tree, directory).doing(|| path.as_str())?;
    }
    Ok(())
}

fn no_room(mount: &Mount, why: &str) -> LaunchError {
    let names = mount.holes.iter().map(|hole| format!("{}/{}", mount.destination, hole.path));
    let names = names.collect::<Vec<_>>().join(", ");
    LaunchError::refused(
        format!("mount {}", mount.destination),
        format!("no room can be made for {names} in what the node exports ({why}); make it in the node"),
    )
}

/// Whether something is mounted on a mount (proc_pid_mountinfo(5)).
fn has_mounts(mount: u64) -> rustix::io::Result<bool> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let parent = mount.to_string();
    Ok(table.lines().any(|line| line.split(' ').nth(1) == Some(&*parent)))
}

/// Makes a mount point in the layer, and the directories on the way to it like those of the export.
fn make(layer: &OwnedFd, export: &OwnedFd, hole: &Hole) -> rustix::io::Result<()> {
    like(layer, ".", export, ".")?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for (end, _) in hole.path.match_indices('/').chain([(hole.path.len(), "")]) {
        let path = &hole.path[..end];
        if end == hole.path.len() && !hole.dir {
            return openat(layer, path, flags, Mode::from_raw_mode(0o644)).map(drop);
        }
        match mkdirat(layer, path, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
        like(layer, path, export, path)?;
    }
    Ok(())
}

/// Gives a directory of the layer owner and mode of that of the export, if there is one: the topmost layer has
/// the say.
fn like(layer: &OwnedFd, path: &str, export: &OwnedFd, like: &str) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let stat = match openat(export, like, flags & !OFlags::RDONLY | OFlags::PATH, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        found => fstat(found?)?,
    };
    // Who is nobody in this user namespace cannot be given anything.
    tried(chownat(
        layer,
        path,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    ));
    fchmod(openat(layer, path, flags, Mode::empty())?, Mode::from_raw_mode(stat.st_mode & 0o7777))
}
