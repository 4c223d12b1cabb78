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
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Mount, MountBuilder, Spec};
use rustix::fs::{Mode, OFlags};

use super::identity::Target;
use super::json;
use super::layout::{Created, Entry, MountKind, anonymous_mode};
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
    /// Something stands in the way.
    #[error("{path} exists and is not an empty directory")]
    Occupied {
        /// Where the bundle should go.
        path: String,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was written.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The configuration could not be put into words.
    #[error("the configuration cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The configuration could not be changed for a bundle.
    #[error("the configuration cannot be adapted: {0}")]
    Oci(#[from] OciSpecError),
}

impl BundleError {
    /// The same error, with a path below `from` shown as one below `to`.
    fn moved(self, from: &Path, to: &Path) -> Self {
        match self {
            Self::Io { path, source } => {
                let shown = Path::new(&path).strip_prefix(from).map(|below| to.join(below));
                Self::Io { path: shown.map_or(path, |shown| shown.display().to_string()), source }
            }
            other => other,
        }
    }
}

trait At<T> {
    fn at(self, path: &Path) -> Result<T, BundleError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, BundleError> {
        self.map_err(|source| BundleError::Io { path: path.display().to_string(), source })
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, path: &Path) -> Result<T, BundleError> {
        self.map_err(io::Error::from).at(path)
    }
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
    free(dir)?;
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = fs::canonicalize(parent).at(parent)?;
    let dir = &parent.join(dir.file_name().ok_or_else(|| occupied(dir))?);
    let text = serde_json::to_string_pretty(&json::spec(&portable(plan, dir)?)?)?;
    for created in &plan.layout.create {
        create(created)?;
    }
    let building = Building::new(&parent, dir)?;
    let at = building.inside();
    let config = at.join("config.json");
    fs::write(&config, text + "\n")
        .at(&config)
        .and_then(|()| files(plan, &at))
        .and_then(|()| skeleton(plan, &at.join("rootfs")))
        .map_err(|error| error.moved(&at, &building.path))?;
    building.finish(dir)
}

fn occupied(dir: &Path) -> BundleError {
    BundleError::Occupied { path: dir.display().to_string() }
}

/// Checks that nothing would be overwritten.
fn free(dir: &Path) -> Result<(), BundleError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(occupied(dir)),
        Err(error) => Err(error).at(dir),
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(occupied(dir))),
    }
}

/// A bundle that is being built; removed again unless it is finished.
struct Building {
    path: PathBuf,
    dir: OwnedFd,
    done: bool,
}

/// How many names are tried. They are random, so a second one is needed only when somebody means harm.
const NAMES: usize = 16;

impl Building {
    /// Makes a directory that was not there before, beside the bundle.
    fn new(parent: &Path, dir: &Path) -> Result<Self, BundleError> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        for _ in 0..NAMES {
            let path = parent.join(format!(".{name}.{:016x}.tmp", random()));
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Ok(()) => return Self::own(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).at(&path),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists)).at(parent)
    }

    /// Opens what was made. In a directory that others may write to it may be theirs by now.
    fn own(path: PathBuf) -> Result<Self, BundleError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).at(&path)?;
        if rustix::fs::fstat(&dir).at(&path)?.st_uid != rustix::process::geteuid().as_raw() {
            return Err(replaced()).at(&path);
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755)).at(&path)?;
        Ok(Self { path, dir, done: false })
    }

    /// The directory, by a path that is of it whatever its name becomes.
    fn inside(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    fn finish(mut self, dir: &Path) -> Result<(), BundleError> {
        // Onto an empty directory rename works too (rename(2)).
        fs::rename(&self.path, dir).at(dir)?;
        self.done = true;
        let (held, now) = (rustix::fs::fstat(&self.dir).at(dir)?, rustix::fs::lstat(dir).at(dir)?);
        if (held.st_dev, held.st_ino) != (now.st_dev, now.st_ino) {
            return Err(replaced()).at(dir);
        }
        Ok(())
    }
}

fn replaced() -> io::Error {
    io::Error::other(
        "replaced by another user while it was written; use a directory that nobody else writes to",
    )
}

/// A number that nobody can foresee.
fn random() -> u64 {
    // Keys of a hash map's state are random for each process, and differ from call to call.
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.done {
            // What failed is being reported; this is only the broom.
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

fn files(plan: &Plan, dir: &Path) -> Result<(), BundleError> {
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
fn skeleton(plan: &Plan, root: &Path) -> Result<(), BundleError> {
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
fn like_tmpfs(plan: &Plan, root: &Path) -> Result<(), BundleError> {
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
fn directory(path: &Path) -> Result<(), BundleError> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).at(path),
    }
}

/// Makes an empty file.
fn file(path: &Path, mode: u32) -> Result<(), BundleError> {
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
pub(crate) fn create(created: &Created) -> Result<(), BundleError> {
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
