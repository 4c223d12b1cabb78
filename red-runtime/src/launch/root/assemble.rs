//! Puts a root together. Runs in the container's own mount namespace, before it has a root.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::base::{detach_from_host, directory};
use super::early::{Early, Found, locks};
use super::fresh::fresh;
use super::ids::{self, RootInside};
use super::mounting::with_known_group;
use super::place::{Kind, Links, Places, mount_id};
use super::room::stay_writable;
use super::skeleton::skeleton;
use super::sources::Opener;
use super::{Base, Mount, Otherwise, Root, Source, What, cgroups};
use crate::launch::error::{Doing, LaunchError};
use crate::launch::sync::Sync;
use crate::spec::layout::Entry;
use crate::sys::mount_attr::{self, MountAttr, flag};

/// What putting a root together needs to know of the container.
pub(crate) struct Terms<'a> {
    /// Device nodes cannot be made in a user namespace; those of the host are bound.
    pub(crate) bind_devices: bool,
    /// Text of `/proc/self/cgroup` from before a cgroup namespace was entered.
    pub(crate) cgroups: &'a str,
    /// Whether there is a cgroup namespace.
    pub(crate) cgroup_namespace: bool,
    /// Whether the network is not the host's.
    pub(crate) own_net: bool,
    /// Whom the process has to become before it makes anything.
    pub(crate) root_inside: Option<RootInside>,
    /// Whoever opens what this process may not, if anybody does.
    pub(crate) launcher: Option<&'a Sync>,
}

/// A root that is attached, and not yet entered.
pub(crate) struct Assembled {
    pub(super) places: Places,
    /// Files that locks are held on. They stay open while the container lives.
    pub(crate) locks: Vec<OwnedFd>,
    /// New file systems that are read-only in the end.
    late: Vec<OwnedFd>,
}

impl Assembled {
    /// The root's topmost directory.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.places.root
    }

    /// Makes read-only what had to be filled first, and with `root` the root too: the root alone, for what
    /// is mounted on it has flags of its own.
    ///
    /// # Errors
    /// What mount_setattr(2) says.
    pub(crate) fn seal(&self, root: bool) -> Result<(), LaunchError> {
        let attr = MountAttr { set: flag::RDONLY, ..MountAttr::default() };
        let last = root.then_some(&self.places.root);
        self.late
            .iter()
            .chain(last)
            .try_for_each(|mount| mount_attr::set(mount, false, attr))
            .doing(|| "a read-only root")
    }
}

/// Puts a root together and attaches it.
///
/// # Errors
/// Something is missing or refused; what was made so far goes with the mount namespace.
pub(in crate::launch) fn assemble(root: &Root, terms: &Terms<'_>) -> Result<Assembled, LaunchError> {
    detach_from_host(root)?;
    let base = match &root.base {
        Base::Directory(path) => Some(directory(path, root.checked)?),
        Base::Skeleton { .. } => None,
    };
    let mut opener = Opener::new(&root.nodes);
    let mut early = Early::default();
    if terms.root_inside.is_some() || terms.launcher.is_some() {
        early = Early::open(root, &mut opener, terms.launcher)?;
    }
    if let Some(inside) = terms.root_inside {
        ids::become_root(inside)?;
    }
    let mut builder = Builder::on(root, base)?;
    for (index, mount) in root.mounts.iter().enumerate() {
        let source = |source: &Source| early.source(index, source, &mut opener);
        match builder.mount(mount, source, terms) {
            Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR | Errno::ISDIR, .. })
                if mount.otherwise == Otherwise::Skip => {}
            other => other?,
        }
    }
    builder.check_led()?;
    builder.devices(&root.devices, terms)?;
    for (path, entry) in &root.within {
        builder.within(path, entry)?;
    }
    if early.locks.is_empty() {
        early.locks = locks(root, &mut opener)?;
    }
    builder.locks.append(&mut early.locks);
    Ok(Assembled { places: builder.places, locks: builder.locks, late: builder.late })
}

/// A root that is being put together.
pub(super) struct Builder<'a> {
    pub(super) places: Places,
    pub(super) locks: Vec<OwnedFd>,
    pub(super) root: &'a Root,
    /// Nothing is made in the base.
    pub(super) kept: bool,
    /// What the skeleton has, by path.
    pub(super) skeleton: Option<&'a BTreeMap<String, Entry>>,
    /// Where something is mounted by now.
    pub(super) mounted: HashSet<String>,
    /// Mounts of an engine's that a link of a node's contents has led elsewhere, with their IDs.
    pub(super) led: Vec<(String, u64)>,
    /// New file systems that become read-only once everything stands in them.
    pub(super) late: Vec<OwnedFd>,
}

