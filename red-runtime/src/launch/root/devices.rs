//! Device nodes: those every container has, and those of a configuration.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount, Spec};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, StatVfsMountFlags, Uid, chownat, fstat, fstatvfs, major, makedev,
    minor, mknodat, open,
};
use rustix::io::Errno;

use super::DeviceNode;
use super::assemble::{attach_at, clone_tree};
use super::fresh::is_block_device;
use super::oci::inside_path;
use super::place::{Kind, Links, Places, split};
use crate::launch::error::{Doing, LaunchError};
use crate::spec::engine::is_bind;
use crate::sys::mount_attr::{self, MountAttr, flag};

/// Devices every container has (OCI runtime specification, config-linux.md, "Default Devices").
const DEFAULT: [(&str, (u32, u32)); 6] = [
    ("null", (1, 3)),
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

/// Links of a `/dev` (runtime-linux.md, "Dev symbolic links").
pub(super) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Adds the default devices of `/dev` where the list has nothing there.
pub(crate) fn add_default(all: &mut Vec<DeviceNode>) {
    add_default_in("/dev", all);
}

/// The same for another directory.
pub(crate) fn add_default_in(directory: &str, all: &mut Vec<DeviceNode>) {
    for (name, number) in DEFAULT {
        let path = format!("{directory}/{name}");
        if all.iter().all(|device| device.path != path) {
            let kind = FileType::CharacterDevice.as_raw_mode();
            all.push(DeviceNode { path, kind, number, mode: 0o666, owner: (None, None), asked: false });
        }
    }
}

/// The devices of a configuration.
///
/// # Errors
/// A path or number that is none.
pub(crate) fn of(spec: &Spec) -> Result<Vec<DeviceNode>, LaunchError> {
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    devices.into_iter().flatten().map(one).collect()
}

fn one(device: &LinuxDevice) -> Result<DeviceNode, LaunchError> {
    let path = inside_path(device.path())?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => {
            return Err(LaunchError::refused(format!("device {path}"), "`a` is no type of a device"));
        }
    };
    // More bits than mknod(2) takes would be cut off, and make another device.
    let number = |name: &str, number: i64, most: u32| match u32::try_from(number) {
        Ok(fits) if fits <= most => Ok(fits),
        _ => Err(LaunchError::refused(
            format!("device {path}"),
            format!("invalid {name} number: {number} (0 to {most})"),
        )),
    };
    Ok(DeviceNode {
        number: (number("major", device.major(), 0xfff)?, number("minor", device.minor(), 0xf_ffff)?),
        kind: kind.as_raw_mode(),
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        owner: (device.uid(), device.gid()),
        asked: device.file_mode().is_some(),
        path,
    })
}

