//! The five capability sets of a process (capabilities(7)).

use oci_spec::runtime::{Capability, Process};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::launch::error::{Doing, LaunchError};
use crate::node::capability::{self, CAPABILITIES};

/// The five sets of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sets {
    bounding: CapabilitySet,
    now: CapabilitySets,
    ambient: CapabilitySet,
}

fn set_of<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> CapabilitySet {
    let mut set = CapabilitySet::empty();
    for one in capabilities {
        if let Some(number) = CAPABILITIES.iter().position(|(_, capability)| capability == one) {
            set |= CapabilitySet::from_bits_retain(1 << number);
        }
    }
    set
}

impl Sets {
    /// Those of a process. One that says nothing gets none: silence is no permission.
    pub(super) fn of(process: &Process) -> Result<Self, LaunchError> {
        let all = process.capabilities().clone().unwrap_or_else(capability::none);
        let set = |list: &Option<std::collections::HashSet<Capability>>| set_of(list.iter().flatten());
        let (effective, permitted) = (set(all.effective()), set(all.permitted()));
        let inheritable = set(all.inheritable());
        let sets = Self {
            bounding: set(all.bounding()),
            now: CapabilitySets { effective, permitted, inheritable },
            // Nothing is ambient that is not permitted and inheritable too.
            ambient: set(all.ambient()) & permitted & inheritable,
        };
        if !permitted.contains(effective) {
            return Err(LaunchError::refused(
                "process.capabilities",
                "the effective set is more than the permitted",
            ));
        }
        Ok(sets)
    }

    /// Makes CAP_SYS_ADMIN effective that [`Sets::apply`] has left permitted. One system call.
    ///
    /// # Errors
    /// It is not permitted.
    pub(super) fn load_filter(&self) -> rustix::io::Result<()> {
        let mut now = self.now;
        now.permitted |= CapabilitySet::SYS_ADMIN;
        now.effective |= CapabilitySet::SYS_ADMIN;
        rustix::thread::set_capabilities(None, now)
    }

    /// Takes back what [`Sets::load_filter`] needed. One system call.
    ///
    /// # Errors
    /// None, as the sets only shrink.
    pub(super) fn settle(&self) -> rustix::io::Result<()> {
        rustix::thread::set_capabilities(None, self.now)
    }

    pub(super) fn drop_bounding(&self) -> Result<(), LaunchError> {
        for number in 0..64_u32 {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if self.bounding.contains(one) {
                continue;
            }
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // The first number the kernel does not know ends the list.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno).doing(|| format!("dropping capability {number}")),
            }
        }
        Ok(())
    }

    /// Takes the sets on. To load a filter without no_new_privs CAP_SYS_ADMIN is needed (seccomp(2)); with
    /// `loads_filter` it stays permitted, without effect, until the command is executed: that forgets what
    /// was permitted and works it out of the other sets (capabilities(7), "Transformation of capabilities
    /// during execve()"). With `as_far_as` what the launcher lacks itself is left out, and returned.
    ///
    /// # Errors
    /// The launcher lacks a capability itself.
    pub(super) fn apply(
        &mut self,
        loads_filter: bool,
        as_far_as: bool,
    ) -> Result<Vec<&'static str>, LaunchError> {
        let set = |now: CapabilitySets| {
            let extra = if loads_filter { CapabilitySet::SYS_ADMIN } else { CapabilitySet::empty() };
            rustix::thread::set_capabilities(None, CapabilitySets { permitted: now.permitted | extra, ..now })
        };
        let why = if loads_filter { " (a filter without noNewPrivileges needs CAP_SYS_ADMIN)" } else { "" };
        let bits = self.now.permitted.bits();
        let what = || format!("capabilities {bits:#x}, which the launcher may not have itself{why}");
        let mut lacking = CapabilitySet::empty();
        match set(self.now) {
            Err(Errno::PERM) if as_far_as => {
                let own = rustix::thread::capabilities(None).doing(what)?.permitted;
                lacking = self.now.permitted - own;
                let now = self.now;
                self.now = CapabilitySets {
                    effective: now.effective & own,
                    permitted: now.permitted & own,
                    inheritable: now.inheritable & own,
                };
                self.ambient &= own;
                set(self.now).doing(what)?;
            }
            other => other.doing(what)?,
        }
        rustix::thread::clear_ambient_capability_set().doing(|| "clearing ambient capabilities")?;
        for one in self.ambient.iter() {
            rustix::thread::configure_capability_in_ambient_set(one, true)
                .doing(|| "ambient capabilities")?;
        }
        let all = CAPABILITIES.iter().zip(0_u32..);
        let names = all.filter(|(_, number)| lacking.bits() & (1 << number) != 0);
        Ok(names.map(|((name, _), _)| *name).collect())
    }
}
