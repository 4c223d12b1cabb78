//! How the kernel schedules a process: its policy and its I/O priority (config.md, "scheduler",
//! "ioPriority"). Set from outside, by whoever may raise them.

use oci_spec::runtime::{IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};
use rustix::process::Pid;

use super::error::{Doing, LaunchError};
use crate::sys::schedule::{Attributes, set_io_priority, set_policy};

/// `SCHED_DEADLINE` (linux/sched.h).
const DEADLINE: u32 = 6;

/// What a process asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Schedule {
    policy: Option<Attributes>,
    io: Option<(u16, u16)>,
}

impl Schedule {
    /// That of a process.
    ///
    /// # Errors
    /// A value that the kernel has no place for.
    pub(super) fn of(process: &Process) -> Result<Self, LaunchError> {
        let io = process.io_priority().as_ref().map(|io| {
            let level = u16::try_from(io.priority()).ok().filter(|level| *level < 8).ok_or_else(|| {
                let why = format!("invalid priority: {} (0 to 7)", io.priority());
                LaunchError::refused("process.ioPriority", why)
            })?;
            // linux/ioprio.h
            Ok(match io.class() {
                IOPriorityClass::IoprioClassRt => (1, level),
                IOPriorityClass::IoprioClassBe => (2, level),
                IOPriorityClass::IoprioClassIdle => (3, level),
            })
        });
        let policy = process.scheduler().as_ref().map(attributes);
        Ok(Self { policy: policy.transpose()?, io: io.transpose()? })
    }

    /// Whether it asks for nothing.
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether it comes last, when nothing is left to do but to become the command: what has a deadline makes no
    /// processes (sched(7), "SCHED_DEADLINE"), so no hook could run inside.
    pub(super) fn comes_last(self) -> bool {
        self.policy.is_some_and(|policy| policy.policy == DEADLINE)
    }

    /// Gives a process what was asked for.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn give(self, pid: Pid) -> Result<(), LaunchError> {
        if let Some(policy) = self.policy {
            set_policy(pid, policy).doing(|| "process.scheduler")?;
        }
        if let Some((class, level)) = self.io {
            set_io_priority(pid, class, level).doing(|| "process.ioPriority")?;
        }
        Ok(())
    }
}

fn attributes(said: &Scheduler) -> Result<Attributes, LaunchError> {
    let refused = |why: String| LaunchError::refused("process.scheduler", why);
    // linux/sched.h
    let policy = match said.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => return Err(refused("the kernel has no SCHED_ISO".to_owned())),
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => DEADLINE,
    };
    let mut flags = 0;
    for flag in said.flags().iter().flatten() {
        flags |= match flag {
            LinuxSchedulerFlag::SchedResetOnFork => 0x1,
            LinuxSchedulerFlag::SchedFlagReclaim => 0x2,
            LinuxSchedulerFlag::SchedFlagDLOverrun => 0x4,
            LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x8,
            LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
            LinuxSchedulerFlag::SchedFlagUtilClampMin | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
                return Err(refused(format!("{flag}: the configuration has no place for its value")));
            }
        };
    }
    let priority = said.priority().unwrap_or(0);
    Ok(Attributes {
        policy,
        flags,
        nice: said.nice().unwrap_or(0),
        priority: u32::try_from(priority)
            .map_err(|_range| refused(format!("invalid priority: {priority}")))?,
        runtime: said.runtime().unwrap_or(0),
        deadline: said.deadline().unwrap_or(0),
        period: said.period().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(process: serde_json::Value) -> Result<Schedule, String> {
        let mut whole = serde_json::json!({"cwd": "/", "user": {"uid": 0, "gid": 0}});
        for (key, value) in process.as_object().unwrap() {
            whole[key] = value.clone();
        }
        Schedule::of(&serde_json::from_value(whole).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_kernel_has_no_place_for_is_refused() {
        assert!(read(serde_json::json!({})).unwrap().is_empty());
        let io = read(serde_json::json!({"ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 7}}));
        assert_eq!(io.unwrap().io, Some((3, 7)));
        for priority in [-1, 8, 1 << 20] {
            let io = serde_json::json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": priority}});
            assert!(read(io).unwrap_err().contains("invalid priority"), "{priority}");
        }
        let batch = read(serde_json::json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 5}}));
        assert_eq!(
            batch.unwrap().policy.unwrap(),
            Attributes { policy: 3, nice: 5, ..Attributes::default() }
        );
        for (policy, last) in [("SCHED_DEADLINE", true), ("SCHED_FIFO", false), ("SCHED_OTHER", false)] {
            let one = read(serde_json::json!({"scheduler": {"policy": policy}}));
            assert_eq!(one.unwrap().comes_last(), last, "{policy}");
        }
        for wrong in [
            serde_json::json!({"policy": "SCHED_ISO"}),
            serde_json::json!({"policy": "SCHED_FIFO", "priority": -1}),
            serde_json::json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}),
        ] {
            assert!(read(serde_json::json!({"scheduler": wrong})).is_err(), "{wrong}");
        }
    }
}
