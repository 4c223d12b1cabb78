//! Paths of the host followed link by link, with where each link stands: whoever may write there can
//! lead the path elsewhere.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use crate::node::place::{self, Facts};

/// The kernel gives up at 40 too (path_resolution(7)).
const LINKS: usize = 40;

/// A symbolic link on the way to something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Where it stands, without further links on the way.
    pub path: String,
    /// ID of the mount it was reached through; 0 where the kernel does not tell.
    pub mount: u64,
}

/// Where a path leads, whether or not something is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trace {
    /// Its path without symbolic links: of what is there, or of what would be made.
    pub real: String,
    /// What the kernel says of it; `None` where nothing is.
    pub facts: Option<Facts>,
    /// The symbolic links on the way.
    pub links: Vec<Link>,
}

/// What a path was found to lead to.
enum End {
    There(OwnedFd),
    /// Nothing, or nothing that the caller may see. This is what it would be called.
    Missing(PathBuf, Errno),
}

/// Opens `path` with `dir` for a root, as openat2(2) does with `RESOLVE_IN_ROOT`, and says which links
/// were followed. Magic links of proc lead where their text says.
///
/// # Errors
/// What openat(2), readlinkat(2) and statx(2) say; `LOOP` for too many links.
pub(super) fn open(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<(OwnedFd, Vec<Link>)> {
    match walk(dir, path)? {
        (End::There(fd), links) => Ok((fd, links)),
        (End::Missing(_, errno), _) => Err(errno),
    }
}

/// The same, for a path that may lead to nothing: a link that dangles says what somebody could make.
///
/// # Errors
/// As [`open`], but for what is missing or denied: as far as it goes.
pub(super) fn trace(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<Trace> {
    let (end, links) = walk(dir, path)?;
    let (real, facts) = match end {
        End::There(fd) => (place::real_path(&fd)?, Some(Facts::of(&fd)?)),
        End::Missing(path, _) => (path, None),
    };
    let real = real.into_os_string().into_string().ok().ok_or(Errno::ILSEQ)?;
    Ok(Trace { real, facts, links })
}

fn walk(dir: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<(End, Vec<Link>)> {
    let mut rest: VecDeque<OsString> = VecDeque::new();
    push(&mut rest, path);
    let mut here: Vec<OwnedFd> = Vec::new();
    let mut links = Vec::new();
    while let Some(part) = rest.pop_front() {
        let above = here.last().map_or(dir, AsFd::as_fd);
        if part == ".." {
            here.pop();
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(above, &part, flags, Mode::empty()) {
            Err(errno @ (Errno::NOENT | Errno::ACCESS)) => {
                return Ok((End::Missing(missing(above, &part, rest)?, errno), links));
            }
            fd => fd?,
        };
        let facts = Facts::of(&fd)?;
        if FileType::from_raw_mode(facts.mode) == FileType::Symlink {
            let at = place::real_path(above)?.join(&part).into_os_string().into_string();
            links.push(Link { path: at.ok().ok_or(Errno::ILSEQ)?, mount: facts.mount });
            if links.len() > LINKS {
                return Err(Errno::LOOP);
            }
            let target = match readlinkat(&fd, "", Vec::new()) {
                Err(errno @ Errno::ACCESS) => {
                    return Ok((End::Missing(missing(above, &part, rest)?, errno), links));
                }
                target => target?,
            };
            let target = Path::new(OsStr::from_bytes(target.to_bytes()));
            if target.is_absolute() {
                here.clear();
            }
            push(&mut rest, target);
        } else if facts.is_dir() || rest.is_empty() {
            here.push(fd);
        } else {
            return Err(Errno::NOTDIR);
        }
    }
    let fd = match here.pop() {
        Some(fd) => fd,
        None => openat(dir, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
    };
    Ok((End::There(fd), links))
}

/// What something missing in a directory would be called, and what is below it.
fn missing(above: BorrowedFd<'_>, part: &OsStr, rest: VecDeque<OsString>) -> rustix::io::Result<PathBuf> {
    let mut path = place::real_path(above)?.join(part);
    for part in rest {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    Ok(path)
}

/// Puts the components of a path before what is left.
fn push(rest: &mut VecDeque<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front(OsString::from("..")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_is_known_by_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::write(top.join("a/b/c/file"), "").unwrap();
        symlink("/a/b", top.join("abs")).unwrap();
        symlink("../abs/../../../a/b/c", top.join("a/up")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        let root = File::open(&top).unwrap();
        let found = |path: &str| {
            let (fd, links) = open(root.as_fd(), Path::new(path))?;
            let shown = |path: &Path| path.strip_prefix(&top).unwrap().display().to_string();
            let links: Vec<String> = links.iter().map(|link| shown(Path::new(&link.path))).collect();
            Ok::<_, Errno>((shown(&place::real_path(&fd).unwrap()), links))
        };
        let list = |links: &[&str]| links.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("a/b/c/file"), Ok(("a/b/c/file".into(), list(&[]))));
        assert_eq!(found("abs/c"), Ok(("a/b/c".into(), list(&["abs"]))));
        assert_eq!(found("a/up/file"), Ok(("a/b/c/file".into(), list(&["a/up", "abs"]))));
        assert_eq!(found("../.."), Ok((String::new(), list(&[]))));
        assert_eq!(found("loop"), Err(Errno::LOOP));
        assert_eq!(found("a/b/c/file/x"), Err(Errno::NOTDIR));
        assert_eq!(found("a/none"), Err(Errno::NOENT));
        // A link that dangles says what would be made.
        symlink("../new/../made/x", top.join("a/dangling")).unwrap();
        let traced = trace(root.as_fd(), Path::new("a/dangling")).unwrap();
        assert_eq!((traced.real, traced.facts), (top.join("made/x").display().to_string(), None));
        assert_eq!(traced.links.len(), 1);
        let there = trace(root.as_fd(), Path::new("abs/c")).unwrap();
        assert_eq!(there.real, top.join("a/b/c").display().to_string());
        assert!(there.facts.is_some());
    }
}
