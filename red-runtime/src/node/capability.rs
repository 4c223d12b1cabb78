//! Capabilities by the kernel's names.

use std::fmt;

use oci_spec::runtime::{Capability, LinuxCapabilities};

use super::value::{Wrong, name_of, nearest};

/// Sets without any capability. The default of the `oci-spec` crate has three in each.
#[must_use]
pub fn none() -> LinuxCapabilities {
    let mut all = LinuxCapabilities::default();
    all.set_bounding(None);
    all.set_effective(None);
    all.set_permitted(None);
    all.set_inheritable(None);
    all.set_ambient(None);
    all
}

/// One capability, or all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CapabilityName {
    /// `ALL`, applied before the others of the same file.
    All,
    /// One.
    One(Capability),
}

impl fmt::Display for CapabilityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("ALL"),
            Self::One(one) => f.write_str(capability_name(*one)),
        }
    }
}

/// Whether root's container with a capability is root of the machine, where uid 0 inside is the machine's; in
/// its own user namespace some mean nothing to the kernel (capabilities(7), user_namespaces(7)).
///
/// CAP_SYS_ADMIN removes masks and read-only mounts, and so writes the kernel's settings; CAP_SETFCAP gives a
/// file of a writable export capabilities that hold on the host too; the others change the kernel, or open
/// files past every mount.
#[must_use]
pub fn is_root(capability: Capability, host_users: bool) -> bool {
    match capability {
        Capability::SysAdmin | Capability::Setfcap => true,
        Capability::SysModule
        | Capability::SysRawio
        | Capability::SysBoot
        | Capability::DacReadSearch
        | Capability::Bpf => host_users,
        _ => false,
    }
}

/// Every capability with its kernel name, in the order of the kernel's numbers
/// (capabilities(7)).
pub const CAPABILITIES: [(&str, Capability); 41] = [
    ("CAP_CHOWN", Capability::Chown),
    ("CAP_DAC_OVERRIDE", Capability::DacOverride),
    ("CAP_DAC_READ_SEARCH", Capability::DacReadSearch),
    ("CAP_FOWNER", Capability::Fowner),
    ("CAP_FSETID", Capability::Fsetid),
    ("CAP_KILL", Capability::Kill),
    ("CAP_SETGID", Capability::Setgid),
    ("CAP_SETUID", Capability::Setuid),
    ("CAP_SETPCAP", Capability::Setpcap),
    ("CAP_LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("CAP_NET_BIND_SERVICE", Capability::NetBindService),
    ("CAP_NET_BROADCAST", Capability::NetBroadcast),
    ("CAP_NET_ADMIN", Capability::NetAdmin),
    ("CAP_NET_RAW", Capability::NetRaw),
    ("CAP_IPC_LOCK", Capability::IpcLock),
    ("CAP_IPC_OWNER", Capability::IpcOwner),
    ("CAP_SYS_MODULE", Capability::SysModule),
    ("CAP_SYS_RAWIO", Capability::SysRawio),
    ("CAP_SYS_CHROOT", Capability::SysChroot),
    ("CAP_SYS_PTRACE", Capability::SysPtrace),
    ("CAP_SYS_PACCT", Capability::SysPacct),
    ("CAP_SYS_ADMIN", Capability::SysAdmin),
    ("CAP_SYS_BOOT", Capability::SysBoot),
    ("CAP_SYS_NICE", Capability::SysNice),
    ("CAP_SYS_RESOURCE", Capability::SysResource),
    ("CAP_SYS_TIME", Capability::SysTime),
    ("CAP_SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("CAP_MKNOD", Capability::Mknod),
    ("CAP_LEASE", Capability::Lease),
    ("CAP_AUDIT_WRITE", Capability::AuditWrite),
    ("CAP_AUDIT_CONTROL", Capability::AuditControl),
    ("CAP_SETFCAP", Capability::Setfcap),
    ("CAP_MAC_OVERRIDE", Capability::MacOverride),
    ("CAP_MAC_ADMIN", Capability::MacAdmin),
    ("CAP_SYSLOG", Capability::Syslog),
    ("CAP_WAKE_ALARM", Capability::WakeAlarm),
    ("CAP_BLOCK_SUSPEND", Capability::BlockSuspend),
    ("CAP_AUDIT_READ", Capability::AuditRead),
    ("CAP_PERFMON", Capability::Perfmon),
    ("CAP_BPF", Capability::Bpf),
    ("CAP_CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

/// The kernel's name of a capability.
#[must_use]
pub fn capability_name(capability: Capability) -> &'static str {
    name_of(&CAPABILITIES, &capability)
}

/// Reads a capability, with or without `CAP_`, or `ALL`.
///
/// # Errors
/// Names the nearest one.
pub fn capability(text: &str) -> Result<CapabilityName, Wrong> {
    if text.eq_ignore_ascii_case("ALL") || text.eq_ignore_ascii_case("CAP_ALL") {
        return Ok(CapabilityName::All);
    }
    let full = match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => text.to_owned(),
        _ => format!("CAP_{text}"),
    };
    if let Some((_, one)) = CAPABILITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&full)) {
        return Ok(CapabilityName::One(*one));
    }
    let wrong = Wrong::new("a capability of Linux");
    Err(match nearest(&full, CAPABILITIES.iter().map(|(name, _)| *name)) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => wrong.help("capabilities(7) lists them; `ALL` means every one"),
    })
}
