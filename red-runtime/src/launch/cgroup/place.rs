//! Where a container's cgroups go, and making them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Cgroups, Layout, MOUNT, Nested, hierarchies, write};
use crate::launch::error::{Doing, LaunchError, tried};

/// Cgroups that are wanted, checked, and not made yet.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// How they are laid out.
    pub(crate) layout: Layout,
    /// Path below each hierarchy.
    pub(crate) path: String,
    /// Directories that are missing, outer ones first.
    pub(crate) missing: Vec<PathBuf>,
    /// Directories of the container itself that are there already.
    pub(crate) standing: Vec<PathBuf>,
    /// `slice:prefix:name` when systemd makes it.
    pub(crate) systemd: Option<String>,
    /// Whether a launch goes on without them when they cannot be made.
    pub(crate) optional: bool,
    /// Path from which limits are handed down, and whether processes have to leave it first.
    pub(crate) top: (String, bool),
    /// What is made in a scope of our own asking.
    pub(crate) nested: Option<Nested>,
    /// Cgroups above its own that are there already and belong to nodes: whichever container is the last one in them
    /// takes them away.
    pub(crate) shared: Vec<PathBuf>,
}

/// Lines of `/proc/PID/cgroup`. Names of cgroups are bytes that whoever may make some chooses; one that
/// is no text cannot be recorded, and is not taken for no cgroup at all.
///
/// # Errors
/// It cannot be read, or is no text.
pub(crate) fn of_process(pid: &str) -> Result<String, LaunchError> {
    let path = format!("/proc/{pid}/cgroup");
    let bytes = std::fs::read(&path).doing(|| path.clone())?;
    String::from_utf8(bytes).map_err(|_bytes| LaunchError::refused(path, "a cgroup's name is not UTF-8"))
}

/// The cgroup of this process: of version 2, or on version 1 where systemd would keep it.
pub(crate) fn own_path() -> String {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of =
        |prefix: &str| text.lines().find_map(|line| line.split_once(prefix)).map(|(_, path)| path.to_owned());
    let path = of("0::").unwrap_or_default();
    if path.is_empty() { "/".to_owned() } else { path }
}

