//! Puts a root together. Runs in the container's own mount namespace, before it has a root.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, fstat, mknodat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    open_tree,
};

use super::copy::copy;
use super::place::{Kind, Links, Places, host, split};
use super::skeleton::{make, skeleton, write_all};
use super::sources::Opener;
use super::{Base, CheckedRoot, DeviceNode, Mount, Otherwise, Root, What, cgroups, devices};
use crate::launch::error::{Doing, LaunchError};
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
}

/// A root that is attached, and not yet entered.
pub(crate) struct Assembled {
    pub(super) places: Places,
    /// Files that locks are held on. They stay open while the container lives.
    pub(crate) locks: Vec<OwnedFd>,
}

impl Assembled {
    /// The root's topmost directory.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.places.root
    }
}

/// Puts a root together and attaches it.
///
/// # Errors
/// Something is missing or refused; what was made so far goes with the mount namespace.
pub(crate) fn assemble(root: &Root, terms: &Terms<'_>) -> Result<Assembled, LaunchError> {
    detach_from_host(root)?;
    let mut builder = Builder::on(root)?;
    let mut opener = Opener::new(&root.nodes);
    for mount in &root.mounts {
        match builder.mount(mount, &mut opener, terms) {
            Err(LaunchError::Call { errno: Errno::NOENT | Errno::NOTDIR | Errno::ISDIR, .. })
                if mount.otherwise == Otherwise::Skip => {}
            other => other?,
        }
    }
    builder.devices(&root.devices, terms)?;
    for (path, entry) in &root.within {
        builder.within(path, entry)?;
    }
    for path in &root.host_locks {
        builder.locks.push(opener.lock(path)?);
    }
    Ok(Assembled { places: builder.places, locks: builder.locks })
}

/// Whatever is mounted from here on stays in this namespace. What the host mounts later is seen
/// only where somebody asked for it.
fn detach_from_host(root: &Root) -> Result<(), LaunchError> {
    let follows = |attr: MountAttr| attr.propagation & (libc::MS_SLAVE | libc::MS_SHARED) != 0;
    let follow = root.propagation.is_some()
        || root.mounts.iter().any(|mount| follows(mount.attr) || follows(mount.recursive));
    let kind = if follow { MountPropagationFlags::DOWNSTREAM } else { MountPropagationFlags::PRIVATE };
    mount_change("/", kind | MountPropagationFlags::REC).doing(|| "a private mount tree")
}

struct Builder<'a> {
    places: Places,
    locks: Vec<OwnedFd>,
    /// Nothing is made in the base.
    kept: bool,
    /// What the skeleton has, by path.
    skeleton: Option<&'a BTreeMap<String, Entry>>,
    /// Where something is mounted by now.
    mounted: HashSet<String>,
}

