//! A composed view, made: directories and copies in the staging area, then mounts over them.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::compose::{Composition, Step};
use super::error::Place;
use super::host::Host;
use super::{Scaffold, Stamp, ViewError};
use crate::generation::{At, DATABASE, StoreError, make_directory};

/// Makes directories, copies and links in the staging area.
pub(super) fn prepare(
    composition: &Composition,
    upper: &Path,
    root: &OwnedFd,
    scaffold: &mut Scaffold,
) -> Result<(), StoreError> {
    for (at, step) in &composition.steps {
        match step {
            Step::Directory { like } => directory(root, upper, at, like.as_deref(), scaffold)?,
            Step::Overlay { lowers } => {
                directory(root, upper, at, lowers.first().map(PathBuf::as_path), scaffold)?;
            }
            Step::Copy { of } => copy(of, upper, at, scaffold)?,
            Step::Link { of } => link(of, upper, at, scaffold)?,
            Step::Bind { .. } => {}
        }
    }
    Ok(())
}

/// A directory with owner and mode of another one, if it is missing.
fn directory(
    root: &OwnedFd,
    upper: &Path,
    at: &Path,
    like: Option<&Path>,
    scaffold: &mut Scaffold,
) -> Result<(), StoreError> {
    let path = upper.join(at);
    let missing = fs::symlink_metadata(&path).is_err();
    let made = make_directory(root, upper, at)?;
    if let Some(facts) = like.and_then(|like| fs::symlink_metadata(like).ok()) {
        match rustix::fs::fchown(&made, Some(Uid::from_raw(facts.uid())), Some(Gid::from_raw(facts.gid()))) {
            // An ordinary user's staging area is that user's.
            Err(Errno::PERM | Errno::INVAL) | Ok(()) => {}
            Err(errno) => return Err(errno).at(path),
        }
        rustix::fs::fchmod(&made, Mode::from_raw_mode(facts.mode() & 0o7777 | 0o700)).at(&path)?;
    }
    if missing {
        scaffold.dirs.push(at.to_path_buf());
    }
    Ok(())
}

fn copy(of: &Path, upper: &Path, at: &Path, scaffold: &mut Scaffold) -> Result<(), StoreError> {
    let path = upper.join(at);
    let mut from = fs::File::from(open(of, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let facts = from.metadata().at(of)?;
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut into = match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.at(&path)?,
    };
    std::io::copy(&mut from, &mut into).at(&path)?;
    match std::os::unix::fs::fchown(&into, Some(facts.uid()), Some(facts.gid())) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::INVAL)) => {}
        given => given.at(&path)?,
    }
    into.set_permissions(fs::Permissions::from_mode(facts.mode() & 0o7777)).at(&path)?;
    if let Ok(time) = facts.modified() {
        into.set_modified(time).at(&path)?;
    }
    scaffold.files.push((at.to_path_buf(), Stamp::of(&path).at(&path)?));
    Ok(())
}

/// A link such as /bin → usr/bin, as the layer has it.
fn link(of: &Path, upper: &Path, at: &Path, scaffold: &mut Scaffold) -> Result<(), StoreError> {
    let path = upper.join(at);
    let target = fs::read_link(of).at(of)?;
    match std::os::unix::fs::symlink(target, &path) {
        Ok(()) => scaffold.files.push((at.to_path_buf(), Stamp::of(&path).at(&path)?)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).at(path),
    }
    Ok(())
}

/// Opens a path of the host. What runs in a node cannot lead it elsewhere by a link.
fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, StoreError> {
    openat2(CWD, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .at(path)
}

fn by_descriptor(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts over the staging area, which is the working directory.
pub(super) struct Mounter<'a> {
    /// The staging area, reached without what is mounted over it.
    pub(super) root: &'a OwnedFd,
    /// Its path.
    pub(super) upper: &'a Path,
    /// Where overlayfs keeps its own state.
    pub(super) work: &'a Path,
    pub(super) host: &'a dyn Host,
    /// Whether this is root of a user namespace.
    pub(super) user: bool,
}

impl Mounter<'_> {
    /// Mounts everything of a composition.
    pub(super) fn mount_all(
        &self,
        composition: &Composition,
        scaffold: &mut Scaffold,
    ) -> Result<(), ViewError> {
        for (index, (at, step)) in composition.steps.iter().enumerate() {
            match step {
                Step::Overlay { lowers } => self.overlay(at, lowers, index)?,
                Step::Bind { of } => self.bind(at, of, scaffold)?,
                Step::Directory { .. } | Step::Copy { .. } | Step::Link { .. } => {}
            }
        }
        // The node's database hides the core OS's.
        let database = make_directory(self.root, self.upper, DATABASE)?;
        Ok(mount_bind(by_descriptor(&database), DATABASE).at(self.upper.join(DATABASE))?)
    }

    /// One directory: what the layers have below, what is written above.
    fn overlay(&self, at: &Path, lowers: &[PathBuf], index: usize) -> Result<(), ViewError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let below: Vec<OwnedFd> = lowers.iter().map(|lower| open(lower, flags)).collect::<Result<_, _>>()?;
        let upper = make_directory(self.root, self.upper, at)?;
        let work = self.work.join(index.to_string());
        fs::create_dir_all(&work).at(&work)?;
        let work = open(&super::real(&work), flags)?;
        let names: Vec<String> = below.iter().map(by_descriptor).collect();
        // `volatile`: what is not synced is thrown away when power goes; the store syncs before it switches.
        // The kernel decides redirects and metacopies itself where an ordinary user mounts.
        let kind = if self.user { "userxattr" } else { "redirect_dir=off,index=off,metacopy=off" };
        let options = format!(
            "lowerdir={},upperdir={},workdir={},volatile,{kind}",
            names.join(":"),
            by_descriptor(&upper),
            by_descriptor(&work)
        );
        let options = std::ffi::CString::new(options).map_err(|_nul| Errno::INVAL).at(at)?;
        // Device nodes of lower layers mean nothing here; set-user-id programs do not run as others.
        mount("red-view", at, "overlay", MountFlags::NODEV, Some(options.as_c_str())).map_err(|errno| {
            let place = |dir: &PathBuf| Place {
                dir: dir.clone(),
                mount: self.host.mount_point(dir),
                fstype: self.host.fstype(dir),
            };
            let layers = lowers.iter().chain([&self.upper.to_path_buf()]).map(place).collect();
            ViewError::Overlay { at: at.to_path_buf(), layers, errno }
        })
    }

    /// A file that nobody changes.
    fn bind(&self, at: &Path, of: &Path, scaffold: &mut Scaffold) -> Result<(), ViewError> {
        let path = self.upper.join(at);
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o444).open(at) {
            Ok(_) => scaffold.points.push(at.to_path_buf()),
            // Written by somebody who knew better.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error).at(path)?,
        }
        let source = open(of, OFlags::PATH)?;
        mount_bind(by_descriptor(&source), at).at(&path)?;
        // Flags that the source's mount has are locked in a user namespace (mount_namespaces(7)).
        let there = rustix::fs::statvfs(at).at(&path)?.f_flag;
        let mut flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV;
        for (has, keep) in [
            (rustix::fs::StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (rustix::fs::StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        ] {
            if there.contains(has) {
                flags |= keep;
            }
        }
        Ok(mount_remount(at, flags, "").at(path)?)
    }
}
