//! What decides must be out of reach of what runs: the places of a host and of a family that no
//! container may write to, found by what is opened and not by what it is called.

mod deciding;
pub mod mount_table;
mod services;

use std::os::fd::AsFd;
use std::path::PathBuf;

use super::place::{self, Facts};

pub use deciding::{Decides, DecidingPlace, PLACES, decides};
pub use mount_table::{Location, MountEntry, MountTable};
pub use services::{Service, Services};

/// What the host says about exports and volumes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Directories that hold nodes.
    pub pools: Vec<PathBuf>,
    /// Directories and files of the host that decide: policy, redmain, templates.
    pub deciding: Vec<PathBuf>,
    /// State directories: whoever writes to one names processes that are killed.
    pub states: Vec<PathBuf>,
    /// Paths that the policy allows to be exported and mounted all the same; one that ends in `/`
    /// stands for everything below it too.
    pub allowed: Vec<String>,
}

impl Default for Rules {
    /// Those of a host without a policy.
    fn default() -> Self {
        Self {
            pools: vec!["/var/redpesk".into()],
            deciding: vec!["/etc/redpak".into()],
            states: vec!["/run/red-runtime".into()],
            allowed: Vec::new(),
        }
    }
}

impl Rules {
    /// Whether the policy names a path.
    #[must_use]
    pub fn allow(&self, path: &str) -> bool {
        self.allowed.iter().any(|entry| match entry.strip_suffix('/') {
            Some(above) => {
                path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            None => path == entry,
        })
    }
}

/// Something of the host that was opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Its path, without symbolic links.
    pub path: String,
    /// What the kernel says of it.
    pub facts: Facts,
}

impl Opened {
    /// What a descriptor is open on.
    ///
    /// # Errors
    /// What statx(2) and readlink(2) say; `EILSEQ` for a path that is not UTF-8.
    pub fn of(fd: impl AsFd) -> rustix::io::Result<Self> {
        let path = place::real_path(&fd)?.into_os_string().into_string();
        Ok(Self { path: path.ok().ok_or(rustix::io::Errno::ILSEQ)?, facts: Facts::of(fd)? })
    }

    /// Device and inode.
    #[must_use]
    pub fn id(&self) -> (u64, u64) {
        (self.facts.dev, self.facts.ino)
    }
}
