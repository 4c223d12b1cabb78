//! The root a container sees: what it is made of (as data), and how it is put together.
//!
//! A root is a base and a list of steps. A node's base is an empty tmpfs with a skeleton, a plain
//! bundle's base is a directory. The list comes from a plan's layout (`layout`), from an OCI
//! configuration (`oci`), or from both; one function acts on it (`assemble`).

pub(super) mod assemble;
mod base;
pub(super) mod cgroups;
mod copy;
mod cover;
pub(super) mod devices;
pub(super) mod early;
mod filling;
mod fresh;
mod hosts;
pub(super) mod ids;
pub(crate) mod layout;
mod mounting;
pub(crate) mod oci;
mod owners;
mod place;
mod room;
mod skeleton;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use owners::Owners;
use rustix::fs::FileType;

use crate::spec::engine::NamedNamespace;
use crate::spec::engine::room::MissingPoint;
use crate::spec::layout::Entry;
use crate::sys::mount_attr::{MountAttr, flag};

/// What a root is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Root {
    /// What everything stands on.
    pub(crate) base: Base,
    /// A directory of the host that everything stands on, as it was checked.
    pub(crate) checked: Option<CheckedRoot>,
    /// The mounts, in the order they are made.
    pub(crate) mounts: Vec<Mount>,
    /// What is made in fresh file systems once everything is mounted, by path.
    pub(crate) within: BTreeMap<String, Entry>,
    /// Directories of nodes that sources must be opened below: path, device and inode.
    pub(crate) nodes: Vec<NodeDir>,
    /// Files in writable exports that a lock is held on while the container lives, by their paths
    /// on the host.
    pub(crate) host_locks: Vec<String>,
    /// Whether the root is made read-only in the end.
    pub(crate) readonly: bool,
    /// Device nodes, made when everything is mounted.
    pub(crate) devices: Vec<DeviceNode>,
    /// Namespaces of an engine's configuration as they were checked: those that are joined have to be
    /// the same.
    pub(crate) namespaces: Vec<NamedNamespace>,
    /// Device numbers of file systems that hold what decides for others: none of them may be mounted anew
    /// to be written to.
    pub(crate) deciding: Vec<u64>,
    /// Propagation of the root in the end (`MS_SHARED` and the like), when it is not private.
    pub(crate) propagation: Option<u64>,
}

impl Root {
    /// Whether some of the mounts are of a node.
    fn has_node(&self) -> bool {
        self.mounts.iter().any(|mount| mount.of_node)
    }
}

/// What everything stands on.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// A fresh tmpfs with this in it, by path.
    Skeleton {
        /// Directories, links and files.
        entries: BTreeMap<String, Entry>,
        /// Owner of directories the command may write into.
        owner: (u32, u32),
    },
    /// A directory of the host.
    Directory(PathBuf),
}

/// A directory of the host that was checked before it becomes a root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedRoot {
    /// Device and inode.
    pub(crate) id: (u64, u64),
    /// Something in it decides for others: nothing may be written to it, nor to what is mounted below,
    /// not even to make room for a mount.
    pub(crate) kept: bool,
}

impl Default for Base {
    fn default() -> Self {
        Self::Skeleton { entries: BTreeMap::new(), owner: (0, 0) }
    }
}

/// A node's directory, as the plan saw it.
#[derive(Clone, Debug)]
pub(crate) struct NodeDir {
    /// Its path, without symbolic links.
    pub(crate) path: PathBuf,
    /// Device and inode.
    pub(crate) id: (u64, u64),
}

/// One mount.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// Where, inside.
    pub(crate) destination: String,
    /// What.
    pub(crate) what: What,
    /// Flags of the mount itself.
    pub(crate) attr: MountAttr,
    /// Flags of the mount and all below it.
    pub(crate) recursive: MountAttr,
    /// What is done when it cannot stand there.
    pub(crate) otherwise: Otherwise,
    /// Mount points below it that are missing, and stand in a layer of the launch.
    pub(crate) missing_points: Vec<MissingPoint>,
    /// What is mounted below it next has to stand on this very mount, whatever its name leads to.
    pub(crate) held: bool,
    /// It is a part of a node, by whatever name: nothing is made in it to make room for other mounts.
    pub(crate) of_node: bool,
    /// How the owners of what is bound are mapped.
    pub(crate) owners: Option<Owners>,
}

impl Mount {
    /// Whether devices of the machine can be in it, and be opened: in what is bound, and in a disk; not in a regular
    /// file, nor in file systems that are made empty, where nobody makes any without a capability.
    pub(crate) fn may_have_devices(&self) -> bool {
        const EMPTY: [&str; 7] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];
        let below = self.recursive.set & flag::NODEV != 0;
        let itself = below || self.attr.set & flag::NODEV != 0;
        match &self.what {
            What::Bind { all, source } => !(if *all { below } else { itself }) && !source.is_regular_file(),
            What::New { fstype, .. } => !itself && !EMPTY.contains(&fstype.as_str()),
            What::File(_) | What::Cgroups => false,
        }
    }

    /// Has the source of a bind compared with what it was when it was checked.
    pub(crate) fn check(&mut self, found: Option<(u64, u64)>) {
        if let (What::Bind { source, .. }, Some(id)) = (&mut self.what, found)
            && let Source::Path(path) = source
        {
            *source = Source::Checked { path: std::mem::take(path), id };
        }
    }
}

/// What is done when a mount point is missing and cannot be made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Otherwise {
    /// The launch fails.
    #[default]
    Fail,
    /// The launch fails. It is an engine's own: a link of a node's contents may lead it into what this launch
    /// has made.
    FailEngines,
    /// The mount is left out.
    Skip,
}

/// What a mount is made of.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Something of the host.
    Bind {
        /// Where it is.
        source: Source,
        /// With everything mounted below it.
        all: bool,
    },
    /// A new file system.
    New {
        /// Its type.
        fstype: String,
        /// What `mount` shows as its source.
        source: String,
        /// Its own options.
        options: Vec<String>,
        /// Whether it starts as a copy of what it covers.
        copy_up: bool,
    },
    /// A file with these contents, read-only.
    File(Vec<u8>),
    /// The container's cgroups.
    Cgroups,
}

/// Something of the host that is bound.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A path, opened without following links, and the device and inode that must be there.
    Straight(PathBuf, Option<(u64, u64)>),
    /// A path of an engine's configuration, opened as it is.
    Path(PathBuf),
    /// The same, checked before: what is mounted has to be that.
    Checked {
        /// Path of the configuration.
        path: PathBuf,
        /// Device and inode.
        id: (u64, u64),
    },
}

impl Source {
    /// Whether it is a regular file, and nothing else can be mounted in its place.
    fn is_regular_file(&self) -> bool {
        let Self::Checked { path, id } = self else { return false };
        rustix::fs::stat(path).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && (stat.st_dev, stat.st_ino) == *id
        })
    }
}

/// A device node to be made.
#[derive(Clone, Debug)]
pub(crate) struct DeviceNode {
    /// Where, inside.
    pub(crate) path: String,
    /// `b`, `c` or `p`, as the type bits of a mode.
    pub(crate) kind: u32,
    /// Major and minor number.
    pub(crate) number: (u32, u32),
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner and group, where they were asked for.
    pub(crate) owner: (Option<u32>, Option<u32>),
    /// Whether the mode was asked for.
    pub(crate) asked: bool,
}
