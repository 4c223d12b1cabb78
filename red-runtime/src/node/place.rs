//! Files and directories opened by descriptor, with the facts that decide whether to trust them.
//!
//! Every path that decides a plan is walked component by component (`walk.rs`), so that what was
//! checked is what is read, even while somebody renames directories (paths are resolved
//! once, by descriptor), and so that every link on the way can be judged by its owner.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, open, openat, openat2, statx,
};
use rustix::io::Errno;

use super::walk;

pub use super::read::{Text, file_in, text_at, text_below};
pub use super::walk::{End, Way};

/// What the kernel says of a file or directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// Device it is on.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the contents: seconds and nanoseconds.
    pub mtime: (i64, u64),
    /// Last change of contents or attributes: seconds and nanoseconds.
    pub ctime: (i64, u64),
    /// ID of the mount it was reached through (proc_pid_mountinfo(5)); 0 where the kernel does not
    /// tell (before 5.8).
    pub mount: u64,
    /// Number of hard links.
    pub links: u32,
}

impl Facts {
    /// Facts of an open descriptor.
    ///
    /// # Errors
    /// What statx(2) says.
    pub fn of(fd: impl AsFd) -> rustix::io::Result<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = statx(fd, "", AtFlags::EMPTY_PATH, wanted)?;
        let told = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(Self {
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            mode: u32::from(stat.stx_mode),
            dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            mtime: (stat.stx_mtime.tv_sec, u64::from(stat.stx_mtime.tv_nsec)),
            ctime: (stat.stx_ctime.tv_sec, u64::from(stat.stx_ctime.tv_nsec)),
            mount: if told { stat.stx_mnt_id } else { 0 },
            links: stat.stx_nlink,
        })
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }

    /// Whether others than its owner can write to it. Nobody can to a symbolic link (symlink(7)).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.mode & 0o022 != 0 && !self.is_link()
    }

    /// Whether it is a directory in which nobody can rename or remove what belongs to somebody else
    /// (inode(7)).
    #[must_use]
    pub fn is_sticky(&self) -> bool {
        self.is_dir() && self.mode & 0o1000 != 0
    }

    /// Whether it is a character or block device.
    #[must_use]
    pub fn is_device(&self) -> bool {
        matches!(FileType::from_raw_mode(self.mode), FileType::CharacterDevice | FileType::BlockDevice)
    }

    /// Whether it is a socket with a name.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Socket
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }
}

/// A file, directory or symbolic link that decides a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deciding {
    /// Where.
    pub path: PathBuf,
    /// Its facts when it was opened.
    pub facts: Facts,
}

/// What to do about a symbolic link that leads nowhere.
fn cure(link: &str) -> String {
    match link.strip_suffix("/.red/current") {
        Some(node) => format!("`red-dnf --redpath={node} red-rollback N` has it lead to a generation"),
        None => "make that, or remove the link".into(),
    }
}

/// Why something could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The kernel refused.
    #[error("{path}: {}", plain(*.errno))]
    Refused {
        /// What was opened.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// A symbolic link on the way leads nowhere: not the same as nothing, for whoever makes its target
    /// makes the file.
    #[error("{path}: the symbolic link {link} leads to {target}, which is missing: {}", cure(link))]
    Dangling {
        /// What was opened.
        path: String,
        /// The link.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// Somebody else could have written it, or can lead the way to it elsewhere.
    #[error("{path}: {by} belongs to user {uid}, or can be written by others: it has to be root's or yours")]
    Others {
        /// What was opened.
        path: String,
        /// What on the way is not to be trusted.
        by: String,
        /// Whose that is.
        uid: u32,
    },
    /// Not a regular file.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// What was opened.
        path: String,
    },
    /// Larger than any real one.
    #[error("{path}: {size} bytes, more than {most}")]
    TooLarge {
        /// What was opened.
        path: String,
        /// How large it is.
        size: u64,
        /// How large it may be.
        most: u64,
    },
    /// Not text.
    #[error("{path}: not UTF-8 from byte {offset} on")]
    NotText {
        /// What was opened.
        path: String,
        /// The first byte that is not.
        offset: usize,
    },
    /// A path no OCI configuration could carry.
    #[error("{path}: the path is not UTF-8, and an OCI configuration cannot carry it")]
    NotUtf8Path {
        /// As far as it can be shown.
        path: String,
    },
}

/// What the name of a container has to be: a component of paths.
pub const CONTAINER_NAME: &str =
    "it has to be 1 to 200 letters, digits or `+-._`, and not to begin with a dot or a hyphen";

/// Whether a container may have a name, see [`CONTAINER_NAME`].
#[must_use]
pub fn is_container_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    (1..=200).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['.', '-'])
}

/// The words for an errno, chosen so that no engine takes a missing node for a missing command:
/// podman derives its exit code from "no such file or directory" (libpod, oci_util.go).
#[must_use]
pub fn plain(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "missing (ENOENT)".into(),
        Errno::NOTDIR => "not a directory".into(),
        Errno::LOOP => "a symbolic link where none may be".into(),
        Errno::XDEV => "leads out of the node".into(),
        Errno::ACCESS => "access denied (EACCES)".into(),
        Errno::PERM => "not allowed (EPERM)".into(),
        other => std::io::Error::from(other).to_string(),
    }
}

