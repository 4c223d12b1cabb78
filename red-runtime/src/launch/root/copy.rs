//! Copies a directory into a new file system (`tmpcopyup`).
//!
//! By descriptors from top to bottom: somebody who may write to the directory can exchange any name in
//! it for a link at any time, and the copy runs with the launcher's rights. What is named is opened
//! once without following, and its type, mode and owner are those of the descriptor.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat, mknodat, openat,
    readlinkat, symlinkat,
};
use rustix::io::Errno;

/// Directories within each other that are copied. Each holds two descriptors, and the container's own
/// limit of them holds already.
const DEPTH: usize = 128;

/// Copies what is in a directory: directories, files, links and FIFOs, with modes and owners. Devices and
/// sockets are left out.
///
/// # Errors
/// A call failed, or the directory is deeper than [`DEPTH`] (`ENAMETOOLONG`).
pub(super) fn copy(from: impl AsFd, to: impl AsFd) -> rustix::io::Result<()> {
    contents(from.as_fd(), to.as_fd(), DEPTH)
}

fn contents(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> rustix::io::Result<()> {
    if depth == 0 {
        return Err(Errno::NAMETOOLONG);
    }
    for name in names(from)? {
        match entry(from, to, &name, depth) {
            // It was there a moment ago, or is something else by now: whoever changes the directory
            // meanwhile gets one of its states.
            Err(Errno::NOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The names in a directory, read before any of them is opened: one descriptor less a level.
fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> rustix::io::Result<()> {
    // Without an effect on whatever it is: a FIFO would block, a device could act.
    let found = openat(from, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&found)?.st_mode) {
        FileType::Directory => directory(&found, to, name, depth),
        FileType::Symlink => {
            // Of the descriptor, not of the name again.
            let target = readlinkat(&found, c"", Vec::new())?;
            let stat = fstat(&found)?;
            symlinkat(&target, to, name)?;
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        }
        FileType::RegularFile => file(&found, from, to, name),
        FileType::Fifo => fifo(&found, to, name),
        _ => Ok(()),
    }
}

fn directory(found: &OwnedFd, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(found, c".", flags, Mode::empty())?;
    mkdirat(to, name, Mode::RWXU)?;
    let target = openat(to, name, flags, Mode::empty())?;
    contents(source.as_fd(), target.as_fd(), depth - 1)?;
    same_as(&source, &target)
}

fn fifo(found: &OwnedFd, to: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let stat = fstat(found)?;
    // The launcher has no mask of its own by now.
    mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(stat.st_mode & 0o7777), 0)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn file(found: &OwnedFd, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let source = match openat(from, name, flags, Mode::empty()) {
        // A link by now.
        Err(Errno::LOOP) => return Ok(()),
        source => source?,
    };
    let (before, now) = (fstat(found)?, fstat(&source)?);
    if (before.st_dev, before.st_ino) != (now.st_dev, now.st_ino) {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    std::io::copy(&mut source, &mut target)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    same_as(&source, &target)
}

/// Owner first: a change of it takes set-user-id bits away (chown(2)).
fn same_as(source: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let stat = fstat(source)?;
    fchown(&target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(target, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn copies_directories_files_links_and_fifos_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("a/b/file"), "contents").unwrap();
        fs::set_permissions(from.join("a/b/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink(dir.path().join("secret"), from.join("link")).unwrap();
        symlink(dir.path(), from.join("a/up")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        drop(std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap());
        copy(open(&from), open(&to)).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "contents");
        assert_eq!(fs::metadata(to.join("a/b/file")).unwrap().mode() & 0o7777, 0o4750);
        assert_eq!(fs::metadata(to.join("a")).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(fs::read_link(to.join("link")).unwrap(), dir.path().join("secret"));
        assert!(fs::symlink_metadata(to.join("a/up")).unwrap().is_symlink(), "not what it leads to");
        assert_eq!(fs::symlink_metadata(to.join("fifo")).unwrap().mode(), libc::S_IFIFO | 0o400);
        assert!(fs::symlink_metadata(to.join("socket")).is_err());
    }

    /// What a name was when it was looked at is what is read, whatever it is by the time it is opened.
    #[test]
    fn a_name_that_was_exchanged_for_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for made in [&from, &to, &dir.path().join("secret")] {
            fs::create_dir(made).unwrap();
        }
        fs::write(dir.path().join("secret/file"), "secret").unwrap();
        fs::write(from.join("file"), "public").unwrap();
        fs::create_dir(from.join("sub")).unwrap();
        let (source, target) = (open(&from), open(&to));
        let look = |name: &CStr| {
            openat(&source, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let (seen_file, seen_dir) = (look(c"file"), look(c"sub"));
        fs::remove_file(from.join("file")).unwrap();
        fs::rename(from.join("sub"), from.join("away")).unwrap();
        symlink(dir.path().join("secret/file"), from.join("file")).unwrap();
        symlink(dir.path().join("secret"), from.join("sub")).unwrap();
        file(&seen_file, source.as_fd(), target.as_fd(), c"file").unwrap();
        directory(&seen_dir, target.as_fd(), c"sub", DEPTH).unwrap();
        assert!(fs::symlink_metadata(to.join("file")).is_err(), "left out");
        assert_eq!(fs::read_dir(to.join("sub")).unwrap().count(), 0, "the directory that was seen, empty");
    }

    #[test]
    fn depth_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let deep: std::path::PathBuf = std::iter::repeat_n("d", DEPTH + 1).collect();
        fs::create_dir_all(from.join(deep)).unwrap();
        fs::create_dir(&to).unwrap();
        assert_eq!(copy(open(&from), open(&to)), Err(Errno::NAMETOOLONG));
    }
}
