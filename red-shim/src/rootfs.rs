//! Mounts of the bundle's rootfs, which containerd lists in the create request.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use containerd_shim_protos::types::mount::Mount as MountMessage;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, unmount,
};

use crate::error::{Context, Error};

/// A rootfs mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mount {
    fs_type: String,
    source: PathBuf,
    target: String,
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    data: Vec<String>,
}

/// Maximum length of mount data in bytes: a page, with the terminating NUL (mount(2)).
const MAX_DATA_BYTES: usize = 4095;

impl TryFrom<&MountMessage> for Mount {
    type Error = Error;

    fn try_from(message: &MountMessage) -> Result<Self, Error> {
        let mut this = Self {
            fs_type: message.type_.clone(),
            source: message.source.clone().into(),
            target: message.target.trim_start_matches('/').to_owned(),
            flags: MountFlags::empty(),
            propagation: None,
            data: Vec::new(),
        };
        if Path::new(&this.target).components().any(|part| part == std::path::Component::ParentDir) {
            return Err(Error::Invalid(format!("invalid mount target `{}`: contains `..`", message.target)));
        }
        for option in &message.options {
            this.parse_option(option)?;
        }
        Ok(this)
    }
}

impl Mount {
    fn parse_option(&mut self, option: &str) -> Result<(), Error> {
        // mount(8), "Filesystem-independent mount options"; those of containerd's mount package.
        let (flag, set) = match option {
            "" | "defaults" => return Ok(()),
            "ro" => (MountFlags::RDONLY, true),
            "rw" => (MountFlags::RDONLY, false),
            "bind" => (MountFlags::BIND, true),
            "rbind" => (MountFlags::BIND | MountFlags::REC, true),
            "nosuid" => (MountFlags::NOSUID, true),
            "suid" => (MountFlags::NOSUID, false),
            "nodev" => (MountFlags::NODEV, true),
            "dev" => (MountFlags::NODEV, false),
            "noexec" => (MountFlags::NOEXEC, true),
            "exec" => (MountFlags::NOEXEC, false),
            "noatime" => (MountFlags::NOATIME, true),
            "atime" => (MountFlags::NOATIME, false),
            "nodiratime" => (MountFlags::NODIRATIME, true),
            "diratime" => (MountFlags::NODIRATIME, false),
            "relatime" => (MountFlags::RELATIME, true),
            "norelatime" => (MountFlags::RELATIME, false),
            "strictatime" => (MountFlags::STRICTATIME, true),
            "nostrictatime" => (MountFlags::STRICTATIME, false),
            "sync" => (MountFlags::SYNCHRONOUS, true),
            "async" => (MountFlags::SYNCHRONOUS, false),
            "dirsync" => (MountFlags::DIRSYNC, true),
            "private" => return self.set_propagation(MountPropagationFlags::PRIVATE),
            "rprivate" => {
                return self.set_propagation(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
            }
            "slave" => return self.set_propagation(MountPropagationFlags::DOWNSTREAM),
            "rslave" => {
                return self.set_propagation(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC);
            }
            "shared" => return self.set_propagation(MountPropagationFlags::SHARED),
            "rshared" => {
                return self.set_propagation(MountPropagationFlags::SHARED | MountPropagationFlags::REC);
            }
            "unbindable" => return self.set_propagation(MountPropagationFlags::UNBINDABLE),
            "loop" => return Err(Error::Unsupported("mount option: loop")),
            other if other.starts_with("X-containerd.") => {
                return Err(Error::Invalid(format!("unknown mount option: {other}")));
            }
            other => {
                self.data.push(other.to_owned());
                return Ok(());
            }
        };
        self.flags.set(flag, set);
        Ok(())
    }

    fn set_propagation(&mut self, propagation: MountPropagationFlags) -> Result<(), Error> {
        self.propagation = Some(propagation);
        Ok(())
    }

    fn mount(&self, root: &Path) -> Result<(), Error> {
        let context =
            || format!("cannot mount {} on {}", self.source.display(), root.join(&self.target).display());
        let bind = self.flags.contains(MountFlags::BIND);
        let bind_flags = self.flags & (MountFlags::BIND | MountFlags::REC);
        let flags = if bind { bind_flags } else { self.flags };
        let target = Target::open(root, &self.target).context(context)?;
        if bind || !self.mount_long(&target).context(context)? {
            let (dir, data) = self.mount_data()?;
            let mounted = in_directory(dir.as_deref(), || {
                let data = (!data.is_empty()).then_some(data.as_c_str());
                rustix::mount::mount(&self.source, target.path(), &*self.fs_type, flags, data)
            });
            mounted.context(context)?;
        }
        // The mounted root, where `target` is still the directory below.
        let target = Target::open(root, &self.target).context(context)?;
        // A bind mount needs a remount to apply its flags (mount(2), MS_REMOUNT with MS_BIND).
        let remount_flags = self.flags - bind_flags;
        if bind && !remount_flags.is_empty() {
            let again = MountFlags::BIND | remount_flags;
            rustix::mount::mount_remount(target.path(), again, c"").context(context)?;
        }
        match self.propagation {
            Some(propagation) => mount_change(target.path(), propagation).context(context),
            None => Ok(()),
        }
    }

    /// Mounts with fsconfig(2) if the options exceed the page that mount(2) accepts. `lowerdir+` keeps the layers of an
    /// overlay apart and absolute, but needs Linux 6.8: returns whether the kernel knows it.
    fn mount_long(&self, target: &Target) -> rustix::io::Result<bool> {
        if self.data.join(",").len() <= MAX_DATA_BYTES {
            return Ok(false);
        }
        let context = fsopen(&*self.fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &self.source)?;
        for option in &self.data {
            match option.split_once('=') {
                // An escaped colon is no separator; mount(2) reads the whole text.
                Some(("lowerdir", layers)) if self.fs_type == "overlay" && layers.contains('\\') => {
                    return Ok(false);
                }
                Some(("lowerdir", layers)) if self.fs_type == "overlay" => {
                    for layer in layers.split(':') {
                        match fsconfig_set_string(&context, "lowerdir+", layer) {
                            Err(Errno::INVAL) => return Ok(false),
                            other => other?,
                        }
                    }
                }
                Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                None => fsconfig_set_flag(&context, option)?,
            }
        }
        for (flag, option) in
            [(MountFlags::RDONLY, "ro"), (MountFlags::SYNCHRONOUS, "sync"), (MountFlags::DIRSYNC, "dirsync")]
        {
            if self.flags.contains(flag) {
                fsconfig_set_flag(&context, option)?;
            }
        }
        fsconfig_create(&context)?;
        let mut attributes = MountAttrFlags::empty();
        for (flag, attribute) in [
            (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
            (MountFlags::STRICTATIME, MountAttrFlags::MOUNT_ATTR_STRICTATIME),
            (MountFlags::NODIRATIME, MountAttrFlags::MOUNT_ATTR_NODIRATIME),
        ] {
            attributes.set(attribute, self.flags.contains(flag));
        }
        let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        let by_descriptors =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mounted, "", &target.dir, "", by_descriptors)?;
        Ok(true)
    }

    /// Data for mount(2), and the working directory of its relative paths if there are any.
    fn mount_data(&self) -> Result<(Option<PathBuf>, CString), Error> {
        let mut dir = None;
        let mut data = self.data.join(",");
        if data.len() > MAX_DATA_BYTES
            && let Some((common, relative)) = relative_lower_dirs(&self.data)
        {
            dir = Some(common);
            data = relative.join(",");
        }
        if data.len() > MAX_DATA_BYTES {
            let length = data.len();
            return Err(Error::Invalid(format!(
                "mount options of {length} bytes are longer than the {MAX_DATA_BYTES} bytes that mount(2) accepts"
            )));
        }
        let data =
            CString::new(data).map_err(|_nul| Error::Invalid("mount options contain a NUL byte".into()))?;
        Ok((dir, data))
    }
}

/// Makes the lower directories of an overlay relative to their closest common ancestor, since those of many layers
/// exceed the page that mount(2) accepts. containerd's mount package does the same.
fn relative_lower_dirs(data: &[String]) -> Option<(PathBuf, Vec<String>)> {
    let index = data.iter().position(|option| option.starts_with("lowerdir="))?;
    let layers = data[index].strip_prefix("lowerdir=")?;
    // A backslash escapes a colon.
    let layers: Vec<&Path> =
        if layers.contains('\\') { return None } else { layers.split(':').map(Path::new).collect() };
    let is_ancestor = |dir: &Path| layers.iter().all(|layer| *layer != dir && layer.starts_with(dir));
    let common = layers.first()?.ancestors().find(|dir| dir.is_absolute() && is_ancestor(dir))?.to_owned();
    let relative = layers.iter().map(|layer| Some(layer.strip_prefix(&common).ok()?.to_str()?.to_owned()));
    let relative = relative.collect::<Option<Vec<_>>>()?.join(":");
    let mut data = data.to_vec();
    data[index] = format!("lowerdir={relative}");
    Some((common, data))
}

/// Calls a function in a working directory. The shim is single-threaded, and works in the root directory.
fn in_directory<T>(
    dir: Option<&Path>,
    function: impl FnOnce() -> rustix::io::Result<T>,
) -> std::io::Result<T> {
    if let Some(dir) = dir {
        std::env::set_current_dir(dir)?;
    }
    let result = function();
    if dir.is_some() {
        std::env::set_current_dir("/")?;
    }
    Ok(result?)
}

/// A mount target, opened below the root of the bundle.
struct Target {
    dir: OwnedFd,
    /// Path of the descriptor in procfs (proc_pid_fd(5)).
    path: PathBuf,
}

impl Target {
    /// Opens a target. Symbolic links are those of the image, so they are resolved as in a chroot (openat2(2)).
    fn open(root: &Path, target: &str) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = open(root, flags | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = if target.is_empty() { "." } else { target };
        let dir = openat2(&root, path, flags, Mode::empty(), resolve)?;
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd()).into();
        Ok(Self { dir, path })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Mounts the rootfs in order; on an error all mounts are undone.
///
/// # Errors
/// The target cannot be created, or a mount fails.
pub(crate) fn mount_all(mounts: &[Mount], root: &Path) -> Result<(), Error> {
    if mounts.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(root).path_context("cannot create directory", root)?;
    for mount in mounts {
        if let Err(error) = mount.mount(root) {
            unmount_all(root);
            return Err(error);
        }
    }
    Ok(())
}

/// Unmounts all mounts of the rootfs, also those below a root that is not a mount point itself.
pub(crate) fn unmount_all(root: &Path) {
    while unmount(root, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
    let Ok(root) = root.canonicalize() else { return };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount_point in mount_points_below(&root, &mounts).iter().rev() {
        if let Err(error) = unmount(mount_point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            crate::sys::log(&format!("cannot unmount {}: {error}", mount_point.display()));
        }
    }
}

/// Mount points below a directory, in the order of mounting (proc_pid_mountinfo(5)).
pub(crate) fn mount_points_below(dir: &Path, mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mount_points = fields.map(unescape).filter(|mount_point| mount_point.starts_with(dir));
    mount_points.collect()
}

/// Decodes octal escapes of mountinfo: `\040` is a space.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fs_type: &str, options: &[&str], target: &str) -> Result<Mount, Error> {
        Mount::try_from(&MountMessage {
            type_: fs_type.into(),
            source: "overlay".into(),
            target: target.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..MountMessage::default()
        })
    }

