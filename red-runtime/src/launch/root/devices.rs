//! Device nodes: those every container has, and those of a configuration.

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::FileType;

use super::DeviceNode;
use super::oci::inside_path;
use crate::launch::error::LaunchError;

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
            all.push(DeviceNode { path, kind, number, mode: 0o666, owner: (0, 0) });
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
        owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        path,
    })
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
