//! The root of a bundle, as containerd wants it mounted before a container is made of it.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use containerd_shim_protos::types::mount::Mount as Wanted;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

use crate::error::{Doing, Error};

/// A mount of a container's root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mount {
    kind: String,
    source: PathBuf,
    target: String,
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    data: Vec<String>,
}

/// mount(2) takes one page of options, with its end.
const PAGE: usize = 4095;

impl TryFrom<&Wanted> for Mount {
    type Error = Error;

    fn try_from(wanted: &Wanted) -> Result<Self, Error> {
        let mut this = Self {
            kind: wanted.type_.clone(),
            source: wanted.source.clone().into(),
            target: wanted.target.trim_start_matches('/').to_owned(),
            flags: MountFlags::empty(),
            propagation: None,
            data: Vec::new(),
        };
        if Path::new(&this.target).components().any(|part| part == std::path::Component::ParentDir) {
            return Err(Error::Invalid(format!("mount target `{}` leads out of the root", wanted.target)));
        }
        for option in &wanted.options {
            this.option(option)?;
        }
        Ok(this)
    }
}

impl Mount {
    fn option(&mut self, option: &str) -> Result<(), Error> {
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
            "private" => return self.spread(MountPropagationFlags::PRIVATE),
            "rprivate" => return self.spread(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
            "slave" => return self.spread(MountPropagationFlags::DOWNSTREAM),
            "rslave" => return self.spread(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC),
            "shared" => return self.spread(MountPropagationFlags::SHARED),
            "rshared" => return self.spread(MountPropagationFlags::SHARED | MountPropagationFlags::REC),
            "unbindable" => return self.spread(MountPropagationFlags::UNBINDABLE),
            "loop" => return Err(Error::Unsupported("the mount option loop")),
            other if other.starts_with("X-containerd.") => {
                return Err(Error::Invalid(format!("mount option `{other}` is not known")));
            }
            other => {
                self.data.push(other.to_owned());
                return Ok(());
            }
        };
        self.flags.set(flag, set);
        Ok(())
    }

    fn spread(&mut self, how: MountPropagationFlags) -> Result<(), Error> {
        self.propagation = Some(how);
        Ok(())
    }

    fn mount(&self, root: &Path) -> Result<(), Error> {
        let target = root.join(&self.target);
        let what = || format!("cannot mount {} at {}", self.source.display(), target.display());
        let bind = self.flags.contains(MountFlags::BIND);
        let data = self.data.join(",");
        if !bind && data.len() > PAGE {
            return self.mount_long(&target).doing(what);
        }
        let text = CString::new(data).map_err(|_nul| Error::Invalid("a mount option with a NUL".into()))?;
        let kept = self.flags & (MountFlags::BIND | MountFlags::REC);
        let flags = if bind { kept } else { self.flags };
        let text = (!text.is_empty()).then_some(text.as_c_str());
        rustix::mount::mount(&self.source, &target, &*self.kind, flags, text).doing(what)?;
        // A bind mount takes its flags in a second step (mount(2), MS_REMOUNT with MS_BIND).
        let more = self.flags - kept;
        if bind && !more.is_empty() {
            let again = MountFlags::BIND | more;
            rustix::mount::mount_remount(&target, again, c"").doing(what)?;
        }
        match self.propagation {
            Some(how) => mount_change(&target, how).doing(what),
            None => Ok(()),
        }
    }

    /// Options that do not fit into a page, as an overlay of many layers has them: one after the other, which
    /// fsconfig(2) takes, with layers one by one.
    fn mount_long(&self, target: &Path) -> rustix::io::Result<()> {
        use rustix::mount::{
            FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
            fsconfig_set_string, fsmount, fsopen, move_mount,
        };
        let context = fsopen(&*self.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &self.source)?;
        for option in &self.data {
            match option.split_once('=') {
                Some(("lowerdir", layers)) if self.kind == "overlay" => {
                    for layer in layers.split(':') {
                        fsconfig_set_string(&context, "lowerdir+", layer)?;
                    }
                }
                Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                None => fsconfig_set_flag(&context, option)?,
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
        ] {
            attributes.set(attribute, self.flags.contains(flag));
        }
        let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        move_mount(mounted, "", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }
}

/// Mounts them, in order. What is mounted when one fails is taken away again.
///
/// # Errors
/// What the kernel says.
pub(crate) fn mount(mounts: &[Mount], root: &Path) -> Result<(), Error> {
    if mounts.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(root).at("cannot make", root)?;
    for mount in mounts {
        if let Err(error) = mount.mount(root) {
            unmount_all(root);
            return Err(error);
        }
    }
    Ok(())
}

/// Takes away whatever is mounted there.
pub(crate) fn unmount_all(root: &Path) {
    while unmount(root, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: &str, options: &[&str], target: &str) -> Result<Mount, Error> {
        Mount::try_from(&Wanted {
            type_: kind.into(),
            source: "overlay".into(),
            target: target.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Wanted::default()
        })
    }

    #[test]
    fn options_are_flags_or_data() {
        let mount =
            wanted("overlay", &["ro", "nosuid", "suid", "lowerdir=/a:/b", "rslave"], "").expect("all known");
        assert_eq!(mount.flags, MountFlags::RDONLY);
        assert_eq!(mount.data, ["lowerdir=/a:/b"]);
        assert_eq!(mount.propagation, Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
    }

    #[test]
    fn what_is_not_done_is_refused() {
        assert!(wanted("ext4", &["loop"], "").is_err());
        assert!(wanted("overlay", &["X-containerd.loop"], "").is_err());
        assert!(wanted("overlay", &[], "../up").is_err());
    }
}
