//! One walk for every path that decides: component by component, by descriptor, with every directory
//! and every symbolic link on the way. Whoever owns a link, or may write where one is, leads the path
//! elsewhere, so that to look at the end of the way alone says nothing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::place::{Deciding, Facts};

/// The kernel gives up at 40 too (path_resolution(7)).
const LINKS: usize = 40;

/// Where a path led.
#[derive(Debug)]
pub struct Way {
    /// The path without symbolic links; of what is missing, the one that it would have.
    pub path: PathBuf,
    /// Every directory and every link on the way, the end itself too if it is a directory.
    pub deciding: Vec<Deciding>,
    /// What is there.
    pub end: End,
}

/// What is at the end of a way.
#[derive(Debug)]
pub enum End {
    /// Something.
    There {
        /// The directory that it is in, unless it is the one that the walk started from.
        above: Option<OwnedFd>,
        /// Itself (`O_PATH`).
        fd: OwnedFd,
        /// Its facts.
        facts: Facts,
    },
    /// Nothing of that name.
    Missing,
    /// Nothing, since this link leads nowhere. Whoever makes what it names makes the end of the way.
    Dangling(PathBuf),
}

impl Way {
    /// Whether a symbolic link was crossed.
    #[must_use]
    pub fn has_links(&self) -> bool {
        self.deciding.iter().any(|one| one.facts.is_link())
    }
}

/// Walks `name` from `dir`, which is at `path`. Without `whole` it never leaves `dir`.
///
/// # Errors
/// What openat(2) says; `XDEV` for a way out of `dir`, `LOOP` for too many links.
pub(super) fn walk(dir: BorrowedFd<'_>, path: &Path, name: &Path, whole: bool) -> rustix::io::Result<Way> {
    Walk {
        dir,
        path,
        whole,
        rest: parts(name, whole)?,
        here: Vec::new(),
        deciding: Vec::new(),
        crossed: Vec::new(),
    }
    .run()
}

struct Walk<'w> {
    dir: BorrowedFd<'w>,
    path: &'w Path,
    whole: bool,
    /// Components still to go.
    rest: VecDeque<OsString>,
    /// Directories from `dir` to here.
    here: Vec<(OwnedFd, PathBuf)>,
    deciding: Vec<Deciding>,
    /// Links, each with how many components remain once it is resolved.
    crossed: Vec<(usize, PathBuf)>,
}

impl Walk<'_> {
    fn run(mut self) -> rustix::io::Result<Way> {
        while let Some(part) = self.rest.pop_front() {
            if part == ".." {
                if self.here.pop().is_none() && !self.whole {
                    return Err(Errno::XDEV);
                }
                continue;
            }
            let (above, at) = match self.here.last() {
                Some((fd, at)) => (fd.as_fd(), at.join(&part)),
                None => (self.dir, self.path.join(&part)),
            };
            let (fd, facts) = match step(above, &part) {
                Ok(found) => found,
                Err(Errno::NOENT) => return Ok(self.missing(at)),
                Err(errno) => return Err(errno),
            };
            if facts.is_dir() {
                self.decides(&at, facts);
                self.here.push((fd, at));
            } else if facts.is_link() {
                self.decides(&at, facts);
                self.follow(&fd, at)?;
            } else if self.rest.is_empty() {
                let above = self.here.pop().map(|(fd, _)| fd);
                return Ok(Way { path: at, deciding: self.deciding, end: End::There { above, fd, facts } });
            } else if self.dangling().is_some() {
                return Ok(self.missing(at));
            } else {
                return Err(Errno::NOTDIR);
            }
        }
        let (fd, path) = match self.here.pop() {
            Some(here) => here,
            None => (step(self.dir, OsStr::new("."))?.0, self.path.to_path_buf()),
        };
        let facts = Facts::of(&fd)?;
        let above = self.here.pop().map(|(fd, _)| fd);
        Ok(Way { path, deciding: self.deciding, end: End::There { above, fd, facts } })
    }

    fn decides(&mut self, at: &Path, facts: Facts) {
        if self.deciding.iter().all(|one| one.path != at) {
            self.deciding.push(Deciding { path: at.to_path_buf(), facts });
        }
    }

    /// Puts the target of a link before what is still to go.
    fn follow(&mut self, link: &OwnedFd, at: PathBuf) -> rustix::io::Result<()> {
        if self.crossed.len() == LINKS {
            return Err(Errno::LOOP);
        }
        self.crossed.push((self.rest.len(), at));
        let target = readlinkat(link, "", Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.to_bytes()));
        if target.is_absolute() && self.whole {
            self.here.clear();
        }
        for part in parts(target, self.whole)?.into_iter().rev() {
            self.rest.push_front(part);
        }
        Ok(())
    }

    /// The link whose own target the current component belongs to.
    fn dangling(&self) -> Option<&PathBuf> {
        self.crossed.iter().rev().find(|(remaining, _)| *remaining <= self.rest.len()).map(|(_, link)| link)
    }

    fn missing(self, at: PathBuf) -> Way {
        let end = self.dangling().map_or(End::Missing, |link| End::Dangling(link.clone()));
        let mut path = at;
        for part in &self.rest {
            if part == ".." {
                path.pop();
            } else {
                path.push(part);
            }
        }
        Way { path, deciding: self.deciding, end }
    }
}

