//! What a switch removes from the node's `var`: what the transaction saw there, and nothing that came later.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Stat, openat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::older::{Here, Moment, free_name, is_dir, is_newer};
use super::tree::{Shown, join};
use super::{At, DIRECTORY, StoreError, Walk, entries};

/// What a directory is called while it is removed. It gets this name in one step, so that a command that is killed leaves
/// no half of it under its own, which nobody could tell from one that somebody else has changed.
const GOING: &CStr = c".red-removing";

/// What a way through a tree is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    /// To see whether all of it goes.
    Look,
    /// To remove what is older.
    Remove,
    /// To remove what is called [`GOING`], as far as it was removed already.
    Finish,
}

/// Device and inode.
type Id = (u64, u64);

fn id(stat: &Stat) -> Id {
    (stat.st_dev, stat.st_ino)
}

/// A name and what it stood for when its directory was listed.
type Listed = (CString, Id);

/// A directory on the way down.
struct Level {
    /// Its name, and whether it is newer; none above the top.
    dir: Option<(Listed, bool)>,
    /// What is left to look at in it.
    names: Vec<Listed>,
    here: Here,
    /// How much stayed before.
    stayed: usize,
}

/// What became of an entry.
enum Entry {
    Gone,
    Stays,
    Below(Level),
}

/// What is still there of what was to be removed: one path, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Stayed {
    first: PathBuf,
    count: usize,
}

impl Stayed {
    fn add(&mut self, path: impl FnOnce() -> PathBuf) {
        if self.count == 0 {
            self.first = path();
        }
        self.count += 1;
    }

    /// Whether there is something.
    pub(super) fn is_some(&self) -> bool {
        self.count > 0
    }
}

impl fmt::Display for Stayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.display())?;
        if self.count > 1 { write!(f, " and {} more", self.count - 1) } else { Ok(()) }
    }
}

/// Removals of one switch.
#[derive(Default)]
pub(super) struct Removal {
    /// When inodes with other names lost one by this, which counts as a change of the file (inode(7)).
    lost: BTreeMap<Id, Moment>,
}

impl Removal {
    /// Removes a name and all below it that the transaction saw. What somebody made, changed or moved there meanwhile
    /// stays, with the directories that it is in; and so does what is mounted below, which the install view does not show.
    pub(super) fn remove(&mut self, into: Shown<'_>, name: &CStr, here: Here) -> Result<Stayed, StoreError> {
        let is_whole = statat(into.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_dir(&stat))
            && !self.walk(into, name, here, How::Look)?.is_some();
        if is_whole && renameat_with(into.0, name, into.0, GOING, RenameFlags::NOREPLACE).is_ok() {
            return self.finish(into, name, here);
        }
        self.walk(into, name, here, How::Remove)
    }

    /// Removes what this or a command that was killed gave its last name. What somebody wrote there after all gets one
    /// beside `name`.
    pub(super) fn finish(&mut self, into: Shown<'_>, name: &CStr, here: Here) -> Result<Stayed, StoreError> {
        let mut stayed = Stayed::default();
        if statat(into.0, GOING, AtFlags::SYMLINK_NOFOLLOW).is_ok()
            && self.walk(into, GOING, here, How::Finish)?.is_some()
        {
            let beside = free_name(into, name, "rpmsave")?;
            renameat_with(into.0, GOING, into.0, &*beside, RenameFlags::NOREPLACE)
                .at(join(into.1, &beside))?;
            stayed.add(|| join(into.1, &beside));
        }
        Ok(stayed)
    }

