//! What nodes contain, read by descriptor into a layer.
//!
//! Contents of nodes are foreign: a name is opened without following it, its type is known before it is opened to be
//! read, and what is read is the very inode that was looked at.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fgetxattr, flistxattr, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use super::super::new_dir::At;
use super::ImageError;
use super::archive::{Archive, Attributes, Entry, Kind, Xattrs};
use crate::node::place::Facts;

/// Directories below each other, far more than any real tree has; each is an open descriptor.
const DEPTH: usize = 512;

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// Bytes of the longest list of extended attributes, and of the largest value (xattr(7)).
const XATTR_BYTES: usize = 64 << 10;

/// Most bytes of a file's extended attributes together: the tar reader of Go, which every engine uses, refuses records
/// of more than 1 MiB.
const XATTRS_BYTES: usize = 512 << 10;

/// Most bytes of a path (`PATH_MAX` without its NUL, limits.h).
const PATH_BYTES: usize = 4095;

/// Prefix of the names that remove files of lower layers (image-spec, layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// An exported path of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Source {
    /// The path, without symbolic links.
    pub(super) path: String,
    /// Device and inode, where it has to be what was judged.
    pub(super) id: Option<(u64, u64)>,
    /// Mode, where a launch makes the directory if it is missing.
    pub(super) created: Option<u32>,
}

/// What reading tells and asks while it goes on.
pub(super) struct Terms<'t> {
    /// Paths of the container that mounts cover.
    pub(super) covered: &'t BTreeSet<String>,
    /// Latest time that an entry may have, in seconds since the epoch.
    pub(super) latest: Option<u64>,
    /// Whether to stop.
    pub(super) stop: &'t dyn Fn() -> bool,
}

/// Reads into the archive of one layer.
pub(super) struct Reader<'r, W> {
    pub(super) archive: Archive<W>,
    /// The file of the archive, for messages.
    blob: &'r Path,
    terms: &'r Terms<'r>,
    /// Files with links that were not met yet: their path in the archive, and how many links are missing.
    links: HashMap<(u64, u64), (Vec<u8>, u32)>,
    buffer: Vec<u8>,
}

/// Something that is open, and what it is called.
struct Opened<'o> {
    fd: OwnedFd,
    facts: Facts,
    /// Path in the container.
    at: &'o [u8],
    /// Path on the host, for messages.
    shown: &'o Path,
}

impl<'r, W: Write> Reader<'r, W> {
    pub(super) fn new(archive: Archive<W>, blob: &'r Path, terms: &'r Terms<'r>) -> Self {
        Self { archive, blob, terms, links: HashMap::new(), buffer: vec![0; CHUNK] }
    }

    /// Reads an exported file or directory with all that is below it, but for what mounts cover.
    pub(super) fn tree(&mut self, source: &Source, at: &str) -> Result<(), ImageError> {
        let shown = PathBuf::from(&source.path);
        let Some((fd, facts)) = open(source)? else {
            let mode = source.created.unwrap_or(0o775);
            return self.entry(at.as_bytes(), Kind::Directory, made(mode), (0, &Vec::new()));
        };
        self.any(Opened { fd, facts, at: at.as_bytes(), shown: &shown }, 0)
    }

    /// Writes only the directory `below` an exported one. `false` if there is none.
    pub(super) fn directory_alone(
        &mut self,
        source: &Source,
        below: &str,
        at: &str,
    ) -> Result<bool, ImageError> {
        let shown = Path::new(&source.path).join(below);
        let Some((fd, facts)) = directory_in(source, below, &shown)? else { return Ok(false) };
        let opened = Opened { fd: reopen(&fd).read(&shown)?, facts, at: at.as_bytes(), shown: &shown };
        self.directory_entry(&opened)?;
        Ok(true)
    }

    /// Writes an entry without contents.
    pub(super) fn entry(
        &mut self,
        at: &[u8],
        kind: Kind<'_>,
        attributes: Attributes,
        (mtime, xattrs): (u64, &Xattrs),
    ) -> Result<(), ImageError> {
        refuse_whiteout(at, Path::new(OsStr::from_bytes(at)))?;
        let mut path = at.strip_prefix(b"/").unwrap_or(at).to_vec();
        if kind == Kind::Directory {
            path.push(b'/');
        }
        let mtime = self.terms.latest.map_or(mtime, |latest| mtime.min(latest));
        let entry = Entry { path: &path, kind, attributes, mtime, xattrs };
        Ok(self.archive.entry(&entry).at(self.blob)?)
    }

    /// Writes a file whose contents are known.
    pub(super) fn file(&mut self, at: &str, mode: u32, contents: &[u8]) -> Result<(), ImageError> {
        let kind = Kind::File(contents.len() as u64);
        self.entry(at.as_bytes(), kind, made(mode), (0, &Vec::new()))?;
        Ok(self.archive.contents(contents).at(self.blob)?)
    }

