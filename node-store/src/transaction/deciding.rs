//! What scriptlets did to files that decide for the node, or for others, is undone in the staging area,
//! before the node switches. They decide for nothing: only packages that an option allows do.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use red_runtime::node::guard::{Decides, PLACES};
use rustix::fs::{FileType, Gid, Mode, Stat, Uid, fchmod, fchown};

use crate::beneath::Dir;
use crate::family::Member;
use crate::generation::{At, DATABASE, StoreError, bring, close, is_whiteout, remove_one};
use crate::rpm::RpmError;
use crate::rpm::Rules;
use crate::rpm::database::{Contents, look_in, read_in};
use crate::solve::LoadError;

/// Bytes of a file that are compared.
const COMPARED: u64 = 64 << 20;

/// The staging area and what the node has now.
pub(super) struct Watch<'a> {
    pub(super) stage: &'a Dir,
    pub(super) current: Option<&'a Dir>,
    pub(super) rules: Rules<'a>,
    /// Files of packages that go away, absolute.
    pub(super) gone: BTreeSet<PathBuf>,
}

impl Watch<'_> {
    /// Takes out of the staging area what decides and no package may bring. Returns what a scriptlet
    /// had changed, absolute. To be called before the node's other files come in.
    pub(super) fn sweep(&self) -> Result<BTreeSet<PathBuf>, StoreError> {
        let mut undone = BTreeSet::new();
        self.sweep_below(self.stage, Path::new("/"), &mut undone)?;
        Ok(undone)
    }

    fn sweep_below(&self, dir: &Dir, shown: &Path, undone: &mut BTreeSet<PathBuf>) -> Result<(), StoreError> {
        for (name, stat) in dir.entries().at(dir.path())? {
            let path = shown.join(&name);
            let directory = is_dir(&stat);
            // The node's own database is looked at by itself.
            if path == Path::new("/").join(DATABASE) && directory {
                continue;
            }
            if self.rules.decides(&path, directory).is_none() {
                if directory {
                    self.sweep_below(&dir.dir(&name).at(dir.path())?, &path, undone)?;
                }
                continue;
            }
            if is_whiteout(&stat) && self.is_gone(&path)? {
                continue;
            }
            if !self.is_as_before(dir, &name, &path)? {
                undone.insert(path);
            }
            remove_name(dir, &name)?;
        }
        Ok(())
    }

    /// Whether all of it belonged to packages that go away.
    fn is_gone(&self, path: &Path) -> Result<bool, StoreError> {
        if self.gone.contains(path) {
            return Ok(true);
        }
        let Some(current) = self.current else { return Ok(false) };
        match current.dir(relative(path)) {
            Ok(dir) => self.all_gone(&dir, path),
            Err(_) => Ok(false),
        }
    }

    /// Whether the node has something there now.
    fn was_there(&self, path: &Path) -> Result<bool, StoreError> {
        let above = path.parent().zip(self.current).and_then(|(above, now)| now.dir(relative(above)).ok());
        match above.zip(path.file_name()) {
            Some((above, name)) => Ok(above.stat(name).at(path)?.is_some()),
            None => Ok(false),
        }
    }

    fn all_gone(&self, dir: &Dir, shown: &Path) -> Result<bool, StoreError> {
        for (name, stat) in dir.entries().at(dir.path())? {
            let path = shown.join(&name);
            let gone = if is_dir(&stat) {
                self.all_gone(&dir.dir(&name).at(dir.path())?, &path)?
            } else {
                self.gone.contains(&path)
            };
            if !gone {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the node has the very same now.
    fn is_as_before(&self, dir: &Dir, name: &OsStr, path: &Path) -> Result<bool, StoreError> {
        let Some(current) = self.current else { return Ok(false) };
        let Some(above) = path.parent().and_then(|above| current.dir(relative(above)).ok()) else {
            return Ok(false);
        };
        same(dir, &above, name).at(dir.path())
    }

    /// Brings back what is missing of what decided before. Called when the node's other files are in.
    pub(super) fn restore(&self, undone: &mut BTreeSet<PathBuf>) -> Result<(), StoreError> {
        let listed = PLACES.iter().filter(|place| place.decides != Decides::Packages);
        let listed = listed.map(|place| -> &str { place.of_packages() });
        for place in listed.chain(self.rules.more.iter().map(String::as_str)) {
            if let Some(current) = self.current {
                self.restore_way((current, self.stage), Path::new("/"), place, undone)?;
            }
            self.close_way(Path::new(place), undone)?;
        }
        Ok(())
    }

    /// Closes new directories on the way to a place, and the place: whoever may write to one of them brings
    /// what decides later.
    fn close_way(&self, place: &Path, undone: &mut BTreeSet<PathBuf>) -> Result<(), StoreError> {
        for below in place.ancestors().filter(|below| !below.as_os_str().is_empty()) {
            let path = Path::new("/").join(below);
            let Ok(dir) = self.stage.dir(below) else { continue };
            let stat = rustix::fs::fstat(&dir).at(&path)?;
            let foreign = stat.st_uid != rustix::process::geteuid().as_raw();
            let lists = rustix::fs::fgetxattr(&dir, "system.posix_acl_access", &mut [0_u8; 4096][..]).is_ok();
            let kept = self.rules.allow(&path.to_string_lossy()) || self.was_there(&path)?;
            if !kept && (foreign || lists || stat.st_mode & 0o022 != 0) {
                close(dir.fd(), &path, 0o755)?;
                undone.insert(path);
            }
        }
        Ok(())
    }

    /// One step towards a place, from a directory as it was to the same as it is staged; what is below a
    /// place comes along.
    fn restore_way(
        &self,
        (current, stage): (&Dir, &Dir),
        shown: &Path,
        way: &str,
        undone: &mut BTreeSet<PathBuf>,
    ) -> Result<(), StoreError> {
        let (name, rest) = way.split_once('/').unwrap_or((way, ""));
        let (name, path) = (OsStr::new(name), shown.join(name));
        let (old, new) = (current.stat(name).at(&path)?, stage.stat(name).at(&path)?);
        let Some(old) = old.filter(|_| !self.rules.allow(&path.to_string_lossy())) else { return Ok(()) };
        match new {
            Some(new) if is_dir(&old) && is_dir(&new) => {
                let (old_dir, new_dir) = (current.dir(name).at(&path)?, stage.dir(name).at(&path)?);
                if reset(&new_dir, &old, &new).at(&path)? {
                    undone.insert(path.clone());
                }
                if !rest.is_empty() {
                    return self.restore_way((&old_dir, &new_dir), &path, rest, undone);
                }
                for (name, _) in old_dir.entries().at(&path)? {
                    if let Some(name) = name.to_str().filter(|_| self.decides_below(&path)) {
                        self.restore_way((&old_dir, &new_dir), &path, name, undone)?;
                    }
                }
                Ok(())
            }
            // Files were compared by the sweep.
            Some(new) if kind(&new) == kind(&old) => Ok(()),
            None if !self.was_there(&path.join(rest))? || self.is_gone(&path.join(rest))? => Ok(()),
            _ => {
                undone.insert(path);
                remove_name(stage, name)?;
                let name = c_name(name, stage.path())?;
                bring((current.fd(), current.path()), (stage.fd(), stage.path()), &name)
            }
        }
    }

    /// Whether all that is in a directory decides.
    fn decides_below(&self, path: &Path) -> bool {
        let listed = PLACES.iter().filter(|place| place.tree).map(|place| -> &str { place.of_packages() });
        let mut places = listed.chain(self.rules.more.iter().map(String::as_str));
        places.any(|place| relative(path).starts_with(place))
    }
}

/// Looks at the copy of a node's database that rpm will write to: the one in the node may have become another since it
/// was read.
pub(super) fn is_believed(stage: &Dir, node: &Member) -> Result<(), LoadError> {
    let looked = stage.dir(DATABASE).map_err(|error| error.to_string()).and_then(|dir| look_in(&dir));
    let refused = |why| RpmError::Database { owner: node.words(), path: node.database.clone(), why };
    looked.map_err(refused).map_err(LoadError::from)
}

/// What rpm's database in a staging area holds. Refused is what rpm does not make: the next command would follow, or
/// believe, what a scriptlet put in its place.
pub(super) fn database(stage: &Dir) -> Result<Contents, StoreError> {
    let found = stage.dir(DATABASE).and_then(|dir| {
        let entries = dir.entries()?;
        let other = entries.iter().find(|(_, stat)| kind(stat) != FileType::RegularFile || stat.st_nlink > 1);
        Ok((other.map(|(name, _)| name.to_string_lossy().into_owned()), dir))
    });
    let why = match found {
        Ok((None, dir)) => match read_in(&dir) {
            Ok(contents) => return Ok(contents),
            Err(why) => why,
        },
        Ok((Some(name), _)) => format!("`{name}` in it is no file of its own"),
        Err(error) => error.to_string(),
    };
    let why = format!("a scriptlet changed rpm's database ({why}); nothing has changed");
    Err(StoreError::InTheWay { path: Path::new("/").join(DATABASE), why })
}

fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/") {
        Ok(below) if !below.as_os_str().is_empty() => below,
        _ => Path::new("."),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_dir(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}

fn c_name(name: &OsStr, shown: &Path) -> Result<CString, StoreError> {
    CString::new(name.as_bytes()).map_err(|_nul| rustix::io::Errno::INVAL).at(shown)
}

fn remove_name(dir: &Dir, name: &OsStr) -> Result<(), StoreError> {
    remove_one(rustix::fd::AsFd::as_fd(dir), dir.path(), &c_name(name, dir.path())?)
}

/// Gives a directory back its owner and permissions.
fn reset(dir: &Dir, old: &Stat, new: &Stat) -> rustix::io::Result<bool> {
    let of = |stat: &Stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
    let opened = new.st_mode & 0o022 & !old.st_mode != 0 || new.st_uid != old.st_uid;
    if of(old) == of(new) || !opened {
        return Ok(false);
    }
    fchown(dir, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
    fchmod(dir, Mode::from_raw_mode(old.st_mode & 0o7777))?;
    Ok(true)
}

/// Whether two directories have the same at a name: kind, owner, permissions, contents.
fn same(one: &Dir, other: &Dir, name: &OsStr) -> std::io::Result<bool> {
    let (Some(left), Some(right)) = (one.stat(name)?, other.stat(name)?) else { return Ok(false) };
    let of = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
    if of(&left) != of(&right) {
        return Ok(false);
    }
    match kind(&left) {
        FileType::Symlink => Ok(one.link(name)? == other.link(name)?),
        FileType::RegularFile if left.st_size == right.st_size => {
            let read = |dir: &Dir| -> std::io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                dir.file(name)?.take(COMPARED).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            Ok(read(one)? == read(other)?)
        }
        _ => Ok(false),
    }
}

/// The directory of what is staged, and of the current generation.
pub(super) fn open(node: &OwnedFd, shown: &Path, below: &str) -> Result<Dir, StoreError> {
    Dir::of(node, shown).and_then(|node| node.dir(below)).at(shown.join(below))
}
