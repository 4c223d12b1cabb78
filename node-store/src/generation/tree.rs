//! Trees of files: linked, copied, removed. Everything goes by descriptor and follows no link.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, openat, statat};
use rustix::io::Errno;

use super::marks::{OVERLAY, is_whiteout, take_opaque};
use super::spare::reuse;
use super::{At, DIRECTORY, StoreError, Walk, entries};

/// How files come into another tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// One file with two names. Nothing of ours ever changes such a file in place.
    Link,
    /// A file of its own, for what people and programs change in place.
    Copy,
}

/// How deep a spare is followed, each level with an open directory.
const SPARES: usize = 64;

/// Makes a directory (and those above it) below an open one, if it is missing.
pub(crate) fn make_directory(
    above: impl AsFd,
    shown: &Path,
    below: impl AsRef<Path>,
) -> Result<OwnedFd, StoreError> {
    let mut path = shown.to_path_buf();
    let mut dir = openat(above, ".", DIRECTORY, Mode::empty()).at(shown)?;
    for name in below.as_ref() {
        path.push(name);
        match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => dir = openat(&dir, name, DIRECTORY, Mode::empty()).at(&path)?,
            Err(errno) => return Err(errno).at(path),
            Ok(()) => {
                dir = openat(&dir, name, DIRECTORY, Mode::empty()).at(&path)?;
                // Nodes of other users rely on what is below, whatever the umask.
                let mode = rustix::fs::fstat(&dir).at(&path)?.st_mode & 0o7777;
                if mode & 0o755 != 0o755 {
                    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode | 0o755)).at(&path)?;
                }
            }
        }
    }
    Ok(dir)
}

/// Takes over what `from` has and `into` lacks. Where both have a directory, it goes on below; a
/// whiteout in `into` (overlayfs's character device 0:0) keeps the name out and goes away.
pub(super) fn take_over(from: Shown<'_>, into: Shown<'_>, how: How) -> Result<(), StoreError> {
    take_over_with(from, into, how, None)
}

/// The same, where a [spare](super::spare) may have directories to begin with.
pub(super) fn take_over_with(
    from: Shown<'_>,
    into: Shown<'_>,
    how: How,
    spare: Option<OwnedFd>,
) -> Result<(), StoreError> {
    let (mut from, mut into) = (Walk::new(from.0, from.1)?, Walk::new(into.0, into.1)?);
    // What is still to be done on each level, and what a directory that was made here gets in the end.
    let mut levels = vec![(entries(from.dir(), from.path())?, None)];
    let mut spares = vec![spare];
    while let Some((names, made)) = levels.last_mut() {
        if let Some((name, kind)) = names.pop() {
            // Nothing is in a directory that was made here.
            let fresh = made.is_some();
            if fresh && may_link(kind, how) && link(&from, &into, &name).is_ok() {
                continue;
            }
            let spare = spares.last().and_then(Option::as_ref);
            if let Below::Enter(made) = merge_one(&mut from, &mut into, &name, (how, fresh, spare))? {
                let below = spare.filter(|_| spares.len() < SPARES && made.is_none());
                spares.push(below.and_then(|spare| openat(spare, &name, DIRECTORY, Mode::empty()).ok()));
                levels.push((entries(from.dir(), from.path())?, made));
            }
            continue;
        }
        let made = made.take();
        levels.pop();
        spares.pop();
        if !levels.is_empty() {
            let (old, new) = (from.leave()?, into.leave()?);
            // Last, for its mode may keep its owner out.
            if let Some(stat) = made {
                attributes(&new, &stat, into.path())?;
                disinherit(&old, &new, into.path())?;
                copy_extended(&old, &new, into.path())?;
            }
        }
    }
    Ok(())
}

/// Copies what stands at a name of one directory into another that lacks it.
pub(crate) fn bring(from: (&OwnedFd, &Path), into: (&OwnedFd, &Path), name: &CStr) -> Result<(), StoreError> {
    let (mut from, mut into) = (Walk::new(from.0, from.1)?, Walk::new(into.0, into.1)?);
    let stat = stat_of(&from, name)?;
    if !is_dir(&stat) {
        return copy_one(&from, &into, (name, &stat), How::Copy);
    }
    into.at(name, rustix::fs::mkdirat(into.dir(), name, Mode::from_raw_mode(0o700)))?;
    from.enter(name)?;
    into.enter(name)?;
    take_over((from.dir(), from.path()), (into.dir(), into.path()), How::Copy)?;
    same_attributes(from.dir(), into.dir(), into.path())
}

/// Whether a name was done with at once.
enum Below {
    Done,
    /// Both are in a directory now; the attributes that it gets when it was made here.
    Enter(Option<Stat>),
}

