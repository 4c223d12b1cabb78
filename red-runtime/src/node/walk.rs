//! Files behind symbolic links, with every directory that decides where the links lead.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::place::{Deciding, Facts};

/// The kernel gives up at 40 too (path_resolution(7)).
const LINKS: usize = 40;

/// A file that was opened: its descriptor, its path without links, the directories that decided.
type Found = (OwnedFd, PathBuf, Vec<Deciding>);

/// Opens `name` below `dir`, which stands at `path`, link by link, and never leaves `dir`. `Ok(None)`
/// when it is missing.
///
/// # Errors
/// What openat(2) says; `XDEV` for a way out of `dir`, `LOOP` for too many links.
pub(super) fn through_links(
    dir: BorrowedFd<'_>,
    path: &Path,
    name: &Path,
    flags: OFlags,
) -> rustix::io::Result<Option<Found>> {
    match walk(dir, path, name, flags) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn walk(dir: BorrowedFd<'_>, path: &Path, name: &Path, flags: OFlags) -> rustix::io::Result<Found> {
    let mut rest: VecDeque<OsString> = parts(name)?;
    // Directories from `dir` to here.
    let mut here: Vec<(OwnedFd, PathBuf)> = Vec::new();
    let mut deciding: Vec<Deciding> = Vec::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            here.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let (above, at) = match here.last() {
            Some((fd, at)) => (std::os::fd::AsFd::as_fd(fd), at.join(&part)),
            None => (dir, path.join(&part)),
        };
        let fd = openat(above, &part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let facts = Facts::of(&fd)?;
        if facts.is_dir() {
            if deciding.iter().all(|one| one.path != at) {
                deciding.push(Deciding { path: at.clone(), facts });
            }
            here.push((fd, at));
        } else if FileType::from_raw_mode(facts.mode) == FileType::Symlink {
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP);
            }
            let target = readlinkat(&fd, "", Vec::new())?;
            for part in parts(Path::new(OsStr::from_bytes(target.to_bytes())))?.into_iter().rev() {
                rest.push_front(part);
            }
        } else if rest.is_empty() {
            let opened = openat(above, &part, flags | OFlags::NOFOLLOW, Mode::empty())?;
            let now = Facts::of(&opened)?;
            // Exchanged just now: nobody can say what was looked at.
            return if (now.dev, now.ino) == (facts.dev, facts.ino) {
                Ok((opened, at, deciding))
            } else {
                Err(Errno::AGAIN)
            };
        } else {
            return Err(Errno::NOTDIR);
        }
    }
    Err(Errno::ISDIR)
}

/// The components of a relative path. An absolute one leads out.
fn parts(path: &Path) -> rustix::io::Result<VecDeque<OsString>> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(name) => Ok(name.to_owned()),
            Component::ParentDir => Ok(OsString::from("..")),
            _ => Err(Errno::XDEV),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::place::{PlaceError, open_walk, text_below};
    use super::*;

    #[test]
    fn every_directory_that_holds_a_link_decides() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(top.join("etc")).unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir_all(top.join("real")).unwrap();
        fs::write(top.join("real/file"), "text").unwrap();
        symlink("../a/link", top.join("etc/redpak.yaml")).unwrap();
        symlink("b/link", top.join("a/link")).unwrap();
        symlink("../../real/file", top.join("a/b/link")).unwrap();
        let (fd, _) = open_walk(&top).unwrap();
        let text = text_below(&fd, &top, "etc/redpak.yaml").unwrap().unwrap();
        assert_eq!(text.text, "text");
        let paths: Vec<&Path> =
            text.deciding.iter().map(|one| one.path.strip_prefix(&top).unwrap()).collect();
        assert_eq!(paths, ["etc", "a", "a/b", "real", "real/file"].map(Path::new));
        for (target, missing) in
            [("/etc/passwd", false), ("../../../../etc/passwd", false), ("me", false), ("../none", true)]
        {
            fs::remove_file(top.join("etc/redpak.yaml")).unwrap();
            symlink(if target == "me" { "redpak.yaml" } else { target }, top.join("etc/redpak.yaml"))
                .unwrap();
            let read = text_below(&fd, &top, "etc/redpak.yaml");
            assert_eq!(matches!(read, Ok(None)), missing, "{target}");
            assert_eq!(matches!(read, Err(PlaceError::Refused { .. })), !missing, "{target}");
        }
    }
}
