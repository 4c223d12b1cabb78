//! A mount of type `cgroup`: what a container sees of its own cgroups.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::symlinkat;
use rustix::io::Errno;

use super::assemble::{Terms, attach_at, clone_tree};
use super::fresh::fresh;
use super::place::{Kind, Links, Places, host};
use crate::launch::error::{Doing, LaunchError};
use crate::sys::mount_attr::flag;

const HOST: &str = "/sys/fs/cgroup";
const KERNEL: u64 = flag::NOSUID | flag::NODEV | flag::NOEXEC;

/// The mount itself, and for version 1 what is to be mounted in it.
pub(crate) struct Tree {
    pub(crate) mount: OwnedFd,
    hierarchies: Vec<Hierarchy>,
}

/// One hierarchy of version 1, or the bare version 2 beside them.
struct Hierarchy {
    /// Its directory.
    name: String,
    /// Its controllers, as mount options.
    controllers: Vec<String>,
    /// Path of the container in it.
    path: String,
}

/// The mount: version 2, or a directory for the hierarchies of version 1.
pub(crate) fn tree(terms: &Terms<'_>, flags: u64) -> Result<Tree, LaunchError> {
    if Path::new(HOST).join("cgroup.controllers").exists() {
        let path = terms.cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let mount = match fresh("cgroup2", "cgroup2", &[], flags) {
            Err(LaunchError::Call { errno: Errno::PERM | Errno::BUSY, .. }) => part(HOST, path)?,
            mount if terms.cgroup_namespace => mount?,
            // Without a namespace of its own the mount would show the whole machine.
            _ => part(HOST, path)?,
        };
        return Ok(Tree { mount, hierarchies: Vec::new() });
    }
    // Made writable; it gets its flags once it is filled.
    let mount = fresh("tmpfs", "cgroup", &["mode=0755".to_owned()], KERNEL & flags)?;
    Ok(Tree { mount, hierarchies: hierarchies(terms.cgroups) })
}

fn part(mount: &str, path: &str) -> Result<OwnedFd, LaunchError> {
    let path = format!("{mount}{}", path.trim_end_matches('/'));
    clone_tree(host(&path)?, false).doing(|| path)
}

/// The hierarchies of a process, from the text of its `/proc/…/cgroup` (cgroups(7)).
fn hierarchies(text: &str) -> Vec<Hierarchy> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let name = match controllers {
            "" => "unified",
            named => named.strip_prefix("name=").unwrap_or(named),
        };
        // A hierarchy can be there without being mounted where this process looks.
        if Path::new(HOST).join(name).join("cgroup.procs").exists() {
            let controllers =
                controllers.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            all.push(Hierarchy { name: name.to_owned(), controllers, path: path.to_owned() });
        }
    }
    all
}

/// Mounts the hierarchies of version 1 in their directory.
pub(super) fn fill(
    places: &Places,
    destination: &str,
    tree: &Tree,
    terms: &Terms<'_>,
) -> Result<(), LaunchError> {
    for hierarchy in &tree.hierarchies {
        let below = format!("{destination}/{}", hierarchy.name);
        let own = if hierarchy.controllers.is_empty() {
            ("cgroup2", Vec::new())
        } else {
            ("cgroup", hierarchy.controllers.clone())
        };
        let mount = match fresh(own.0, own.0, &own.1, KERNEL) {
            mount if terms.cgroup_namespace && mount.is_ok() => mount?,
            _ => part(&format!("{HOST}/{}", hierarchy.name), &hierarchy.path)?,
        };
        make(places, &below, &tree.mount)?;
        let point = places.mount_point(&below, Kind::Dir, Links::Refuse).doing(|| below.clone())?;
        attach_at(&mount, &point).doing(|| format!("mount {below}"))?;
        // `cpu` and `cpuacct` share a hierarchy, and programs look for each by itself.
        if hierarchy.controllers.len() > 1 {
            for one in &hierarchy.controllers {
                match symlinkat(hierarchy.name.as_str(), &tree.mount, one.as_str()) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).doing(|| format!("link {destination}/{one}")),
                }
            }
        }
    }
    Ok(())
}

fn make(places: &Places, path: &str, directory: &OwnedFd) -> Result<(), LaunchError> {
    let name = super::place::split(path).1;
    match rustix::fs::mkdirat(directory, name, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(_) => places.directory(path).map(drop).doing(|| path),
    }
}