impl<'a> Builder<'a> {
    /// Makes the base and attaches it over the host's root.
    fn on(root: &'a Root) -> Result<Self, LaunchError> {
        let mut locks = Vec::new();
        let (base, device) = match &root.base {
            Base::Skeleton { entries, owner } => {
                let options = ["mode=0755".to_owned()];
                let base = fresh("tmpfs", "red-root", &options, flag::NOSUID | flag::NODEV)?;
                skeleton(&base, entries, *owner, &mut locks)?;
                let device = fstat(&base).doing(|| "the root")?.st_dev;
                (base, device)
            }
            Base::Directory(path) => directory(path, root.checked)?,
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&base, "", CWD, "/", flags).doing(|| "the root")?;
        let skeleton = match &root.base {
            Base::Skeleton { entries, .. } => Some(entries),
            Base::Directory(_) => None,
        };
        let mut places = Places::new(base, device);
        let kept = root.checked.is_some_and(|root| root.kept);
        if kept {
            places.ours.clear();
        }
        Ok(Self { kept, places, locks, skeleton, mounted: HashSet::new() })
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
        opener: &mut Opener<'_>,
        terms: &Terms<'_>,
    ) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        match &mount.what {
            What::Bind { source, all } => {
                let (source, is_dir) = opener.open(source)?;
                let kind = if is_dir { Kind::Dir } else { Kind::File };
                let tree = clone_tree(&source, *all && is_dir).doing(|| format!("mount {destination}"))?;
                if destination == "/proc" && !is_proc(&tree)? {
                    return Err(LaunchError::refused("mount /proc", "is not of type proc"));
                }
                self.attach(&tree, mount, kind)?;
                self.places.anchor(destination, tree, false);
                Ok(())
            }
            What::New { fstype, source, options, copy_up } => {
                let tree = match fresh(fstype, source, options, mount.attr.set) {
                    // A user namespace may show only the network it owns in /sys.
                    Err(LaunchError::Call { errno: Errno::PERM, .. }) if fstype == "sysfs" => {
                        let tree = clone_tree(host("/sys")?, true).doing(|| "mount /sys")?;
                        self.attach(&tree, &read_only(mount), Kind::Dir)?;
                        self.places.anchor(destination, tree, true);
                        return Ok(());
                    }
                    // Queues of another user namespace cannot be shown in this one.
                    Err(LaunchError::Call { errno: Errno::PERM, .. })
                        if fstype == "mqueue" && mount.otherwise == Otherwise::Skip =>
                    {
                        return Ok(());
                    }
                    tree => tree?,
                };
                if *copy_up {
                    self.copy_up(mount, &tree)?;
                }
                self.places.ours.push(fstat(&tree).doing(|| destination)?.st_dev);
                self.attach(&tree, mount, Kind::Dir)?;
                self.places.anchor(destination, tree, matches!(&**fstype, "proc" | "sysfs"));
                Ok(())
            }
            What::File(contents) => self.file(mount, contents),
            What::Cgroups => {
                let tree = cgroups::tree(terms, mount.attr.set).doing_cgroups(destination)?;
                self.attach_with(&tree.mount, mount, Kind::Dir)?;
                cgroups::fill(&self.places, destination, &tree, terms)?;
                self.remount(destination, mount.attr)
            }
        }
    }

    fn attach(&mut self, tree: &OwnedFd, mount: &Mount, kind: Kind) -> Result<(), LaunchError> {
        let destination = &mount.destination;
        // What is said of all below holds for the mount itself.
        let rest = MountAttr {
            set: mount.attr.set & !mount.recursive.set,
            propagation: if mount.recursive.propagation == 0 { mount.attr.propagation } else { 0 },
            ..mount.attr
        };
        mount_attr::set(tree, true, mount.recursive).doing(|| format!("flags of mount {destination}"))?;
        mount_attr::set(tree, false, rest).doing(|| format!("flags of mount {destination}"))?;
        self.attach_with(tree, mount, kind)
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
        }
        self.mounted.insert(destination.to_owned());
        Ok(())
    }

    /// What a mount will stand on.
    fn point(&self, mount: &Mount, kind: Kind) -> Result<OwnedFd, LaunchError> {
        let destination = mount.destination.as_str();
        let links = match (self.skeleton, mount.otherwise) {
            (None, _) => Links::Follow,
            (Some(_), Otherwise::Fail) => Links::Refuse,
            (Some(_), Otherwise::Skip) => Links::IntoOurs,
        };
        match self.places.mount_point(destination, kind, links) {
            Err(Errno::LOOP) => Err(LaunchError::refused(
                format!("mount point {destination}"),
                "a symbolic link inside leads elsewhere; mount it at the place that the link leads to",
            )),
            Err(Errno::NOENT | Errno::ROFS) if self.kept => Err(LaunchError::refused(
                format!("mount point {destination}"),
                "is missing, and nothing is made in a root that holds what decides for others",
            )),
            point => point.doing(|| format!("mount point {destination}")),
        }
    }

    fn remount(&self, destination: &str, attr: MountAttr) -> Result<(), LaunchError> {
        let top = self.places.open(destination, OFlags::PATH).doing(|| destination)?;
        mount_attr::set(&top, true, attr).doing(|| format!("flags of mount {destination}"))
    }

    /// A file of the launch. Where the mount point is ours it holds the contents itself and is
    /// mounted onto itself, read-only.
    fn file(&mut self, mount: &Mount, contents: &[u8]) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("file {destination}");
        let point = self.point(mount, Kind::File)?;
        let ours = self.places.may_write(&point).is_ok();
        let (parent, name) = if ours {
            let (parent, name) = split(destination);
            (self.places.open(parent, OFlags::PATH | OFlags::DIRECTORY).doing(what)?, name)
        } else {
            (self.places.open("/", OFlags::PATH | OFlags::DIRECTORY).doing(what)?, ".red-file")
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&parent, name, flags, Mode::from_raw_mode(0o444)).doing(what)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o444)).doing(what)?;
        write_all(&file, contents).doing(what)?;
        let tree = clone_tree(&file, false).doing(what)?;
        mount_attr::set(&tree, false, mount.attr).doing(what)?;
        attach_at(&tree, &point).doing(what)?;
        if !ours {
            // Only now: what has no name any more cannot be mounted.
            rustix::fs::unlinkat(&parent, name, AtFlags::empty()).doing(what)?;
        }
        self.mounted.insert(destination.to_owned());
        Ok(())
    }

    /// Fills a new tmpfs with what it is going to cover: with what stands at the very mount point.
    fn copy_up(&self, mount: &Mount, tree: &OwnedFd) -> Result<(), LaunchError> {
        let destination = mount.destination.as_str();
        let what = || format!("copy of {destination}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = match self.point(mount, Kind::Dir) {
            Err(LaunchError::Call { errno: Errno::NOENT, .. }) => return Ok(()),
            point => openat(point?, ".", flags, Mode::empty()).doing(what)?,
        };
        copy(old, openat(tree, ".", flags, Mode::empty()).doing(what)?).doing(what)
    }

    fn devices(&self, nodes: &[DeviceNode], terms: &Terms<'_>) -> Result<(), LaunchError> {
        for device in nodes {
            self.device(device, terms.bind_devices).doing(|| format!("device {}", device.path))?;
        }
        if nodes.iter().any(|device| device.path == "/dev/null") {
            let dev = self.places.directory("/dev").doing(|| "/dev")?;
            for (name, target) in devices::LINKS {
                match symlinkat(target, &dev, name) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).doing(|| format!("link /dev/{name}")),
                }
            }
        }
        Ok(())
    }

    fn device(&self, device: &DeviceNode, bind: bool) -> rustix::io::Result<()> {
        let (parent, name) = split(&device.path);
        let parent = self.places.directory(parent)?;
        // The root itself carries `nodev`, which would make a node in it useless.
        let nodev =
            !bind && rustix::fs::fstatvfs(&parent)?.f_flag.contains(rustix::fs::StatVfsMountFlags::NODEV);
        if bind || nodev {
            return self.bind_device(device);
        }
        let kind = rustix::fs::FileType::from_raw_mode(device.kind);
        let number = rustix::fs::makedev(device.number.0, device.number.1);
        match mknodat(&parent, name, kind, Mode::from_raw_mode(device.mode), number) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(Errno::PERM) => return self.bind_device(device),
            Err(errno) => return Err(errno),
        }
        if device.owner == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(device.owner.0), Gid::from_raw(device.owner.1));
        chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn bind_device(&self, device: &DeviceNode) -> rustix::io::Result<()> {
        let source = rustix::fs::open(&*device.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&source)?;
        let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        if number != device.number {
            return Err(Errno::NODEV);
        }
        let point = self.places.mount_point(&device.path, Kind::File, Links::Follow)?;
        let tree = clone_tree(&source, false)?;
        // It can be read and written to all the same, but its mode and owner are the host's.
        mount_attr::set(&tree, false, MountAttr { set: flag::RDONLY, ..MountAttr::default() })?;
        attach_at(&tree, &point)
    }

    fn within(&mut self, path: &str, entry: &Entry) -> Result<(), LaunchError> {
        let (parent, name) = split(path);
        let parent = self.places.directory(parent).doing(|| path)?;
        self.places.may_write(&parent).doing(|| path)?;
        make(&parent, name, entry, (0, 0), &mut self.locks).doing(|| path)
    }
}

