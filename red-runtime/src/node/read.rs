//! Text files that decide, read by descriptor.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::limits;
use super::place::{Deciding, End, Facts, PlaceError, Way, directory_flags, root, way};
use super::walk;

/// A text file below a directory, with the directories on the way to it.
#[derive(Debug)]
pub struct Text {
    /// Its contents.
    pub text: String,
    /// Itself, and each directory and symbolic link between it and where the walk started: whoever owns
    /// one, or may write there, can lead it elsewhere.
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
    let scope = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let refused = |errno| PlaceError::refused(&full, errno);
    match openat2(&dir, name, text_flags(), Mode::empty(), scope) {
        Ok(fd) => {
            let mut deciding = directories_between(&dir, path, &full).map_err(refused)?;
            let (text, facts) = read_text(fd.as_fd(), &full)?;
            deciding.push(Deciding { path: full, facts });
            Ok(Some(Text { text, deciding }))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP) => {
            let way = walk::walk(dir.as_fd(), path, Path::new(name), false).map_err(refused)?;
            if matches!(way.end, End::Missing) {
                return Ok(None);
            }
            way.read(dir.as_fd(), &full).map(Some)
        }
        Err(errno) => Err(refused(errno)),
    }
}

/// Reads a text file by path: a file the caller named, or the core OS's own.
///
/// # Errors
/// It cannot be opened, is no file, too large or no text.
pub fn text_at(path: &Path) -> Result<Text, PlaceError> {
    way(path)?.read(root()?.as_fd(), path)
}

impl Way {
    /// Reads the text file at its end, which was asked for as `path` and started at `dir`.
    fn read(mut self, dir: BorrowedFd<'_>, path: &Path) -> Result<Text, PlaceError> {
        if let Some(error) = self.nothing(path) {
            return Err(error);
        }
        let End::There { above, facts, .. } = &self.end else {
            return Err(PlaceError::refused(path, Errno::NOENT));
        };
        let name = self.path.file_name().filter(|_| !facts.is_dir());
        let name = name.ok_or_else(|| PlaceError::NotAFile { path: path.display().to_string() })?;
        let above = above.as_ref().map_or(dir, AsFd::as_fd);
        let flags = text_flags() | OFlags::NOFOLLOW;
        let fd =
            openat(above, name, flags, Mode::empty()).map_err(|errno| PlaceError::refused(path, errno))?;
        let (text, now) = read_text(fd.as_fd(), path)?;
        // Exchanged just now: nobody can say what was looked at.
        if (now.dev, now.ino) != (facts.dev, facts.ino) {
            return Err(PlaceError::refused(path, Errno::AGAIN));
        }
        self.deciding.push(Deciding { path: self.path, facts: now });
        Ok(Text { text, deciding: self.deciding })
    }
}

fn text_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

/// Reads a regular file of foreign contents below `dir`, as far as `scope` lets the path lead; `path` is what
/// messages call it. Its type is known before it is opened to be read: opening a FIFO waits, and opening a device
/// can do something. `Ok(None)` when it is missing.
///
/// # Errors
/// openat2(2) or read(2) fails, it is no regular file, or has more than `most` bytes.
pub fn file_in(
    dir: impl AsFd,
    name: &Path,
    scope: ResolveFlags,
    (path, most): (&Path, u64),
) -> Result<Option<Vec<u8>>, PlaceError> {
    let scope = scope | ResolveFlags::NO_MAGICLINKS;
    let refused = |errno| PlaceError::refused(path, errno);
    for flags in [OFlags::PATH | OFlags::CLOEXEC, text_flags()] {
        let file = match openat2(&dir, name, flags, Mode::empty(), scope) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.map_err(refused)?,
        };
        if !flags.contains(OFlags::PATH) {
            return read_bytes(file.as_fd(), path, most).map(|(bytes, _)| Some(bytes));
        }
        if !Facts::of(&file).map_err(refused)?.is_file() {
            return Err(PlaceError::NotAFile { path: path.display().to_string() });
        }
    }
    Ok(None)
}

fn read_text(fd: BorrowedFd<'_>, path: &Path) -> Result<(String, Facts), PlaceError> {
    let (bytes, facts) = read_bytes(fd, path, limits::FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|error| PlaceError::NotText {
        path: path.display().to_string(),
        offset: error.utf8_error().valid_up_to(),
    })?;
    Ok((text, facts))
}

fn read_bytes(fd: BorrowedFd<'_>, path: &Path, most: u64) -> Result<(Vec<u8>, Facts), PlaceError> {
    let facts = Facts::of(fd).map_err(|errno| PlaceError::refused(path, errno))?;
    let shown = || path.display().to_string();
    if !facts.is_file() {
        return Err(PlaceError::NotAFile { path: shown() });
    }
    if facts.size > most {
        return Err(PlaceError::TooLarge { path: shown(), size: facts.size, most });
    }
    let owned = fd
        .try_clone_to_owned()
        .map_err(|error| PlaceError::refused(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let mut bytes = Vec::with_capacity(usize::try_from(facts.size).unwrap_or(0) + 1);
    // It may have grown since it was asked for its size.
    std::fs::File::from(owned)
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| PlaceError::refused(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if bytes.len() as u64 > most {
        return Err(PlaceError::TooLarge { path: shown(), size: bytes.len() as u64, most });
    }
    Ok((bytes, facts))
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
