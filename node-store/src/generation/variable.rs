//! What packages and scriptlets put into `/var`, and what they removed there. The node's `var` is data
//! and outside generations: changes come to it once their generation is current, in steps that can be done
//! again.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, openat,
    openat2, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::marks::{OPAQUE, clean, is_opaque, is_whiteout, strip};
use super::tree::{Shown, join, remove};
use super::{At, DIRECTORY, Stage, Store, StoreError, VARIABLE, Walk, entries};

impl Store {
    /// Moves what a stage has for the node's `var` aside, but for the database. Names that were removed stay
    /// marked when the node has them; others were of core OS or ancestors, and are returned.
    pub(super) fn separate_variable(
        &self,
        upper: &OwnedFd,
        stage: &Stage,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let (path, aside) = (stage.upper.join("var"), stage.upper.join(VARIABLE));
        renameat(upper, "var", upper, VARIABLE).at(&path)?;
        drop(super::make_directory(upper, &stage.upper, "var/lib")?);
        let database = super::DATABASE;
        renameat(upper, format!("{VARIABLE}/lib/rpm"), upper, database).at(stage.upper.join(database))?;
        // When the transaction began: what is older is what it saw. Nothing else is ever put into this directory.
        let fresh = openat(upper, "var", DIRECTORY, Mode::empty()).at(&path)?;
        let times = Timestamps { last_access: stage.begun, last_modification: stage.begun };
        rustix::fs::futimens(&fresh, &times).at(path)?;
        let from = openat(upper, VARIABLE, DIRECTORY, Mode::empty()).at(&aside)?;
        let node = openat(&self.dir, "var", DIRECTORY, Mode::empty()).ok();
        let mut hidden = Vec::new();
        strangers((&from, &aside), node.as_ref(), Path::new("var"), &mut hidden)?;
        Ok(hidden)
    }

    /// Moves what a generation has for `var` to where it belongs. Done again after a crash, it goes on
    /// where it stopped.
    pub(super) fn apply_variable(&self, number: u64) -> Result<(), StoreError> {
        let path = self.generation(number);
        let generation = match openat(&self.dir, format!(".red/gen/{number}"), DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened.at(&path)?,
        };
        let shown = path.join(VARIABLE);
        let from = match openat(&generation, VARIABLE, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened.at(&shown)?,
        };
        let begun = statat(&generation, "var", AtFlags::SYMLINK_NOFOLLOW).at(path.join("var"))?;
        let into = super::make_directory(&self.dir, &self.path, "var")?;
        let moment = (begun.st_mtime, begun.st_mtime_nsec);
        if move_into((&from, &shown), (&into, &self.path.join("var")), moment)? {
            // They are there before the generation forgets them.
            self.sync_all()?;
        }
        drop(from);
        remove(&generation, &path, VARIABLE)
    }
}

/// When something changed last, in seconds and nanoseconds.
type Moment = (i64, u64);