    fn any(&mut self, opened: Opened<'_>, depth: usize) -> Result<(), ImageError> {
        if (self.terms.stop)() {
            return Err(ImageError::Interrupted);
        }
        let Opened { fd, facts, at, shown } = opened;
        refuse_whiteout(at, shown)?;
        let unfit = |why: &'static str| Err(ImageError::Unfit { path: shown.display().to_string(), why });
        if at.len() > PATH_BYTES {
            return unfit(
                "its path in the container has more than 4095 bytes, and no engine could unpack it",
            );
        }
        match FileType::from_raw_mode(facts.mode) {
            FileType::Directory if depth > DEPTH => unfit("more than 512 directories below each other"),
            FileType::Directory => {
                let path = fd;
                let fd = reopen(&path).read(shown)?;
                drop(path);
                self.directory(&Opened { fd, facts, at, shown }, depth)
            }
            FileType::RegularFile => self.regular(&Opened { fd, facts, at, shown }),
            FileType::Symlink => {
                let target = readlinkat(&fd, "", Vec::new()).read(shown)?;
                self.entry(at, Kind::Symlink(target.as_bytes()), attributes(&facts), (0, &Vec::new()))
            }
            FileType::Fifo => self.entry(at, Kind::Fifo, attributes(&facts), (0, &Vec::new())),
            FileType::Socket => {
                unfit("a socket cannot be in an image: stop what listens there, or remove it")
            }
            _ => unfit("a device cannot be in an image, where engines make devices: remove it"),
        }
    }

    fn directory_entry(&mut self, opened: &Opened<'_>) -> Result<(), ImageError> {
        let xattrs = self.xattrs(&opened.fd, opened.shown)?;
        self.entry(opened.at, Kind::Directory, attributes(&opened.facts), (0, &xattrs))
    }

    /// A directory, and below it everything in the order of the names' bytes.
    fn directory(&mut self, opened: &Opened<'_>, depth: usize) -> Result<(), ImageError> {
        self.directory_entry(opened)?;
        for name in names(opened)? {
            let at = [opened.at, b"/", &name].concat();
            if std::str::from_utf8(&at).is_ok_and(|at| self.terms.covered.contains(at)) {
                continue;
            }
            let shown = opened.shown.join(OsStr::from_bytes(&name));
            let fd = match openat(&opened.fd, &name[..], path_flags(), Mode::empty()) {
                Err(Errno::NOENT) => return Err(changed(&shown)),
                fd => fd.read(&shown)?,
            };
            let facts = Facts::of(&fd).read(&shown)?;
            self.any(Opened { fd, facts, at: &at, shown: &shown }, depth + 1)?;
        }
        unchanged(opened, &opened.fd)
    }

    fn regular(&mut self, opened: &Opened<'_>) -> Result<(), ImageError> {
        let Opened { facts, at, shown, .. } = opened;
        let key = (facts.dev, facts.ino);
        if let Some((first, missing)) = self.links.get_mut(&key) {
            *missing -= 1;
            let (first, last) = (first.clone(), *missing == 0);
            if last {
                self.links.remove(&key);
            }
            let first = first.strip_prefix(b"/").unwrap_or(&first);
            let mtime = seconds(facts);
            return self.entry(at, Kind::HardLink(first), attributes(facts), (mtime, &Vec::new()));
        }
        let file = reopen(&opened.fd).read(shown)?;
        let xattrs = self.xattrs(&file, shown)?;
        self.entry(at, Kind::File(facts.size), attributes(facts), (seconds(facts), &xattrs))?;
        self.contents(&file.into(), opened)?;
        if facts.links > 1 {
            self.links.insert(key, (at.to_vec(), facts.links - 1));
        }
        Ok(())
    }

    /// Exactly as many bytes as the header has, of a file that is afterwards what it was before.
    fn contents(&mut self, file: &std::fs::File, opened: &Opened<'_>) -> Result<(), ImageError> {
        let mut missing = opened.facts.size;
        let mut from = file;
        loop {
            if (self.terms.stop)() {
                return Err(ImageError::Interrupted);
            }
            let count = match from.read(&mut self.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                count => count.map_err(|source| reading(opened.shown, source))?,
            };
            if count as u64 > missing || (count == 0 && missing > 0) {
                return Err(changed(opened.shown));
            }
            if count == 0 {
                return unchanged(opened, file);
            }
            missing -= count as u64;
            self.archive.contents(&self.buffer[..count]).at(self.blob)?;
        }
    }

