//! Mount points that an export lacks, in a layer of the launch over it: nothing is made in a node. And directories
//! for the command, which stay writable in a root that does not.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchmod, fstat, mkdirat, openat, openat2,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::Mount;
use super::assemble::{Builder, attach_at, clone_tree};
use super::fresh::fresh;
use super::place::{mount_id, path_of};
use crate::launch::error::{Doing, LaunchError, tried};
use crate::node::guard::mount_table::unescape;
use crate::node::place::real_path;
use crate::node::text_path::is_within;
use crate::spec::engine::room::MissingPoint;
use crate::spec::layout::Entry;
use crate::sys::mount_attr::{self, MountAttr, flag};

impl Builder<'_> {
    /// Makes room for the mount points that a read-only directory of a node lacks. Each is in a layer over the
    /// deepest directory on the way to it, and over no more: sockets cannot be reached through an overlay. The
    /// answer is what is at the destination now.
    pub(super) fn with_room(&mut self, mount: &Mount, tree: OwnedFd) -> Result<OwnedFd, LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("mount {destination}");
        let export = self.places.open(destination, OFlags::PATH | OFlags::DIRECTORY).doing(what)?;
        let mut top = tree;
        for (place, points) in covered(&export, &mount.missing_points).doing(what)? {
            let overlay = cover(mount, &export, place, &points)?;
            if place.is_empty() {
                top = overlay;
            }
        }
        Ok(top)
    }

    /// Refuses what a link has led to where something else was mounted since: nobody would find it.
    pub(super) fn check_led(&self) -> Result<(), LaunchError> {
        for (destination, mount) in &self.led {
            let found = self.places.open(destination, OFlags::PATH).and_then(mount_id);
            // It can be missing there, too.
            if found.ok() != Some(*mount) {
                return Err(LaunchError::refused(
                    format!("mount point {destination}"),
                    "is a symbolic link into another mount; make it a file of its own",
                ));
            }
        }
        Ok(())
    }
}

/// Mounts directories for the command onto themselves, so that they stay writable in a root that does not.
pub(super) fn stay_writable(root: &OwnedFd, entries: &BTreeMap<String, Entry>) -> Result<(), LaunchError> {
    for (path, _) in entries.iter().filter(|(_, entry)| **entry == Entry::Anonymous) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(root, &path[1..], flags, Mode::empty()).doing(|| path.as_str())?;
        let tree = clone_tree(&directory, false).doing(|| path.as_str())?;
        attach_at(tree, directory).doing(|| path.as_str())?;
    }
    Ok(())
}

/// Directories of an export that need a layer, by their paths in it, each with the mount points in that layer. None
/// lies in another one: what is mounted over the outer one would have an overlay of an overlay.
fn covered<'p>(
    export: &OwnedFd,
    points: &'p [MissingPoint],
) -> rustix::io::Result<BTreeMap<&'p str, Vec<&'p MissingPoint>>> {
    let mut all: BTreeMap<&str, Vec<&MissingPoint>> = BTreeMap::new();
    for point in points {
        all.entry(deepest(export, &point.path)?).or_default().push(point);
    }
    let places: Vec<&str> = all.keys().copied().collect();
    for place in places {
        let mut above = std::iter::successors(parent(place), |place| parent(place));
        // The outermost is kept: it comes first, and has taken what lies in it by then.
        if let Some(outer) = above.by_ref().filter(|above| all.contains_key(above)).last() {
            let inner = all.remove(place).unwrap_or_default();
            all.entry(outer).or_default().extend(inner);
        }
    }
    Ok(all)
}

/// The directory that a path lies in, both below an export.
fn parent(path: &str) -> Option<&str> {
    if path.is_empty() { None } else { Some(path.rsplit_once('/').map_or("", |(above, _)| above)) }
}

/// The deepest directory that is there on the way to a mount point. A plan has no links on that way.
fn deepest<'p>(export: &OwnedFd, point: &'p str) -> rustix::io::Result<&'p str> {
    for place in std::iter::successors(parent(point), |place| parent(place)) {
        match open_below(export, place) {
            Err(Errno::NOENT) => {}
            found => return found.map(|_| place),
        }
    }
    Err(Errno::NOENT)
}

fn open_below(export: &OwnedFd, place: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let scope = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(export, if place.is_empty() { "." } else { place }, flags, Mode::empty(), scope)
}

