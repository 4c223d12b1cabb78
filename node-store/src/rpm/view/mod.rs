//! The install view: the sum of core OS, ancestors and node at its ordinary paths, of which every
//! byte that is written lands in the staging area.
//!
//! Each top directory is an overlay; the root is the staging area itself, so that a directory that
//! nobody knew of lands there too.

mod places;

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::Job;
use crate::generation::{At, DATABASE, StoreError, make_directory};

/// Mounts the view, and makes it the root. Afterwards nothing of the host is reachable but through
/// the view.
pub(super) fn enter(job: &Job, packages: &BTreeSet<String>) -> Result<(), StoreError> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags)
        .map_err(|error| Errno::from_raw_os_error(error as i32))
        .at("namespaces of the install view")?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).at("/")?;
    let upper = job.upper.as_path();
    let root = rustix::fs::open(upper, crate::generation::DIRECTORY, Mode::empty()).at(upper)?;
    let lowers = open_lowers(job)?;
    let user = in_user_namespace();
    opaque_database(&root, upper, user)?;
    mount_bind(upper, upper).at(upper)?;
    rustix::process::chdir(upper).at(upper)?;
    for top in tops(job, packages, &lowers)? {
        overlay(&top, &lowers, &root, job, user)?;
    }
    drop(lowers);
    places::places()?;
    places::pivot()
}

/// Whether this is root of a user namespace rather than of the machine.
fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().nth(2).is_some_and(|count| count != "4294967295"))
}

/// A layer, open.
struct Layer {
    root: OwnedFd,
    variable: Option<OwnedFd>,
}

impl Layer {
    /// A top directory of it.
    fn top<'a>(&'a self, name: &'a str) -> (&'a OwnedFd, &'a str) {
        match &self.variable {
            Some(variable) if name == "var" => (variable, "."),
            _ => (&self.root, name),
        }
    }
}

fn open_lowers(job: &Job) -> Result<Vec<Layer>, StoreError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty()).at(path);
    let layer = |lower: &super::Lower| {
        let variable = lower.variable.as_ref().filter(|path| path.is_dir()).map(open).transpose()?;
        Ok(Layer { root: open(&lower.root)?, variable })
    };
    job.lowers.iter().map(layer).collect()
}

/// The node's database hides the core OS's.
fn opaque_database(root: &OwnedFd, upper: &Path, user: bool) -> Result<(), StoreError> {
    let dir = make_directory(root, upper, DATABASE)?;
    let name = if user { "user.overlay.opaque" } else { "trusted.overlay.opaque" };
    rustix::fs::fsetxattr(&dir, name, b"y", rustix::fs::XattrFlags::empty()).at(upper.join(DATABASE))
}

/// What becomes an overlay: top directories of any layer, and those that packages will own. Links
/// such as /bin are made again. The strongest layer that has a name decides which of both it is.
fn tops(job: &Job, packages: &BTreeSet<String>, layers: &[Layer]) -> Result<BTreeSet<String>, StoreError> {
    let mut tops = BTreeSet::new();
    let usual = crate::generation::USUAL.into_iter().chain(["var"]);
    for name in usual.chain(packages.iter().map(String::as_str)) {
        let found = layers.iter().find_map(|layer| {
            let (dir, below) = layer.top(name);
            let stat = statat(dir, below, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((layer, FileType::from_raw_mode(stat.st_mode)))
        });
        match found {
            Some((_, FileType::Directory)) => drop(tops.insert(name.to_owned())),
            Some((layer, FileType::Symlink)) => link(&layer.root, name, &job.upper)?,
            _ if name == "var" => drop(tops.insert(name.to_owned())),
            _ => {}
        }
    }
    Ok(tops)
}

/// A link such as /bin → usr/bin, as the layer has it.
fn link(root: &OwnedFd, name: &str, upper: &Path) -> Result<(), StoreError> {
    let target = rustix::fs::readlinkat(root, name, Vec::new()).at(name)?;
    match rustix::fs::symlinkat(&*target, CWD, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).at(upper.join(name)),
    }
}

/// One top directory: what the layers have below, what is written above.
fn overlay(top: &str, layers: &[Layer], root: &OwnedFd, job: &Job, user: bool) -> Result<(), StoreError> {
    let path = job.upper.join(top);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut open = Vec::new();
    for layer in layers {
        let (dir, below) = layer.top(top);
        if let Ok(dir) = openat(dir, below, flags | OFlags::NOFOLLOW, Mode::empty()) {
            open.push(dir);
        }
    }
    let upper = make_directory(root, &job.upper, top)?;
    if let Some(strongest) = open.first() {
        let stat = rustix::fs::fstat(strongest).at(&path)?;
        rustix::fs::fchmod(&upper, Mode::from_raw_mode(stat.st_mode & 0o7777)).at(&path)?;
    }
    if open.is_empty() {
        return Ok(());
    }
    let work_shown = job.work.join(top);
    std::fs::create_dir_all(&work_shown).at(&work_shown)?;
    let work = rustix::fs::open(&work_shown, flags, Mode::empty()).at(&work_shown)?;
    let of = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let below: Vec<String> = open.iter().map(of).collect();
    // `volatile`: what is not synced is thrown away when power goes; the store syncs before it switches.
    // The kernel decides redirects and metacopies itself where an ordinary user mounts.
    let kind = if user { "userxattr" } else { "redirect_dir=off,index=off,metacopy=off" };
    let options =
        format!("lowerdir={},upperdir={},workdir={},volatile,{kind}", below.join(":"), of(&upper), of(&work));
    let options = std::ffi::CString::new(options).map_err(|_nul| Errno::INVAL).at(&path)?;
    // Device nodes of lower layers mean nothing here; set-user-id programs do not run as others.
    mount("red-view", top, "overlay", MountFlags::NODEV, Some(options.as_c_str())).at(path)
}
