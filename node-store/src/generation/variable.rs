//! What packages and scriptlets put into `/var`, and what they removed there. The node's `var` is data
//! and outside generations: changes come to it once their generation is current, in steps that can be done
//! again.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, Timestamps, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::alike::{same, same_access};
use super::clock::{Clocks, NEVER_SEEN, begun};
use super::marks::{OPAQUE, clean, is_opaque, is_whiteout, strip, take_opaque};
use super::older::{Here, free_name, is_dir};
use super::removal::{Removal, Stayed, watch};
use super::transfer::copy_entry;
use super::tree::{Shown, join, remove, same_attributes};
use super::{At, DIRECTORY, Stage, Store, StoreError, VARIABLE, entries};

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
    /// where it stopped. What cannot be moved is kept aside, and blocks nothing. Returns what a person should
    /// know of.
    pub(super) fn apply_variable(&self, number: u64) -> Result<Vec<String>, StoreError> {
        let path = self.generation(number);
        let generation = match openat(&self.dir, format!(".red/gen/{number}"), DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened.at(&path)?,
        };
        let shown = path.join(VARIABLE);
        let from = match openat(&generation, VARIABLE, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened.at(&shown)?,
        };
        let clocks = Clocks::new(&from, begun(&generation, &from)).at(&shown)?;
        let mut apply = Apply::new(self.path.join(super::DATABASE), clocks);
        let into = self.path.join("var");
        if apply.clocks.own() == NEVER_SEEN {
            apply.told.push(format!(
                "{}: the clock was set back since the transaction began: nothing is removed from there, and files \
                 that differ stay",
                into.display()
            ));
        }
        let moved = super::make_directory(&self.dir, &self.path, "var")
            .and_then(|dir| apply.move_into((&from, &shown), (&dir, &into)));
        if let Err(error) = moved {
            apply.fail(&error);
        }
        if let Err(error) = self.link_database() {
            apply.told.push(format!("{error}: rpm does not find the node's database there"));
        }
        if apply.changed {
            // They are there before the generation forgets them.
            self.sync_all()?;
        }
        if apply.kept {
            let place = self.keep_aside(&generation, (&from, &shown), number)?;
            apply.told.push(format!("what could not be moved is kept in {}", place.display()));
            return Ok(apply.told());
        }
        drop(from);
        remove(&generation, &path, VARIABLE)?;
        // Launches after a power cut would wait for what is there.
        rustix::fs::fsync(&generation).at(&path)?;
        Ok(apply.told())
    }

    /// Puts what could not be moved where no later command tries again.
    fn keep_aside(&self, generation: &OwnedFd, from: Shown<'_>, number: u64) -> Result<PathBuf, StoreError> {
        // Marks that are left say nothing any more.
        drop(clean(from.0, from.1));
        let kept = super::make_directory(&self.dir, &self.path, KEPT)?;
        // Directories that kept others out may not be there.
        rustix::fs::fchmod(&kept, Mode::from_raw_mode(0o700)).at(self.path.join(KEPT))?;
        for attempt in 0_u32.. {
            let name = if attempt == 0 { number.to_string() } else { format!("{number}.{attempt}") };
            match renameat(generation, VARIABLE, &kept, &*name) {
                Ok(()) => return Ok(self.path.join(KEPT).join(name)),
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno).at(self.path.join(KEPT).join(name)),
            }
        }
        Ok(self.path.join(KEPT))
    }
}

/// Where things for `var` are kept that could not be moved there, by generation.
pub(super) const KEPT: &str = ".red/kept";
/// Lines about one switch.
const TOLD: usize = 20;

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

/// Changes of a generation on their way to `var`.
struct Apply {
    clocks: Clocks,
    removal: Removal,
    /// The node's link to its database, which no scriptlet removes.
    database: PathBuf,
    told: Vec<String>,
    changed: bool,
    /// Whether something could not be moved.
    kept: bool,
}

impl Apply {
    fn new(database: PathBuf, clocks: Clocks) -> Self {
        Self { clocks, removal: Removal::default(), database, told: Vec::new(), changed: false, kept: false }
    }

