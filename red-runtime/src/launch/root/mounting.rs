//! The kinds of mounts that a root has, each put in its place.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::assemble::{Builder, Terms, attach_at, clone_tree};
use super::copy::copy;
use super::early::{Found, unmapped};
use super::fresh::fresh;
use super::ids::has_group;
use super::place::{Kind, host, is_proc, split};
use super::skeleton::write_all;
use super::{Mount, Source};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::{self, flag};

impl Builder<'_> {
    pub(super) fn bind(
        &mut self,
        mount: &Mount,
        source: &Source,
        found: Found,
        all: bool,
    ) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let Found { fd, is_dir, tree } = found;
        if mount.owners.is_some() && !tree {
            return Err(unmapped(destination));
        }
        let kind = if is_dir { Kind::Dir } else { Kind::File };
        let tree = if tree { Ok(fd) } else { clone_tree(&fd, all && is_dir) };
        let tree = tree.doing(|| format!("mount {destination}"))?;
        if destination == "/proc" && !is_proc(&tree).doing(|| "mount /proc")? {
            return Err(LaunchError::refused("mount /proc", "is not of type proc"));
        }
        self.attach(&tree, mount, kind)?;
        let tree = if mount.missing_points.is_empty() { tree } else { self.with_room(mount, tree)? };
        if mount.held {
            return self.places.hold(destination, tree).doing(|| format!("mount {destination}"));
        }
        // A node's directories are opened straight; what an engine names is a volume.
        let volume = !matches!(source, Source::Straight(..));
        if volume && is_dir && !self.kept && !mount.of_node {
            self.places.volumes.push(destination.to_owned());
        }
        self.places.anchor(destination, tree, false).doing(|| format!("mount {destination}"))
    }

    pub(super) fn new_file_system(
        &mut self,
        mount: &Mount,
        (fstype, source, options): (&str, &str, &[String]),
        copy_up: bool,
        terms: &Terms<'_>,
    ) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        // Other file systems have contents that nobody wants changed, and need not be writable at all.
        let blank = matches!(fstype, "tmpfs" | "ramfs");
        let copy_up = copy_up && blank;
        let late = blank && is_read_only(mount) && (copy_up || self.is_filled(mount));
        let writable = late.then(|| writable(mount));
        let now = writable.as_ref().unwrap_or(mount);
        // Read-only from the first moment on, whichever word asked for it.
        let flags = now.attr.set | now.recursive.set & flag::RDONLY;
        let made = match self.covered_mode(mount, fstype, options) {
            Some(mode) => fresh(fstype, source, &[options, &[mode]].concat(), flags),
            None => fresh(fstype, source, options, flags),
        };
        let tree = match made {
            // A user namespace may show only the network it owns in /sys.
            Err(LaunchError::Call { errno: Errno::PERM, .. }) if fstype == "sysfs" && terms.own_net => {
                return Err(LaunchError::refused(
                    format!("mount {destination}"),
                    "the network namespace belongs to another user namespace, and the host's /sys would show the host's network; join that user namespace too",
                ));
            }
            Err(LaunchError::Call { errno: Errno::PERM, .. }) if fstype == "sysfs" => {
                let tree = clone_tree(host("/sys")?, true).doing(|| "mount /sys")?;
                self.attach(&tree, &read_only(mount), Kind::Dir)?;
                return self.places.anchor(destination, tree, true).doing(|| "mount /sys");
            }
            Err(LaunchError::Call { errno: Errno::PERM, .. }) if fstype == "mqueue" => {
                return Err(LaunchError::refused(
                    format!("mount {destination}"),
                    "the IPC namespace belongs to another user namespace; join that user namespace too",
                ));
            }
            tree => tree?,
        };
        if copy_up {
            self.copy_up(mount, &tree)?;
        }
        let device = self.device_of(mount, &tree)?;
        if !mount.of_node {
            self.places.ours.push(device);
        }
        self.attach(&tree, now, Kind::Dir)?;
        if late {
            self.late
                .push(rustix::io::fcntl_dupfd_cloexec(&tree, 0).doing(|| format!("mount {destination}"))?);
        }
        let kernels = matches!(fstype, "proc" | "sysfs");
        self.places.anchor(destination, tree, kernels).doing(|| format!("mount {destination}"))
    }

    /// Whether something is made in a new file system later: mount points, devices, links.
    fn is_filled(&self, mount: &Mount) -> bool {
        let below = |path: &str| {
            path.strip_prefix(mount.destination.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        self.root.mounts.iter().any(|other| below(&other.destination))
            || self.root.devices.iter().any(|device| below(&device.path))
            || self.root.within.keys().any(|path| below(path))
    }

    /// The mode of a tmpfs that says none: that of the directory which it covers. What stands in the
    /// skeleton only is a place for the mount.
    fn covered_mode(&self, mount: &Mount, fstype: &str, options: &[String]) -> Option<String> {
        if fstype != "tmpfs" || options.iter().any(|option| option.starts_with("mode=")) {
            return None;
        }
        let covered = self.places.open(&mount.destination, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        if self.skeleton.is_some() && self.places.is_ours(&covered).ok()? {
            return None;
        }
        Some(format!("mode={:o}", fstat(&covered).ok()?.st_mode & 0o7777))
    }

    /// The device number of a new file system. One that holds what decides is mounted already, and would
    /// be writable.
    fn device_of(&self, mount: &Mount, tree: &OwnedFd) -> Result<u64, LaunchError> {
        let what = format!("mount {}", mount.destination);
        let device = fstat(tree).doing(|| what.as_str())?.st_dev;
        if self.root.deciding.contains(&device) && !is_read_only(mount) {
            let why = "its file system holds what decides for others, and would be writable; mount it `ro`";
            return Err(LaunchError::refused(what, why));
        }
        Ok(device)
    }

    /// A file of the launch. Where the mount point is ours it holds the contents itself and is
    /// mounted onto itself, read-only.
    pub(super) fn file(&mut self, mount: &Mount, contents: &[u8]) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("file {destination}");
        let point = self.point(mount, Kind::File)?;
        let ours = self.places.is_ours(&point).doing(what)?;
        let (parent, name) = if ours {
            let (parent, name) = split(destination);
            (self.places.open(parent, OFlags::PATH | OFlags::DIRECTORY).doing(what)?, name)
        } else {
            (self.places.open("/", OFlags::PATH | OFlags::DIRECTORY).doing(what)?, ".red-file")
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&parent, name, flags, Mode::from_raw_mode(0o444)).doing(what)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444)).doing(what)?;
        write_all(&file, contents).doing(what)?;
        let tree = clone_tree(&file, false).doing(what)?;
        mount_attr::set(&tree, false, mount.attr).doing(what)?;
        attach_at(&tree, &point).doing(what)?;
        if !ours {
            // Only now: what has no name any more cannot be mounted.
            rustix::fs::unlinkat(&parent, name, AtFlags::empty()).doing(what)?;
        }
        self.mounted.insert(destination.to_owned());
        Ok(())
    }

    /// Fills a new tmpfs with what it is going to cover: with what stands at the very mount point.
    fn copy_up(&self, mount: &Mount, tree: &OwnedFd) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("copy of {destination}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = match self.places.open(destination, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(()),
            _ => openat(self.point(mount, Kind::Dir)?, ".", flags, Mode::empty()).doing(what)?,
        };
        copy(old, openat(tree, ".", flags, Mode::empty()).doing(what)?).doing(what)
    }
}

/// Options of a node's devpts. Which groups there are is known only in the user namespace of the engine or of another
/// container; without a group of its own a terminal has that of whoever opens it (devpts.rst).
pub(super) fn with_known_group(options: &[String]) -> Result<Vec<String>, LaunchError> {
    let mut known = Vec::new();
    for option in options {
        let group = option.strip_prefix("gid=").and_then(|group| group.parse().ok());
        if group.map_or(Ok(true), has_group)? {
            known.push(option.clone());
        }
    }
    Ok(known)
}

/// Whether nothing may be written through the mount.
fn is_read_only(mount: &Mount) -> bool {
    (mount.attr.set | mount.recursive.set) & flag::RDONLY != 0
}

/// The same without what keeps it from being filled.
fn writable(mount: &Mount) -> Mount {
    let mut mount = mount.clone();
    mount.attr.set &= !flag::RDONLY;
    mount.recursive.set &= !flag::RDONLY;
    mount
}

fn read_only(mount: &Mount) -> Mount {
    let mut mount = mount.clone();
    mount.recursive.set |= mount.attr.set | flag::RDONLY;
    mount.recursive.propagation = libc::MS_PRIVATE;
    mount
}