impl<'a> Builder<'a> {
    /// Makes the base and attaches it over the host's root.
    fn on(root: &'a Root, base: Option<(OwnedFd, u64)>) -> Result<Self, LaunchError> {
        let mut locks = Vec::new();
        let (base, device) = match (&root.base, base) {
            (Base::Skeleton { entries, owner }, _) => {
                let options = ["mode=0755".to_owned()];
                let base = fresh("tmpfs", "red-root", &options, flag::NOSUID | flag::NODEV)?;
                skeleton(&base, entries, *owner, &mut locks)?;
                let device = fstat(&base).doing(|| "the root")?.st_dev;
                (base, device)
            }
            (Base::Directory(_), Some(base)) => base,
            (Base::Directory(path), None) => directory(path, root.checked)?,
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&base, "", CWD, "/", flags).doing(|| "the root")?;
        let skeleton = match &root.base {
            Base::Skeleton { entries, .. } => Some(entries),
            Base::Directory(_) => None,
        };
        if root.readonly
            && let Base::Skeleton { entries, .. } = &root.base
        {
            stay_writable(&base, entries)?;
        }
        let mut places = Places::new(base, device);
        let kept = root.checked.is_some_and(|root| root.kept);
        if kept || (skeleton.is_none() && root.has_node()) {
            places.ours.clear();
        }
        if !kept && skeleton.is_none() && root.has_node() {
            places.base = Some(mount_id(&places.root).doing(|| "the root")?);
        }
        Ok(Self {
            root,
            kept,
            places,
            locks,
            skeleton,
            mounted: HashSet::new(),
            led: Vec::new(),
            late: Vec::new(),
        })
    }

    /// Whether a path is a directory or file of the skeleton with nothing mounted on the way to it:
    /// then there is no link on the way either, and the kernel may go there by itself.
    fn is_bare(&self, path: &str) -> bool {
        let stands = self
            .skeleton
            .and_then(|skeleton| skeleton.get(path))
            .is_some_and(|entry| matches!(entry, Entry::Dir | Entry::Anonymous | Entry::File));
        let above = |path: &str| self.mounted.contains(path);
        stands && !Path::new(path).ancestors().filter_map(Path::to_str).any(above)
    }

