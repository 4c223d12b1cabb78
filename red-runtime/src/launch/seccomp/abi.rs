//! ABIs of system calls, and the numbers that names have in them.
//!
//! The numbers are the kernel's (crate `syscalls`); what two ABIs have of their own stands here.

use std::str::FromStr;

use oci_spec::runtime::Arch;

/// An ABI of system calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Abi {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
    Riscv64,
    Loongarch64,
}

/// Set in the number of every call of the x32 ABI (asm/unistd_x32.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// `AUDIT_ARCH_X86_64`, which two ABIs share.
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;

impl Abi {
    /// That of this program.
    pub(super) const fn native() -> Option<Self> {
        Some(if cfg!(target_arch = "x86_64") {
            Self::X86_64
        } else if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "x86") {
            Self::X86
        } else if cfg!(target_arch = "arm") {
            Self::Arm
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(target_arch = "loongarch64") {
            Self::Loongarch64
        } else {
            return None;
        })
    }

    /// That of a configuration's name; `None` for one that no machine has on which this runs.
    pub(super) fn of(arch: Arch) -> Option<Self> {
        Some(match arch {
            Arch::ScmpArchNative => return Self::native(),
            Arch::ScmpArchX86_64 => Self::X86_64,
            Arch::ScmpArchX32 => Self::X32,
            Arch::ScmpArchX86 => Self::X86,
            Arch::ScmpArchAarch64 => Self::Aarch64,
            Arch::ScmpArchArm => Self::Arm,
            Arch::ScmpArchRiscv64 => Self::Riscv64,
            Arch::ScmpArchLoongarch64 => Self::Loongarch64,
            _ => return None,
        })
    }

    /// What the kernel calls it (`AUDIT_ARCH_…`, linux/audit.h).
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => AUDIT_X86_64,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::Loongarch64 => 0xc000_0102,
        }
    }

    /// Whether arguments have 32 bits.
    pub(super) const fn narrow(self) -> bool {
        matches!(self, Self::X32 | Self::X86 | Self::Arm)
    }

    /// The number of a call; `None` where the ABI has no such call.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let number = match self {
            Self::X86_64 => id(syscalls::x86_64::Sysno::from_str(name), syscalls::x86_64::Sysno::id),
            Self::X32 => return x32(name),
            // The crate's table leaves it out: it is a word of Rust's.
            Self::X86 if name == "break" => Some(17),
            Self::X86 => id(syscalls::x86::Sysno::from_str(name), syscalls::x86::Sysno::id),
            // The crate has it by its other name.
            Self::Aarch64 | Self::Loongarch64 if name == "newfstatat" => Some(79),
            Self::Aarch64 => id(syscalls::aarch64::Sysno::from_str(name), syscalls::aarch64::Sysno::id),
            Self::Arm => return arm(name),
            Self::Riscv64 => id(syscalls::riscv64::Sysno::from_str(name), syscalls::riscv64::Sysno::id),
            Self::Loongarch64 => {
                id(syscalls::loongarch64::Sysno::from_str(name), syscalls::loongarch64::Sysno::id)
            }
        };
        // Those of 64 bits of time belong to ABIs of 32 bits (asm-generic/unistd.h).
        let of_narrow = |number: &u32| !self.narrow() && (403..=423).contains(number);
        u32::try_from(number?).ok().filter(|number| !of_narrow(number))
    }

    /// The call that one is a part of too, and which part: (socketcall(2), ipc(2)).
    pub(super) fn part(self, name: &str) -> Option<(Multiplexer, u64)> {
        if self != Self::X86 {
            return None;
        }
        let part =
            |names: &[&str], first: u64| Some(first + names.iter().position(|one| *one == name)? as u64);
        part(&SOCKET_CALLS, 1)
            .map(|part| (Multiplexer::SocketCall, part))
            .or_else(|| IPC.iter().find(|(one, _)| *one == name).map(|(_, part)| (Multiplexer::Ipc, *part)))
    }
}

fn id<S>(call: Result<S, ()>, id: impl Fn(&S) -> i32) -> Option<i32> {
    call.ok().map(|call| id(&call))
}

/// A call that is many in one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Multiplexer {
    /// socketcall(2): its first argument says which.
    SocketCall,
    /// ipc(2): so does the lower half of its first argument; the upper one is a version.
    Ipc,
}

impl Multiplexer {
    /// Its number in the i386 ABI.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::SocketCall => 102,
            Self::Ipc => 117,
        }
    }

    /// The bits of the first argument that say which call it is.
    pub(super) const fn mask(self) -> u64 {
        match self {
            Self::SocketCall => 0xffff_ffff,
            Self::Ipc => 0xffff,
        }
    }
}

