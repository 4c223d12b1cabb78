//! A plan as a bundle on disk, which any OCI runtime runs unmodified.
//!
//! A runtime that does not know about redpak takes the root from a directory, which would outlive
//! the container. So in a bundle the root is read-only, and what an Anonymous export promises (a
//! fresh writable directory of this launch) is a tmpfs. Everything else is the plan's own
//! configuration.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder, Spec};
use rustix::fs::{Mode, OFlags};

use super::identity::Target;
use super::json;
use super::layout::{Created, Entry, MountKind, anonymous_mode};
use super::new_dir::{At, DirError, NewDir};
use super::plan::Plan;
use crate::node::place;

/// Name of the n-th file of a launch (from 1), relative to the bundle.
#[must_use]
pub fn file_name(number: usize) -> PathBuf {
    PathBuf::from(format!("files/{number}"))
}

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The plan was made for showing: its commands did not run.
    #[error("the plan is not complete: its commands were not run")]
    Incomplete,
    /// It cannot be put there.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The configuration could not be put into words.
    #[error("the configuration cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The configuration could not be changed for a bundle.
    #[error("the configuration cannot be adapted: {0}")]
    Oci(#[from] OciSpecError),
}

/// Writes a bundle to `dir`, which must not exist or be empty. It appears there at once and whole:
/// until then it is built beside it. Directories of nodes that the plan creates are made first.
///
/// # Errors
/// The plan is not complete, something stands in the way, or the file system refuses. Then `dir`
/// is as it was.
pub fn write(plan: &Plan, dir: &Path) -> Result<(), BundleError> {
    if !plan.complete {
        return Err(BundleError::Incomplete);
    }
    let new = NewDir::at(dir)?;
    let text = serde_json::to_string_pretty(&json::spec(&portable(plan, new.path())?)?)?;
    for created in &plan.layout.create {
        create(created)?;
    }
    new.fill(|at| {
        let config = at.join("config.json");
        fs::write(&config, text + "\n").at(&config)?;
        files(plan, at)?;
        skeleton(plan, &at.join("rootfs"))
    })?;
    Ok(())
}

fn files(plan: &Plan, dir: &Path) -> Result<(), DirError> {
    for (number, file) in (1..).zip(&plan.files) {
        let path = dir.join(file_name(number));
        if number == 1 {
            directory(&dir.join("files"))?;
        }
        fs::write(&path, file.content.as_deref().unwrap_or_default()).at(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).at(&path)?;
    }
    Ok(())
}

/// Makes the root, with what belongs into a tmpfs of it in its place: the tmpfs starts as a copy.
fn skeleton(plan: &Plan, root: &Path) -> Result<(), DirError> {
    directory(root)?;
    let all: BTreeMap<&String, &Entry> = plan.layout.skeleton.iter().chain(&plan.layout.within).collect();
    for (path, entry) in all {
        let path = root.join(path.trim_start_matches('/'));
        let missing = path.ancestors().skip(1).take_while(|above| !above.exists());
        for above in missing.collect::<Vec<_>>().into_iter().rev() {
            directory(above)?;
        }
        match entry {
            Entry::Dir | Entry::Anonymous => directory(&path)?,
            Entry::File => file(&path, 0o444)?,
            Entry::Lock => file(&path, 0o644)?,
            Entry::Symlink { target } => std::os::unix::fs::symlink(target, &path).at(&path)?,
        }
    }
    like_tmpfs(plan, root)
}

/// Gives the directories under a tmpfs its mode and owner: a runtime that copies them up may take
/// these from the directory instead of the options.
fn like_tmpfs(plan: &Plan, root: &Path) -> Result<(), DirError> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    for mount in plan.layout.mounts.iter().filter(|mount| mount.kind == MountKind::Tmpfs) {
        let path = below(&mount.destination);
        if path.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).at(&path)?;
        }
    }
    for (path, entry) in &plan.layout.skeleton {
        if *entry == Entry::Anonymous {
            let (path, mode) = (below(path), anonymous_mode(path));
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).at(&path)?;
            let Target { uid, gid } = plan.target;
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).at(&path)?;
        }
    }
    Ok(())
}

/// Makes a directory that everybody may read, whatever the umask says; one that is there is fine.
fn directory(path: &Path) -> Result<(), DirError> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).at(path),
    }
}