    fn fail(&mut self, error: &StoreError) {
        self.told.push(format!("{error}: this part of the new generation is not there"));
        self.kept = true;
    }

    /// What to say, not without end.
    fn told(mut self) -> Vec<String> {
        let more = self.told.len().saturating_sub(TOLD);
        if more > 0 {
            let last = self.told.split_off(self.told.len() - 1);
            self.told.truncate(TOLD - 1);
            self.told.push(format!("… and {more} more"));
            self.told.extend(last);
        }
        // Scriptlets choose names.
        self.told.iter().map(|line| red_runtime::node::render::visible(line).into_owned()).collect()
    }

    /// How a directory of the node's is before anything is done in it.
    fn look_at(&mut self, into: Shown<'_>) -> Result<Here, StoreError> {
        // To ask for the time there changes the times of the directory.
        let stat = rustix::fs::fstat(into.0).at(into.1)?;
        let (moment, why) = self.clocks.moment(into)?;
        if let Some(why) = why {
            self.told.push(format!("{why}: nothing is removed from there, and files that differ stay"));
        }
        Ok(Here::of(&stat, moment))
    }

    fn move_into(&mut self, from: Shown<'_>, into: Shown<'_>) -> Result<(), StoreError> {
        let here = self.look_at(into)?;
        // A command that was killed may have left it.
        let stayed = self.removal.finish(into, c"removed", here);
        self.tell_of(stayed, here);
        let mark = statat(from.0, OPAQUE, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_whiteout(&stat));
        if mark || is_opaque(from.0, from.1)? {
            // The directory was removed and made anew: nothing of the old one is in it.
            for (name, _) in entries(into.0, into.1)? {
                if statat(from.0, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                    self.remove(into, &name, here);
                }
            }
            // Once is enough: what is new is there, too, where a command was killed and is done again.
            if self.clocks.is_another(into)? {
                rustix::fs::syncfs(into.0).at(into.1)?;
            }
            // A mark that stays does no harm but to what is told then.
            drop(take_opaque(from.0, from.1));
        }
        // Names are bytes: a scriptlet may have made one that is no text.
        for (name, _) in entries(from.0, from.1)? {
            if join(into.1, &name) != self.database
                && let Err(error) = self.move_one(from, (into, here), &name)
            {
                self.fail(&error);
            }
        }
        Ok(())
    }

    fn remove(&mut self, into: Shown<'_>, name: &CStr, here: Here) {
        if join(into.1, name) == self.database {
            return;
        }
        self.changed = true;
        let stayed = self.removal.remove(into, name, here);
        self.tell_of(stayed, here);
    }

    fn tell_of(&mut self, stayed: Result<Stayed, StoreError>, here: Here) {
        match stayed {
            Err(error) => {
                self.told.push(format!("{error}: it is not part of the new generation, and is still there"));
            }
            // That nothing is removed is told once.
            Ok(stayed) if stayed.is_some() && here.moment != NEVER_SEEN => self.told.push(format!(
                "{stayed}: not part of the new generation, but changed meanwhile (or mounted), and so still there"
            )),
            Ok(_) => {}
        }
    }

