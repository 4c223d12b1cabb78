//! Files of accounts as processes of a container will find them, read before there is a container.
//!
//! Contents of nodes are foreign: their links are followed as the container follows them, from export to export,
//! and never into the host.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use super::layout::{Mount, MountKind};
use super::plan::Plan;
use crate::node::place::{Facts, PlaceError, file_in};
use crate::node::text_path::is_within;

/// Bytes of the largest file of accounts.
const LARGEST: u64 = 1 << 20;

/// Links that are followed, as many as path_resolution(7) allows.
const MOST_LINKS: usize = 40;

/// Contents of the file at a path of the container; `None` where there is nothing.
///
/// # Errors
/// There is something that cannot be read, is no regular file, or has more than 1 MiB.
pub fn read(plan: &Plan, path: &str) -> Result<Option<Vec<u8>>, PlaceError> {
    let path = without_links(plan, path)?;
    if let Some(file) = plan.files.iter().find(|file| file.destination == path) {
        return Ok(file.content.clone());
    }
    let Some(source) = Source::of(plan, &path)? else { return Ok(None) };
    let shown = Path::new(&source.shown);
    match source.dir() {
        Some((dir, rest)) => file_in(dir, Path::new(rest), STRAIGHT, (shown, LARGEST)),
        None => file_in(CWD, shown, ResolveFlags::NO_SYMLINKS, (shown, LARGEST)),
    }
}

/// Below a directory, and without symbolic links: they are followed here, as the container will.
const STRAIGHT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The source on the host of a path in an export.
struct Source<'p> {
    /// The exported directory with the path below it; `None` where the export is the file itself.
    below: Option<(OwnedFd, &'p str)>,
    /// The path on the host, for messages.
    shown: String,
}

impl<'p> Source<'p> {
    fn of(plan: &Plan, path: &'p str) -> Result<Option<Self>, PlaceError> {
        let covers = plan.layout.mounts.iter().filter(|mount| is_within(path, &mount.destination));
        let Some(cover) = covers.max_by_key(|mount| mount.destination.len()) else { return Ok(None) };
        let MountKind::Bind { source, .. } = &cover.kind else { return Ok(None) };
        let rest = path[cover.destination.trim_end_matches('/').len()..].trim_start_matches('/');
        let opened = open(source, cover)?;
        let shown = if rest.is_empty() { source.clone() } else { format!("{source}/{rest}") };
        Ok(Some(Self { below: (!rest.is_empty()).then_some((opened, rest)), shown }))
    }

    fn dir(&self) -> Option<(&OwnedFd, &'p str)> {
        self.below.as_ref().map(|(dir, rest)| (dir, *rest))
    }
}

/// Opens the source of an export, which has to be the one that was judged.
fn open(source: &str, mount: &Mount) -> Result<OwnedFd, PlaceError> {
    let refused = |errno| PlaceError::Refused { path: source.to_owned(), errno };
    let scope = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), scope);
    let opened = opened.map_err(refused)?;
    let facts = Facts::of(&opened).map_err(refused)?;
    if mount.id.is_some_and(|id| id != (facts.dev, facts.ino)) {
        return Err(refused(Errno::STALE));
    }
    Ok(opened)
}

/// A path of the container with its symbolic links resolved: those of the plan, and those in what is exported.
fn without_links(plan: &Plan, path: &str) -> Result<String, PlaceError> {
    let mut rest: VecDeque<String> = names(path).collect();
    let (mut here, mut links) = (String::new(), 0);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            here.truncate(here.rfind('/').unwrap_or(0));
            continue;
        }
        let next = format!("{here}/{name}");
        let of_plan = Some(plan.layout.resolve(&next)).filter(|led| *led != next);
        let target = match of_plan {
            Some(led) => Some(led),
            None => link(plan, &next)?,
        };
        let Some(target) = target else {
            here = next;
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(PlaceError::Refused { path: path.to_owned(), errno: Errno::LOOP });
        }
        if target.starts_with('/') {
            here.clear();
        }
        names(&target).collect::<Vec<_>>().into_iter().rev().for_each(|name| rest.push_front(name));
    }
    Ok(here)
}

fn names(path: &str) -> impl Iterator<Item = String> {
    path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned)
}

/// Target of a symbolic link in what is exported; `None` for anything else. No link is on the way to it.
fn link(plan: &Plan, path: &str) -> Result<Option<String>, PlaceError> {
    let Some(source) = Source::of(plan, path)? else { return Ok(None) };
    let Some((dir, rest)) = source.dir() else { return Ok(None) };
    let refused = |errno| PlaceError::Refused { path: source.shown.clone(), errno };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match openat2(dir, rest, flags, Mode::empty(), STRAIGHT) {
        Err(Errno::NOENT) => return Ok(None),
        found => found.map_err(refused)?,
    };
    if !Facts::of(&found).map_err(refused)?.is_link() {
        return Ok(None);
    }
    let target = readlinkat(found.as_fd(), "", Vec::new()).map_err(refused)?;
    target.into_string().map(Some).map_err(|_not| PlaceError::NotUtf8Path { path: source.shown.clone() })
}

#[cfg(test)]
mod tests;
