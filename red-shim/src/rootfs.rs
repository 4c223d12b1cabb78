//! Mounts of the bundle's rootfs, which containerd lists in the create request.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use containerd_shim_protos::types::mount::Mount as MountMessage;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

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
        let target = root.join(&self.target);
        let context = || format!("cannot mount {} on {}", self.source.display(), target.display());
        let bind = self.flags.contains(MountFlags::BIND);
        let data = self.data.join(",");
        if !bind && data.len() > MAX_DATA_BYTES {
            return self.mount_with_fsconfig(&target).context(context);
        }
        let text =
            CString::new(data).map_err(|_nul| Error::Invalid("mount options contain a NUL byte".into()))?;
        let bind_flags = self.flags & (MountFlags::BIND | MountFlags::REC);
        let flags = if bind { bind_flags } else { self.flags };
        let text = (!text.is_empty()).then_some(text.as_c_str());
        rustix::mount::mount(&self.source, &target, &*self.fs_type, flags, text).context(context)?;
        // A bind mount needs a remount to apply its flags (mount(2), MS_REMOUNT with MS_BIND).
        let remount_flags = self.flags - bind_flags;
        if bind && !remount_flags.is_empty() {
            let again = MountFlags::BIND | remount_flags;
            rustix::mount::mount_remount(&target, again, c"").context(context)?;
        }
        match self.propagation {
            Some(propagation) => mount_change(&target, propagation).context(context),
            None => Ok(()),
        }
    }

    /// Mounts with fsconfig(2), one option per call, because the options of an overlay with many layers exceed the
    /// page that mount(2) accepts.
    fn mount_with_fsconfig(&self, target: &Path) -> rustix::io::Result<()> {
        use rustix::mount::{
            FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
            fsconfig_set_string, fsmount, fsopen, move_mount,
        };
        let context = fsopen(&*self.fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", &self.source)?;
        for option in &self.data {
            match option.split_once('=') {
                Some(("lowerdir", layers)) if self.fs_type == "overlay" => {
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

/// Unmounts all mounts of the rootfs.
pub(crate) fn unmount_all(root: &Path) {
    while unmount(root, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
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
}