/// Whether a file comes into another tree as one more name of it.
fn may_link(kind: FileType, how: How) -> bool {
    kind == FileType::Symlink || kind == FileType::RegularFile && how == How::Link
}

fn link(from: &Walk, into: &Walk, name: &CStr) -> rustix::io::Result<()> {
    rustix::fs::linkat(from.dir(), name, into.dir(), name, AtFlags::empty())
}

fn merge_one(
    from: &mut Walk,
    into: &mut Walk,
    name: &CStr,
    (how, fresh, spare): (How, bool, Option<&OwnedFd>),
) -> Result<Below, StoreError> {
    let old = stat_of(from, name)?;
    let there = if fresh { Err(Errno::NOENT) } else { statat(into.dir(), name, AtFlags::SYMLINK_NOFOLLOW) };
    match there {
        Err(Errno::NOENT) if is_dir(&old) => {
            if let Some(spare) = spare
                && reuse(spare, (from.dir(), from.path()), (into.dir(), into.path()), name)?
            {
                return Ok(Below::Done);
            }
            into.at(name, rustix::fs::mkdirat(into.dir(), name, Mode::from_raw_mode(0o700)))?;
            from.enter(name)?;
            into.enter(name)?;
            return Ok(Below::Enter(Some(old)));
        }
        Err(Errno::NOENT) => copy_one(from, into, (name, &old), how)?,
        Err(errno) => return into.at(name, Err(errno)),
        Ok(new) if is_whiteout(&new) => {
            into.at(name, rustix::fs::unlinkat(into.dir(), name, AtFlags::empty()))?;
        }
        Ok(new) if is_dir(&old) && is_dir(&new) => {
            let below = into.at(name, openat(into.dir(), name, DIRECTORY, Mode::empty()))?;
            if !take_opaque(&below, into.path())? {
                from.enter(name)?;
                into.go_to(below, name)?;
                return Ok(Below::Enter(None));
            }
        }
        Ok(_) => {}
    }
    Ok(Below::Done)
}

/// What a name of a walk is.
pub(super) fn stat_of(walk: &Walk, name: &CStr) -> Result<Stat, StoreError> {
    walk.at(name, statat(walk.dir(), name, AtFlags::SYMLINK_NOFOLLOW))
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Brings one entry that is no directory into a directory that lacks it.
pub(super) fn copy_one(from: &Walk, into: &Walk, entry: (&CStr, &Stat), how: How) -> Result<(), StoreError> {
    let (name, stat) = entry;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if how == How::Copy => {
            copy_file((from.dir(), from.path()), (into.dir(), into.path()), name, stat)
        }
        FileType::RegularFile | FileType::Symlink => {
            match link(from, into, name) {
                // fs.protected_hardlinks, a full link count, another file system.
                Err(Errno::PERM | Errno::MLINK | Errno::XDEV)
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile =>
                {
                    copy_file((from.dir(), from.path()), (into.dir(), into.path()), name, stat)
                }
                linked => linked.at(into.join(name)),
            }
        }
        // Sockets, pipes and devices are of whoever runs, not of packages.
        _ => Ok(()),
    }
}

/// Owner, mode, times and extended attributes of a directory that was made anew.
pub(super) fn same_attributes(from: &OwnedFd, into: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    attributes(into, &rustix::fs::fstat(from).at(path)?, path)?;
    copy_extended(from, into, path)
}

/// Extended attributes that `into` lacks: the install view makes the directories it writes to, and
/// overlayfs shows those of its upper directory only.
pub(super) fn missing_attributes(from: &OwnedFd, into: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let there = extended(into, path)?;
    copy_some(from, into, path, |name| !there.iter().any(|known| known == name))
}

pub(super) fn attributes(fd: &OwnedFd, stat: &Stat, path: &Path) -> Result<(), StoreError> {
    let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(fd, Some(owner.0), Some(owner.1)) {
        // An ordinary user's tree is that user's.
        Err(Errno::PERM | Errno::INVAL) | Ok(()) => {}
        Err(errno) => return Err(errno).at(path),
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777)).at(path)?;
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: i64::try_from(stat.st_atime_nsec).unwrap_or(0),
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
    };
    rustix::fs::futimens(fd, &times).at(path)
}

/// Makes something the caller's own, to be changed by nobody else: owner, mode, access control lists.
pub(crate) fn close(fd: &OwnedFd, path: &Path, mode: u32) -> Result<(), StoreError> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    rustix::fs::fchown(fd, Some(uid), Some(gid)).at(path)?;
    for name in extended(fd, path)?.iter().filter(|name| name.starts_with("system.posix_acl_")) {
        rustix::fs::fremovexattr(fd, &**name).at(path)?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).at(path)
}

