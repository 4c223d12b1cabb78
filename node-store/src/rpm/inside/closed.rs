//! The third stage: nothing of the host is open.

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use super::ready::Ready;
use super::said;
use crate::rpm::Job;

/// Capabilities that unpacking and scriptlets need. Everything that reaches beyond the view
/// (devices, modules, mounts, file handles, time, other processes' memory) is dropped for good.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP);

/// A process with nothing of the host open.
pub(in crate::rpm) struct Closed {
    job: Job,
}

impl Closed {
    pub(super) fn new(job: Job) -> Self {
        Self { job }
    }

    /// Drops everything that the view does not need.
    pub(in crate::rpm) fn confine(self) -> Result<Ready, String> {
        // What follows is of this thread (capabilities(7), seccomp(2)), and another one would keep what
        // this one gives up.
        let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(0);
        if threads != 1 {
            return Err(format!(
                "the install view: rpm has {threads} threads, and scriptlets could use them"
            ));
        }
        capabilities().map_err(said("capabilities"))?;
        set_no_new_privs(true).map_err(said("no_new_privs"))?;
        red_runtime::confine::filter_scriptlets().map_err(said("the filter of system calls"))?;
        Ok(Ready::new(self.job))
    }
}

fn capabilities() -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            // Capabilities that this kernel does not know yet.
            Err(rustix::io::Errno::INVAL) | Ok(()) => {}
            Err(errno) => return Err(errno),
        }
    }
    clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)
}