    /// Extended attributes that belong to the contents, sorted by name.
    fn xattrs(&self, fd: &OwnedFd, shown: &Path) -> Result<Xattrs, ImageError> {
        let mut list = vec![0_u8; XATTR_BYTES];
        let length = match flistxattr(fd, &mut list[..]) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            length => length.read(shown)?,
        };
        let unfit = |why: &'static str| ImageError::Unfit { path: shown.display().to_string(), why };
        let (mut all, mut total) = (Vec::new(), 0);
        for name in list[..length].split(|byte| *byte == 0) {
            let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_of_contents(name)) else {
                continue;
            };
            // In a pax record the name ends there.
            if name.contains('=') {
                return Err(unfit(
                    "it has an extended attribute with `=` in its name, which no layer can hold",
                ));
            }
            let mut value = vec![0_u8; XATTR_BYTES];
            let length = fgetxattr(fd, name, &mut value[..]).read(shown)?;
            value.truncate(length);
            value.shrink_to_fit();
            total += name.len() + length;
            if total > XATTRS_BYTES {
                return Err(unfit(
                    "its extended attributes have more than 512 KiB, and no engine could unpack it",
                ));
            }
            all.push((name.to_owned(), value));
        }
        all.sort();
        Ok(all)
    }
}

/// Whether an extended attribute belongs to a file's contents, and not to the machine that it is on: labels and
/// measurements are its security modules' (xattr(7)), marks its overlays'.
fn is_of_contents(name: &str) -> bool {
    let kept = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"];
    kept.contains(&name) || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

/// Attributes of what has no file on the host: root's.
pub(super) fn made(mode: u32) -> Attributes {
    Attributes { mode, uid: 0, gid: 0 }
}

fn attributes(facts: &Facts) -> Attributes {
    Attributes { mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid }
}

/// Modification time in whole seconds.
fn seconds(facts: &Facts) -> u64 {
    u64::try_from(facts.mtime.0).unwrap_or(0)
}

fn path_flags() -> OFlags {
    OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens the source of an export, `None` if it is missing and a launch would make it.
fn open(source: &Source) -> Result<Option<(OwnedFd, Facts)>, ImageError> {
    let path = Path::new(&source.path);
    let scope = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let fd = match openat2(CWD, path, path_flags(), Mode::empty(), scope) {
        Err(Errno::NOENT) if source.created.is_some() => return Ok(None),
        fd => fd.read(path)?,
    };
    let facts = Facts::of(&fd).read(path)?;
    if facts.is_link() && source.created.is_some() {
        let why =
            "a symbolic link that leads to nothing in the node: make its target there, or remove the link";
        return Err(ImageError::Unfit { path: source.path.clone(), why });
    }
    let is_other = source.id.is_some_and(|id| id != (facts.dev, facts.ino));
    if is_other || facts.is_link() {
        return Err(changed(path));
    }
    Ok(Some((fd, facts)))
}

/// Opens the directory `below` an exported one, `None` if it is missing.
fn directory_in(source: &Source, below: &str, shown: &Path) -> Result<Option<(OwnedFd, Facts)>, ImageError> {
    let Some((top, _)) = open(source)? else { return Ok(None) };
    let scope = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let below = if below.is_empty() { "." } else { below };
    let fd = match openat2(top, below, path_flags() | OFlags::DIRECTORY, Mode::empty(), scope) {
        Err(Errno::NOENT) => return Ok(None),
        fd => fd.read(shown)?,
    };
    let facts = Facts::of(&fd).read(shown)?;
    Ok(Some((fd, facts)))
}

/// Whether there is a directory `below` an exported one.
pub(super) fn is_directory(source: &Source, below: &str) -> Result<bool, ImageError> {
    let shown = Path::new(&source.path).join(below);
    directory_in(source, below, &shown).map(|found| found.is_some())
}

/// Opens the very inode of a descriptor to be read (proc_pid_fd(5)).
fn reopen(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())
}

/// The names in a directory, sorted by their bytes.
fn names(opened: &Opened<'_>) -> Result<Vec<Vec<u8>>, ImageError> {
    let mut names = Vec::new();
    for entry in Dir::read_from(&opened.fd).read(opened.shown)? {
        let entry = entry.read(opened.shown)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether something is what it was when it was opened.
fn unchanged(opened: &Opened<'_>, fd: impl AsFd) -> Result<(), ImageError> {
    let (before, now) = (opened.facts, Facts::of(fd).read(opened.shown)?);
    let same = (before.size, before.mtime, before.ctime) == (now.size, now.mtime, now.ctime);
    if same { Ok(()) } else { Err(changed(opened.shown)) }
}

fn changed(path: &Path) -> ImageError {
    ImageError::Changed { path: path.display().to_string() }
}

fn reading(path: &Path, source: std::io::Error) -> ImageError {
    ImageError::Read { path: path.display().to_string(), source }
}

/// Adds the path to the error of a call that reads.
trait ReadAt<T> {
    fn read(self, path: &Path) -> Result<T, ImageError>;
}

impl<T> ReadAt<T> for rustix::io::Result<T> {
    fn read(self, path: &Path) -> Result<T, ImageError> {
        self.map_err(|errno| reading(path, errno.into()))
    }
}

/// A name that engines would take for a whiteout: it would be missing in the container, with what it names.
fn refuse_whiteout(at: &[u8], shown: &Path) -> Result<(), ImageError> {
    if at.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT)) {
        let why = "in an image a name that begins with `.wh.` removes a file: rename it";
        return Err(ImageError::Unfit { path: shown.display().to_string(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
