//! From one generation to another.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Timespec, openat, renameat, symlinkat};
use rustix::io::Errno;

use crate::beneath::Dir;

use super::adopt::how;
use super::marks::{clean_later, strip, strip_name};
use super::spare::reuse;
use super::tree::{
    How, close, make_directory, missing_attributes, remove, same_attributes, take_over, take_over_with,
};
use super::{At, DATABASE, DIRECTORY, NEVER, RED, Store, StoreError, VARIABLE, names};

/// A generation in the making.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its number.
    pub(crate) number: u64,
    /// Where it grows. Overlayfs writes here.
    pub(crate) upper: PathBuf,
    /// What overlayfs keeps its own state in.
    pub(crate) work: PathBuf,
    /// When it was made, by the clock of the node's file system.
    pub(crate) begun: Timespec,
}

/// What of a stage did not come into its generation. Paths are relative to the node.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Names of core OS or ancestors that a scriptlet tried to remove, and that are still there.
    pub(crate) kept: Vec<PathBuf>,
    /// Pipes and sockets that a scriptlet made outside of `var`.
    pub(crate) dropped: Vec<PathBuf>,
}

/// rpm's database is its owner's to write to, whatever scriptlets made of that.
fn close_database(upper: &OwnedFd, stage: &Stage) -> Result<(), StoreError> {
    let shown = stage.upper.join(DATABASE);
    let dir = openat(upper, DATABASE, DIRECTORY, Mode::empty()).at(&shown)?;
    close(&dir, &shown, 0o755)?;
    for (name, _) in super::entries(&dir, &shown)? {
        let path = super::tree::join(&shown, &name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        close(&openat(&dir, &name, flags, Mode::empty()).at(&path)?, &path, 0o644)?;
    }
    Ok(())
}

/// Refuses names right below the root that are no text: the node could not lead to them.
fn only_text(upper: &OwnedFd, shown: &Path) -> Result<(), StoreError> {
    match super::entries(upper, shown)?.into_iter().find(|(name, _)| name.to_str().is_err()) {
        None => Ok(()),
        Some((name, _)) => {
            let why = "a scriptlet made it, and its name is no text (UTF-8), so that the node cannot have it; nothing has \
                       changed";
            Err(StoreError::InTheWay { path: super::tree::join(Path::new("/"), &name), why: why.into() })
        }
    }
}

/// Takes overlayfs's attributes off everything but what is for `var`, which has use for them. Returns what can be
/// cleaned only with the current generation beside it.
fn strip_generation(upper: &OwnedFd, shown: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut later = Vec::new();
    strip(upper, shown)?;
    for (name, kind) in super::entries(upper, shown)? {
        if name.to_bytes() != VARIABLE.as_bytes() {
            strip_name(upper, shown, (name, kind), &mut later)?;
        }
    }
    Ok(later)
}

impl Store {
    /// An empty stage, with a copy of the current database for rpm to change.
    pub(crate) fn stage(&self, number: u64) -> Result<Stage, StoreError> {
        let upper = format!(".red/stage/{number}");
        let work = format!(".red/stage/{number}.work");
        // What scriptlets make is nobody's to run before it is looked at.
        let closed = make_directory(&self.dir, &self.path, ".red/stage")?;
        rustix::fs::fchmod(&closed, Mode::from_raw_mode(0o700)).at(self.red("stage"))?;
        drop(make_directory(&self.dir, &self.path, &work)?);
        let fresh = make_directory(&self.dir, &self.path, &upper)?;
        let begun = super::clock::moment_of(&fresh, &self.path.join(&upper))?;
        let into = make_directory(&self.dir, &self.path, format!("{upper}/{DATABASE}"))?;
        // Not through the node's own `var/lib/rpm`: what runs in the node may have put a link there.
        if let Some(current) = self.current()? {
            let database = format!(".red/gen/{current}/{DATABASE}");
            let path = self.path.join(&database);
            match Dir::of(&self.dir, &self.path).and_then(|node| node.dir(&database)) {
                Ok(from) => {
                    take_over((from.fd(), &path), (&into, &self.path.join(&upper)), How::Copy)?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::InTheWay { path, why: error.to_string() }),
            }
        }
        Ok(Stage { number, upper: self.path.join(upper), work: self.path.join(work), begun })
    }

    /// What rpm left in a stage becomes a generation beside the current one: files that did not change
    /// are linked into it, overlayfs's marks go, and what is for the node's `var` is set aside.
    /// `owned` are names right below the root that packages own.
    pub(crate) fn complete(&self, stage: &Stage, owned: &[String]) -> Result<Left, StoreError> {
        let upper = openat(&self.dir, format!(".red/stage/{}", stage.number), DIRECTORY, Mode::empty())
            .at(&stage.upper)?;
        // A scriptlet may have made anything of these names, and what is written later would follow a link.
        for name in [super::ABOUT, VARIABLE] {
            remove(&upper, &stage.upper, name)?;
        }
        only_text(&upper, &stage.upper)?;
        let hidden = self.separate_variable(&upper, stage)?;
        // Mount points of the install view, what volatile places got, and links such as /bin that only the
        // view needed.
        for name in names(&upper, &stage.upper, ".")? {
            let link = rustix::fs::readlinkat(&upper, &*name, Vec::new()).is_ok() && !owned.contains(&name);
            if link || NEVER.contains(&name.as_str()) && name != "var" {
                remove(&upper, &stage.upper, &name)?;
            }
        }
        // Before files of the current generation are there, which have been clean for long.
        let later = strip_generation(&upper, &stage.upper)?;
        if let Some(current) = self.current()? {
            self.take_over_current(current, &upper, stage)?;
        }
        self.no_stranger(&upper, stage)?;
        let mut left = Left::default();
        clean_later(&upper, &stage.upper, &later, &mut left)?;
        left.kept.extend(hidden);
        self.remove_empty(&upper, stage)?;
        close(&upper, &stage.upper, 0o755)?;
        close_database(&upper, stage)?;
        remove(&self.dir, &self.path, &format!(".red/stage/{}.work", stage.number))?;
        // The next sweep tries again.
        drop(self.forget_used());
        Ok(left)
    }

    /// Writes down what a complete stage is of. Nothing has the name by now.
    pub(crate) fn describe(&self, stage: &Stage, text: &[u8]) -> Result<(), StoreError> {
        let path = stage.upper.join(super::ABOUT);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = format!(".red/stage/{}/{}", stage.number, super::ABOUT);
        let file = openat(&self.dir, below, flags, Mode::from_raw_mode(0o644)).at(&path)?;
        // Other users' nodes below rely on it, whatever the umask.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).at(&path)?;
        std::io::Write::write_all(&mut std::fs::File::from(file), text).at(path)
    }

    /// Refuses a top directory whose name something else in the node has.
    fn no_stranger(&self, upper: &OwnedFd, stage: &Stage) -> Result<(), StoreError> {
        for top in names(upper, &stage.upper, ".")? {
            if !NEVER.contains(&top.as_str()) && super::is_directory(&self.dir, &top) {
                let child = self.path.join(&top).join(".rednode.yaml").exists();
                let what = if child { "a child node" } else { "a directory that no package owns" };
                let why = format!("{what} is there, and a package wants the same name; nothing has changed");
                return Err(StoreError::InTheWay { path: self.path.join(top), why });
            }
        }
        Ok(())
    }

    /// Unchanged files of the current generation.
    fn take_over_current(&self, current: u64, upper: &OwnedFd, stage: &Stage) -> Result<(), StoreError> {
        let from_path = self.generation(current);
        let from =
            openat(&self.dir, format!(".red/gen/{current}"), DIRECTORY, Mode::empty()).at(&from_path)?;
        let spare = self.take_spare();
        for top in names(&from, &from_path, ".")? {
            if NEVER.contains(&top.as_str()) || top == super::ABOUT || top == VARIABLE {
                continue;
            }
            let (old_path, new_path) = (from_path.join(&top), stage.upper.join(&top));
            let Ok(old) = openat(&from, &*top, DIRECTORY, Mode::empty()) else {
                // A link such as /bin.
                if let Ok(link) = rustix::fs::readlinkat(&from, &*top, Vec::new())
                    && rustix::fs::statat(upper, &*top, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err()
                {
                    symlinkat(&*link, upper, &*top).at(new_path)?;
                }
                continue;
            };
            let spare = spare.as_ref().filter(|_| how(&top) == How::Link);
            let made = !super::is_directory(upper, &top);
            if let Some(spare) = spare.filter(|_| made) {
                let name = CString::new(&*top).map_err(|_nul| Errno::INVAL).at(&new_path)?;
                if reuse(spare, (&from, &from_path), (upper, &stage.upper), &name)? {
                    continue;
                }
            }
            let new = make_directory(upper, &stage.upper, &top)?;
            let spare = spare.and_then(|spare| openat(spare, &*top, DIRECTORY, Mode::empty()).ok());
            take_over_with((&old, &old_path), (&new, &new_path), how(&top), spare)?;
            if made {
                same_attributes(&old, &new, &new_path)?;
            } else {
                missing_attributes(&old, &new, &new_path)?;
            }
        }
        Ok(())
    }

    /// Top directories that only the install view needed.
    fn remove_empty(&self, upper: &OwnedFd, stage: &Stage) -> Result<(), StoreError> {
        for top in names(upper, &stage.upper, ".")? {
            if top == "etc" || NEVER.contains(&top.as_str()) {
                continue;
            }
            match rustix::fs::unlinkat(upper, &*top, rustix::fs::AtFlags::REMOVEDIR) {
                Ok(()) | Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOTDIR) => {}
                Err(errno) => return Err(errno).at(stage.upper.join(top)),
            }
        }
        Ok(())
    }

    /// A complete and durable stage becomes a generation, not yet the current one. Its new name is durable
    /// before anything leads to it: fsync(2) of one directory says nothing about another on btrfs, where a
    /// power cut would leave `current` and not what it names.
    pub(crate) fn publish(&self, stage: &Stage) -> Result<(), StoreError> {
        let (from, to) = (format!(".red/stage/{}", stage.number), format!(".red/gen/{}", stage.number));
        renameat(&self.dir, from, &self.dir, to).at(self.generation(stage.number))?;
        self.sync_all()
    }

    /// Refuses a switch that would leave the node without a part of the generation: where a top directory
    /// has files of nobody in its place. Nothing has changed then.
    pub(crate) fn may_switch(&self, number: u64) -> Result<(), StoreError> {
        for top in self.tops_of(number)? {
            if super::is_directory(&self.dir, &top) && super::adopt::has_files(&self.dir, &self.path, &top)? {
                let why = format!(
                    "files of no generation are there, and generation {number} has that directory: move them away; \
                     nothing has changed"
                );
                return Err(StoreError::InTheWay { path: self.path.join(top), why });
            }
        }
        Ok(())
    }

    /// Top directories of a generation.
    fn tops_of(&self, number: u64) -> Result<Vec<String>, StoreError> {
        let path = self.generation(number);
        let Ok(dir) = openat(&self.dir, format!(".red/gen/{number}"), DIRECTORY, Mode::empty()) else {
            return Err(StoreError::NoGeneration { node: self.path.clone(), number });
        };
        let mut tops = names(&dir, &path, ".")?;
        tops.retain(|top| !NEVER.contains(&top.as_str()) && top != super::ABOUT && top != VARIABLE);
        Ok(tops)
    }

    /// Makes a generation the current one. Either the old or the new one holds at every moment.
    /// Returns what a person should know of.
    pub(crate) fn switch(&self, number: u64) -> Result<Vec<String>, StoreError> {
        self.may_switch(number)?;
        self.lead_to(number)?;
        self.point(number)?;
        // It holds now, and what is left can be done again.
        self.arrive(number).or_else(|error| match self.arrive(number) {
            Ok(told) => Ok([vec![format!("{error}: tried again")], told].concat()),
            Err(_) => Err(error.decided(&self.path)),
        })
    }

    /// Makes and makes durable what leads to a generation and shows nothing before it is current.
    pub(super) fn lead_to(&self, number: u64) -> Result<(), StoreError> {
        // Launches show it, also where no package was ever installed.
        drop(make_directory(&self.dir, &self.path, format!(".red/gen/{number}/{DATABASE}"))?);
        // Links of directories that are new lead nowhere until the switch.
        for top in self.tops_of(number)? {
            self.link_or_exchange(&top)?;
        }
        // All that `current` will lead to, and what leads through it.
        for below in [".red/gen", "."] {
            let dir = openat(&self.dir, below, DIRECTORY, Mode::empty()).at(self.path.join(below))?;
            rustix::fs::fsync(&dir).at(self.path.join(below))?;
        }
        Ok(())
    }

    /// What follows once a generation is the current one. Done again, it goes on where it stopped.
    pub(super) fn arrive(&self, number: u64) -> Result<Vec<String>, StoreError> {
        self.sync_names()?;
        self.unlink_dangling()?;
        self.apply_variable(number)
    }

    /// Makes `current` name a generation, by one rename.
    pub(super) fn point(&self, number: u64) -> Result<(), StoreError> {
        let red = openat(&self.dir, RED, DIRECTORY, Mode::empty()).at(self.red(""))?;
        remove(&red, &self.red(""), "current.new")?;
        symlinkat(format!("gen/{number}"), &red, "current.new").at(self.red("current.new"))?;
        renameat(&red, "current.new", &red, "current").at(self.red("current"))
    }
}
