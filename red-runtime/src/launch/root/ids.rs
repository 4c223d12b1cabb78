//! Whom the process is while it puts a root together.
//!
//! In a user namespace whose mapping leaves out the launcher, the process belongs to nobody: it may make
//! nothing in a file system of the namespace (EOVERFLOW), and what it makes elsewhere belongs to nobody
//! inside. So it becomes the namespace's root first (user_namespaces(7)).

use oci_spec::runtime::{LinuxIdMapping, Spec};
use rustix::io::Errno;
use rustix::process::{Gid, Signal, Uid, getgid, getuid, set_parent_process_death_signal};

use crate::launch::error::{Doing, LaunchError};
use crate::launch::inside;

/// The ids that a process takes to make a root: 0, or what the mapping begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RootInside {
    uid: u32,
    gid: u32,
}

impl RootInside {
    /// Whom a process in another user namespace has to become; `None` when it is root there already.
    pub(crate) fn of(spec: &Spec) -> Option<Self> {
        let linux = spec.linux().as_ref();
        let first = |maps: Option<&Vec<LinuxIdMapping>>| {
            let maps = maps.map(Vec::as_slice).unwrap_or_default();
            maps.iter().map(LinuxIdMapping::container_id).min().unwrap_or(0)
        };
        let wanted = Self {
            uid: first(linux.and_then(|linux| linux.uid_mappings().as_ref())),
            gid: first(linux.and_then(|linux| linux.gid_mappings().as_ref())),
        };
        let now = Self { uid: getuid().as_raw(), gid: getgid().as_raw() };
        (wanted != now).then_some(wanted)
    }
}

/// Takes the ids. The capabilities in the namespace stay.
///
/// # Errors
/// The kernel refuses.
pub(super) fn become_root(ids: RootInside) -> Result<(), LaunchError> {
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    let result = rustix::thread::set_thread_res_gid(gid, gid, gid)
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid));
    match result {
        // A namespace of others need not have a root; the process may be somebody in it all the same.
        Err(Errno::INVAL) => {}
        other => other.doing(|| "root of the user namespace")?,
    }
    // A change of ids takes both away (prctl(2), "PR_SET_PDEATHSIG"; proc(5), "fs.suid_dumpable").
    inside::hide()?;
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "the signal at the launcher's end")
}