    fn mount(
        &mut self,
        mount: &Mount,
        open: impl FnOnce(&Source) -> Result<Found, LaunchError>,
        terms: &Terms<'_>,
    ) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        match &mount.what {
            What::Bind { source, all } => {
                let found = open(source)?;
                self.bind(mount, source, found, *all)
            }
            What::New { fstype, source, options, copy_up }
                if fstype == "devpts" && self.skeleton.is_some() =>
            {
                let options = with_known_group(options)?;
                self.new_file_system(mount, (fstype, source, &options), *copy_up, terms)
            }
            What::New { fstype, source, options, copy_up } => {
                self.new_file_system(mount, (fstype, source, options), *copy_up, terms)
            }
            What::File(contents) => self.file(mount, contents),
            What::Cgroups => {
                let tree = cgroups::tree(terms, mount.attr.set).doing_cgroups(destination)?;
                self.attach_with(&tree.mount, mount, Kind::Dir)?;
                cgroups::fill(&self.places, destination, &tree, terms)?;
                // All that is mounted there is one mount to whoever asked for it. What a part of the host's
                // brings along is never taken away.
                let clear = mount.recursive.clear & flag::ATIME;
                self.remount(destination, MountAttr { clear, ..mount.recursive })?;
                let set = mount.attr.set & !mount.recursive.set;
                self.remount(destination, MountAttr { set, ..mount.attr })
            }
        }
    }

    pub(super) fn attach(&mut self, tree: &OwnedFd, mount: &Mount, kind: Kind) -> Result<(), LaunchError> {
        Self::set_flags(tree, mount)?;
        self.attach_with(tree, mount, kind)
    }

    /// Sets the flags of a mount that is attached nowhere.
    pub(super) fn set_flags(tree: &OwnedFd, mount: &Mount) -> Result<(), LaunchError> {
        let destination = &mount.destination;
        // What is said of all below holds for the mount itself.
        let rest = MountAttr {
            set: mount.attr.set & !mount.recursive.set,
            propagation: if mount.recursive.propagation == 0 { mount.attr.propagation } else { 0 },
            ..mount.attr
        };
        mount_attr::set(tree, true, mount.recursive).doing(|| format!("flags of mount {destination}"))?;
        mount_attr::set(tree, false, rest).doing(|| format!("flags of mount {destination}"))
    }

    fn attach_with(&mut self, tree: &OwnedFd, mount: &Mount, kind: Kind) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("mount {destination}");
        if self.is_bare(destination) {
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(tree, "", &self.places.root, &destination[1..], flags).doing(what)?;
        } else {
            let point = self.point(mount, kind)?;
            attach_at(tree, &point).doing(what)?;
            if mount.otherwise == Otherwise::FailEngines && self.places.is_behind_link(destination) {
                self.led.push((destination.to_owned(), mount_id(tree).doing(what)?));
            }
        }
        self.mounted.insert(destination.to_owned());
        Ok(())
    }

    /// What a mount will stand on.
    pub(super) fn point(&self, mount: &Mount, kind: Kind) -> Result<OwnedFd, LaunchError> {
        let destination = mount.destination.as_str();
        let links = match (self.skeleton, mount.otherwise) {
            (None, _) => Links::Follow,
            (Some(_), Otherwise::Fail) => Links::Refuse,
            (Some(_), Otherwise::FailEngines | Otherwise::Skip) => Links::IntoOurs,
        };
        match self.places.mount_point(destination, kind, links) {
            Err(Errno::LOOP) => Err(LaunchError::refused(
                format!("mount point {destination}"),
                "a symbolic link inside leads elsewhere; mount it at the place that the link leads to",
            )),
            Err(Errno::XDEV) => Err(LaunchError::refused(
                format!("mount point {destination}"),
                "a symbolic link inside leads into the container's proc, or out of another file system of the kernel's; mount it elsewhere, or remove the link",
            )),
            Err(Errno::NOENT | Errno::ROFS) if self.kept => Err(LaunchError::refused(
                format!("mount point {destination}"),
                "is missing, and nothing is made in a root that holds what decides for others",
            )),
            Err(Errno::ROFS) => Err(LaunchError::refused(
                format!("mount point {destination}"),
                format!(
                    "is missing, and cannot be made in {}, which is read-only; make it there beforehand, or mount elsewhere",
                    self.above(destination)
                ),
            )),
            Err(Errno::NOENT) if self.has_node() && mount.otherwise != Otherwise::Skip => {
                Err(LaunchError::refused(
                    format!("mount point {destination}"),
                    format!(
                        "is missing, and nothing is made in {}, which a node exports; make it there beforehand, or mount elsewhere",
                        self.above(destination)
                    ),
                ))
            }
            point => point.doing(|| format!("mount point {destination}")),
        }
    }

    /// Whether something of a node is in the root.
    pub(super) fn has_node(&self) -> bool {
        self.skeleton.is_some() || self.root.has_node()
    }

    /// The mount that a path lies in, by its name.
    pub(super) fn above<'p>(&self, path: &'p str) -> &'p str {
        let all = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        all.into_iter().find(|above| self.mounted.contains(*above)).unwrap_or("/")
    }

    fn remount(&self, destination: &str, attr: MountAttr) -> Result<(), LaunchError> {
        let top = self.places.open(destination, OFlags::PATH).doing(|| destination)?;
        mount_attr::set(&top, true, attr).doing(|| format!("flags of mount {destination}"))
    }
}

/// A copy of a mount, or of the part of it from a directory or file on.
pub(in crate::launch) fn clone_tree(source: impl AsFd, all: bool) -> rustix::io::Result<OwnedFd> {
    let all = if all { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(source, "", flags | all)
}

/// Attaches a mount.
pub(in crate::launch) fn attach_at(tree: impl AsFd, point: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", point, "", flags)
}

/// Words for what failed on the way to the container's cgroups.
trait DoingCgroups<T> {
    fn doing_cgroups(self, destination: &str) -> Result<T, LaunchError>;
}

impl<T> DoingCgroups<T> for Result<T, LaunchError> {
    fn doing_cgroups(self, destination: &str) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::refused(format!("mount {destination}"), error.to_string()))
    }
}
