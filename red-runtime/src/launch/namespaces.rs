//! Which namespaces a container gets: new ones, and those of others.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags, open};

use super::error::{Doing, LaunchError};
use crate::sys::namespace;

/// Namespaces of a container.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW…` of those made for it.
    pub(crate) new: i32,
    /// Those it joins, the user namespace first.
    pub(crate) joined: Vec<Joined>,
}

/// One that exists.
#[derive(Debug)]
pub(crate) struct Joined {
    /// `CLONE_NEW…` of its kind.
    pub(crate) kind: i32,
    /// Where it is.
    path: PathBuf,
    /// It.
    file: OwnedFd,
}

/// The flag of a kind of namespace.
pub(crate) fn flag(kind: LinuxNamespaceType) -> i32 {
    match kind {
        LinuxNamespaceType::Mount => libc::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => libc::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => libc::CLONE_NEWIPC,
        LinuxNamespaceType::User => libc::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => libc::CLONE_NEWPID,
        LinuxNamespaceType::Network => libc::CLONE_NEWNET,
        LinuxNamespaceType::Time => CLONE_NEWTIME,
    }
}

/// `CLONE_NEWTIME` (linux/sched.h); it fits no signal number of clone(2), but clone3 takes it.
const CLONE_NEWTIME: i32 = 0x80;

impl Namespaces {
    /// Those of a configuration.
    ///
    /// # Errors
    /// One is asked for twice, there is no mount namespace, or one to join is not there.
    pub(crate) fn of(spec: &Spec) -> Result<Self, LaunchError> {
        let mut all = Self::default();
        let mut seen = 0;
        let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        for one in list.into_iter().flatten() {
            let kind = flag(one.typ());
            if seen & kind != 0 {
                return Err(LaunchError::refused(
                    "linux.namespaces",
                    format!("`{}` is there twice", one.typ()),
                ));
            }
            seen |= kind;
            match one.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
                None => all.new |= kind,
                Some(path) => {
                    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .doing(|| format!("namespace {}", path.display()))?;
                    all.joined.push(Joined { kind, path: path.clone(), file });
                }
            }
        }
        if seen & libc::CLONE_NEWNS == 0 {
            return Err(LaunchError::refused(
                "linux.namespaces",
                "there is no mount namespace, and a container without one would change the host's mounts",
            ));
        }
        all.joined.sort_by_key(|one| one.kind != libc::CLONE_NEWUSER);
        Ok(all)
    }

    /// Whether a new one of this kind is made.
    pub(crate) fn makes(&self, kind: i32) -> bool {
        self.new & kind != 0
    }

    /// Whether one of this kind is joined.
    pub(crate) fn joins(&self, kind: i32) -> bool {
        self.joined.iter().any(|one| one.kind == kind)
    }

    /// Whether it has another user namespace than the launcher.
    pub(crate) fn has_user(&self) -> bool {
        self.makes(libc::CLONE_NEWUSER) || self.joins(libc::CLONE_NEWUSER)
    }
}

impl Joined {
    /// Whether the process inside joins it by itself: from another mount namespace nobody comes back
    /// to where he was, and from another cgroup namespace nothing can be cloned into a cgroup of the
    /// host's.
    pub(crate) fn is_joined_inside(&self) -> bool {
        matches!(self.kind, libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP)
    }

    /// Joins it.
    ///
    /// # Errors
    /// What setns(2) says.
    pub(crate) fn join(&self) -> Result<(), LaunchError> {
        namespace::join(&self.file, self.kind).doing(|| format!("joining namespace {}", self.path.display()))
    }
}

/// Namespaces of the launcher itself that it left for a moment; it returns when this is dropped by
/// [`Away::back`].
#[derive(Debug)]
pub(crate) struct Away(Vec<(i32, OwnedFd)>);

impl Away {
    /// Joins namespaces for the next clone, after which the launcher goes back. Only root may do
    /// so, and a user namespace has no way back.
    pub(crate) fn to(joined: &[Joined]) -> Result<Self, LaunchError> {
        let mut away = Vec::new();
        for one in joined.iter().filter(|one| !one.is_joined_inside()) {
            let own = format!("/proc/self/ns/{}", name(one.kind));
            let file = open(&*own, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(|| own)?;
            away.push((one.kind, file));
            if let Err(error) = one.join() {
                Self(away).back()?;
                return Err(error);
            }
        }
        Ok(Self(away))
    }

    /// Goes back.
    pub(crate) fn back(self) -> Result<(), LaunchError> {
        for (kind, file) in self.0 {
            namespace::join(&file, kind).doing(|| "going back to the launcher's own namespaces")?;
        }
        Ok(())
    }
}

/// The name of a kind below `/proc/…/ns`, of the one that children get.
pub(crate) fn name(kind: i32) -> &'static str {
    match kind {
        libc::CLONE_NEWNS => "mnt",
        libc::CLONE_NEWCGROUP => "cgroup",
        libc::CLONE_NEWUTS => "uts",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWUSER => "user",
        libc::CLONE_NEWPID => "pid_for_children",
        libc::CLONE_NEWNET => "net",
        _ => "time_for_children",
    }
}