/// Whether a mount is a proc (linux/magic.h, PROC_SUPER_MAGIC).
fn is_proc(mount: &OwnedFd) -> Result<bool, LaunchError> {
    const PROC: i64 = 0x9fa0;
    #[allow(clippy::useless_conversion, reason = "the type of the field differs between architectures")]
    let fs = i64::try_from(rustix::fs::fstatfs(mount).doing(|| "mount /proc")?.f_type);
    Ok(fs.is_ok_and(|fs| fs == PROC))
}

fn read_only(mount: &Mount) -> Mount {
    let mut mount = mount.clone();
    mount.recursive.set |= mount.attr.set | flag::RDONLY;
    mount.recursive.propagation = libc::MS_PRIVATE;
    mount
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

/// A new file system, mounted nowhere yet.
pub(super) fn fresh(
    fstype: &str,
    source: &str,
    options: &[String],
    flags: u64,
) -> Result<OwnedFd, LaunchError> {
    let what = || format!("file system {fstype}");
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).doing(what)?;
    let source = if source.is_empty() { fstype } else { source };
    fsconfig_set_string(&context, "source", source).doing(what)?;
    for option in options {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, option.as_str()),
        }
        .doing(|| format!("option `{option}` of a {fstype}"))?;
    }
    fsconfig_create(&context).doing(what)?;
    let flags = MountAttrFlags::from_bits_retain(u32::try_from(flags).unwrap_or(0));
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing(what)
}

/// The root directory of a plain bundle, with everything mounted in it. `/dev`, `/proc` and `/sys`
/// must be directories: a link there would put the container's own file systems elsewhere.
fn directory(path: &Path, checked: Option<CheckedRoot>) -> Result<(OwnedFd, u64), LaunchError> {
    let what = || format!("root {}", path.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::open(path, flags, Mode::empty()).doing(what)?;
    let stat = fstat(&source).doing(what)?;
    if checked.is_some_and(|root| root.id != (stat.st_dev, stat.st_ino)) {
        return Err(LaunchError::refused(what(), "another directory took its place during the launch"));
    }
    for name in ["dev", "proc", "sys"] {
        match openat(&source, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => {}
            found => {
                let found = crate::node::place::Facts::of(found.doing(what)?).doing(what)?;
                if !found.is_dir() {
                    return Err(LaunchError::refused(what(), format!("/{name} in it is not a directory")));
                }
            }
        }
    }
    let tree = clone_tree(&source, true).doing(what)?;
    let set = if checked.is_some_and(|root| root.kept) { flag::RDONLY } else { 0 };
    let private = MountAttr { set, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    mount_attr::set(&tree, true, private).doing(what)?;
    let device = fstat(&tree).doing(what)?.st_dev;
    Ok((tree, device))
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
