//! Directories of a generation that is gone, for the next one. A generation is the one before it but for what changed, and
//! most of what making and removing one costs are the names of files that did not. So the last generation that went stays
//! as the spare: its files are one with those of the current generation, its directories are brought up to date and become
//! the next generation's.
//!
//! Nothing is believed of it: what has another inode number than in the current generation is replaced.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, Stat, openat};
use rustix::io::Errno;

use super::marks::OVERLAY;
use super::tree::{How, Shown, attributes, copy_extended, copy_one, extended, stat_of};
use super::{At, DIRECTORY, Store, StoreError, Walk, remove, remove_one};

/// The spare, below a node.
const SPARE: &str = ".red/spare";
/// Where it is while it is used, and what is left of it then.
const USED: &str = ".red/spare.used";

/// statfs(2): inode numbers there may be those of several file systems.
const OVERLAYFS: rustix::fs::FsWord = 0x794c_7630;

/// Whether one generation becomes the spare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Room {
    /// It does, for the next transaction.
    Reuse,
    /// Somebody wants the room that it takes.
    Free,
}

impl Store {
    /// Removes a generation, or has it become the spare.
    pub(crate) fn retire(&self, number: u64, room: Room) -> Result<(), StoreError> {
        let current = match self.current()? {
            Some(current) if room == Room::Reuse && self.may_have_spare()? => current,
            _ => return self.discard(number),
        };
        let aside = ".red/trash";
        remove(&self.dir, &self.path, aside)?;
        rustix::fs::renameat(&self.dir, format!(".red/gen/{number}"), &self.dir, aside)
            .at(self.generation(number))?;
        // A sweep removes what a power cut leaves of it.
        if self.bring_up_to_date(aside, current).is_ok() {
            rustix::fs::renameat(&self.dir, aside, &self.dir, SPARE).at(self.path.join(SPARE))?;
        }
        self.discard(number)
    }

    /// Removes the spare.
    pub(crate) fn free_spare(&self) -> Result<(), StoreError> {
        self.forget_used()?;
        remove(&self.dir, &self.path, SPARE)
    }

    /// Whether one more generation is wanted as the spare. Of an ordinary user's directories some may not be moved.
    fn may_have_spare(&self) -> Result<bool, StoreError> {
        let there = super::is_directory(&self.dir, SPARE);
        let kind = rustix::fs::fstatfs(&self.dir).at(&self.path)?.f_type;
        Ok(!there && rustix::process::geteuid().is_root() && kind != OVERLAYFS)
    }

    /// Has what was a generation keep no file that the current one does not have.
    fn bring_up_to_date(&self, aside: &str, current: u64) -> Result<(), StoreError> {
        let (path, from_path) = (self.path.join(aside), self.generation(current));
        let into = openat(&self.dir, aside, DIRECTORY, Mode::empty()).at(&path)?;
        rustix::fs::fchmod(&into, Mode::from_raw_mode(0o700)).at(&path)?;
        let from =
            openat(&self.dir, format!(".red/gen/{current}"), DIRECTORY, Mode::empty()).at(&from_path)?;
        for (name, kind) in super::entries(&into, &path)? {
            let top = name.to_string_lossy();
            let old = openat(&from, &*name, DIRECTORY, Mode::empty()).ok();
            match old.filter(|_| kind == FileType::Directory && is_linked(&top)) {
                Some(old) => {
                    let (path, from_path) = (path.join(&*top), from_path.join(&*top));
                    let new = openat(&into, &*name, DIRECTORY, Mode::empty()).at(&path)?;
                    mirror((&old, &from_path), (&new, &path))?;
                }
                None => remove_one(&into, &path, &name)?,
            }
        }
        Ok(())
    }

    /// The spare, moved to where the next sweep finds it; `None` when there is none.
    pub(super) fn take_spare(&self) -> Option<OwnedFd> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        remove(&self.dir, &self.path, USED).ok()?;
        rustix::fs::renameat(&self.dir, SPARE, &self.dir, USED).ok()?;
        openat(&self.dir, USED, DIRECTORY, Mode::empty()).ok()
    }

    /// Removes what is left of a spare that was used. Nothing needs it to be gone.
    pub(super) fn forget_used(&self) -> Result<(), StoreError> {
        remove(&self.dir, &self.path, USED)
    }
}

/// Whether generations share the files of a top directory.
fn is_linked(top: &str) -> bool {
    let own = super::NEVER.contains(&top) || super::is_reserved(top);
    !own && super::adopt::how(top) == How::Link
}

