//! What is made in a root once everything is mounted: devices, links, directories.

use rustix::fs::{Mode, OFlags, openat, symlinkat};
use rustix::io::Errno;

use super::assemble::{Builder, Terms};
use super::place::{Links, split};
use super::skeleton::make;
use super::{DeviceNode, devices};
use crate::launch::error::{Doing, LaunchError};
use crate::spec::layout::Entry;

impl Builder<'_> {
    /// Whether a device is still to be made. In what a node exports it has to be there.
    fn is_for(&self, device: &DeviceNode) -> Result<bool, LaunchError> {
        let what = || format!("device {}", device.path);
        let (parent, name) = split(&device.path);
        if !self.has_node() {
            return Ok(true);
        }
        let parent = self.places.directory(parent).doing(what)?;
        match self.places.may_make(&parent, Links::Follow) {
            Err(Errno::NOENT) => {}
            may => return may.map(|()| true).doing(what),
        }
        match openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(_) => Ok(false),
            Err(Errno::NOENT) => Err(LaunchError::refused(
                what(),
                format!(
                    "is missing, and nothing is made in {}, which a node exports; make it there beforehand, or name another place",
                    self.above(&device.path)
                ),
            )),
            Err(errno) => Err(errno).doing(what),
        }
    }

    pub(super) fn devices(&self, nodes: &[DeviceNode], terms: &Terms<'_>) -> Result<(), LaunchError> {
        for device in nodes {
            if self.is_for(device)? {
                device.make(&self.places, terms.bind_devices)?;
            }
        }
        if nodes.iter().any(|device| device.path == "/dev/null") {
            let dev = self.places.directory("/dev").doing(|| "/dev")?;
            // A node's own has what it has.
            match self.places.may_make(&dev, Links::Follow) {
                Err(Errno::NOENT) if self.has_node() => return Ok(()),
                Err(Errno::NOENT) | Ok(()) => {}
                Err(errno) => return Err(errno).doing(|| "/dev"),
            }
            for (name, target) in devices::LINKS {
                match symlinkat(target, &dev, name) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno).doing(|| format!("link /dev/{name}")),
                }
            }
        }
        Ok(())
    }

    pub(super) fn within(&mut self, path: &str, entry: &Entry) -> Result<(), LaunchError> {
        let (parent, name) = split(path);
        if *entry == Entry::Dir {
            // In a volume of a user's too, which may stand where a file system of the plan's would.
            return self.places.directory(path).map(drop).doing(|| path);
        }
        let parent = self.places.directory(parent).doing(|| path)?;
        if !self.places.is_ours(&parent).doing(|| path)? {
            return Err(Errno::NOENT).doing(|| path);
        }
        make(&parent, name, entry, &mut self.locks).doing(|| path)
    }
}