    fn move_one(
        &mut self,
        from: Shown<'_>,
        (into, here): (Shown<'_>, Here),
        name: &CStr,
    ) -> Result<(), StoreError> {
        let (old, new) = (join(from.1, name), join(into.1, name));
        let stat = statat(from.0, name, AtFlags::SYMLINK_NOFOLLOW).at(&old)?;
        if is_whiteout(&stat) {
            // Something was removed.
            if *name != *OPAQUE {
                self.remove(into, name, here);
            }
            return Ok(());
        }
        let there = statat(into.0, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        if let Some(there) = there.filter(|there| is_dir(&stat) && is_dir(there)) {
            let below_from = openat(from.0, name, DIRECTORY, Mode::empty()).at(&old)?;
            let below_into = openat(into.0, name, DIRECTORY, Mode::empty()).at(&new)?;
            self.move_into((&below_from, &old), (&below_into, &new))?;
            match same_access(&stat, &there, (&below_into, &new)) {
                Ok(changed) => self.changed |= changed,
                Err(error) => self.told.push(format!("{error}: its owner and its mode stay what they were")),
            }
            return Ok(());
        }
        if is_dir(&stat) {
            let fd = openat(from.0, name, DIRECTORY, Mode::empty()).at(&old)?;
            clean(&fd, &old)?;
        } else if let Ok(fd) =
            openat(from.0, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
        {
            strip(&fd, &old)?;
        }
        self.changed = true;
        let target = self.free(from, (into, here), name, (&stat, there.as_ref()))?;
        let watched = there.and_then(|there| watch(into.0, &target, &there));
        let put = self.put((from, name, &stat), (into, &target));
        self.removal.note(watched);
        put
    }

    /// The name that something gets: its own, which is made free for it, or another where somebody wrote to what has that.
    fn free(
        &mut self,
        from: Shown<'_>,
        (into, here): (Shown<'_>, Here),
        name: &CStr,
        (stat, there): (&Stat, Option<&Stat>),
    ) -> Result<CString, StoreError> {
        let Some(there) = there else { return Ok(name.to_owned()) };
        let new = join(into.1, name);
        if is_dir(stat) != is_dir(there) {
            if let Some(aside) = self.removal.make_room(into, name, here)? {
                self.told.push(format!("{} changed meanwhile and is {} now", new.display(), aside.display()));
            }
        } else if self.removal.is_newer(there, here.moment) && !same(from.0, into.0, name, (stat, there)) {
            // Whoever runs in the node wrote to it while the transaction had its copy.
            let target = free_name(into, name, "rpmnew")?;
            self.told.push(format!(
                "{} changed meanwhile and stays; what the transaction made of it is {}",
                new.display(),
                join(into.1, &target).display()
            ));
            return Ok(target);
        }
        Ok(name.to_owned())
    }

    /// Moves something to a name that is free, or that it takes the place of.
    fn put(
        &mut self,
        (from, name, stat): (Shown<'_>, &CStr, &Stat),
        (into, target): (Shown<'_>, &CStr),
    ) -> Result<(), StoreError> {
        let (old, new) = (join(from.1, name), join(into.1, target));
        match renameat(from.0, name, into.0, target) {
            // A part of `var` on a file system of its own.
            Err(Errno::XDEV) if is_dir(stat) => {
                rustix::fs::mkdirat(into.0, target, Mode::from_raw_mode(0o700)).at(&new)?;
                let below_from = openat(from.0, name, DIRECTORY, Mode::empty()).at(&old)?;
                let below_into = openat(into.0, target, DIRECTORY, Mode::empty()).at(&new)?;
                self.move_into((&below_from, &old), (&below_into, &new))?;
                same_attributes(&below_from, &below_into, &new)
            }
            Err(Errno::XDEV) => across((from, name, stat), (into, target)),
            moved => moved.at(new),
        }
    }
}

/// Where copies grow, beside what they take the place of.
pub(super) const ASIDE: &str = ".red-moving";

/// Moves what is no directory to another file system. A half of it is never there.
fn across(
    (from, name, stat): (Shown<'_>, &CStr, &Stat),
    (into, target): (Shown<'_>, &CStr),
) -> Result<(), StoreError> {
    remove(into.0, into.1, ASIDE)?;
    let path = into.1.join(ASIDE);
    rustix::fs::mkdirat(into.0, ASIDE, Mode::from_raw_mode(0o700)).at(&path)?;
    let copied = openat(into.0, ASIDE, DIRECTORY, Mode::empty()).at(&path).and_then(|aside| {
        copy_entry(from, (&aside, &path), name, stat)?;
        if let Ok(file) =
            openat(&aside, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())
        {
            rustix::fs::fsync(&file).at(&path)?;
        }
        match renameat(&aside, name, into.0, target) {
            // Sockets are of whoever runs.
            Err(Errno::NOENT) => Ok(()),
            moved => moved.at(join(into.1, target)),
        }
    });
    remove(into.0, into.1, ASIDE)?;
    copied?;
    rustix::fs::fsync(into.0).at(into.1)?;
    unlinkat(from.0, name, AtFlags::empty()).at(join(from.1, name))
}

#[cfg(test)]
#[path = "variable_tests.rs"]
mod tests;