/// Moves a directory of the spare into another that lacks the name, and makes of it what it is in `from`. `false` when
/// the spare has none, or nothing can be made of it: then it is made anew.
pub(super) fn reuse(
    spare: &OwnedFd,
    (from, from_path): Shown<'_>,
    (into, into_path): Shown<'_>,
    name: &CStr,
) -> Result<bool, StoreError> {
    let is_directory = openat(spare, name, DIRECTORY, Mode::empty()).is_ok();
    if !is_directory || rustix::fs::renameat(spare, name, into, name).is_err() {
        return Ok(false);
    }
    let (old_path, new_path) = (super::tree::join(from_path, name), super::tree::join(into_path, name));
    let made = || {
        let old = openat(from, name, DIRECTORY, Mode::empty()).at(&old_path)?;
        let new = openat(into, name, DIRECTORY, Mode::empty()).at(&new_path)?;
        mirror((&old, &old_path), (&new, &new_path))
    };
    let done: Result<(), StoreError> = made();
    // What something in it withstands (chattr(1), "i") could not be removed either.
    if done.is_err() && rustix::fs::renameat(into, name, spare, name).is_err() {
        remove_one(into, into_path, name)?;
    }
    Ok(done.is_ok())
}

/// Makes a directory what it would be if it were made anew of links to the files of another.
fn mirror(from: Shown<'_>, into: Shown<'_>) -> Result<(), StoreError> {
    close_to_others(from.0, into.0, into.1)?;
    let top = (rustix::fs::fstat(from.0).at(from.1)?, into);
    let from_top = from.0;
    let (mut from, mut into) = (Walk::new(from.0, from.1)?, Walk::new(into.0, into.1)?);
    let mut levels = vec![(differing(&from, &into)?, None)];
    while let Some((names, stat)) = levels.last_mut() {
        let Some((name, kind)) = names.pop() else {
            let stat: Option<Stat> = stat.take();
            levels.pop();
            if !levels.is_empty() {
                let (old, new) = (from.leave()?, into.leave()?);
                // Last: what changed in it changed its time, and what it lets others do they did not.
                if let Some(stat) = stat {
                    same_attributes(&old, &new, &stat, into.path())?;
                }
            }
            continue;
        };
        let old = stat_of(&from, &name)?;
        if kind != FileType::Directory {
            copy_one(&from, &into, (&name, &old), How::Link)?;
            continue;
        }
        match rustix::fs::mkdirat(into.dir(), &name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return into.at(&name, Err(errno)),
        }
        from.enter(&name)?;
        into.enter(&name)?;
        close_to_others(from.dir(), into.dir(), into.path())?;
        levels.push((differing(&from, &into)?, Some(old)));
    }
    same_attributes(from_top, top.1.0, &top.0, top.1.1)
}

/// What of a directory is to be looked at: directories, and what another lacks. What the other has and should not is
/// removed.
fn differing(from: &Walk, into: &Walk) -> Result<Vec<(CString, FileType)>, StoreError> {
    let mut there: HashMap<CString, (u64, FileType)> =
        listed(into)?.into_iter().map(|(name, inode, kind)| (name, (inode, kind))).collect();
    let mut wanted = Vec::new();
    for (name, inode, kind) in listed(from)? {
        match there.remove(&name) {
            Some((_, FileType::Directory)) if kind == FileType::Directory => wanted.push((name, kind)),
            Some(same) if same == (inode, kind) && is_shared(kind) => {}
            Some(_) => {
                remove_one(into.dir(), into.path(), &name)?;
                wanted.push((name, kind));
            }
            None => wanted.push((name, kind)),
        }
    }
    for name in there.keys() {
        remove_one(into.dir(), into.path(), name)?;
    }
    Ok(wanted)
}

/// Names, inode numbers and kinds.
fn listed(walk: &Walk) -> Result<Vec<(CString, u64, FileType)>, StoreError> {
    let mut found = Vec::new();
    for entry in Dir::read_from(walk.dir()).at(walk.path())? {
        let entry = entry.at(walk.path())?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(stat_of(walk, name)?.st_mode),
            kind => kind,
        };
        found.push((name.to_owned(), entry.ino(), kind));
    }
    Ok(found)
}

/// Whether generations have one file for both.
fn is_shared(kind: FileType) -> bool {
    matches!(kind, FileType::RegularFile | FileType::Symlink)
}

/// Lets nobody else make anything in a directory that is not as the other one is, and takes access control lists from it,
/// which what is made in it would inherit. Others may have it open.
fn close_to_others(from: &OwnedFd, into: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let access = |fd| rustix::fs::fstat(fd).at(path).map(|stat| (stat.st_uid, stat.st_gid, stat.st_mode));
    let lists: Vec<String> =
        extended(into, path)?.into_iter().filter(|name| name.starts_with("system.posix_acl_")).collect();
    if access(from)? != access(into)? || !lists.is_empty() {
        super::tree::close(into, path, 0o700)?;
    }
    for name in lists.iter().filter(|name| name.ends_with("_default")) {
        match rustix::fs::fremovexattr(into, &**name) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno).at(path),
        }
    }
    Ok(())
}

