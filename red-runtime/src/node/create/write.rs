//! The files of a node, onto disk.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::node::place::{self, PlaceError};

/// Writes files below `parent/name`, in their order; directories on the way are made. Everything
/// goes through descriptors and follows no link, since the directory may belong to somebody else
/// than who writes. What was made is removed again when a later file cannot be written.
pub(super) fn write(parent: &Path, name: &str, files: &[(&'static str, String)]) -> Result<(), PlaceError> {
    let mut made: Vec<(PathBuf, bool)> = Vec::new();
    let result = write_all(parent, name, files, &mut made);
    if result.is_err() {
        remove(&made);
    }
    result
}

fn write_all(
    parent: &Path,
    name: &str,
    files: &[(&'static str, String)],
    made: &mut Vec<(PathBuf, bool)>,
) -> Result<(), PlaceError> {
    let refused = |path: &Path| {
        let path = path.display().to_string();
        move |errno: Errno| PlaceError::Refused { path, errno }
    };
    let (above, _) = place::open_walk(parent).map_err(refused(parent))?;
    let node_path = parent.join(name);
    let node = directory(&above, name, &node_path, made)?;
    for (file, text) in files {
        let (dir, path, last) = match file.split_once('/') {
            None => (node.try_clone(), node_path.clone(), *file),
            Some((below, last)) => {
                let path = node_path.join(below);
                (Ok(directory(&node, below, &path, made)?), path, last)
            }
        };
        let path = path.join(last);
        let dir = dir.map_err(|error| refused(&path)(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let existed = path.symlink_metadata().is_ok();
        one(&dir, last, text, &path)?;
        if !existed {
            made.push((path, false));
        }
    }
    fsync_dir(&above, parent)
}

/// Opens a directory, making it if it is missing.
fn directory(
    above: impl AsFd,
    name: &str,
    path: &Path,
    made: &mut Vec<(PathBuf, bool)>,
) -> Result<OwnedFd, PlaceError> {
    let refused = |errno| PlaceError::Refused { path: path.display().to_string(), errno };
    match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            made.push((path.to_path_buf(), true));
            // By descriptor: a name may be a link by now, and chmod(2) follows links.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir = openat(&above, name, flags, Mode::empty()).map_err(refused)?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755)).map_err(refused)?;
            Ok(dir)
        }
        // A generation of packages is reached through a link that stays in the node.
        Err(Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = place::open_in(&above, Path::new(name), flags, ResolveFlags::BENEATH);
            opened.map(|(fd, _)| fd).map_err(refused)
        }
        Err(errno) => Err(refused(errno)),
    }
}

/// Writes one file aside, syncs it and renames it into its place.
fn one(dir: &OwnedFd, name: &str, text: &str, path: &Path) -> Result<(), PlaceError> {
    let refused = |errno| PlaceError::Refused { path: path.display().to_string(), errno };
    let aside = format!(".{name}.{}.tmp", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, &aside, flags, Mode::from_raw_mode(0o644)).map_err(refused)?;
    let mut file = std::fs::File::from(fd);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
        .and_then(|()| rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(refused))
        .and_then(|()| renameat(dir, &aside, dir, name).map_err(refused));
    if written.is_err() {
        // It failed for a reason that is being reported.
        unlinkat(dir, &aside, AtFlags::empty()).unwrap_or(());
        return written;
    }
    fsync_dir(dir, path)
}

/// Makes names in a directory durable.
fn fsync_dir(dir: &OwnedFd, path: &Path) -> Result<(), PlaceError> {
    let refused = |errno| PlaceError::Refused { path: path.display().to_string(), errno };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(dir, ".", flags, Mode::empty()).map_err(refused)?;
    fsync(&readable).map_err(refused)
}

/// Removes what was made, last first. Directories go only when empty.
fn remove(made: &[(PathBuf, bool)]) {
    for (path, is_dir) in made.iter().rev() {
        drop(if *is_dir { std::fs::remove_dir(path) } else { std::fs::remove_file(path) });
    }
}
