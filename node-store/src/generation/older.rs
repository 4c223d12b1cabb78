//! What of the node's `var` a transaction saw, and what came there later: only the former goes.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, RenameFlags, ResolveFlags, Stat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::tree::{Shown, join};
use super::{At, DIRECTORY, StoreError, Walk, entries};

/// When something changed last, in seconds and nanoseconds.
pub(super) type Moment = (i64, u64);

/// Whether something changed after a moment.
pub(super) fn is_newer(stat: &Stat, moment: Moment) -> bool {
    (stat.st_ctime, stat.st_ctime_nsec) >= moment
}

/// A directory of the node's as it was before anything of a generation came into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    /// When the transaction began, by the clock of its file system.
    pub(super) moment: Moment,
    /// Whether it has got or lost names since.
    pub(super) changed: bool,
}

impl Here {
    /// A directory that was looked at. Whoever owns it can set the time of its last change back, not that of its inode.
    pub(super) fn of(stat: &Stat, moment: Moment) -> Self {
        Self { moment, changed: (stat.st_mtime, stat.st_mtime_nsec) >= moment || is_newer(stat, moment) }
    }

    /// Whether a directory in it may have been moved there meanwhile, with all that is in it, which is as old as it was
    /// (rename(2) changes the times of both directories, and those of what is moved, and nothing below that).
    fn may_have_come(self, stat: &Stat) -> bool {
        self.changed && is_newer(stat, self.moment)
    }
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Makes room where a directory takes the place of something else, or something else that of a directory. What
/// is newer than the transaction stays beside it, under the name that rpm gives to such things.
pub(super) fn make_room(into: Shown<'_>, name: &CStr, here: Here) -> Result<(), StoreError> {
    remove_older(into, name, here)?;
    let aside = free_name(into, name, "rpmorig")?;
    match renameat_with(into.0, name, into.0, &*aside, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).at(join(into.1, name)),
    }
}

/// A name beside another that nothing has: `NAME.rpmnew`, `NAME.rpmnew.1` and so on.
pub(super) fn free_name(dir: Shown<'_>, name: &CStr, suffix: &str) -> Result<CString, StoreError> {
    let mut count = 0_u32;
    loop {
        let more = if count == 0 { String::new() } else { format!(".{count}") };
        let beside = [name.to_bytes(), format!(".{suffix}{more}").as_bytes()].concat();
        let beside = CString::new(beside).map_err(|_nul| Errno::INVAL).at(join(dir.1, name))?;
        match statat(dir.0, &beside, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => count += 1,
            Err(Errno::NOENT) => return Ok(beside),
            Err(errno) => return Err(errno).at(join(dir.1, &beside)),
        }
    }
}

/// A directory on the way down: its name, whether it is newer, what is left to look at in it, and how it was.
type Level = (Option<(CString, bool)>, Vec<CString>, Here);

/// Removes a name and all below it that the transaction saw. What somebody made, changed or moved there meanwhile stays,
/// with the directories that it is in; and so does what is mounted below, which the install view does not show.
pub(super) fn remove_older(above: Shown<'_>, name: &CStr, here: Here) -> Result<(), StoreError> {
    let mut walk = Walk::new(above.0, above.1)?;
    let mut levels: Vec<Level> = vec![(None, vec![name.to_owned()], here)];
    while let Some((_, names, here)) = levels.last_mut() {
        let here = *here;
        if let Some(inner) = names.pop() {
            let Ok(stat) = statat(walk.dir(), &inner, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let newer = is_newer(&stat, here.moment);
            if is_dir(&stat) {
                if here.may_have_come(&stat) {
                    continue;
                }
                if let Some(dir) = open_here(&walk, &inner)? {
                    let below = entries(&dir, walk.path())?.into_iter().map(|(name, _)| name).collect();
                    let opened = walk.at(&inner, rustix::fs::fstat(&dir))?;
                    if (opened.st_dev, opened.st_ino) != (stat.st_dev, stat.st_ino) {
                        // Another one took its place just now.
                        continue;
                    }
                    let inside = Here::of(&opened, here.moment);
                    walk.go_to(dir, &inner)?;
                    levels.push((Some((inner, newer)), below, inside));
                }
            } else if !newer {
                unlink(&walk, &inner, AtFlags::empty())?;
            }
            continue;
        }
        let Some((Some((name, newer)), _, _)) = levels.pop() else { break };
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