/// Copies what a file holds and leaves its holes: a scriptlet can make a file longer than any disk.
fn copy_data(source: &mut std::fs::File, target: &mut std::fs::File) -> std::io::Result<()> {
    use rustix::fs::{SeekFrom, seek};
    use std::io::Read;
    let length = source.metadata()?.len();
    let mut position = 0;
    while position < length {
        let data = match seek(&*source, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => break,
            // Without holes all of it is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => position,
            found => found?,
        };
        let hole = match seek(&*source, SeekFrom::Hole(data)) {
            Err(Errno::INVAL | Errno::OPNOTSUPP) => length,
            found => found?,
        };
        seek(&*source, SeekFrom::Start(data))?;
        seek(&*target, SeekFrom::Start(data))?;
        // Asks the kernel to copy, or to share blocks where the file system can.
        let copied = std::io::copy(&mut (&mut *source).take(hole - data), target)?;
        if copied == 0 {
            break;
        }
        position = hole;
    }
    target.set_len(length)
}

/// A directory, and its path for messages.
pub(super) type Shown<'a> = (&'a OwnedFd, &'a Path);

/// The path of a name in a directory, for messages.
pub(super) fn join(path: &Path, name: &CStr) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    path.join(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

pub(super) fn copy_file(
    from: Shown<'_>,
    into: Shown<'_>,
    name: &CStr,
    stat: &Stat,
) -> Result<(), StoreError> {
    let (path, into_path) = (join(from.1, name), join(into.1, name));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from.0, name, flags, Mode::empty()).at(&path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(into.0, name, flags, Mode::from_raw_mode(0o600)).at(&into_path)?;
    let (mut source, mut target) = (std::fs::File::from(source), std::fs::File::from(target));
    copy_data(&mut source, &mut target).at(&into_path)?;
    let (source, target) = (OwnedFd::from(source), OwnedFd::from(target));
    attributes(&target, stat, &into_path)?;
    disinherit(&source, &target, &into_path)?;
    // After the owner, whose change takes capabilities away.
    copy_extended(&source, &target, &into_path)
}

/// Takes access control lists that something got of the directory that it was made in (acl(5)).
fn disinherit(from: &OwnedFd, to: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let there = extended(to, path)?;
    let lists: Vec<&String> = there.iter().filter(|name| name.starts_with("system.posix_acl_")).collect();
    if lists.is_empty() {
        return Ok(());
    }
    let own = extended(from, path)?;
    for name in lists.into_iter().filter(|name| !own.contains(name)) {
        rustix::fs::fremovexattr(to, &**name).at(path)?;
    }
    Ok(())
}

/// Extended attributes: capabilities, access control lists, labels.
pub(super) fn copy_extended(from: &OwnedFd, to: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    copy_some(from, to, path, |_| true)
}

fn copy_some(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    for name in extended(from, path)? {
        if OVERLAY.iter().any(|prefix| name.starts_with(prefix)) || !wanted(&name) {
            continue;
        }
        let mut value = [0_u8; 65_536];
        let length = rustix::fs::fgetxattr(from, &*name, &mut value[..]).at(path)?;
        match rustix::fs::fsetxattr(to, &*name, &value[..length], rustix::fs::XattrFlags::empty()) {
            // Labels are the security module's to give to what an ordinary user makes (xattr(7)).
            Err(Errno::PERM | Errno::ACCESS)
                if name.starts_with("security.") && !rustix::process::geteuid().is_root() => {}
            set => set.at(path)?,
        }
    }
    Ok(())
}

/// Names of extended attributes.
pub(super) fn extended(fd: &OwnedFd, path: &Path) -> Result<Vec<String>, StoreError> {
    // Most have none or a few.
    let (mut few, mut most) = ([0_u8; 256], Vec::new());
    let names = match rustix::fs::flistxattr(fd, &mut few[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            // The kernel allows no longer list (xattr(7)).
            most.resize(65_536, 0);
            let length = rustix::fs::flistxattr(fd, &mut most[..]).at(path)?;
            &most[..length]
        }
        listed => &few[..listed.at(path)?],
    };
    let names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Removes a name and everything below it, if it is there. Directories that nobody may read
/// (overlayfs makes one) are opened first.
pub(crate) fn remove(above: impl AsFd, shown: &Path, name: &str) -> Result<(), StoreError> {
    let (walk, name) = match name.rsplit_once('/') {
        None => (Walk::new(above, shown)?, name),
        Some((dir, name)) => match openat(above, dir, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => (Walk::new(opened.at(shown.join(dir))?, &shown.join(dir))?, name),
        },
    };
    let name = CString::new(name).map_err(|_nul| Errno::INVAL).at(shown)?;
    remove_from(walk, name)
}

/// The same for a name in bytes.
pub(crate) fn remove_one(above: impl AsFd, shown: &Path, name: &CStr) -> Result<(), StoreError> {
    remove_from(Walk::new(above, shown)?, name.to_owned())
}

fn remove_from(mut walk: Walk, name: CString) -> Result<(), StoreError> {
    // The names that lead down to where the walk is, each with what is left in its directory.
    let mut levels = Vec::new();
    if unlink_or_enter(&mut walk, &name)? {
        levels.push((name, entries(walk.dir(), walk.path())?));
    }
    let mut patience = 40;
    while let Some((_, names)) = levels.last_mut() {
        if let Some((inner, _)) = names.pop() {
            if unlink_or_enter(&mut walk, &inner)? {
                levels.push((inner, entries(walk.dir(), walk.path())?));
            }
            continue;
        }
        let Some((name, _)) = levels.pop() else { break };
        walk.leave()?;
        match rustix::fs::unlinkat(walk.dir(), &name, AtFlags::REMOVEDIR) {
            // A process that was killed just now may have made a last name.
            Err(Errno::NOTEMPTY) if patience > 0 => {
                patience -= 1;
                std::thread::sleep(std::time::Duration::from_millis(50));
                if unlink_or_enter(&mut walk, &name)? {
                    levels.push((name, entries(walk.dir(), walk.path())?));
                }
            }
            Err(Errno::NOENT) => {}
            removed => walk.at(&name, removed)?,
        }
    }
    Ok(())
}

/// Removes a name, or goes down to it when it is a directory.
fn unlink_or_enter(walk: &mut Walk, name: &CStr) -> Result<bool, StoreError> {
    let above = walk.dir();
    match rustix::fs::unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(false),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return walk.at(name, Err(errno)),
    }
    let dir = match openat(above, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let mode = Mode::from_raw_mode(0o700);
            walk.at(name, rustix::fs::chmodat(above, name, mode, AtFlags::empty()))?;
            walk.at(name, openat(above, name, DIRECTORY, Mode::empty()))?
        }
        opened => walk.at(name, opened)?,
    };
    let stat = walk.at(name, rustix::fs::fstat(&dir))?;
    if stat.st_mode & 0o300 != 0o300 {
        walk.at(name, rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o700)))?;
    }
    walk.go_to(dir, name)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::marks::clean;
    use super::*;

    /// A tree deeper than this process may have descriptors, and than any path is long.
    fn deep(top: &Path, levels: usize) {
        std::fs::create_dir(top).unwrap();
        let mut walk = Walk::new(rustix::fs::open(top, DIRECTORY, Mode::empty()).unwrap(), top).unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(walk.dir(), c"level", Mode::from_raw_mode(0o755)).unwrap();
            walk.enter(c"level").unwrap();
        }
        let flags = OFlags::WRONLY | OFlags::CREATE;
        openat(walk.dir(), c"file", flags, Mode::from_raw_mode(0o644)).unwrap();
    }

    #[test]
    fn holes_stay_holes() {
        use std::io::{Read, Seek, Write};
        let (mut source, mut target) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        source.write_all(b"begin").unwrap();
        source.seek(std::io::SeekFrom::Start(1 << 35)).unwrap();
        source.write_all(b"middle").unwrap();
        source.set_len(1 << 40).unwrap();
        copy_data(&mut source, &mut target).unwrap();
        assert_eq!(target.metadata().unwrap().len(), 1 << 40);
        let mut found = [0; 6];
        target.seek(std::io::SeekFrom::Start(1 << 35)).unwrap();
        target.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"middle");
        assert!(std::os::unix::fs::MetadataExt::blocks(&target.metadata().unwrap()) < 1 << 12);
        let (mut empty, mut copy) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        copy_data(&mut empty, &mut copy).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), 0);
    }

    #[test]
    fn no_depth_is_too_deep() {
        let dir = tempfile::tempdir().unwrap();
        let top = rustix::fs::open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
        let open = |name: &str| openat(&top, name, DIRECTORY, Mode::empty()).unwrap();
        deep(&dir.path().join("from"), 1500);
        for (how, name) in [(How::Link, "linked"), (How::Copy, "copied")] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            let path = dir.path().join(name);
            take_over((&open("from"), dir.path()), (&open(name), &path), how).unwrap();
            clean(&open(name), &path).unwrap();
            let mut walk = Walk::new(open(name), &path).unwrap();
            for _ in 0..1500 {
                walk.enter(c"level").unwrap();
            }
            assert!(statat(walk.dir(), c"file", AtFlags::empty()).is_ok());
        }
        std::fs::rename(dir.path().join("copied"), dir.path().join("linked/inner")).unwrap();
        for name in ["from", "linked/inner", "linked", "missing/name"] {
            remove(&top, dir.path(), name).unwrap();
            assert!(!dir.path().join(name).exists());
        }
    }
}