impl Wanted {
    /// What a configuration asks for. Refused are paths that would make somebody else's cgroup the
    /// container's: deleting the container would end everything in it.
    ///
    /// # Errors
    /// The path is one of those.
    pub(crate) fn of(
        spec: &Spec,
        (id, scope): (&str, &str),
        systemd: bool,
    ) -> Result<Option<Self>, LaunchError> {
        let layout = Layout::here();
        if layout == Layout::None {
            return Ok(None);
        }
        let asked = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
        let asked = asked.map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty());
        if let (true, Some(path)) = (systemd, &asked) {
            return Self::scope(layout, path, id).map(Some);
        }
        let root = crate::launch::record::is_machines_root();
        let (path, optional) = match asked {
            Some(path) => (path, !root),
            None if root => (default_path(id, scope), false),
            None => {
                let own = own_path();
                let beside = if layout == Layout::V2 { beside(&own) } else { None };
                let above = beside.unwrap_or(&own);
                (format!("{}/red-{id}{scope}", above.trim_end_matches('/')), true)
            }
        };
        Self::at(layout, &path, optional).map(Some)
    }

    fn scope(layout: Layout, path: &str, id: &str) -> Result<Self, LaunchError> {
        super::systemd::Scope::parse(path)?;
        Ok(Self {
            layout,
            path: format!("/{id}"),
            missing: Vec::new(),
            standing: Vec::new(),
            systemd: Some(path.to_owned()),
            optional: false,
            top: (String::new(), false),
            nested: None,
            shared: Vec::new(),
        })
    }

    /// A scope for a node's own launch.
    ///
    /// # Errors
    /// It would be no unit.
    pub(crate) fn nested(slice: &str, id: &str, nested: Nested) -> Result<Self, LaunchError> {
        // Of the signs of an ID `+` may not be in the name of a unit, and `:` not in this form of it.
        let name = format!("{slice}:red:{}", id.replace(['+', ':'], "_"));
        super::systemd::Scope::parse(&name)?;
        Ok(Self { nested: Some(nested), ..Self::scope(Layout::V2, &name, id)? })
    }

    /// The same, with limits handed down from a delegated cgroup only.
    pub(crate) fn below(mut self, path: &str, occupied: bool) -> Self {
        self.top = (path.to_owned(), occupied);
        self
    }

    /// Cgroups at a path.
    ///
    /// # Errors
    /// The path is refused.
    pub(crate) fn at(layout: Layout, path: &str, optional: bool) -> Result<Self, LaunchError> {
        let bad = |why: &str| Err(LaunchError::refused(format!("linux.cgroupsPath `{path}`"), why));
        let clean = format!(
            "/{}",
            path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
        );
        if clean.chars().any(char::is_control) {
            return bad("contains a control character");
        }
        if clean == "/" {
            return bad("it is the cgroup of everything");
        }
        if clean.split('/').any(|part| part == "..") {
            return bad("it leads upwards");
        }
        // mkdir(2) would refuse it, and so would whoever removes it.
        if clean.split('/').any(|part| part.len() > 255) || clean.len() > 2048 {
            return bad("it is too long (255 bytes a part, 2048 in all)");
        }
        let user = rustix::process::geteuid().as_raw();
        let (mut missing, mut standing) = (Vec::new(), Vec::new());
        for mount in hierarchies(layout) {
            let leaf = mount.join(&clean[1..]);
            let there = std::fs::symlink_metadata(&leaf).ok();
            // Only there somebody else can have stopped what is above; of our own cgroups nobody does.
            if there.is_some() || !clean.starts_with(OWN) {
                running(&mount, &clean[1..]).map_err(|above| {
                    let why = format!("{} is frozen, and nothing would run in it", above.display());
                    LaunchError::refused(format!("linux.cgroupsPath `{path}`"), why)
                })?;
            }
            if let Some(facts) = there {
                if facts.uid() != user {
                    return bad(&format!("{} belongs to user {}", leaf.display(), facts.uid()));
                }
                if super::members::populated(&leaf) {
                    return bad(&format!("{} has processes of others", leaf.display()));
                }
                // Deleting the container would end whatever runs in them by then.
                if super::members::has_children(&leaf) {
                    return bad(&format!("{} has cgroups of others in it", leaf.display()));
                }
                standing.push(leaf);
            }
            let below = Path::new(&clean[1..]);
            let mut steps: Vec<PathBuf> = below
                .ancestors()
                .filter(|step| !step.as_os_str().is_empty())
                .map(|step| mount.join(step))
                .collect();
            steps.reverse();
            missing.extend(steps.into_iter().filter(|step| !step.exists()));
        }
        let top = (String::new(), false);
        let (systemd, nested) = (None, None);
        // That of all containers without a place of their own goes with the last of them.
        let own = if clean.starts_with(OWN) { hierarchies(layout) } else { Vec::new() };
        let own = own.into_iter().map(|mount| mount.join(OWN.trim_matches('/')));
        let shared = own.filter(|path| !missing.contains(path)).collect();
        Ok(Self { layout, path: clean, missing, standing, systemd, optional, top, nested, shared })
    }

    /// The same, in cgroups of nodes, outer ones first.
    pub(crate) fn in_nodes<'a>(mut self, paths: impl Iterator<Item = &'a str> + Clone) -> Self {
        for mount in hierarchies(self.layout) {
            let all = paths.clone().map(|path| mount.join(path.trim_start_matches('/')));
            self.shared.extend(all.filter(|path| !self.missing.contains(path)));
        }
        self
    }

    /// What will be recorded before anything is made.
    pub(crate) fn record(&self) -> Cgroups {
        Cgroups {
            layout: self.layout,
            path: self.path.clone(),
            made: self.shared.iter().chain(&self.missing).cloned().collect(),
            systemd: self.systemd.clone(),
            inodes: std::collections::BTreeMap::new(),
        }
    }

    fn is_leaf(&self, step: &Path) -> bool {
        hierarchies(self.layout).iter().any(|mount| mount.join(&self.path[1..]) == *step)
    }

    /// Makes the directories. `None` when that is not allowed and not needed.
    ///
    /// # Errors
    /// What mkdir(2) says.
    pub(crate) fn make(&self) -> Result<Option<Cgroups>, LaunchError> {
        if let (top, true) = &self.top {
            super::base::vacate(top)?;
        }
        for step in &self.missing {
            match create(step) {
                Ok(()) => prepare(step)?,
                // One of two that want the same place at once gets it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && self.is_leaf(step) => {
                    return Err(LaunchError::CgroupTaken { path: self.path.clone() });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) if self.optional => return Ok(None),
                Err(error) => return Err(unmade(&self.path, step, error)),
            }
        }
        if self.layout == Layout::V1 {
            self.standing.iter().try_for_each(|leaf| prepare(leaf))?;
        }
        if self.layout == Layout::V2 && self.systemd.is_none() {
            delegate(&self.top.0, &self.path);
        }
        Ok(Some(self.record()))
    }
}

