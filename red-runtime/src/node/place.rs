//! Files and directories opened by descriptor, with the facts that decide whether to trust them.
//!
//! Every path that decides a plan is walked component by component without following a symbolic
//! link (the redpath was made canonical before), so that what was checked is what is read, even
//! while somebody renames directories (HARDENING: paths are resolved once, by descriptor).

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, open, openat, openat2, statx,
};
use rustix::io::Errno;

use super::limits;
use super::walk;

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

/// A file or directory that decides a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Deciding {
    /// Where.
    pub path: PathBuf,
    /// Its facts when it was opened.
    pub facts: Facts,
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
    /// Not a regular file.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// What was opened.
        path: String,
    },
    /// Larger than any real one.
    #[error("{path}: {size} bytes, more than {}", limits::FILE_BYTES)]
    TooLarge {
        /// What was opened.
        path: String,
        /// How large it is.
        size: u64,
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
    fn refused(path: &Path, errno: Errno) -> Self {
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

fn directory_flags() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Resolves symbolic links of a redpath once, and refuses what is not UTF-8.
///
/// # Errors
/// Missing, not searchable, too many links, not UTF-8.
pub fn canonical(path: &Path) -> Result<PathBuf, PlaceError> {
    let canonical = std::fs::canonicalize(path).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        PlaceError::refused(path, errno)
    })?;
    if canonical.to_str().is_none() {
        return Err(PlaceError::NotUtf8Path { path: canonical.display().to_string() });
    }
    Ok(canonical)
}

/// A text file below a directory, with the directories on the way to it.
#[derive(Debug)]
pub struct Text {
    /// Its contents.
    pub text: String,
    /// Itself, and each directory between it and where the walk started, also those that hold a link
    /// on the way: whoever may write there can lead it elsewhere.
    pub deciding: Vec<Deciding>,
}

/// Reads the text file `name` below the open directory `dir`, which stands at `path`. Symbolic
/// links are followed as long as they stay below it (a generation of packages is reached through
/// one). `Ok(None)` when it is missing.
///
/// # Errors
/// It cannot be opened, leads out of the directory, is no file, too large or no text.
pub fn text_below(dir: impl AsFd, path: &Path, name: &str) -> Result<Option<Text>, PlaceError> {
    let full = path.join(name);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let scope = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let opened = match openat2(&dir, name, flags, Mode::empty(), scope) {
        Ok(fd) => directories_between(&dir, path, &full).map(|deciding| Some((fd, full.clone(), deciding))),
        Err(Errno::LOOP) => walk::through_links(dir.as_fd(), path, Path::new(name), flags),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    };
    let Some((fd, real, mut deciding)) = opened.map_err(|errno| PlaceError::refused(&full, errno))? else {
        return Ok(None);
    };
    let (text, facts) = read_text(fd.as_fd(), &full)?;
    deciding.push(Deciding { path: real, facts });
    Ok(Some(Text { text, deciding }))
}

/// Reads a text file by path: a file the caller named, or the core OS's own.
///
/// # Errors
/// It cannot be opened, is no file, too large or no text.
pub fn text_at(path: &Path) -> Result<Text, PlaceError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
        .map_err(|errno| PlaceError::refused(path, errno))?;
    let (text, facts) = read_text(fd.as_fd(), path)?;
    let real = real_path(&fd).map_err(|errno| PlaceError::refused(path, errno))?;
    let mut deciding = directories_between(root()?, Path::new("/"), &real)
        .map_err(|errno| PlaceError::refused(path, errno))?;
    deciding.push(Deciding { path: real, facts });
    Ok(Text { text, deciding })
}

/// Whether an error says that there is nothing.
#[must_use]
pub fn is_missing(error: &PlaceError) -> bool {
    matches!(error, PlaceError::Refused { errno: Errno::NOENT | Errno::NOTDIR, .. })
}

fn read_text(fd: std::os::fd::BorrowedFd<'_>, path: &Path) -> Result<(String, Facts), PlaceError> {
    let facts = Facts::of(fd).map_err(|errno| PlaceError::refused(path, errno))?;
    let shown = || path.display().to_string();
    if !facts.is_file() {
        return Err(PlaceError::NotAFile { path: shown() });
    }
    if facts.size > limits::FILE_BYTES {
        return Err(PlaceError::TooLarge { path: shown(), size: facts.size });
    }
    let owned = fd
        .try_clone_to_owned()
        .map_err(|error| PlaceError::refused(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let mut bytes = Vec::with_capacity(usize::try_from(facts.size).unwrap_or(0) + 1);
    // It may have grown since it was asked for its size.
    std::fs::File::from(owned)
        .take(limits::FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| PlaceError::refused(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if bytes.len() as u64 > limits::FILE_BYTES {
        return Err(PlaceError::TooLarge { path: shown(), size: bytes.len() as u64 });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| PlaceError::NotText { path: shown(), offset: error.utf8_error().valid_up_to() })?;
    Ok((text, facts))
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
/// A component is missing, no directory or a symbolic link.
pub fn open_walk(path: &Path) -> rustix::io::Result<(OwnedFd, Facts)> {
    let mut dir = open("/", directory_flags(), Mode::empty())?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        dir = openat(&dir, name, directory_flags(), Mode::empty())?;
    }
    let facts = Facts::of(&dir)?;
    Ok((dir, facts))
}

/// The directories strictly between `path` (open as `dir`) and the file at `real`.
fn directories_between(dir: impl AsFd, path: &Path, real: &Path) -> rustix::io::Result<Vec<Deciding>> {
    let mut found: Vec<Deciding> = Vec::new();
    let below = real.strip_prefix(path).unwrap_or(Path::new(""));
    let Some(parent) = below.parent() else { return Ok(found) };
    let mut at = path.to_path_buf();
    let mut current: Option<OwnedFd> = None;
    for component in parent.components() {
        let Component::Normal(name) = component else { continue };
        at.push(name);
        let fd = match &current {
            None => openat(&dir, name, directory_flags(), Mode::empty())?,
            Some(fd) => openat(fd, name, directory_flags(), Mode::empty())?,
        };
        let facts = Facts::of(&fd)?;
        found.push(Deciding { path: at.clone(), facts });
        current = Some(fd);
    }
    Ok(found)
}
