//! The install view: the sum of core OS, ancestors and node at its ordinary paths, of which every
//! byte that is written lands in the staging area.
//!
//! Each top directory is an overlay, or is composed of several ([`compose`]); the root is the staging
//! area itself, so that a directory that nobody knew of lands there too.

pub(crate) mod bench;
mod compose;
mod error;
mod host;
mod layers;
mod place;
mod places;
mod scaffold;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

pub(crate) use self::compose::Composition;
use self::compose::{Layer, Wanted, compose};
use self::host::{Host, Kind, Machine};
use self::layers::Mounter;
use super::{Job, Lower, mirror};
use crate::generation::{At, DATABASE, make_directory};

pub(crate) use self::error::ViewError;
pub(crate) use self::place::{Findings, check, look_at, probe};
pub(crate) use self::scaffold::{Scaffold, Stamp};

/// Mounts the view, and makes it the root. Afterwards nothing of the host is reachable but through
/// the view. `files` are the paths of packages, absolute. Returns what the view put into the staging area.
pub(super) fn enter(job: &Job, files: &BTreeSet<PathBuf>) -> Result<Scaffold, ViewError> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags)
        .map_err(|error| Errno::from_raw_os_error(error as i32))
        .at("namespaces of the install view")?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).at("/")?;
    let wanted = wanted(files);
    let machine = machine(&job.lowers, in_user_namespace());
    let composition = composition(&job.lowers, &wanted, &machine)?;
    let upper = job.upper.as_path();
    let root = rustix::fs::open(upper, crate::generation::DIRECTORY, Mode::empty()).at(upper)?;
    drop(make_directory(&root, upper, DATABASE)?);
    let mut scaffold = Scaffold {
        own: composition.own.clone(),
        overlays: composition.overlays().map(|(at, _)| at.to_path_buf()).collect(),
        split_at: composition.split_at.clone(),
        ..Scaffold::default()
    };
    layers::prepare(&composition, upper, &root, &mut scaffold)?;
    if has_one_id() {
        mirror::make(job, &wanted.directories, &composition, &mut scaffold).at(upper)?;
    }
    mount_bind(upper, upper).at(upper)?;
    rustix::process::chdir(upper).at(upper)?;
    let mounter = Mounter { root: &root, upper, work: &job.work, host: &machine, user: in_user_namespace() };
    mounter.mount_all(&composition, &mut scaffold)?;
    drop(root);
    places::places()?;
    places::pivot()?;
    Ok(scaffold)
}

/// Whether this is root of a user namespace rather than of the machine.
pub(super) fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().nth(2).is_some_and(|count| count != "4294967295"))
}

/// Whether only one user id means anything here.
pub(super) fn has_one_id() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) == Some("1"))
}

/// What packages need of a view.
fn wanted(files: &BTreeSet<PathBuf>) -> Wanted {
    let mut wanted = Wanted::default();
    for file in files {
        let Ok(file) = file.strip_prefix("/") else { continue };
        for above in file.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty()) {
            if !wanted.directories.insert(above.to_path_buf()) {
                break;
            }
        }
        wanted.files.insert(file.to_path_buf());
    }
    wanted
}

/// The machine with the nodes of a family.
fn machine(lowers: &[Lower], locked: bool) -> Machine {
    let nodes = lowers.iter().filter_map(|lower| lower.variable.as_deref().and_then(Path::parent));
    Machine::new(nodes.map(real).collect(), locked)
}

/// A path without symbolic links, as far as there is one.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_missing| path.to_path_buf())
}

/// Composes the view of a family. Top directories are those of any layer that packages usually have,
/// and those that packages will own.
fn composition(lowers: &[Lower], wanted: &Wanted, machine: &Machine) -> Result<Composition, ViewError> {
    let layers: Vec<Layer> = lowers
        .iter()
        .enumerate()
        .map(|(index, lower)| {
            // What runs in a node may put a link in the place of its `var`: that is no layer.
            let variable =
                lower.variable.as_ref().and_then(|path| Some(real(path.parent()?).join(path.file_name()?)));
            let variable = variable.filter(|path| machine.kind(path) == Some(Kind::Directory));
            Layer { root: real(&lower.root), variable, own: index == 0 && lower.variable.is_some() }
        })
        .collect();
    let usual = crate::generation::USUAL.into_iter().chain(["var"]).map(str::to_owned);
    let packages = wanted.directories.iter().filter(|dir| dir.components().count() == 1);
    let tops = usual.chain(packages.map(|dir| dir.to_string_lossy().into_owned())).collect();
    compose(&layers, &tops, wanted, machine)
}