/// Parts of socketcall(2) from 1 on (linux/net.h, `SYS_SOCKET` and so on).
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Parts of ipc(2) (linux/ipc.h).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Calls of x32 whose arguments differ from those of x86-64, from 512 on
/// (arch/x86/entry/syscalls/syscall_64.tbl, "x32").
const X32_CALLS: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// Calls of x86-64 that x32 has not (the same table, "64").
const NOT_X32: [&str; 14] = [
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "map_shadow_stack",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uprobe",
    "uretprobe",
    "uselib",
    "vserver",
];

fn x32(name: &str) -> Option<u32> {
    if NOT_X32.contains(&name) {
        return None;
    }
    let number = match X32_CALLS.iter().position(|one| *one == name) {
        Some(at) => 512 + u32::try_from(at).ok()?,
        None => Abi::X86_64.number(name)?,
    };
    Some(X32_BIT | number)
}

/// Calls of the ARM ABI beside the table, from 0x0f0001 on (asm/unistd.h, `__ARM_NR_BASE`).
const ARM_CALLS: [&str; 6] = ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"];

fn arm(name: &str) -> Option<u32> {
    if let Some(at) = ARM_CALLS.iter().position(|one| *one == name) {
        return Some(0x000f_0001 + u32::try_from(at).ok()?);
    }
    let number = id(syscalls::arm::Sysno::from_str(name), syscalls::arm::Sysno::id)?;
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use libseccomp::{ScmpArch, ScmpSyscall};

    use super::*;

    const ABIS: [(Abi, ScmpArch); 6] = [
        (Abi::X86_64, ScmpArch::X8664),
        (Abi::X32, ScmpArch::X32),
        (Abi::X86, ScmpArch::X86),
        (Abi::Aarch64, ScmpArch::Aarch64),
        (Abi::Arm, ScmpArch::Arm),
        (Abi::Riscv64, ScmpArch::Riscv64),
    ];

    /// Every name that libseccomp knows in an ABI has the number that it has there.
    #[test]
    fn numbers_are_those_of_libseccomp() {
        let mut compared = 0;
        // With those of calls that an ABI lacks, which are negative.
        let numbers = || (-11_000..1000).chain(0x000f_0000..0x000f_0010);
        let names: BTreeSet<String> = ABIS
            .iter()
            .flat_map(|(_, arch)| {
                numbers().filter_map(|number| ScmpSyscall::from(number).get_name_by_arch(*arch).ok())
            })
            .collect();
        let mut wrong = Vec::new();
        for name in &names {
            for (abi, arch) in ABIS {
                let theirs = ScmpSyscall::from_name_by_arch(name, arch).map(ScmpSyscall::as_raw_syscall);
                let Ok(theirs) = theirs else { continue };
                let ours = abi.number(name);
                // A part of another call, where it is not one of its own.
                let (theirs, part) = match theirs {
                    -120..=-101 => (None, Some((Multiplexer::SocketCall, i64::from(-100 - theirs)))),
                    -224..=-201 => (None, Some((Multiplexer::Ipc, i64::from(-200 - theirs)))),
                    _ => (u32::try_from(theirs).ok(), None),
                };
                let part = part.filter(|_| abi == Abi::X86);
                compared += 1;
                let same = if part.is_some() { true } else { ours == theirs };
                let same_part =
                    abi.part(name) == part.and_then(|(call, part)| Some((call, u64::try_from(part).ok()?)));
                if !same || !same_part {
                    wrong.push(format!("{abi:?} {name}: {ours:?} {theirs:?}; {:?} {part:?}", abi.part(name)));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(compared > 2500, "{compared}");
    }

    /// Two ABIs with the generic numbers: whatever one has the other has by the same name and number.
    #[test]
    fn abis_with_the_generic_numbers_are_the_same() {
        let mut compared = 0;
        for number in 0..1000 {
            let Ok(name) = ScmpSyscall::from(number).get_name_by_arch(ScmpArch::Riscv64) else { continue };
            if name.starts_with("riscv") {
                continue;
            }
            let number = Abi::Riscv64.number(&name);
            assert_eq!(Abi::Loongarch64.number(&name), number, "{name}");
            compared += 1;
        }
        assert!(compared > 250, "{compared}");
    }

    #[test]
    fn a_call_of_two_ways_has_both() {
        assert_eq!(
            (Abi::X86.number("socket"), Abi::X86.part("socket")),
            (Some(359), Some((Multiplexer::SocketCall, 1)))
        );
        assert_eq!((Abi::X86.number("semop"), Abi::X86.part("semop")), (None, Some((Multiplexer::Ipc, 1))));
        assert_eq!(
            (Abi::X86.number("shmctl"), Abi::X86.part("shmctl")),
            (Some(396), Some((Multiplexer::Ipc, 24)))
        );
        assert_eq!((Abi::X86_64.number("socket"), Abi::X86_64.part("socket")), (Some(41), None));
        assert_eq!(Abi::X86_64.number("no such call"), None);
    }
}
