//! Directories that appear at once and whole, such as bundles and image layouts: until they are finished they are
//! built beside their place.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Why a directory was not written.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Something is in its place.
    #[error("{path} exists and is not an empty directory")]
    Occupied {
        /// The place.
        path: String,
    },
    /// A system call failed.
    #[error("{path}: {source}")]
    Io {
        /// What was written.
        path: String,
        /// The error of the call.
        #[source]
        source: io::Error,
    },
}

impl DirError {
    fn occupied(dir: &Path) -> Self {
        Self::Occupied { path: dir.display().to_string() }
    }
}

/// An error with a path that was given to a directory while it was built.
pub(super) trait Moved {
    /// The same error, with a path below `from` shown as one below `to`.
    fn moved(self, from: &Path, to: &Path) -> Self;
}

impl Moved for DirError {
    fn moved(self, from: &Path, to: &Path) -> Self {
        match self {
            Self::Io { path, source } => {
                let shown = Path::new(&path).strip_prefix(from).map(|below| to.join(below));
                Self::Io { path: shown.map_or(path, |shown| shown.display().to_string()), source }
            }
            other => other,
        }
    }
}

/// Adds the path to the error of a call.
pub(super) trait At<T> {
    /// The result with `path` in its error.
    fn at(self, path: &Path) -> Result<T, DirError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, DirError> {
        self.map_err(|source| DirError::Io { path: path.display().to_string(), source })
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, path: &Path) -> Result<T, DirError> {
        self.map_err(io::Error::from).at(path)
    }
}

/// A place for a new directory, where nothing would be overwritten.
#[derive(Debug)]
pub(super) struct NewDir {
    parent: PathBuf,
    path: PathBuf,
}

impl NewDir {
    /// A place that has nothing, or an empty directory.
    ///
    /// # Errors
    /// It is occupied, or what is above it is missing.
    pub(super) fn at(dir: &Path) -> Result<Self, DirError> {
        match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(DirError::occupied(dir));
            }
            Err(error) => return Err(error).at(dir),
            Ok(mut entries) => match entries.next() {
                None => {}
                Some(_) => return Err(DirError::occupied(dir)),
            },
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = fs::canonicalize(parent).at(parent)?;
        let path = parent.join(dir.file_name().ok_or_else(|| DirError::occupied(dir))?);
        Ok(Self { parent, path })
    }

    /// Where it will be, without symbolic links above it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Builds the directory: `fill` writes to the path that it is given.
    ///
    /// # Errors
    /// Those of `fill`, and of making and renaming the directory. Then the place is as it was.
    pub(super) fn fill<T, E: From<DirError> + Moved>(
        &self,
        fill: impl FnOnce(&Path) -> Result<T, E>,
    ) -> Result<T, E> {
        let building = Building::new(&self.parent, &self.path)?;
        let at = building.inside();
        let filled = fill(&at).map_err(|error| error.moved(&at, &self.path))?;
        building.finish(&self.path)?;
        Ok(filled)
    }
}

/// A directory that is being built; removed again unless it is finished.
struct Building {
    path: PathBuf,
    dir: OwnedFd,
    done: bool,
}

/// How many names are tried. They are random, so a second one is needed only when somebody means harm.
const NAMES: usize = 16;

impl Building {
    /// Makes a directory that was not there before, beside the place.
    fn new(parent: &Path, dir: &Path) -> Result<Self, DirError> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        for _ in 0..NAMES {
            let path = parent.join(format!(".{name}.{:016x}.tmp", random()));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => return Self::own(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).at(&path),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists)).at(parent)
    }

    /// Opens what was made. In a directory that others may write to it may be theirs by now.
    fn own(path: PathBuf) -> Result<Self, DirError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).at(&path)?;
        if rustix::fs::fstat(&dir).at(&path)?.st_uid != rustix::process::geteuid().as_raw() {
            return Err(replaced()).at(&path);
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755)).at(&path)?;
        Ok(Self { path, dir, done: false })
    }

    /// The directory, by a path that is of it whatever its name becomes.
    fn inside(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    fn finish(mut self, dir: &Path) -> Result<(), DirError> {
        // Onto an empty directory rename works too (rename(2)).
        fs::rename(&self.path, dir).at(dir)?;
        self.done = true;
        let (held, now) = (rustix::fs::fstat(&self.dir).at(dir)?, rustix::fs::lstat(dir).at(dir)?);
        if (held.st_dev, held.st_ino) != (now.st_dev, now.st_ino) {
            return Err(replaced()).at(dir);
        }
        Ok(())
    }
}

fn replaced() -> io::Error {
    io::Error::other(
        "replaced by another user while it was written; use a directory that nobody else writes to",
    )
}

/// A number that nobody can foresee.
fn random() -> u64 {
    // Keys of a hash map's state are random for each process, and differ from call to call.
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.done {
            // What failed is being reported; this only cleans up.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Names beside the place cannot be made beforehand, and what is there is not taken.
    #[test]
    fn it_is_built_in_a_directory_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("bundle");
        let first = Building::new(dir.path(), &target).unwrap();
        let second = Building::new(dir.path(), &target).unwrap();
        assert_ne!(first.path, second.path);
        // Whoever may write to the directory above moves something else there: it is not written to, and
        // not taken for the bundle.
        let other = tempfile::tempdir().unwrap();
        fs::rename(&first.path, dir.path().join("away")).unwrap();
        symlink(other.path(), &first.path).unwrap();
        fs::write(first.inside().join("config.json"), "{}").unwrap();
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
        assert!(first.finish(&target).is_err());
        assert!(dir.path().join("away/config.json").exists());
        assert!(second.finish(&dir.path().join("other")).is_ok());
    }

    #[test]
    fn what_fails_leaves_the_place_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new");
        let new = NewDir::at(&target).unwrap();
        let failed = new.fill(|at| fs::write(at.join("no/x"), "").at(&at.join("no/x"))).unwrap_err();
        assert!(failed.to_string().contains("/no/x: "), "{failed}");
        assert!(!failed.to_string().contains("/proc/self/fd"), "{failed}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        new.fill(|at| fs::write(at.join("x"), "").at(at)).unwrap();
        assert!(target.join("x").exists());
        assert!(matches!(NewDir::at(&target), Err(DirError::Occupied { .. })));
        assert!(matches!(NewDir::at(&target.join("x")), Err(DirError::Occupied { .. })));
    }
}