/// Gives a directory owner, mode, time and extended attributes of another, and takes those that it lacks.
fn same_attributes(from: &OwnedFd, into: &OwnedFd, old: &Stat, path: &Path) -> Result<(), StoreError> {
    let (wanted, there) = (extended(from, path)?, extended(into, path)?);
    for name in &there {
        if !wanted.contains(name) || OVERLAY.iter().any(|prefix| name.starts_with(prefix)) {
            rustix::fs::fremovexattr(into, &**name).at(path)?;
        }
    }
    let of = |stat: &Stat| (stat.st_uid, stat.st_gid, stat.st_mode, stat.st_mtime, stat.st_mtime_nsec);
    let new = rustix::fs::fstat(into).at(path)?;
    if of(&new) != of(old) {
        attributes(into, old, path)?;
    }
    if wanted.is_empty() { Ok(()) } else { copy_extended(from, into, path) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap()
    }

    /// Everything below a directory that two mirrors have in common: kinds, owners, modes, times of directories, inodes of
    /// files, extended attributes.
    fn seen(top: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut left = vec![top.to_path_buf()];
        while let Some(path) = left.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut words = format!("{:o} {} {}", meta.mode(), meta.uid(), meta.gid());
            if meta.is_dir() {
                words += &format!(" {}.{}", meta.mtime(), meta.mtime_nsec());
                let dir = open(&path);
                for name in extended(&dir, &path).unwrap() {
                    let mut value = [0; 100];
                    let length = rustix::fs::fgetxattr(&dir, &*name, &mut value[..]).unwrap();
                    words += &format!(" {name}={:?}", &value[..length]);
                }
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                words += &format!(" inode {}", meta.ino());
            }
            found.insert(path.strip_prefix(top).unwrap().display().to_string(), words);
        }
        found
    }

    /// A tree whose contents a list of numbers decides.
    fn tree(top: &Path, seed: &[u8]) {
        for (at, byte) in seed.iter().enumerate() {
            let dir = top.join(format!("d{}/e{}", byte % 3, byte / 3 % 3));
            let name = dir.join(format!("n{}", byte / 9 % 4));
            match byte / 36 {
                0 | 1 => drop(fs::create_dir_all(&dir).and_then(|()| fs::write(name, at.to_string()))),
                2 => drop(fs::create_dir_all(&dir).and_then(|()| symlink(at.to_string(), name))),
                3 => drop(fs::create_dir_all(name.join("deep"))),
                4 => {
                    drop(fs::write(top.join(format!("d{}", byte % 3)), "a file in the place of a directory"))
                }
                5 => drop(fs::set_permissions(&dir, PermissionsExt::from_mode(0o500 + u32::from(byte % 8)))),
                _ => {
                    let Ok(dir) = rustix::fs::open(&dir, DIRECTORY, Mode::empty()) else { continue };
                    let name = format!("user.x{}", byte % 2);
                    rustix::fs::fsetxattr(&dir, name, &[*byte], rustix::fs::XattrFlags::empty())
                        .unwrap_or(());
                }
            }
        }
    }

    fn check(from_seed: &[u8], spare_seed: &[u8], shared: bool) {
        // Extended attributes of users are not on every file system, and have to be for this test.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["from", "spare", "whole"] {
            fs::create_dir_all(path(name).join("usr")).unwrap();
        }
        tree(&path("from/usr"), from_seed);
        if shared {
            // What a generation before it had in common with it.
            let (from, spare) = (path("from/usr"), path("spare/usr"));
            mirror((&open(&from), &from), (&open(&spare), &spare)).unwrap();
        }
        tree(&path("spare/usr"), spare_seed);
        let (from, into) = (path("from"), path("into"));
        fs::create_dir(&into).unwrap();
        let opened = [&from, &into].map(|path| open(path));
        let spare = open(&path("spare"));
        assert!(reuse(&spare, (&opened[0], &from), (&opened[1], &into), c"usr").unwrap());
        // Nothing but the names of links is the spare's.
        let (from, whole) = (path("from/usr"), path("whole/usr"));
        super::super::tree::take_over((&open(&from), &from), (&open(&whole), &whole), How::Link).unwrap();
        super::super::tree::same_attributes(&open(&from), &open(&whole), &whole).unwrap();
        assert_eq!(seen(&path("into/usr")), seen(&whole));
        assert!(!path("spare/usr").exists());
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 200, ..Default::default() })]

        #[test]
        fn a_spare_becomes_what_is_made_anew(
            from in proptest::collection::vec(0_u8.., 0..40),
            spare in proptest::collection::vec(0_u8.., 0..20),
            shared: bool,
        ) {
            // An ordinary user has no spares.
            if rustix::process::geteuid().is_root() {
                check(&from, &spare, shared);
            }
        }
    }

    /// Lets everybody do everything in whatever is made in a directory.
    fn open_list() -> Vec<u8> {
        let entry =
            |tag: u16, id: u32| [&tag.to_le_bytes()[..], &7_u16.to_le_bytes(), &id.to_le_bytes()].concat();
        let all = [entry(1, !0), entry(2, 65_534), entry(4, !0), entry(0x10, !0), entry(0x20, !0)].concat();
        [&2_u32.to_le_bytes()[..], &all].concat()
    }

    /// Neither in a directory of the spare nor in one that a transaction made.
    #[test]
    fn files_get_no_access_control_list_of_their_directory() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["from/etc/sub", "into/etc", "spare/etc/sub", "other"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("from/etc/f"), "x").unwrap();
        let set = |name: &str| {
            let dir = open(&path(name));
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::fsetxattr(&dir, "system.posix_acl_default", &open_list(), flags).unwrap();
        };
        set("into/etc");
        set("spare/etc");
        let lists = |name: &str| extended(&open(&path(name)), &path(name)).unwrap();
        let (from, into) = (open(&path("from/etc")), open(&path("into/etc")));
        super::super::tree::take_over((&from, &path("from")), (&into, &path("into")), How::Copy).unwrap();
        assert_eq!(lists("into/etc/sub"), Vec::<String>::new());
        let copied = fs::File::open(path("into/etc/f")).unwrap().into();
        assert_eq!(extended(&copied, &path("into")).unwrap(), Vec::<String>::new());
        let opened = ["spare", "from", "other"].map(|name| open(&path(name)));
        let (from, other) = (path("from"), path("other"));
        assert!(reuse(&opened[0], (&opened[1], &from), (&opened[2], &other), c"etc").unwrap());
        assert_eq!((lists("other/etc"), lists("other/etc/sub")), (Vec::new(), Vec::new()));
        assert_eq!(seen(&other)["etc/f"], seen(&from)["etc/f"]);
    }

    /// What cannot be removed from a spare stays there.
    #[test]
    fn what_withstands_is_left_in_the_spare() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["from/usr/d", "spare/usr/d/kept", "into"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("spare/usr/d/kept/f"), "x").unwrap();
        let chattr = |flag: &str| {
            let mut command = std::process::Command::new("chattr");
            command.arg(flag).arg(path("spare/usr/d/kept")).stderr(std::process::Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        // Not on every file system, and root's alone.
        if !chattr("+i") {
            return;
        }
        let opened = ["spare", "from", "into"].map(|name| open(&path(name)));
        let (from, into) = (path("from"), path("into"));
        let said = reuse(&opened[0], (&opened[1], &from), (&opened[2], &into), c"usr");
        assert!(chattr("-i"));
        assert!(!said.unwrap());
        assert!(!path("into/usr").exists() && path("spare/usr/d/kept/f").exists());
    }

    /// A generation that goes becomes the spare, without a file that only it had.
    #[test]
    fn a_spare_keeps_no_file_of_its_own() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let write = |below: &str, text: &str| {
            let path = dir.path().join(below);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".red/gen/1/usr/bin/gone", "old");
        write(".red/gen/1/usr/lib/kept", "same");
        write(".red/gen/1/etc/own", "of this generation");
        write(".red/gen/1/.generation.json", "{}");
        write(".red/gen/2/usr/lib/kept", "same");
        fs::remove_file(dir.path().join(".red/gen/2/usr/lib/kept")).unwrap();
        fs::hard_link(dir.path().join(".red/gen/1/usr/lib/kept"), dir.path().join(".red/gen/2/usr/lib/kept"))
            .unwrap();
        symlink("gen/2", dir.path().join(".red/current")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.retire(1, Room::Reuse).unwrap();
        assert_eq!(store.numbers().unwrap(), [2]);
        let spare = dir.path().join(SPARE);
        if rustix::process::geteuid().is_root() {
            assert_eq!(seen(&spare).keys().collect::<Vec<_>>(), ["", "usr", "usr/lib", "usr/lib/kept"]);
            assert_eq!(fs::metadata(&spare).unwrap().mode() & 0o7777, 0o700);
            assert!(!store.needs_sweep());
        }
        store.free_spare().unwrap();
        assert!(!spare.exists());
        write(".red/gen/3/usr/x", "");
        store.retire(3, Room::Free).unwrap();
        assert!(!spare.exists() && !dir.path().join(".red/gen/3").exists());
    }
}