    #[test]
    fn options_become_flags_propagation_and_data() {
        let mount = parse("overlay", &["ro", "nosuid", "suid", "lowerdir=/a:/b", "rslave"], "")
            .expect("known options");
        assert_eq!(mount.flags, MountFlags::RDONLY);
        assert_eq!(mount.data, ["lowerdir=/a:/b"]);
        assert_eq!(mount.propagation, Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
    }

    #[test]
    fn unsupported_options_and_targets_are_refused() {
        assert!(parse("ext4", &["loop"], "").is_err());
        assert!(parse("overlay", &["X-containerd.loop"], "").is_err());
        assert!(parse("overlay", &[], "../up").is_err());
    }

    #[test]
    fn lower_dirs_become_relative_to_their_common_ancestor() {
        let of =
            |option: &str| relative_lower_dirs(&["index=off".into(), option.into(), "upperdir=/u".into()]);
        let (dir, data) = of("lowerdir=/s/12/fs:/s/1/fs:/s/1/fs2").expect("absolute paths");
        assert_eq!(
            (dir.as_path(), data.join(",")),
            (Path::new("/s"), "index=off,lowerdir=12/fs:1/fs:1/fs2,upperdir=/u".into())
        );
        let (dir, data) = of("lowerdir=/s/1:/s").expect("absolute paths");
        assert_eq!((dir.as_path(), &*data[1]), (Path::new("/"), "lowerdir=s/1:s"));
        for option in ["lowerdir=/s/1:relative", "lowerdir=/s/1\\:2:/s/3", "upperdir=/s/1"] {
            assert!(of(option).is_none(), "{option}");
        }
    }

    #[test]
    fn links_of_the_image_stay_in_the_image() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().join("rootfs");
        std::fs::create_dir_all(root.join("a/b")).expect("mkdir");
        std::fs::create_dir(dir.path().join("outside")).expect("mkdir");
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join(name)).expect("symlink");
        link("/a/b", "absolute");
        link("../../../a", "up");
        link("/proc/self/root", "magic");
        let opened = |target: &str| {
            let target = Target::open(&root, target).map_err(|error| error.to_string())?;
            std::fs::read_link(target.path()).map_err(|error| error.to_string())
        };
        assert_eq!(opened(""), Ok(root.clone()));
        assert_eq!(opened("absolute"), Ok(root.join("a/b")));
        assert_eq!(opened("up/b"), Ok(root.join("a/b")));
        assert!(opened("magic").is_err() && opened("none").is_err());
        link(&dir.path().join("outside").display().to_string(), "outside");
        assert!(opened("outside").is_err());
    }

    #[test]
    fn mount_points_of_mountinfo_are_unescaped() {
        let mounts = "30 23 0:25 / /b/rootfs rw - tmpfs tmpfs rw\n31 23 0:26 / /b/rootfs/a\\040b rw - tmpfs tmpfs rw\n\
                      32 23 0:27 / /b/rootfs2 rw - tmpfs tmpfs rw\n";
        let found = mount_points_below(Path::new("/b/rootfs"), mounts);
        assert_eq!(found, [Path::new("/b/rootfs"), Path::new("/b/rootfs/a b")]);
    }
}
