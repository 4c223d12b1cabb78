//! Scheduling of other processes, and the execution domain of this one.

use rustix::process::Pid;

use super::last;

/// Attributes of sched_setattr(2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Attributes {
    /// `SCHED_…`.
    pub(crate) policy: u32,
    /// `SCHED_FLAG_…`.
    pub(crate) flags: u64,
    /// Nice value, of ordinary policies.
    pub(crate) nice: i32,
    /// Static priority, of real-time policies.
    pub(crate) priority: u32,
    /// Nanoseconds of a period, of the deadline policy.
    pub(crate) runtime: u64,
    /// Nanoseconds after which that has to be over.
    pub(crate) deadline: u64,
    /// Nanoseconds of a period.
    pub(crate) period: u64,
}

/// Sets the scheduling policy of a process.
///
/// # Errors
/// What sched_setattr(2) says.
pub(crate) fn set_policy(pid: Pid, attributes: Attributes) -> rustix::io::Result<()> {
    // SAFETY: an all-zero sched_attr is valid.
    let mut raw: libc::sched_attr = unsafe { std::mem::zeroed() };
    raw.size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
    raw.sched_policy = attributes.policy;
    raw.sched_flags = attributes.flags;
    raw.sched_nice = attributes.nice;
    raw.sched_priority = attributes.priority;
    raw.sched_runtime = attributes.runtime;
    raw.sched_deadline = attributes.deadline;
    raw.sched_period = attributes.period;
    // SAFETY: the structure says its own size, and lives for the call, which only reads it.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setattr, pid.as_raw_nonzero().get(), std::ptr::from_ref(&raw), 0)
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Sets the I/O priority of a process: a class and a level in it.
///
/// # Errors
/// What ioprio_set(2) says.
pub(crate) fn set_io_priority(pid: Pid, class: u16, level: u16) -> rustix::io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = i32::from(class) << CLASS_SHIFT | i32::from(level);
    // SAFETY: plain numbers.
    let result =
        unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid.as_raw_nonzero().get(), value) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Sets the execution domain of this process, which stays over an exec.
///
/// # Errors
/// What personality(2) says.
pub(crate) fn set_personality(domain: u32) -> rustix::io::Result<()> {
    // SAFETY: a plain number.
    let result = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if result >= 0 { Ok(()) } else { Err(last()) }
}
