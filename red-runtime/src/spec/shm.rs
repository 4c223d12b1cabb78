//! The host's shared memory (shm_overview(7)): whoever can open a file there talks to the processes that
//! have it mapped, so it is a part of the host's IPC, whatever it is reached by.

use crate::node::guard::{Location, MountTable};

/// Where it is by name.
pub(crate) const PATH: &str = "/dev/shm";

/// Where it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostShm(Option<Location>);

impl HostShm {
    /// By its path without links; without one there is none.
    pub(crate) fn at(mounts: &MountTable, real: Option<&str>) -> Self {
        Self(real.and_then(|real| mounts.locate(0, real)))
    }

    /// That of this machine.
    pub(crate) fn of_host(mounts: &MountTable) -> Self {
        let real = std::fs::canonicalize(PATH).ok();
        Self::at(mounts, real.as_deref().and_then(std::path::Path::to_str))
    }

    /// Whether a place is, or lies in, it.
    pub(crate) fn holds(&self, place: &Location) -> bool {
        self.0.as_ref().is_some_and(|shm| shm.contains(place))
    }

    /// Whether a place is, lies in, or has it below.
    pub(crate) fn touches(&self, place: &Location) -> bool {
        self.0.as_ref().is_some_and(|shm| shm.contains(place) || place.contains(shm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_known_by_where_it_lies() {
        const TEXT: &str = "1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 0:6 / /dev rw - devtmpfs devtmpfs rw
3 2 0:23 / /dev/shm rw - tmpfs tmpfs rw
4 1 0:23 /in /srv/alias rw - tmpfs tmpfs rw
5 1 0:24 / /tmp rw - tmpfs tmpfs rw
";
        let mounts = MountTable::parse(TEXT);
        let shm = HostShm::at(&mounts, Some(PATH));
        let place = |path: &str| mounts.locate(0, path).unwrap();
        assert!(shm.holds(&place("/dev/shm")) && shm.holds(&place("/dev/shm/x")));
        assert!(shm.holds(&place("/srv/alias")), "another name");
        assert!(!shm.holds(&place("/tmp")) && !shm.touches(&place("/dev")) && !shm.touches(&place("/")));
        assert!(!HostShm::at(&mounts, None).holds(&place("/dev/shm")));
        // A host without a tmpfs there.
        let mounts = MountTable::parse("1 0 8:1 / / rw - ext4 /dev/sda rw\n");
        let shm = HostShm::at(&mounts, Some(PATH));
        assert!(shm.holds(&mounts.locate(0, "/dev/shm/x").unwrap()));
        assert!(
            shm.touches(&mounts.locate(0, "/dev").unwrap()) && !shm.holds(&mounts.locate(0, "/dev").unwrap())
        );
    }
}
