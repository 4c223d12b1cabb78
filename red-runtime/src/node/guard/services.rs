//! Services of the host that act with root's rights for whoever can talk to them or write to their
//! directories: an export of one is as good as root.

use super::{Location, MountTable};

/// Directories and sockets of privileged services, each with whose it is.
const SERVICES: [(&str, &str); 42] = [
    ("/run/balena-engine", "balenaEngine"),
    ("/run/balena-engine.sock", "balenaEngine"),
    ("/run/buildkit", "BuildKit"),
    ("/run/containerd", "containerd"),
    ("/run/credentials", "systemd"),
    ("/run/crio", "CRI-O"),
    ("/run/cri-dockerd.sock", "Docker"),
    ("/run/crun", "crun"),
    ("/run/dbus", "the system bus"),
    ("/run/docker", "Docker"),
    ("/run/docker.sock", "Docker"),
    ("/run/incus", "Incus"),
    ("/run/initctl", "init"),
    ("/run/k3s", "k3s"),
    ("/run/libpod", "podman"),
    ("/run/libvirt", "libvirt"),
    ("/run/lvm", "LVM"),
    ("/run/lxc", "LXC"),
    ("/run/lxd", "LXD"),
    ("/run/netns", "network namespaces"),
    ("/run/podman", "podman"),
    ("/run/red-runtime", "red-runtime"),
    ("/run/runc", "runc"),
    ("/run/rke2", "RKE2"),
    ("/run/snapd.socket", "snapd"),
    ("/run/snapd-snap.socket", "snapd"),
    ("/run/systemd", "systemd"),
    ("/run/udev", "udev"),
    ("/run/user", "other users' sessions"),
    ("/var/lib/containerd", "containerd"),
    ("/var/lib/containers", "podman"),
    ("/var/lib/docker", "Docker"),
    ("/var/lib/incus", "Incus"),
    ("/var/lib/kubelet", "kubelet"),
    ("/var/lib/libvirt", "libvirt"),
    ("/var/lib/lxc", "LXC"),
    ("/var/lib/lxd", "LXD"),
    ("/var/lib/machines", "systemd-machined"),
    ("/var/lib/portables", "systemd-portabled"),
    ("/var/lib/rancher", "k3s"),
    ("/var/lib/systemd", "systemd"),
    ("/var/snap/lxd", "LXD"),
];

/// What everybody may talk to, and deployed nodes do: readiness, the journal, the platform's own
/// directory; and the empty files that systemd mounts over what a unit is not to see (systemd.exec(5),
/// "ProtectKernelModules=").
const PUBLIC: [&str; 6] = [
    "/run/platform",
    "/run/systemd/inaccessible",
    "/run/systemd/journal/dev-log",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/stdout",
    "/run/systemd/notify",
];

/// What a path of the host has to do with privileged services.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Service {
    /// It is, is in, or contains what belongs to this one.
    Of(&'static str),
    /// It is the launching user's own runtime directory, or in it: the session bus and the user's
    /// service manager are there.
    Session,
}

/// Where the services of this host are, whatever they are reached by.
#[derive(Clone, Debug, Default)]
pub struct Services {
    known: Vec<(Location, &'static str, &'static str)>,
    public: Vec<Location>,
    session: Option<Location>,
    run: Option<Location>,
}

impl Services {
    /// The services as `uid` is to see them.
    #[must_use]
    pub fn of(mounts: &MountTable, uid: u32) -> Self {
        let locate = |path: &str| mounts.locate(0, path);
        Self {
            known: SERVICES.iter().filter_map(|(path, whose)| Some((locate(path)?, *path, *whose))).collect(),
            public: PUBLIC.iter().filter_map(|path| locate(path)).collect(),
            session: locate(&format!("/run/user/{uid}")),
            run: locate("/run"),
        }
    }

    /// What a place has to do with them. `contents` says whether what is below it comes along,
    /// `exists` whether a path of the host is there.
    #[must_use]
    pub fn at(
        &self,
        place: &Location,
        contents: bool,
        mut exists: impl FnMut(&str) -> bool,
    ) -> Option<Service> {
        if self.public.iter().any(|known| known.contains(place)) {
            return None;
        }
        if self.session.as_ref().is_some_and(|own| own.contains(place)) {
            return Some(Service::Session);
        }
        if let Some((_, _, whose)) = self.known.iter().find(|(known, ..)| known.contains(place)) {
            return Some(Service::Of(whose));
        }
        let run = self.run.as_ref().filter(|run| contents && place.contains(run));
        if run.is_some() {
            return Some(Service::Of("all services of the host"));
        }
        let covered = |known: &Location| contents && place.contains(known);
        let mut below = self.known.iter().filter(|(known, ..)| covered(known));
        below.find(|(_, path, _)| exists(path)).map(|(_, _, whose)| Service::Of(whose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw
30 27 0:30 / /run rw - tmpfs tmpfs rw
31 30 0:31 / /run/user/1000 rw - tmpfs tmpfs rw
32 27 0:30 /docker.sock /srv/harmless rw - tmpfs tmpfs rw
";

    #[test]
    fn tells_services_from_what_everybody_may_use() {
        let mounts = MountTable::parse(TEXT);
        let services = Services::of(&mounts, 1000);
        let at = |path: &str| {
            services.at(&mounts.locate(0, path).unwrap(), true, |known| known != "/var/lib/containerd")
        };
        for (path, whose) in [
            ("/run/docker.sock", "Docker"),
            ("/srv/harmless", "Docker"),
            ("/run/podman/podman.sock", "podman"),
            ("/run/systemd/private", "systemd"),
            ("/run/systemd", "systemd"),
            ("/run/systemd/journal", "systemd"),
            ("/run/dbus/system_bus_socket", "the system bus"),
            ("/run/user/1001", "other users' sessions"),
            ("/run/user/10000", "other users' sessions"),
            ("/run/user", "other users' sessions"),
            ("/run", "all services of the host"),
            ("/var/lib/kubelet/pods", "kubelet"),
            ("/var", "podman"),
        ] {
            assert_eq!(at(path), Some(Service::Of(whose)), "{path}");
        }
        for path in [
            "/run/platform",
            "/run/platform/x",
            "/run/systemd/notify",
            "/run/docker.sock.d",
            "/usr",
            "/run/app",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
        assert_eq!(at("/run/user/1000"), Some(Service::Session));
        assert_eq!(at("/run/user/1000/bus"), Some(Service::Session));
        let var = mounts.locate(0, "/var").unwrap();
        assert_eq!(services.at(&var, true, |_| false), None, "nothing of the kind is there");
        assert_eq!(services.at(&var, false, |_| true), None, "a file has no contents");
    }
}
