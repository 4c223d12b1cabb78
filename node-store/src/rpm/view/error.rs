//! Why there is no install view, in words that name the mount.

use std::path::PathBuf;

use rustix::io::Errno;

use crate::generation::StoreError;

/// Why a view cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// A split directory is too large.
    #[error(
        "/{}: too many entries for mounts of their own, which {} makes necessary; unmount that for the \
         transaction, or move it to a directory with fewer entries beside it", .dir.display(), .because.display()
    )]
    TooMany {
        /// In the view.
        dir: PathBuf,
        /// A mount point or node below it.
        because: PathBuf,
    },
    /// The node cannot be written to.
    #[error("{}: mounted read-only at {}; `mount -o remount,rw {}`, or move the node to another file system",
            .node.display(), .mount.display(), .mount.display())]
    ReadOnly {
        /// The node.
        node: PathBuf,
        /// Where its file system is mounted.
        mount: PathBuf,
    },
    /// The file system of the node cannot hold one.
    #[error("{}: the file system mounted at {} ({fstype}) has no {lacks}, which nodes need; \
             move the node to another one (ext4, xfs, btrfs)", .node.display(), .mount.display())]
    FileSystem {
        /// The node.
        node: PathBuf,
        /// Where its file system is mounted.
        mount: PathBuf,
        /// Type of it.
        fstype: String,
        /// What it has not.
        lacks: &'static str,
    },
    /// The kernel refused an overlay.
    #[error("/{}: {}", .at.display(), overlay_words(*.errno, .layers))]
    Overlay {
        /// In the view.
        at: PathBuf,
        /// What it would be made of, and where that is mounted.
        layers: Vec<Place>,
        /// What the kernel said.
        errno: Errno,
    },
    /// What the process that tried to mount one said.
    #[error("{0}")]
    Probe(String),
    /// Something else that the kernel refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A layer, and the mount that it is on.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The directory.
    pub(crate) dir: PathBuf,
    /// Its mount point.
    pub(crate) mount: PathBuf,
    /// Type of its file system.
    pub(crate) fstype: String,
}

/// What keeps the kernel from an overlay, and what to do.
fn overlay_words(errno: Errno, layers: &[Place]) -> String {
    let list = |suspects: &[&Place]| {
        let words: Vec<String> = suspects
            .iter()
            .map(|place| {
                format!("{} (mounted at {}, {})", place.dir.display(), place.mount.display(), place.fstype)
            })
            .collect();
        words.join(", ")
    };
    let all: Vec<&Place> = layers.iter().collect();
    let stacked: Vec<&Place> = layers.iter().filter(|place| place.fstype == "overlay").collect();
    match errno {
        // FILESYSTEM_MAX_STACK_DEPTH
        Errno::INVAL if !stacked.is_empty() => format!(
            "the kernel stacks two overlays at most, and {} is on two already (a container in a container); mount \
             a volume there, or install where the outer container's root is no overlay",
            list(&stacked)
        ),
        Errno::INVAL | Errno::LOOP => format!(
            "the kernel does not make an overlay of {}; unmount what is mounted below, or move the node to \
             another file system",
            list(&all)
        ),
        Errno::NODEV => "this kernel has no overlayfs: `modprobe overlay`".into(),
        Errno::PERM | Errno::ACCESS => format!(
            "the kernel allows no overlay here (a security module, or a kernel before 5.11 for ordinary users); \
             have root install: {}",
            list(&all)
        ),
        Errno::NOSPC => {
            "no room: more mounts are not allowed (sysctl fs.mount-max), or the file system is full".into()
        }
        other => format!("no overlay of {}: {}", list(&all), std::io::Error::from(other)),
    }
}
