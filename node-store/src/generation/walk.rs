//! A way down a tree and up again, by descriptor, without following links. However deep it leads, few
//! descriptors are open: whoever may write to a node decides how deep its directories are.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, fstat, openat, statat};

use super::{At, DIRECTORY, StoreError};

/// Directories above the present one that stay open.
const OPEN: usize = 16;

/// A place in a tree.
pub(crate) struct Walk {
    /// Those above, the top first: what they are, and a few of them open, the nearest last.
    above: Vec<(u64, u64)>,
    open: VecDeque<OwnedFd>,
    dir: OwnedFd,
    path: PathBuf,
}

impl Walk {
    /// At the top, an open directory.
    pub(crate) fn new(top: impl AsFd, shown: &Path) -> Result<Self, StoreError> {
        let dir = openat(top, ".", DIRECTORY, Mode::empty()).at(shown)?;
        Ok(Self { above: Vec::new(), open: VecDeque::new(), dir, path: shown.to_owned() })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it, for messages.
    pub(crate) fn join(&self, name: &CStr) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
    }

    /// Gives an error the path of a name in it. Only then: paths may be very long.
    pub(crate) fn at<T>(&self, name: &CStr, result: rustix::io::Result<T>) -> Result<T, StoreError> {
        result.or_else(|errno| Err(errno).at(self.join(name)))
    }

    /// How many levels it is below the top.
    pub(crate) fn depth(&self) -> usize {
        self.above.len()
    }

    /// Goes down to a directory in it.
    pub(crate) fn enter(&mut self, name: &CStr) -> Result<(), StoreError> {
        let dir = self.at(name, openat(&self.dir, name, DIRECTORY, Mode::empty()))?;
        self.go_to(dir, name)
    }

    /// The same for one that is open.
    pub(crate) fn go_to(&mut self, dir: OwnedFd, name: &CStr) -> Result<(), StoreError> {
        self.above.push(identity(&self.dir, &self.path)?);
        self.open.push_back(std::mem::replace(&mut self.dir, dir));
        if self.open.len() > OPEN {
            self.open.pop_front();
        }
        self.path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
        Ok(())
    }

    /// Goes up again, from wherever [`Walk::enter`] led. Returns the directory that was left.
    pub(crate) fn leave(&mut self) -> Result<OwnedFd, StoreError> {
        let above = match self.open.pop_back() {
            Some(dir) => dir,
            None => openat(&self.dir, "..", DIRECTORY, Mode::empty()).at(&self.path)?,
        };
        // Somebody may have moved it meanwhile, and `..` leads anywhere then.
        if self.above.pop() != Some(identity(&above, &self.path)?) {
            let why = "was moved by somebody else meanwhile; try again".to_owned();
            return Err(StoreError::InTheWay { path: self.path.clone(), why });
        }
        self.path.pop();
        Ok(std::mem::replace(&mut self.dir, above))
    }
}

fn identity(dir: &OwnedFd, path: &Path) -> Result<(u64, u64), StoreError> {
    let stat = fstat(dir).at(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Entries of a directory.
pub(crate) fn entries(dir: &OwnedFd, path: &Path) -> Result<Vec<(std::ffi::CString, FileType)>, StoreError> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir).at(path)? {
        let entry = entry.at(path)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let kind = match entry.file_type() {
                // Some file systems do not tell (readdir(3), "d_type").
                FileType::Unknown => {
                    let shown = || path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
                    FileType::from_raw_mode(stat.or_else(|errno| Err(errno).at(shown()))?.st_mode)
                }
                kind => kind,
            };
            found.push((name.to_owned(), kind));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_and_up_with_few_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("d/".repeat(400))).unwrap();
        let top = rustix::fs::open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
        let mut walk = Walk::new(&top, dir.path()).unwrap();
        for depth in 1..=400 {
            walk.enter(c"d").unwrap();
            assert_eq!(walk.depth(), depth);
            assert!(walk.open.len() <= OPEN);
        }
        for _ in 0..400 {
            drop(walk.leave().unwrap());
        }
        assert_eq!(walk.path(), dir.path());
        assert_eq!(identity(walk.dir(), dir.path()).unwrap(), identity(&top, dir.path()).unwrap());
    }

    #[test]
    fn a_directory_that_was_moved_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a").join("d/".repeat(40))).unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        let top = rustix::fs::open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
        let mut walk = Walk::new(&top, dir.path()).unwrap();
        walk.enter(c"a").unwrap();
        for _ in 0..40 {
            walk.enter(c"d").unwrap();
        }
        std::fs::rename(dir.path().join("a/d"), dir.path().join("b/d")).unwrap();
        let why = loop {
            if let Err(error) = walk.leave() {
                break error.to_string();
            }
        };
        assert!(why.contains("was moved by somebody else"), "{why}");
    }
}
