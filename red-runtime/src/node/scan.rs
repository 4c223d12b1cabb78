//! The nodes below a directory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

use super::contents;
use super::diagnostic::{Code, Diagnostic};
use super::family::STATUS_NAME;
use super::limits;
use super::load::{Loader, NodeDraft};
use super::place::{self, Facts, PlaceError};

/// A node and those below it.
#[derive(Debug)]
pub struct Found {
    /// Its directory.
    pub path: PathBuf,
    /// What could be read of it.
    pub draft: NodeDraft,
    /// Nodes below it, by path.
    pub children: Vec<Found>,
}

/// Directories of a root file system: what a node holds, not what is below it in the family. A
/// node may have such a name, but none is looked for deeper inside.
const OWN: [&str; 22] = [
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "lost+found",
    "media",
    "mnt",
    "opt",
    "private",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "usr",
    "var",
];

/// Levels of directories that are no nodes between two nodes.
const BETWEEN: usize = 8;

/// Entries looked at in one directory.
const ENTRIES: usize = 10_000;

/// Finds every node at and below `dir`, which need not be one. Mistakes in nodes go to the loader's
/// report.
///
/// # Errors
/// The directory cannot be opened.
pub fn scan(loader: &mut Loader, dir: &Path) -> Result<(PathBuf, Vec<Found>), PlaceError> {
    let path = place::canonical(dir)?;
    let refused = |errno| PlaceError::Refused { path: path.display().to_string(), errno };
    let (fd, facts) = place::open_walk(&path).map_err(refused)?;
    let mut found = Vec::new();
    let place = Place { fd, facts, path: path.clone(), in_node: false };
    look(loader, place, 0, 0, &mut found);
    Ok((path, found))
}

struct Place {
    fd: OwnedFd,
    facts: Facts,
    path: PathBuf,
    in_node: bool,
}

/// Looks at one directory and what is below it.
fn look(loader: &mut Loader, place: Place, between: usize, depth: usize, found: &mut Vec<Found>) {
    let planted = loader.planted(&place.fd, &place.path, &place.facts, &[]) || of_contents(loader, &place);
    let draft = if planted { None } else { loader.node(&place.fd, &place.path, place.facts, false) };
    match draft {
        Some(draft) => {
            let mut node = Found { path: place.path.clone(), draft, children: Vec::new() };
            if depth < limits::FAMILY_NODES {
                below(loader, &Place { in_node: true, ..place }, 0, depth + 1, &mut node.children);
            }
            found.push(node);
        }
        None if between < BETWEEN => below(loader, &place, between + 1, depth, found),
        None => {}
    }
}

/// Whether a container could have made a node there, so that it is none.
fn of_contents(loader: &mut Loader, place: &Place) -> bool {
    if statat(&place.fd, STATUS_NAME, AtFlags::SYMLINK_NOFOLLOW).is_err() {
        return false;
    }
    let Ok(Some(why)) = contents::place_of(&place.path) else { return false };
    let message = format!("{} is no node, whatever it says: it is {why}", place.path.display());
    loader.report.push(
        Diagnostic::warning(Code::NodeWritable, message)
            .help("move it out of there if it is to be one, or export a smaller directory"),
    );
    true
}

fn below(loader: &mut Loader, place: &Place, between: usize, depth: usize, found: &mut Vec<Found>) {
    let Some(names) = directories(loader, place) else { return };
    for name in names {
        let path = place.path.join(&name);
        let Ok((fd, facts)) = place::child(&place.fd, name.as_ref(), &path) else { continue };
        let own = place.in_node && OWN.contains(&name.as_str());
        let child = Place { fd, facts, path, in_node: place.in_node };
        if own {
            // Only the directory itself may be a node.
            look(loader, child, BETWEEN, depth, found);
        } else {
            look(loader, child, between, depth, found);
        }
    }
}

/// Names of the directories in a directory, sorted, hidden ones left out.
fn directories(loader: &mut Loader, place: &Place) -> Option<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let entries = openat(&place.fd, ".", flags, Mode::empty()).and_then(|fd| Dir::read_from(fd.as_fd()));
    let entries = match entries {
        Ok(entries) => entries,
        Err(errno) => {
            let message = format!("{}: {}", place.path.display(), place::plain(errno));
            loader.report.push(Diagnostic::warning(Code::Unreadable, message));
            return None;
        }
    };
    let mut names = Vec::new();
    for entry in entries.flatten().take(ENTRIES) {
        // A file system that does not tell types is asked again when the entry is opened.
        let maybe = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        let name = entry.file_name().to_str().ok().filter(|name| maybe && !name.starts_with('.'));
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    Some(names)
}