impl PlaceError {
    pub(super) fn refused(path: &Path, errno: Errno) -> Self {
        Self::Refused { path: path.display().to_string(), errno }
    }
}

/// Opens `/` to walk from.
///
/// # Errors
/// What open(2) says.
pub fn root() -> Result<OwnedFd, PlaceError> {
    open("/", directory_flags(), Mode::empty()).map_err(|errno| PlaceError::refused(Path::new("/"), errno))
}

/// Opens the directory `name` right below `dir`, following nothing.
///
/// # Errors
/// Missing, a symbolic link, no directory, not searchable.
pub fn child(dir: impl AsFd, name: &OsStr, path: &Path) -> Result<(OwnedFd, Facts), PlaceError> {
    let fd = openat(dir, name, directory_flags(), Mode::empty())
        .map_err(|errno| PlaceError::refused(path, errno))?;
    let facts = Facts::of(&fd).map_err(|errno| PlaceError::refused(path, errno))?;
    Ok((fd, facts))
}

pub(super) fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Resolves symbolic links of a redpath once, and refuses what is not UTF-8.
///
/// # Errors
/// Missing, not searchable, too many links, not UTF-8.
pub fn canonical(path: &Path) -> Result<PathBuf, PlaceError> {
    resolved(path).map(|way| way.path)
}

/// The way to something that is there, see [`canonical`].
///
/// # Errors
/// As of [`canonical`].
pub fn resolved(path: &Path) -> Result<Way, PlaceError> {
    let way = way(path)?;
    if let Some(error) = way.nothing(path) {
        return Err(error);
    }
    if way.path.to_str().is_none() {
        return Err(PlaceError::NotUtf8Path { path: way.path.display().to_string() });
    }
    Ok(way)
}

/// The way that a path takes through the file system.
///
/// # Errors
/// Not searchable, too many links, a component that is no directory.
pub fn way(path: &Path) -> Result<Way, PlaceError> {
    let full = std::path::absolute(path)
        .map_err(|error| PlaceError::refused(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    walk::walk(root()?.as_fd(), Path::new("/"), &full, true).map_err(|errno| PlaceError::refused(path, errno))
}

impl Way {
    /// Why there is nothing at its end, if so. `path` is what was asked for.
    pub(super) fn nothing(&self, path: &Path) -> Option<PlaceError> {
        match &self.end {
            End::There { .. } => None,
            End::Missing => Some(PlaceError::refused(path, Errno::NOENT)),
            End::Dangling(link) => Some(PlaceError::Dangling {
                path: path.display().to_string(),
                link: link.display().to_string(),
                target: self.path.display().to_string(),
            }),
        }
    }
}

/// Whether an error says that there is nothing.
#[must_use]
pub fn is_missing(error: &PlaceError) -> bool {
    matches!(error, PlaceError::Refused { errno: Errno::NOENT | Errno::NOTDIR, .. })
}

/// What the owner of a file is called in this user namespace when the namespace does not map it
/// (user_namespaces(7), "Unmapped user and group IDs"). `None` where every user is mapped.
#[must_use]
pub fn unmapped_owner() -> Option<u32> {
    let maps = std::fs::read_to_string("/proc/self/uid_map").ok()?;
    if maps.split_ascii_whitespace().eq(["0", "0", "4294967295"]) {
        return None;
    }
    std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok()
}

/// Where an open descriptor really is, by the kernel's own word (proc_pid_fd(5)).
///
/// # Errors
/// What readlink(2) says.
pub fn real_path(fd: impl AsFd) -> rustix::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let real = rustix::fs::readlink(&link, Vec::new())?;
    Ok(PathBuf::from(OsStr::from_bytes(real.as_bytes())))
}

/// Opens `path` below `dir`, which `scope` says how to stay in. The answer tells whether the way
/// there was straight, without a symbolic link: where `path` [is normal](is_normal), that is where
/// it led, and nobody needs to ask the kernel.
///
/// # Errors
/// What openat2(2) says.
pub fn open_in(
    dir: impl AsFd,
    path: &Path,
    flags: OFlags,
    scope: ResolveFlags,
) -> rustix::io::Result<(OwnedFd, bool)> {
    let scope = scope | ResolveFlags::NO_MAGICLINKS;
    match openat2(&dir, path, flags, Mode::empty(), scope | ResolveFlags::NO_SYMLINKS) {
        Ok(fd) => Ok((fd, true)),
        Err(Errno::LOOP) => Ok((openat2(dir, path, flags, Mode::empty(), scope)?, false)),
        Err(errno) => Err(errno),
    }
}

/// Whether an absolute path is written as the kernel would write it, `/` itself left out.
#[must_use]
pub fn is_normal(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|names| names.split('/').all(|name| !matches!(name, "" | "." | "..")))
}

/// Opens a canonical directory from `/`, following nothing.
///
/// # Errors
/// A component is missing, no directory or a symbolic link; the path is not absolute.
pub fn open_walk(path: &Path) -> rustix::io::Result<(OwnedFd, Facts)> {
    if !path.is_absolute() {
        return Err(Errno::INVAL);
    }
    let scope = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let dir = openat2(CWD, path, directory_flags(), Mode::empty(), scope)?;
    let facts = Facts::of(&dir)?;
    Ok((dir, facts))
}