/// Makes an empty file.
fn file(path: &Path, mode: u32) -> Result<(), DirError> {
    fs::File::create(path).at(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at(path)
}

/// Mode of directories of nodes, whatever the umask says (REDPAK §5). What decides for a node is its
/// owner's alone.
fn mode_of(name: &OsStr, private: bool) -> u32 {
    match private {
        true => 0o700,
        false if name == ".red" => 0o755,
        false => 0o775,
    }
}

/// Makes a directory of a node, component by component below the node and following nothing.
///
/// Containers may write to where it is made, and exchange names there at any moment: a mode is given
/// to the very directory that was opened, never to a name (chmod(2) follows links).
pub(crate) fn create(created: &Created) -> Result<(), DirError> {
    let path = Path::new(&created.path);
    let (mut dir, _) = place::open_walk(&created.node).at(&created.node)?;
    let below = path.strip_prefix(&created.node).unwrap_or(path);
    for name in below.components() {
        let name = name.as_os_str();
        dir = step(&dir, name, mode_of(name, created.private)).at(path)?;
    }
    Ok(())
}

/// The directory `name` of `dir`, made if it is missing.
fn step(dir: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode)) {
        Ok(()) => fresh(dir, name, mode),
        Err(rustix::io::Errno::EXIST) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a directory that was just made, and gives it its mode. Something else may have the name by now.
fn fresh(dir: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let facts = rustix::fs::fstat(&made)?;
    if facts.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("another user's directory took its place while it was made"));
    }
    // A directory of the caller's that was moved here keeps its mode: it has something in it. (So does a
    // new one into which another launch has put something already.)
    if facts.st_mode & 0o777 != mode && is_empty(&made)? {
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))?;
    }
    Ok(made)
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The configuration of the bundle at `dir`. The specification allows sources relative to the
/// bundle, but crun up to 1.8 looks for them elsewhere, so they are made absolute.
fn portable(plan: &Plan, dir: &Path) -> Result<Spec, BundleError> {
    let mut spec = plan.spec.clone();
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(true));
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for (path, entry) in &plan.layout.skeleton {
        if *entry == Entry::Anonymous {
            mounts.push(anonymous(plan, path)?);
        }
    }
    mounts.sort_by(|a, b| a.destination().components().cmp(b.destination().components()));
    let destinations: Vec<PathBuf> = mounts.iter().map(|mount| mount.destination().clone()).collect();
    for mount in &mut mounts {
        let source = mount.source().clone().filter(|source| source.starts_with("files"));
        if let Some(source) = source {
            mount.set_source(Some(dir.join(source)));
        }
        let fresh = mount.typ().as_deref() == Some("tmpfs");
        if fresh && has_contents(plan, mount.destination(), &destinations) {
            let mut options = mount.options().clone().unwrap_or_default();
            options.push("tmpcopyup".to_owned());
            mount.set_options(Some(options));
        }
    }
    spec.set_mounts(Some(mounts));
    Ok(spec)
}

fn anonymous(plan: &Plan, path: &str) -> Result<Mount, OciSpecError> {
    let owner = [format!("uid={}", plan.inside.uid), format!("gid={}", plan.inside.gid)];
    let mode = format!("mode={:04o}", anonymous_mode(path));
    let options = ["nosuid".to_owned(), "nodev".to_owned(), mode].into_iter().chain(owner);
    MountBuilder::default()
        .destination(path)
        .typ("tmpfs")
        .source("tmpfs")
        .options(options.collect::<Vec<_>>())
        .build()
}

/// Whether a tmpfs must start with something in it that is not just the way to a mount point,
/// which every runtime makes by itself.
fn has_contents(plan: &Plan, tmpfs: &Path, mounts: &[PathBuf]) -> bool {
    let all = plan.layout.skeleton.iter().chain(&plan.layout.within);
    let below = all.filter(|(path, _)| Path::new(path).starts_with(tmpfs) && Path::new(path) != tmpfs);
    let innermost = |path: &Path| {
        mounts.iter().filter(|mount| path.starts_with(mount)).max_by_key(|mount| mount.as_os_str().len())
    };
    below.filter(|(path, _)| innermost(Path::new(path)).is_some_and(|mount| mount == tmpfs)).any(
        |(path, entry)| match entry {
            Entry::Symlink { .. } | Entry::Lock => true,
            _ => !mounts.iter().any(|mount| mount.starts_with(path)),
        },
    )
}

#[cfg(test)]
mod tests;
