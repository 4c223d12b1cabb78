//! What the composition of a view asks of the machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use red_runtime::node::guard::{Location, MountEntry, MountTable};
use rustix::fs::{AtFlags, CWD, StatxFlags};

/// File systems that overlayfs takes no layer from: names are compared in a way of their own
/// (`ovl_dentry_weird`), or are mounted when they are looked up.
const UNSUITED: [&str; 14] = [
    "autofs",
    "cifs",
    "exfat",
    "hfs",
    "hfsplus",
    "msdos",
    "ntfs",
    "ntfs3",
    "rpc_pipefs",
    "smb3",
    "ufs",
    "vfat",
    "hugetlbfs",
    "fusectl",
];

/// Kind of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// A regular file, and its size.
    File(u64),
    /// A symbolic link.
    Link,
    /// A socket, a pipe, a device.
    Other,
}

/// What there is on a machine. Paths are absolute and without symbolic links.
pub(super) trait Host {
    /// Kind of a path, links not followed.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// Names in a directory; none where it cannot be read.
    fn entries(&self, dir: &Path) -> Vec<OsString>;
    /// Whether a file can be read.
    fn readable(&self, path: &Path) -> bool;
    /// Whether a directory is a node.
    fn is_node(&self, dir: &Path) -> bool;
    /// Nodes of the family that lie below a directory, under whatever name.
    fn nodes_below(&self, dir: &Path) -> Vec<PathBuf>;
    /// Mounts below a directory that keep one overlay from covering it. The directory is at `at` in the
    /// view; `depth` is counted there.
    fn mounts_below(&self, dir: &Path, at: &Path, depth: usize) -> Vec<PathBuf>;
    /// Where the file system that a directory is on is mounted.
    fn mount_point(&self, dir: &Path) -> PathBuf;
    /// Type of the file system that a directory is on.
    fn fstype(&self, dir: &Path) -> String;
    /// The same, if overlayfs does not take a layer from it.
    fn unsuited(&self, dir: &Path) -> Option<String>;
}

/// This machine.
pub(super) struct Machine {
    mounts: MountTable,
    /// Where the nodes of the family are, and how they are called.
    nodes: Vec<(PathBuf, Option<Location>)>,
    /// Whether mounts are locked together: in a user namespace.
    locked: bool,
}

impl Machine {
    /// `nodes` are the directories of the family's nodes.
    pub(super) fn new(nodes: Vec<PathBuf>, locked: bool) -> Self {
        let mounts = MountTable::read();
        let nodes = nodes
            .into_iter()
            .map(|node| {
                let place = locate(&mounts, &node);
                (node, place)
            })
            .collect();
        Self { mounts, nodes, locked }
    }
}

impl Machine {
    fn mount(&self, dir: &Path) -> Option<&MountEntry> {
        let text = dir.to_str()?;
        self.mounts.mount_of(mount_id(dir), text).or_else(|| self.mounts.mount_of(0, text))
    }

    /// Whether a directory is a node's own, where what runs in the node may write markers.
    fn in_a_node(&self, dir: &Path) -> bool {
        self.nodes.iter().any(|(node, _)| node != dir && dir.starts_with(node))
    }
}

/// ID of the mount that a path is on; 0 where the kernel does not tell (before 5.8).
pub(super) fn mount_id(path: &Path) -> u64 {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let facts = rustix::fs::statx(CWD, path, flags, StatxFlags::MNT_ID);
    facts
        .map_or(0, |facts| if facts.stx_mask & StatxFlags::MNT_ID.bits() != 0 { facts.stx_mnt_id } else { 0 })
}

fn locate(mounts: &MountTable, path: &Path) -> Option<Location> {
    let text = path.to_str()?;
    // Where the root is no mount (chroot), names are all there is.
    mounts.locate(mount_id(path), text).or_else(|| Some(Location::by_name(text)))
}

impl Host for Machine {
    fn kind(&self, path: &Path) -> Option<Kind> {
        let facts = fs::symlink_metadata(path).ok()?;
        Some(match facts.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_file() => Kind::File(facts.len()),
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        })
    }

    fn entries(&self, dir: &Path) -> Vec<OsString> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    }

    fn readable(&self, path: &Path) -> bool {
        rustix::fs::accessat(CWD, path, rustix::fs::Access::READ_OK, AtFlags::EACCESS).is_ok()
    }

    fn is_node(&self, dir: &Path) -> bool {
        // A marker in a directory that everybody may write to is not its owner's word.
        let owner = |path: &Path| fs::symlink_metadata(path).ok().map(|facts| facts.uid());
        let marked = owner(&dir.join(".rednode.yaml"));
        if marked.is_some() && marked == owner(dir) && !self.in_a_node(dir) {
            return true;
        }
        let place = locate(&self.mounts, dir);
        self.nodes.iter().any(|(node, here)| node == dir || *here == place)
    }

    fn nodes_below(&self, dir: &Path) -> Vec<PathBuf> {
        let Some(place) = locate(&self.mounts, dir) else { return Vec::new() };
        let below = |here: &Location| *here != place && place.contains(here);
        let nodes = self
            .nodes
            .iter()
            .filter(|(node, here)| here.as_ref().is_some_and(below) || node != dir && node.starts_with(dir));
        nodes.map(|(node, _)| node.clone()).collect()
    }

    fn mounts_below(&self, dir: &Path, at: &Path, depth: usize) -> Vec<PathBuf> {
        let Some(text) = dir.to_str() else { return Vec::new() };
        let here = at.components().count();
        let points = self.mounts.below(text).map(|mount| PathBuf::from(&mount.point));
        points
            .filter(|point| {
                if self.locked {
                    return true;
                }
                // Root's overlays do not see mounts: that matters where packages could be.
                let deep = point.strip_prefix(dir).map_or(0, |rest| rest.components().count());
                here + deep <= depth && point.is_dir() && self.unsuited(point).is_none()
            })
            .collect()
    }

    fn mount_point(&self, dir: &Path) -> PathBuf {
        self.mount(dir).map_or_else(|| "/".into(), |mount| PathBuf::from(&mount.point))
    }

    fn fstype(&self, dir: &Path) -> String {
        self.mount(dir).map(|mount| mount.fstype.clone()).unwrap_or_default()
    }

    fn unsuited(&self, dir: &Path) -> Option<String> {
        let mount = self.mount(dir)?;
        (mount.is_kernels() || UNSUITED.contains(&mount.fstype.as_str())).then(|| mount.fstype.clone())
    }
}
