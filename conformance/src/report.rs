//! What a probe inside a container tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mount {
    /// Number of the mount.
    pub id: u64,
    /// Number of the mount it stands on.
    pub parent: u64,
    /// Path within its file system.
    pub root: String,
    /// Where it stands.
    pub destination: String,
    /// Options of the mount.
    pub options: Vec<String>,
    /// Propagation: `shared:N`, `master:N` and so on; empty for a private mount.
    pub propagation: Vec<String>,
    /// Type of the file system.
    pub fstype: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

/// What stands at a path.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Path {
    /// `directory`, `file`, `symlink`, `device`, `other` or `missing`.
    pub kind: String,
    /// Device and number, links followed.
    pub id: Option<(u64, u64)>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Target of a symbolic link.
    pub target: Option<String>,
    /// First 4 KiB of a file.
    pub content: Option<String>,
    /// What became of an attempt to write: `written`, `read-only`, `denied`, or the error.
    pub write: String,
}

/// Everything a probe sees.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Its mounts, in the kernel's order.
    pub mounts: Vec<Mount>,
    /// Paths it was asked about, and every mount point.
    pub paths: BTreeMap<String, Path>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Fields of `/proc/self/status`.
    pub status: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: String,
    /// Host name.
    pub hostname: String,
    /// Effective user and group.
    pub ids: (u32, u32),
    /// Lines of `/proc/self/uid_map` and `gid_map`, white space folded.
    pub id_maps: (Vec<String>, Vec<String>),
    /// Open descriptors.
    pub descriptors: Vec<u32>,
    /// Inodes of its namespaces.
    pub namespaces: BTreeMap<String, u64>,
}
