//! What packages and scriptlets put into `/var`. The node's `var` is data and outside generations:
//! new files come into it once their generation is current, by renames that can be done again.

use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, renameat, statat};
use rustix::io::Errno;

use super::tree::{clean, is_whiteout, remove};
use super::{At, DIRECTORY, Store, StoreError, VARIABLE, names};

impl Store {
    /// Moves what a generation has for `var` to where it belongs. Done again after a crash, it goes on
    /// where it stopped.
    pub(super) fn apply_variable(&self, number: u64) -> Result<(), StoreError> {
        let (path, shown) = (format!(".red/gen/{number}/{VARIABLE}"), self.generation(number).join(VARIABLE));
        let from = match openat(&self.dir, &*path, DIRECTORY, Mode::empty()) {
            Ok(from) => from,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno).at(shown),
        };
        let into = super::make_directory(&self.dir, &self.path, "var")?;
        if move_into(&from, &shown, &into, &self.path.join("var"))? {
            // They are there before the generation forgets them.
            self.sync_all()?;
        }
        drop(from);
        let generation = openat(&self.dir, format!(".red/gen/{number}"), DIRECTORY, Mode::empty())
            .at(self.generation(number))?;
        remove(&generation, &self.generation(number), VARIABLE)
    }
}

/// Returns whether anything changed.
fn move_into(
    from: &std::os::fd::OwnedFd,
    from_path: &Path,
    into: &std::os::fd::OwnedFd,
    into_path: &Path,
) -> Result<bool, StoreError> {
    let mut changed = false;
    for name in names(from, from_path, ".")? {
        let (old, new) = (from_path.join(&name), into_path.join(&name));
        let stat = statat(from, &*name, AtFlags::SYMLINK_NOFOLLOW).at(&old)?;
        let there = statat(into, &*name, AtFlags::SYMLINK_NOFOLLOW);
        if is_whiteout(&stat) {
            // Something was removed. Directories with data in them stay.
            changed = true;
            match rustix::fs::unlinkat(into, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    match rustix::fs::unlinkat(into, &*name, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOTEMPTY) => {}
                        Err(errno) => return Err(errno).at(new),
                    }
                }
                Err(errno) => return Err(errno).at(new),
            }
            continue;
        }
        let both_are_directories = FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && there.is_ok_and(|there| FileType::from_raw_mode(there.st_mode) == FileType::Directory);
        if both_are_directories {
            let below_from = openat(from, &*name, DIRECTORY, Mode::empty()).at(&old)?;
            let below_into = openat(into, &*name, DIRECTORY, Mode::empty()).at(&new)?;
            changed |= move_into(&below_from, &old, &below_into, &new)?;
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let fd = openat(from, &*name, DIRECTORY, Mode::empty()).at(&old)?;
            drop(clean(&fd, &old)?);
        } else if let Ok(fd) =
            openat(from, &*name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
        {
            super::tree::strip(&fd, &old)?;
        }
        renameat(from, &*name, into, &*name).at(new)?;
        changed = true;
    }
    Ok(changed)
}
