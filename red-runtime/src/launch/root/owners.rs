//! Mounts whose owners are mapped (mount_setattr(2), `MOUNT_ATTR_IDMAP`): who owns a file of the source is somebody else
//! where it is mounted, and what is made there belongs to whoever that is in the source.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use oci_spec::runtime::{LinuxIdMapping, Mount as OciMount, Spec};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, set_parent_process_death_signal, waitid,
};

use crate::launch::error::{LaunchError, tried};
use crate::sys::clone::{Cloned, clone3};
use crate::sys::exec::leave;
use crate::sys::mount_attr;

/// Mappings of a mount.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Owners {
    users: Vec<LinuxIdMapping>,
    groups: Vec<LinuxIdMapping>,
    /// With everything mounted below it.
    all: bool,
}

impl Owners {
    /// Those that a mount asks for: by mappings of its own, or by an option that means the container's.
    ///
    /// # Errors
    /// Only users or only groups are mapped.
    pub(super) fn of(mount: &OciMount) -> Result<Option<Self>, LaunchError> {
        let has = |word: &str| mount.options().iter().flatten().any(|option| option == word);
        let users = mount.uid_mappings().clone().unwrap_or_default();
        let groups = mount.gid_mappings().clone().unwrap_or_default();
        if users.is_empty() != groups.is_empty() {
            return Err(LaunchError::refused(
                format!("mount {}", mount.destination().display()),
                "`uidMappings` and `gidMappings` are both needed, or none",
            ));
        }
        let all = has("ridmap");
        Ok((!users.is_empty() || all || has("idmap")).then_some(Self { users, groups, all }))
    }

    /// Takes the container's mappings where there are none of its own.
    ///
    /// # Errors
    /// The container has none either.
    pub(super) fn complete(&mut self, spec: &Spec, destination: &str) -> Result<(), LaunchError> {
        if self.users.is_empty() {
            let linux = spec.linux().as_ref();
            self.users = linux.and_then(|linux| linux.uid_mappings().clone()).unwrap_or_default();
            self.groups = linux.and_then(|linux| linux.gid_mappings().clone()).unwrap_or_default();
        }
        if self.users.is_empty() || self.groups.is_empty() {
            return Err(LaunchError::refused(
                format!("mount {destination}"),
                "`idmap` needs mappings: its own, or those of a new user namespace",
            ));
        }
        Ok(())
    }

    /// Maps the owners of a mount that is attached nowhere.
    pub(super) fn map(&self, tree: impl AsFd) -> rustix::io::Result<()> {
        mount_attr::map_owners(tree, self.all, self.namespace()?)
    }

    /// A user namespace with the mappings, and nobody in it.
    fn namespace(&self) -> rustix::io::Result<OwnedFd> {
        let new = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        let (pid, pidfd) = match clone3(new, None).map_err(|error| errno(&error))? {
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
            Cloned::Child(_token) => {
                tried(set_parent_process_death_signal(Some(Signal::KILL)));
                // It is killed long before.
                std::thread::sleep(Duration::from_secs(60));
                leave(0)
            }
        };
        let opened = self.write(pid);
        tried(pidfd_send_signal(&pidfd, Signal::KILL));
        tried(waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED));
        opened
    }

    fn write(&self, pid: Pid) -> rustix::io::Result<OwnedFd> {
        let process = format!("/proc/{}", pid.as_raw_nonzero());
        for (file, all) in [("uid_map", &self.users), ("gid_map", &self.groups)] {
            let line =
                |one: &LinuxIdMapping| format!("{} {} {}\n", one.container_id(), one.host_id(), one.size());
            let lines: String = all.iter().map(line).collect();
            std::fs::write(format!("{process}/{file}"), lines).map_err(|error| errno(&error))?;
        }
        openat(CWD, format!("{process}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::INVAL)
}