impl DeviceNode {
    /// Makes it; where no device can be made, the host's own is bound.
    ///
    /// # Errors
    /// The host has no such device, or one of another mode than was asked for.
    pub(super) fn make(&self, places: &Places, bind: bool) -> Result<(), LaunchError> {
        let what = || format!("device {}", self.path);
        let (parent, name) = split(&self.path);
        let parent = places.directory(parent).doing(what)?;
        let kind = FileType::from_raw_mode(self.kind);
        // A mount that carries `nodev`, such as a node's root, would make a node in it useless.
        let nodev = || fstatvfs(&parent).map(|stat| stat.f_flag.contains(StatVfsMountFlags::NODEV));
        if kind != FileType::Fifo && (bind || nodev().doing(what)?) {
            return self.bind(places, !bind);
        }
        match mknodat(
            &parent,
            name,
            kind,
            Mode::from_raw_mode(self.mode),
            makedev(self.number.0, self.number.1),
        ) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(Errno::PERM) => return self.bind(places, !bind),
            Err(errno) => return Err(errno).doing(what),
        }
        let [uid, gid] = [self.owner.0, self.owner.1].map(|id| id.filter(|id| *id != 0));
        if (uid, gid) == (None, None) {
            return Ok(());
        }
        chownat(&parent, name, uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::SYMLINK_NOFOLLOW)
            .doing(what)
    }

    /// Binds the host's device of this number: the one of the same name, or the one that the kernel names.
    /// With `owned` it has to be whose it was asked to be; in a user namespace the host's ids are nobody's.
    fn bind(&self, places: &Places, owned: bool) -> Result<(), LaunchError> {
        let what = || format!("device {}", self.path);
        let open_there = |path: &str| {
            let source = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
            let stat = fstat(&source).ok()?;
            let kind = FileType::from_raw_mode(stat.st_mode).as_raw_mode();
            let same = kind == self.kind && (major(stat.st_rdev), minor(stat.st_rdev)) == self.number;
            same.then_some((source, stat))
        };
        let found = open_there(&self.path).or_else(|| open_there(&self.kernels_name()?));
        let Some((source, stat)) = found else {
            return Err(LaunchError::refused(
                what(),
                format!(
                    "no device can be made here, and the host has none with number {}:{}",
                    self.number.0, self.number.1
                ),
            ));
        };
        let other = |asked: Option<u32>, has: u32| owned && asked.is_some_and(|asked| asked != has);
        if other(self.owner.0, stat.st_uid) || other(self.owner.1, stat.st_gid) {
            let said = |asked: Option<u32>| asked.map_or_else(|| "any".to_owned(), |id| id.to_string());
            return Err(LaunchError::refused(
                what(),
                format!(
                    "no device can be made here, and the host's belongs to {}:{} instead of {}:{}",
                    stat.st_uid,
                    stat.st_gid,
                    said(self.owner.0),
                    said(self.owner.1)
                ),
            ));
        }
        let mode = stat.st_mode & 0o7777;
        if self.asked && mode != self.mode {
            return Err(LaunchError::refused(
                what(),
                format!(
                    "no device can be made here, and the host's has mode {mode:04o} instead of {:04o}",
                    self.mode
                ),
            ));
        }
        let point = places.mount_point(&self.path, Kind::File, Links::Follow).doing(what)?;
        let tree = clone_tree(&source, false).doing(what)?;
        // It can be read and written to all the same, but its mode and owner are the host's.
        mount_attr::set(&tree, false, MountAttr { set: flag::RDONLY, ..MountAttr::default() }).doing(what)?;
        attach_at(&tree, &point).doing(what)
    }

    /// Where the kernel's own names have it in `/dev` (sysfs(5), `/sys/dev`).
    fn kernels_name(&self) -> Option<String> {
        let kind = if FileType::from_raw_mode(self.kind) == FileType::BlockDevice { "block" } else { "char" };
        let path = format!("/sys/dev/{kind}/{}:{}/uevent", self.number.0, self.number.1);
        let said = std::fs::read_to_string(path).ok()?;
        said.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(|name| format!("/dev/{name}"))
    }
}

/// Whether a configuration has devices that its own rules may keep from being made, or file systems on such:
/// the rules are the command's, and hold once everything is mounted.
pub(crate) fn need_room(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let on_device = |mount: &Mount| {
        let source = mount.source().as_deref().and_then(Path::to_str);
        !is_bind(mount) && source.is_some_and(is_block_device)
    };
    linux.is_some_and(|linux| linux.devices().as_ref().is_some_and(|devices| !devices.is_empty()))
        || spec.mounts().iter().flatten().any(on_device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_cut_off_are_refused() {
        let read = |major: i64, minor: i64| {
            let device = serde_json::json!({"path": "/dev/x", "type": "b", "major": major, "minor": minor});
            one(&serde_json::from_value(device).unwrap())
                .map(|device| device.number)
                .map_err(|e| e.to_string())
        };
        assert_eq!(read(4095, 1_048_575), Ok((4095, 1_048_575)));
        // 4104 has 8 in its lower 12 bits.
        for (major, minor) in [(4104, 0), (8, 1 << 20), (-1, 0), (1 << 32, 0)] {
            assert!(read(major, minor).unwrap_err().contains("invalid"), "{major}:{minor}");
        }
    }
}