/// When a directory was made, by the clock of its file system.
pub(super) fn moment_of(dir: &OwnedFd, shown: &Path) -> Result<Timespec, StoreError> {
    let stat = rustix::fs::fstat(dir).at(shown)?;
    Ok(Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) })
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Takes off the marks of names that the node does not have.
fn strangers(
    from: Shown<'_>,
    node: Option<&OwnedFd>,
    below: &Path,
    hidden: &mut Vec<PathBuf>,
) -> Result<(), StoreError> {
    for (name, _) in entries(from.0, from.1)? {
        let path = join(from.1, &name);
        let stat = statat(from.0, &name, AtFlags::SYMLINK_NOFOLLOW).at(&path)?;
        let there = node.is_some_and(|node| statat(node, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok());
        if is_dir(&stat) {
            let dir = openat(from.0, &name, DIRECTORY, Mode::empty()).at(&path)?;
            let theirs = node.and_then(|node| openat(node, &name, DIRECTORY, Mode::empty()).ok());
            strangers((&dir, &path), theirs.as_ref(), &join(below, &name), hidden)?;
        } else if is_whiteout(&stat) && *name != *OPAQUE && !there {
            unlinkat(from.0, &name, AtFlags::empty()).at(&path)?;
            hidden.push(join(below, &name));
        }
    }
    Ok(())
}

/// Returns whether anything changed.
fn move_into(from: Shown<'_>, into: Shown<'_>, moment: Moment) -> Result<bool, StoreError> {
    let mut changed = false;
    let mark = statat(from.0, OPAQUE, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_whiteout(&stat));
    if mark || is_opaque(from.0, from.1)? {
        // The directory was removed and made anew: nothing of the old one is in it.
        for (name, _) in entries(into.0, into.1)? {
            if statat(from.0, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                remove_older(into, &name, moment)?;
                changed = true;
            }
        }
    }
    // Names are bytes: a scriptlet may have made one that is no text.
    for (name, _) in entries(from.0, from.1)? {
        changed |= move_one(from, into, &name, moment)?;
    }
    Ok(changed)
}

fn move_one(from: Shown<'_>, into: Shown<'_>, name: &CStr, moment: Moment) -> Result<bool, StoreError> {
    let (old, new) = (join(from.1, name), join(into.1, name));
    let stat = statat(from.0, name, AtFlags::SYMLINK_NOFOLLOW).at(&old)?;
    if is_whiteout(&stat) {
        // Something was removed.
        if *name != *OPAQUE {
            remove_older(into, name, moment)?;
        }
        return Ok(true);
    }
    let there = statat(into.0, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    if let Some(there) = there.filter(|there| is_dir(&stat) && is_dir(there)) {
        let below_from = openat(from.0, name, DIRECTORY, Mode::empty()).at(&old)?;
        let below_into = openat(into.0, name, DIRECTORY, Mode::empty()).at(&new)?;
        let changed = move_into((&below_from, &old), (&below_into, &new), moment)?;
        return Ok(same_access(&stat, &there, (&below_into, &new))? || changed);
    }
    if is_dir(&stat) {
        let fd = openat(from.0, name, DIRECTORY, Mode::empty()).at(&old)?;
        clean(&fd, &old)?;
    } else if let Ok(fd) =
        openat(from.0, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
    {
        strip(&fd, &old)?;
    }
    if there.is_some_and(|there| is_dir(&stat) != is_dir(&there)) {
        make_room(into, name, moment)?;
    }
    renameat(from.0, name, into.0, name).at(new)?;
    Ok(true)
}

/// Gives a directory that both have the owner and the mode that rpm gave it. The staging area's own
/// directories are open to whoever makes them, and the one above the database is the staging area's.
fn same_access(new: &Stat, old: &Stat, dir: Shown<'_>) -> Result<bool, StoreError> {
    let of = |stat: &Stat| (stat.st_uid, stat.st_gid, stat.st_mode & 0o7077);
    if of(new) == of(old) || dir.1.ends_with("var/lib") {
        return Ok(false);
    }
    match rustix::fs::fchown(dir.0, Some(Uid::from_raw(new.st_uid)), Some(Gid::from_raw(new.st_gid))) {
        // An ordinary user's directories are that user's.
        Err(Errno::PERM | Errno::INVAL) | Ok(()) => {}
        Err(errno) => return Err(errno).at(dir.1),
    }
    rustix::fs::fchmod(dir.0, Mode::from_raw_mode(new.st_mode & 0o7777)).at(dir.1)?;
    Ok(true)
}

/// Makes room where a directory takes the place of something else, or something else that of a directory. What
/// is newer than the transaction stays beside it, under the name that rpm gives to such things.
fn make_room(into: Shown<'_>, name: &CStr, moment: Moment) -> Result<(), StoreError> {
    remove_older(into, name, moment)?;
    let aside = [name.to_bytes(), b".rpmorig"].concat();
    match renameat_with(into.0, name, into.0, &*aside, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) => {
            let why =
                "a package has something else of that name, and there is a .rpmorig already: move it away";
            Err(StoreError::InTheWay { path: join(into.1, name), why: why.into() })
        }
        Err(errno) => Err(errno).at(join(into.1, name)),
    }
}

/// A directory on the way down: its name, whether it is newer, and what is left to look at in it.
type Level = (Option<(CString, bool)>, Vec<CString>);

/// Removes a name and all below it that the transaction saw. What somebody made or changed meanwhile stays, with
/// the directories that it is in; and so does what is mounted below, which the install view does not show.
fn remove_older(above: Shown<'_>, name: &CStr, moment: Moment) -> Result<(), StoreError> {
    let mut walk = Walk::new(above.0, above.1)?;
    let mut levels: Vec<Level> = vec![(None, vec![name.to_owned()])];
    while let Some((_, names)) = levels.last_mut() {
        if let Some(inner) = names.pop() {
            let Ok(stat) = statat(walk.dir(), &inner, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let newer = (stat.st_ctime, stat.st_ctime_nsec) >= moment;
            if is_dir(&stat) {
                if let Some(dir) = open_here(&walk, &inner)? {
                    let below = entries(&dir, walk.path())?.into_iter().map(|(name, _)| name).collect();
                    walk.go_to(dir, &inner)?;
                    levels.push((Some((inner, newer)), below));
                }
            } else if !newer {
                unlink(&walk, &inner, AtFlags::empty())?;
            }
            continue;
        }
        let Some((Some((name, newer)), _)) = levels.pop() else { break };
        drop(walk.leave()?);
        if !newer {
            unlink(&walk, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

fn unlink(walk: &Walk, name: &CStr, flags: AtFlags) -> Result<(), StoreError> {
    match unlinkat(walk.dir(), name, flags) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(()),
        failed => walk.at(name, failed),
    }
}

/// Opens a directory that is no mount.
fn open_here(walk: &Walk, name: &CStr) -> Result<Option<OwnedFd>, StoreError> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let open = || openat2(walk.dir(), name, DIRECTORY, Mode::empty(), resolve);
    let opened = match open() {
        Err(Errno::ACCESS) => {
            let mode = Mode::from_raw_mode(0o700);
            walk.at(name, rustix::fs::chmodat(walk.dir(), name, mode, AtFlags::empty()))?;
            open()
        }
        opened => opened,
    };
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => walk.at(name, Err(errno)),
    }
}

#[cfg(test)]
#[path = "variable_tests.rs"]
mod tests;
