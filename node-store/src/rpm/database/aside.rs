//! Directories of a command's own, where rpm finds what was copied by a name. Each is locked as long as it is needed, and
//! those of commands that were killed are removed by the next command of the same user.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{Error, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock, openat2};

/// What their names begin with.
const PREFIX: &str = "red-database-";
/// Where the machine has places for such things, besides `TMPDIR`.
const PLACES: [&str; 2] = ["/var/tmp", "/dev/shm"];

/// A directory that only this user enters; it goes away with this.
#[derive(Debug)]
pub(crate) struct Aside {
    path: PathBuf,
    /// The directory, open and locked.
    lock: File,
}

impl Aside {
    /// Makes one with what `fill` puts into it, at the first place that has room for that: one of the caller's, or where
    /// the machine has one.
    pub(crate) fn new(wanted: Option<&Path>, fill: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        if let Some(wanted) = wanted {
            DirBuilder::new().recursive(true).create(wanted)?;
        } else {
            static SWEPT: Once = Once::new();
            SWEPT.call_once(|| machine().iter().for_each(|place| sweep(place)));
        }
        let places = wanted.map(Path::to_owned).into_iter().chain(machine());
        Self::at(places, fill)
    }

    fn at(places: impl Iterator<Item = PathBuf>, fill: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let mut failed = Vec::new();
        for place in places {
            // What was made where there was no room goes before the next place is tried.
            match Self::below(&place).and_then(|made| fill(&made.path).map(|()| made)) {
                Ok(made) => return Ok(made),
                Err(error) => failed.push(format!("{}: {error}", place.display())),
            }
        }
        let failed = failed.join(", ");
        Err(Error::other(format!("{failed}; set TMPDIR to a directory of yours with room for it")))
    }

    fn below(place: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        loop {
            let dir = builder.tempdir_in(place)?;
            let lock = directory(&File::open(place)?, dir.path().file_name().unwrap_or_default())?;
            let made = Self { path: dir.keep(), lock };
            flock(&made.lock, FlockOperation::LockExclusive)?;
            // Whoever sweeps may have been faster than the lock.
            let (there, ours) = (made.path.symlink_metadata(), made.lock.metadata()?);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(made);
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// The machine's places.
fn machine() -> Vec<PathBuf> {
    let own = std::env::temp_dir();
    let others = PLACES.map(PathBuf::from).into_iter().filter(|place| *place != own);
    std::iter::once(own.clone()).chain(others).collect()
}

/// Removes what commands of this user that were killed have left at a place.
fn sweep(place: &Path) {
    let Ok(above) = File::open(place) else { return };
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(dir) = directory(&above, &name) else { continue };
        let ours = dir.metadata().is_ok_and(|facts| {
            facts.uid() == rustix::process::geteuid().as_raw() && facts.mode() & 0o077 == 0
        });
        if ours && flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&entry.path());
        }
    }
}

/// Opens a directory, and no mount: somebody else's file system may let whoever asks wait (FUSE).
fn directory(above: &File, name: &OsStr) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(above, name, flags, Mode::empty(), how)?.into())
}

/// Removes one with what overlayfs leaves in it. What cannot be removed is in nobody's way.
fn remove(path: &Path) {
    if let (Some(above), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        && let Ok(dir) = File::open(above)
    {
        drop(crate::generation::remove(&dir, above, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let all = std::fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<_> = all.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn places_are_tried_in_turn() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        ["full", "good", "spare"].iter().for_each(|name| std::fs::create_dir(at(name)).unwrap());
        let fill = |dir: &Path| {
            std::fs::write(dir.join("half"), "x")?;
            if dir.starts_with(at("full")) { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(()) }
        };
        let places = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<_>>().into_iter();
        let made = Aside::at(places(&["missing", "full", "good", "spare"]), fill).unwrap();
        assert_eq!(made.path().parent().unwrap(), at("good"));
        assert_eq!(made.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!((names(&at("full")).len(), names(&at("spare")).len()), (0, 0));
        drop(made);
        assert!(names(&at("good")).is_empty());
        let why = Aside::at(places(&["missing", "full"]), fill).unwrap_err().to_string();
        assert!(why.contains("missing: No such") && why.contains("full: No space"), "{why}");
    }

    #[test]
    fn what_killed_commands_left_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for (name, mode) in [("red-database-left", 0o700), ("red-database-open", 0o755), ("other", 0o700)] {
            std::fs::create_dir_all(at(name).join("work/work")).unwrap();
            std::fs::set_permissions(at(name).join("work/work"), Permissions::from_mode(0o0)).unwrap();
            std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("other", at("red-database-link")).unwrap();
        std::fs::write(at("red-database-file"), "").unwrap();
        let used = Aside::at(std::iter::once(scratch.path().to_owned()), |_dir| Ok(())).unwrap();
        let used_name = used.path().file_name().unwrap().to_str().unwrap().to_owned();
        sweep(scratch.path());
        let mut wanted = ["other", "red-database-file", "red-database-link", "red-database-open", &used_name];
        wanted.sort();
        assert_eq!(names(scratch.path()), wanted);
    }
}