/// Covers a directory of an export with an overlay of it and of the mount points that it lacks (overlayfs.rst,
/// "Multiple lower layers"). Without a layer for what is written it is read-only as the directory is, and it has
/// the flags of the mount that the directory is on.
fn cover(
    mount: &Mount,
    export: &OwnedFd,
    place: &str,
    points: &[&MissingPoint],
) -> Result<OwnedFd, LaunchError> {
    let destination = mount.destination.as_str();
    let what = || format!("mount {destination}");
    let below = open_below(export, place).doing(what)?;
    if has_mounts(&below).doing(what)? {
        return Err(no_room(mount, points, "other file systems are mounted below it"));
    }
    let layer = fresh("tmpfs", "red-room", &["mode=0755".to_owned()], flag::NOSUID | flag::NODEV)?;
    for point in points {
        make(&layer, &below, place, point).doing(|| format!("mount point {destination}/{}", point.path))?;
    }
    let kept = mount_attr::of(&below).doing(what)?;
    // Layers are found by path, and in no other mount namespace than this one.
    attach_at(&layer, &below).doing(what)?;
    let layers = format!("lowerdir={}:{}", path_of(layer.as_fd()), path_of(below.as_fd()));
    let overlay = fresh("overlay", "red-room", &[layers], flag::RDONLY);
    unmount(path_of(layer.as_fd()).as_str(), UnmountFlags::DETACH).doing(what)?;
    let overlay = overlay.map_err(|error| no_room(mount, points, &error.to_string()))?;
    Builder::set_flags(&overlay, mount)?;
    let kept = MountAttr { set: kept.set | flag::RDONLY, ..kept };
    mount_attr::set(&overlay, false, kept).doing(|| format!("flags of mount {destination}"))?;
    attach_at(&overlay, &below).doing(what)?;
    Ok(overlay)
}

fn no_room(mount: &Mount, points: &[&MissingPoint], why: &str) -> LaunchError {
    let names = points.iter().map(|point| format!("{}/{}", mount.destination, point.path));
    let names = names.collect::<Vec<_>>().join(", ");
    LaunchError::refused(
        format!("mount {}", mount.destination),
        format!("cannot add the mount points {names} to what the node exports: {why}; make them in the node"),
    )
}

/// Whether something is mounted below a directory (proc_pid_mountinfo(5)): a layer over it would uncover what is
/// there.
fn has_mounts(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let mount = mount_id(directory)?.to_string();
    let path = real_path(directory)?;
    let path = path.to_str().ok_or(Errno::ILSEQ)?;
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(table.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let is_child = fields.next() == Some(&*mount);
        is_child && fields.nth(2).is_some_and(|point| is_within(&unescape(point), path))
    }))
}

/// Makes a mount point in the layer over `place`, and the directories on the way to it like those of the export.
fn make(layer: &OwnedFd, below: &OwnedFd, place: &str, point: &MissingPoint) -> rustix::io::Result<()> {
    like(layer, ".", below, ".")?;
    let whole = point.path[place.len()..].trim_start_matches('/');
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for (end, _) in whole.match_indices('/').chain([(whole.len(), "")]) {
        let path = &whole[..end];
        if end == whole.len() && !point.dir {
            return openat(layer, path, flags, Mode::from_raw_mode(0o644)).map(drop);
        }
        match mkdirat(layer, path, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => {}
            made => made?,
        }
        like(layer, path, below, path)?;
    }
    Ok(())
}

/// Gives a directory of the layer owner and mode of that of the export, if there is one: the topmost layer has
/// the say.
fn like(layer: &OwnedFd, path: &str, export: &OwnedFd, like: &str) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let stat = match openat2(export, like, flags | OFlags::PATH, Mode::empty(), resolve) {
        Err(Errno::NOENT) => return Ok(()),
        found => fstat(found?)?,
    };
    // Who is nobody in this user namespace cannot be given anything.
    tried(chownat(
        layer,
        path,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    ));
    fchmod(openat(layer, path, flags, Mode::empty())?, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_over_the_deepest_directory_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("d")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let export = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let over = |paths: &[&str]| {
            let points: Vec<_> =
                paths.iter().map(|path| MissingPoint { path: (*path).to_owned(), dir: true }).collect();
            let all = covered(&export, &points).unwrap();
            let all = all.iter().map(|(place, points)| (place.to_string(), points.len()));
            all.collect::<Vec<_>>()
        };
        let one = |place: &str| vec![(place.to_owned(), 1)];
        assert_eq!(over(&["a/b/x/y"]), one("a/b"));
        assert_eq!(over(&["x"]), one(""));
        assert_eq!(over(&["a/b/c/x", "d/x"]), [("a/b/c".to_owned(), 1), ("d".to_owned(), 1)]);
        // What lies in another one is in the layer of that.
        assert_eq!(over(&["a/b/c/x", "a/x", "d/x"]), [("a".to_owned(), 2), ("d".to_owned(), 1)]);
        assert_eq!(over(&["a/b/c/x", "x", "a/x"]), [(String::new(), 3)]);
        // What became a link since the plan was made is not followed.
        std::os::unix::fs::symlink("d", dir.path().join("link")).unwrap();
        let link = [MissingPoint { path: "link/x".to_owned(), dir: true }];
        assert!(covered(&export, &link).is_err());
    }
}