/// Why the directory of a cgroup could not be made.
pub(super) fn unmade(path: &str, directory: &Path, error: std::io::Error) -> LaunchError {
    if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
        return LaunchError::Cgroup { path: path.to_owned(), why: READ_ONLY.to_owned() };
    }
    let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
    LaunchError::Call { what: format!("cgroup {}", directory.display()), errno }
}

/// Why no cgroup can be made, and what to do.
const READ_ONLY: &str = "/sys/fs/cgroup is read-only (ProtectControlGroups= of a unit, or a container); have it writable \
     and delegated (Delegate=yes), or do without cgroups (`--cgroups=disabled` of podman, `--cgroup-manager disabled` of \
     ours; nodes without limits in the foreground need none)";

/// Makes a cgroup. The last container in those above may have taken them away meanwhile.
fn create(directory: &Path) -> std::io::Result<()> {
    let mut result = std::fs::create_dir(directory);
    for _ in 0..16 {
        match (&result, directory.parent()) {
            (Err(error), Some(above)) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(above)?;
                above
                    .ancestors()
                    .take_while(|above| *above != Path::new(MOUNT))
                    .for_each(|above| tried(prepare(above)));
            }
            _ => break,
        }
        result = std::fs::create_dir(directory);
    }
    result
}

/// Cgroup of root's containers for which nobody says otherwise.
const OWN: &str = "/red-runtime/";

/// Where a container of root goes when nobody says otherwise. `scope` tells directories of states
/// apart.
pub(crate) fn default_path(id: &str, scope: &str) -> String {
    format!("{OWN}{id}{scope}")
}

/// The cgroup above one's own, if the caller may make others in it. Below one's own, which has processes, no controller
/// can be enabled (cgroup-v2.rst, "No Internal Process Constraint"); crun and runc go there too.
fn beside(own: &str) -> Option<&str> {
    let above = Path::new(own).parent()?.to_str().filter(|above| *above != "/")?;
    let directory = Path::new(MOUNT).join(above.trim_start_matches('/'));
    let may = |file: &str| accessat(CWD, directory.join(file), Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    ["", "cgroup.procs", "cgroup.subtree_control"].into_iter().all(may).then_some(above)
}

/// Whether nothing between a hierarchy and a cgroup, itself included, is frozen; or what is.
fn running(mount: &Path, path: &str) -> Result<(), PathBuf> {
    let above = Path::new(path).ancestors().filter(|above| !above.as_os_str().is_empty());
    let Some(nearest) = above.map(|above| mount.join(above)).find(|above| above.exists()) else {
        return Ok(());
    };
    let says = |file: &str, words: &[&str]| {
        let text = std::fs::read_to_string(nearest.join(file)).unwrap_or_default();
        text.lines().any(|line| words.contains(&line))
    };
    // Both tell of those above too (freezer-subsystem.rst; cgroup-v2.rst, "cgroup.events").
    let frozen = says("freezer.state", &["FROZEN", "FREEZING"]) || says("cgroup.events", &["frozen 1"]);
    if frozen { Err(nearest) } else { Ok(()) }
}

/// A fresh cpuset of version 1 is empty, and nothing can run in it (cpuset(7)). It can have what its parent
/// has, which somebody may have made beforehand and left empty.
fn prepare(directory: &Path) -> Result<(), LaunchError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = directory.join(name);
        let empty = std::fs::read_to_string(&file).is_ok_and(|text| text.trim().is_empty());
        let v1 = !directory.join("cgroup.controllers").exists();
        if empty && v1 {
            let parent = directory.parent().unwrap_or(directory);
            let above = parent.join(name);
            let read = || std::fs::read_to_string(&above).doing(|| above.display().to_string());
            let mut text = read()?;
            if text.trim().is_empty() {
                prepare(parent)?;
                text = read()?;
            }
            write(&file, text.trim())?;
        }
    }
    Ok(())
}

/// Hands every controller down from a cgroup to the parent of a leaf, as far as that is allowed. A limit whose
/// controller is missing fails when it is set, and says so then.
pub(super) fn delegate(top: &str, path: &str) {
    let mut directory = Path::new(MOUNT).join(top.trim_start_matches('/'));
    let below = path.strip_prefix(top).unwrap_or(path);
    for part in below.split('/').filter(|part| !part.is_empty()) {
        let controllers = std::fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
        let enabled = std::fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        for one in controllers.split_ascii_whitespace() {
            if !enabled.split_ascii_whitespace().any(|held| held == one) {
                tried(std::fs::write(directory.join("cgroup.subtree_control"), format!("+{one}")));
            }
        }
        directory.push(part);
    }
}
