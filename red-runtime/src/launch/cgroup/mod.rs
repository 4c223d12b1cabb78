//! Cgroups of a container: where they are, what they hold, how they end.
//!
//! Directories, membership, the device filter and the end are ours, because everything we make is
//! recorded first and only that is ever removed. Limits and statistics go through libcgroups.

mod base;
mod entry;
mod filter;
mod limits;
mod members;
mod names;
mod nested;
mod owned;
mod place;
mod support;
mod systemd;
mod tree;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use base::Base;
pub(crate) use entry::Entry;
pub(crate) use filter::keep as keep_devices;
pub(crate) use limits::{apply, filter_devices, scope, stats};
pub(crate) use members::{is_frozen, oom_kills};
pub(crate) use nested::Nested;
pub(crate) use owned::unidentified;
pub(crate) use place::{Wanted, default_path, of_process, own_path};
pub(crate) use support::asks;
pub(crate) use systemd::{Attach, manager};

use super::error::{Doing, LaunchError};

/// Where cgroups are mounted.
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";

/// How cgroups are laid out on this machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layout {
    /// Version 1, with or without a bare version 2 beside it.
    V1,
    /// Version 2.
    V2,
    /// There are none.
    None,
}

impl Layout {
    /// That of this machine.
    pub(crate) fn here() -> Self {
        if Path::new(MOUNT).join("cgroup.controllers").exists() {
            Self::V2
        } else if Path::new(MOUNT).join("devices/cgroup.procs").exists()
            || Path::new(MOUNT).join("pids/cgroup.procs").exists()
        {
            Self::V1
        } else {
            Self::None
        }
    }
}

/// Cgroups of one container, as they are recorded.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Cgroups {
    /// How they are laid out.
    pub(crate) layout: Layout,
    /// Path below each hierarchy.
    pub(crate) path: String,
    /// Directories that were not there before, outer ones first.
    pub(crate) made: Vec<PathBuf>,
    /// Whether systemd keeps it as a scope.
    #[serde(default)]
    pub(crate) systemd: Option<String>,
    /// Inodes of the container's own directories; none until something may run in them.
    #[serde(default)]
    pub(crate) inodes: BTreeMap<PathBuf, u64>,
}

impl Cgroups {
    /// Directories of the container itself, one a hierarchy.
    pub(crate) fn leaves(&self) -> Vec<PathBuf> {
        let below = self.path.trim_start_matches('/');
        hierarchies(self.layout).into_iter().map(|mount| mount.join(below)).collect()
    }

    /// The directory of version 2, for a clone straight into it.
    pub(crate) fn unified(&self) -> Option<PathBuf> {
        (self.layout == Layout::V2).then(|| Path::new(MOUNT).join(self.path.trim_start_matches('/')))
    }
}

/// Mount points of the hierarchies.
fn hierarchies(layout: Layout) -> Vec<PathBuf> {
    match layout {
        Layout::None => Vec::new(),
        Layout::V2 => vec![MOUNT.into()],
        Layout::V1 => {
            let mut all: Vec<PathBuf> = tree::names_at(Path::new(MOUNT))
                .into_iter()
                .map(|name| Path::new(MOUNT).join(std::ffi::OsStr::from_bytes(name.as_bytes())))
                .filter(|dir| dir.join("cgroup.procs").exists())
                .collect();
            all.sort();
            all
        }
    }
}

fn write(file: &Path, text: &str) -> Result<(), LaunchError> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .doing(|| format!("{} (writing `{text}`)", file.display()))
}