/// Opens one component without following it. A directory is asked for first, so that what is mounted
/// on demand is mounted (autofs(5)).
fn step(above: BorrowedFd<'_>, part: &OsStr) -> rustix::io::Result<(OwnedFd, Facts)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match openat(above, part, flags | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => openat(above, part, flags, Mode::empty())?,
        opened => opened?,
    };
    let facts = Facts::of(&fd)?;
    Ok((fd, facts))
}

/// The components of a path. One that starts at `/` leads out, unless the whole file system is walked.
fn parts(path: &Path, whole: bool) -> rustix::io::Result<VecDeque<OsString>> {
    path.components()
        .filter(|part| *part != Component::CurDir && !(whole && *part == Component::RootDir))
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

    use super::super::place::{self, PlaceError, open_walk, text_at, text_below};
    use super::*;

    fn top(dir: &tempfile::TempDir) -> PathBuf {
        fs::canonicalize(dir.path()).unwrap()
    }

    #[test]
    fn every_directory_and_every_link_decides() {
        let dir = tempfile::tempdir().unwrap();
        let top = top(&dir);
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
        let below = |text: &place::Text| -> Vec<PathBuf> {
            text.deciding.iter().filter_map(|one| Some(one.path.strip_prefix(&top).ok()?.into())).collect()
        };
        let wanted = ["etc", "etc/redpak.yaml", "a", "a/link", "a/b", "a/b/link", "real", "real/file"];
        assert_eq!(below(&text), wanted.map(PathBuf::from));
        let whole = text_at(&top.join("etc/redpak.yaml")).unwrap();
        assert_eq!(
            below(&whole),
            [&[""], &wanted[..]].concat().into_iter().map(PathBuf::from).collect::<Vec<_>>()
        );
        assert!(whole.deciding.iter().any(|one| one.facts.is_link()), "with the facts of the link itself");
        for target in ["/etc/passwd", "../../../../etc/passwd", "me", "../none"] {
            fs::remove_file(top.join("etc/redpak.yaml")).unwrap();
            symlink(if target == "me" { "redpak.yaml" } else { target }, top.join("etc/redpak.yaml"))
                .unwrap();
            let read = text_below(&fd, &top, "etc/redpak.yaml");
            let dangling = matches!(read, Err(PlaceError::Dangling { .. }));
            assert_eq!(dangling, target == "../none", "{target}: {read:?}");
            assert!(dangling || matches!(read, Err(PlaceError::Refused { .. })), "{target}");
        }
        assert!(text_below(&fd, &top, "etc/none.yaml").unwrap().is_none());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_the_same_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let top = top(&dir);
        fs::create_dir_all(top.join("real/etc")).unwrap();
        fs::write(top.join("file"), "").unwrap();
        symlink("real", top.join("good")).unwrap();
        symlink(top.join("none/deeper"), top.join("bad")).unwrap();
        symlink("bad", top.join("worse")).unwrap();
        symlink("file/x", top.join("odd")).unwrap();
        let end = |name: &str| {
            let way = place::way(&top.join(name)).unwrap();
            (way.path.strip_prefix(&top).unwrap().to_path_buf(), way.end)
        };
        // What is missing behind a good link is only missing.
        for (name, real) in [("none", "none"), ("good/etc/x/y", "real/etc/x/y"), ("good/etc/../x", "real/x")]
        {
            let (path, end) = end(name);
            assert!(path == Path::new(real) && matches!(end, End::Missing), "{name}: {path:?} {end:?}");
            assert!(place::is_missing(&text_at(&top.join(name)).unwrap_err()), "{name}");
        }
        for (name, real, by) in
            [("bad", "none/deeper", "bad"), ("worse/x", "none/deeper/x", "bad"), ("odd/y", "file/x/y", "odd")]
        {
            let (path, end) = end(name);
            assert!(matches!(&end, End::Dangling(link) if *link == top.join(by)), "{name}: {end:?}");
            assert_eq!(path, Path::new(real), "{name}: where its target would be");
            let error = text_at(&top.join(name)).unwrap_err();
            assert!(!place::is_missing(&error), "{name}: {error}");
        }
        let (path, end) = end("good/../bad/../../real/./etc");
        assert!(path == Path::new("none/real/etc") || matches!(end, End::Dangling(_)));
    }

    #[test]
    fn a_path_is_resolved_as_the_kernel_resolves_it() {
        let dir = tempfile::tempdir().unwrap();
        let top = top(&dir);
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        symlink("a/b", top.join("short")).unwrap();
        symlink("/", top.join("root")).unwrap();
        let all = ["short/c", "short/../b/./c", "a/../short/c/..", "root", "root/..", ".."];
        for path in all.map(|name| top.join(name)) {
            let way = place::way(&path).unwrap();
            assert_eq!(way.path, fs::canonicalize(&path).unwrap(), "{}", path.display());
        }
    }
}