    /// Makes room where a directory takes the place of something else, or something else that of a directory. What is
    /// newer than the transaction stays beside it, under the name that rpm gives to such things; where, is returned.
    pub(super) fn make_room(
        &mut self,
        into: Shown<'_>,
        name: &CStr,
        here: Here,
    ) -> Result<Option<PathBuf>, StoreError> {
        let stayed = self.remove(into, name, here)?;
        let aside = free_name(into, name, "rpmorig")?;
        match renameat_with(into.0, name, into.0, &*aside, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Some(join(into.1, &aside))),
            Err(Errno::NOENT) => Ok(stayed.is_some().then_some(stayed.first)),
            Err(errno) => Err(errno).at(join(into.1, name)),
        }
    }

    /// Whether something changed after a moment, by somebody else.
    pub(super) fn is_newer(&self, stat: &Stat, moment: Moment) -> bool {
        is_newer(stat, moment) && self.lost.get(&id(stat)) != Some(&(stat.st_ctime, stat.st_ctime_nsec))
    }

    /// Takes note of what has become of a file that has lost a name.
    pub(super) fn note(&mut self, watched: Option<OwnedFd>) {
        if let Some(now) = watched.and_then(|file| rustix::fs::fstat(file).ok()) {
            self.lost.insert(id(&now), (now.st_ctime, now.st_ctime_nsec));
        }
    }

    fn walk(&mut self, above: Shown<'_>, name: &CStr, here: Here, how: How) -> Result<Stayed, StoreError> {
        let (mut stayed, mut walk) = (Stayed::default(), Walk::new(above.0, above.1)?);
        let names = listed(walk.dir(), vec![name.to_owned()]);
        let mut levels = vec![Level { dir: None, names, here, stayed: 0 }];
        while let Some(level) = levels.last_mut() {
            if let Some(inner) = level.names.pop() {
                let here = level.here;
                match self.entry(&mut walk, inner.clone(), here, how)? {
                    Entry::Gone => {}
                    Entry::Below(level) => levels.push(Level { stayed: stayed.count, ..level }),
                    Entry::Stays => stayed.add(|| walk.join(&inner.0)),
                }
            } else {
                let Some(Level { dir: Some((dir, newer)), stayed: before, .. }) = levels.pop() else { break };
                drop(walk.leave()?);
                let goes = how == How::Finish || !newer;
                let gone = goes && (how == How::Look || unlink(&walk, &dir, AtFlags::REMOVEDIR)?);
                // What is in it was counted.
                if !gone && stayed.count == before {
                    stayed.add(|| walk.join(&dir.0));
                }
            }
            if how == How::Look && stayed.is_some() {
                break;
            }
        }
        Ok(stayed)
    }

    /// What becomes of an entry; of a directory it is decided once all in it was looked at.
    fn entry(
        &mut self,
        walk: &mut Walk,
        listed_as: Listed,
        here: Here,
        how: How,
    ) -> Result<Entry, StoreError> {
        let Ok(stat) = statat(walk.dir(), &listed_as.0, AtFlags::SYMLINK_NOFOLLOW) else {
            return Ok(Entry::Gone);
        };
        // Another one took its place just now.
        if id(&stat) != listed_as.1 {
            return Ok(Entry::Stays);
        }
        let newer = match how {
            // Its other names may be gone since, by a command that was killed.
            How::Finish => is_newer(&stat, here.moment) && (stat.st_mtime, stat.st_mtime_nsec) >= here.moment,
            _ => self.is_newer(&stat, here.moment),
        };
        if !is_dir(&stat) {
            if newer || how == How::Look {
                return Ok(if newer { Entry::Stays } else { Entry::Gone });
            }
            let watched = watch(walk.dir(), &listed_as.0, &stat);
            let gone = unlink(walk, &listed_as, AtFlags::empty())?;
            self.note(watched);
            return Ok(if gone { Entry::Gone } else { Entry::Stays });
        }
        // What is called so at the top was renamed just now.
        if how != How::Finish && here.may_have_come(&stat) {
            return Ok(Entry::Stays);
        }
        let Some((dir, opened)) = open_here(walk, &listed_as.0, &stat, how)? else {
            return Ok(Entry::Stays);
        };
        let names = entries(&dir, walk.path())?.into_iter().map(|(name, _)| name).collect();
        let below = listed(&dir, names);
        walk.go_to(dir, &listed_as.0)?;
        let here = Here::of(&opened, here.moment);
        Ok(Entry::Below(Level { dir: Some((listed_as, newer)), names: below, here, stayed: 0 }))
    }
}

/// Keeps a file that is about to lose a name, and has others, for [`Removal::note`].
pub(super) fn watch(dir: &OwnedFd, name: &CStr, stat: &Stat) -> Option<OwnedFd> {
    if stat.st_nlink < 2 || is_dir(stat) {
        return None;
    }
    openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// What names stand for.
fn listed(dir: &OwnedFd, names: Vec<CString>) -> Vec<Listed> {
    let of = |name: CString| {
        let stat = statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((name, id(&stat)))
    };
    names.into_iter().filter_map(of).collect()
}

/// Removes what a name was listed as; whether it is gone.
fn unlink(walk: &Walk, (name, listed_as): &Listed, flags: AtFlags) -> Result<bool, StoreError> {
    match statat(walk.dir(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(true),
        Ok(stat) if id(&stat) != *listed_as => return Ok(false),
        _ => {}
    }
    match unlinkat(walk.dir(), name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(false),
        Err(errno) => walk.at(name, Err(errno)),
    }
}

/// Opens a directory that is no mount and that is what was looked at, and says how it was.
fn open_here(walk: &Walk, name: &CStr, stat: &Stat, how: How) -> Result<Option<(OwnedFd, Stat)>, StoreError> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let open = || openat2(walk.dir(), name, DIRECTORY, Mode::empty(), resolve);
    let mut closed = false;
    let opened = match open() {
        Err(Errno::ACCESS) if how != How::Look => {
            closed = true;
            let mode = Mode::from_raw_mode(0o700);
            walk.at(name, rustix::fs::chmodat(walk.dir(), name, mode, AtFlags::empty()))?;
            open()
        }
        opened => opened,
    };
    let dir = match opened {
        Ok(dir) => dir,
        Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::ACCESS) if how == How::Look => return Ok(None),
        Err(errno) => return walk.at(name, Err(errno)),
    };
    let opened = walk.at(name, rustix::fs::fstat(&dir))?;
    if id(&opened) != id(stat) {
        return Ok(None);
    }
    // That it was opened is no change of somebody else's.
    Ok(Some((dir, if closed { *stat } else { opened })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_the_place_of_a_name_stays() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        ["file", "other"].iter().for_each(|name| std::fs::write(at(name), name).unwrap());
        ["dir", "empty"].iter().for_each(|name| std::fs::create_dir(at(name)).unwrap());
        let walk = Walk::new(std::fs::File::open(top.path()).unwrap(), top.path()).unwrap();
        let known = listed(walk.dir(), vec![c"file".into(), c"dir".into(), c"none".into()]);
        assert_eq!(known.len(), 2);
        for (from, to) in [("other", "file"), ("empty", "dir")] {
            std::fs::rename(at(from), at(to)).unwrap();
        }
        assert!(!unlink(&walk, &known[0], AtFlags::empty()).unwrap());
        assert!(!unlink(&walk, &known[1], AtFlags::REMOVEDIR).unwrap());
        assert!(at("file").exists() && at("dir").exists());
        for (known, flags) in listed(walk.dir(), vec![c"file".into(), c"dir".into()])
            .iter()
            .zip([AtFlags::empty(), AtFlags::REMOVEDIR])
        {
            assert!(unlink(&walk, known, flags).unwrap() && unlink(&walk, known, flags).unwrap());
        }
    }
}
