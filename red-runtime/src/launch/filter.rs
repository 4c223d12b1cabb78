//! The standard system call filter of our own launches: it denies what no command of a node needs
//! and what has led out of containers, and allows all else. An engine brings a filter of its own.
//!
//! A program of the classic BPF (seccomp(2)), written out per architecture, because a launch has no
//! time for compiling one. The kernel remembers which calls it allows whatever their arguments, so
//! a running command pays for ioctl(2) only.

use libc::sock_filter;

use super::error::{Doing, LaunchError};
use crate::sys::seccomp::Test::{AtLeast, Equal};
use crate::sys::seccomp::{self, ARCHITECTURE, Filter, NUMBER, argument, fail, finish, when};

/// What a denied call returns: `EPERM`, as without the privilege; `ENOSYS`, as in a kernel without
/// the call, so that programs fall back to what they did before it existed.
const PERM: u32 = fail(libc::EPERM);
const NOSYS: u32 = fail(libc::ENOSYS);

/// A system call ABI that the running kernel may serve.
struct Abi {
    /// `AUDIT_ARCH_…` (linux/audit.h).
    arch: u32,
    /// Calls denied with `EPERM`.
    denied: &'static [u32],
    /// Calls denied with `ENOSYS`.
    absent: &'static [u32],
    /// Number of ioctl(2).
    ioctl: u32,
    /// Bit that marks the calls of a second ABI with the same `arch` (x32), which are absent.
    second: Option<u32>,
}

/// Requests that put characters into the input of a terminal (TIOCSTI: CVE-2017-5226, TIOCLINUX:
/// CVE-2023-28100). The kernel looks at the lower half of the argument only, and so does the filter
/// (CVE-2019-10063).
const TERMINAL_INPUT: [u32; 2] = [0x5412, 0x541c];

/// Calls of the generic table, the same number everywhere: io_uring_setup, io_uring_enter,
/// io_uring_register.
const IO_URING: [u32; 3] = [425, 426, 427];

// In each table, denied: add_key request_key keyctl, which reach keys of others; kexec_load
// (kexec_file_load); bpf perf_event_open, which look into the kernel; open_by_handle_at, which opens
// files past every mount. Absent: userfaultfd io_uring_…, the tools of many kernel exploits, and relics.
#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_003e,
        denied: &[248, 249, 250, 246, 320, 321, 298, 304],
        absent: &[323, IO_URING[0], IO_URING[1], IO_URING[2], 134, 156, 180],
        ioctl: 16,
        second: Some(0x4000_0000),
    },
    Abi {
        arch: 0x4000_0003,
        denied: &[286, 287, 288, 283, 357, 336, 342],
        absent: &[374, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
        ioctl: 54,
        second: None,
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_00b7,
        denied: &[217, 218, 219, 104, 294, 280, 241, 265],
        absent: &[282, IO_URING[0], IO_URING[1], IO_URING[2], 42],
        ioctl: 29,
        second: None,
    },
    Abi {
        arch: 0x4000_0028,
        denied: &[309, 310, 311, 347, 401, 386, 364, 371],
        absent: &[388, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
        ioctl: 54,
        second: None,
    },
];

#[cfg(target_arch = "arm")]
const ABIS: [Abi; 1] = [Abi {
    arch: 0x4000_0028,
    denied: &[309, 310, 311, 347, 401, 386, 364, 371],
    absent: &[388, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
    ioctl: 54,
    second: None,
}];

// The generic table, as on aarch64.
#[cfg(target_arch = "riscv64")]
const ABIS: [Abi; 1] = [Abi {
    arch: 0xc000_00f3,
    denied: &[217, 218, 219, 104, 294, 280, 241, 265],
    absent: &[282, IO_URING[0], IO_URING[1], IO_URING[2], 42],
    ioctl: 29,
    second: None,
}];

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64"
)))]
const ABIS: [Abi; 0] = [];

/// Loads the filter. The caller has no_new_privs, or CAP_SYS_ADMIN.
///
/// # Errors
/// The architecture has no filter yet, or seccomp(2) fails.
pub(super) fn load() -> Result<(), LaunchError> {
    if ABIS.is_empty() {
        return Err(LaunchError::refused(
            "the standard system call filter",
            "not available for this architecture; `config: {seccomp: Disabled}` does without",
        ));
    }
    Filter::new(&program()).load().doing(|| "the standard system call filter")
}

/// The program: a block for each ABI; a call of any other ABI is absent.
fn program() -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(ARCHITECTURE)];
    for abi in &ABIS {
        let block = block(abi);
        // Past a block that is not this architecture's. Blocks are far shorter than a jump reaches.
        all.push(when(Equal, abi.arch, u8::try_from(block.len()).unwrap_or(u8::MAX)));
        all.extend(block);
    }
    all.push(finish(NOSYS));
    all
}

/// What becomes of one call.
#[derive(Clone, Copy)]
enum Verdict {
    /// It fails with this action.
    Fail(u32),
    /// Its second argument decides.
    Ioctl,
}

fn block(abi: &Abi) -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(NUMBER)];
    if let Some(bit) = abi.second {
        all.extend([when(AtLeast, bit, 1), finish(NOSYS)]);
    }
    let denied = abi.denied.iter().map(|call| (*call, Verdict::Fail(PERM)));
    let absent = abi.absent.iter().map(|call| (*call, Verdict::Fail(NOSYS)));
    let mut calls: Vec<(u32, Verdict)> = denied.chain(absent).chain([(abi.ioctl, Verdict::Ioctl)]).collect();
    calls.sort_unstable_by_key(|(call, _)| *call);
    tree(&calls, &mut all);
    all
}

/// A search tree over the calls: loading a filter, the kernel runs it once for every call that there is.
fn tree(calls: &[(u32, Verdict)], all: &mut Vec<sock_filter>) {
    if calls.len() > 2 {
        let (below, above) = calls.split_at(calls.len() / 2);
        let mut upper = Vec::new();
        tree(above, &mut upper);
        all.push(when(AtLeast, above[0].0, u8::try_from(upper.len()).unwrap_or(u8::MAX)));
        all.extend(upper);
        return tree(below, all);
    }
    for (call, verdict) in calls {
        match verdict {
            Verdict::Fail(action) => all.extend([when(Equal, *call, 1), finish(*action)]),
            Verdict::Ioctl => {
                all.extend([when(Equal, *call, 6), seccomp::load(argument(1))]);
                for request in TERMINAL_INPUT {
                    all.extend([when(Equal, request, 1), finish(PERM)]);
                }
                all.push(finish(libc::SECCOMP_RET_ALLOW));
            }
        }
    }
    all.push(finish(libc::SECCOMP_RET_ALLOW));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel does, on a call's ABI, number and second argument.
    fn verdict(arch: u32, number: u32, second: u64) -> u32 {
        let low = u32::try_from(second & 0xffff_ffff).unwrap();
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => arch,
            offset if offset == argument(1) => low,
            other => panic!("load of {other}"),
        };
        seccomp::evaluate(&program(), word)
    }

    #[test]
    fn ordinary_calls_are_allowed_in_every_abi() {
        for abi in &ABIS {
            for number in [0, 1, 3, 20, 60, 200] {
                assert_eq!(verdict(abi.arch, number, 0), libc::SECCOMP_RET_ALLOW, "{:x} {number}", abi.arch);
            }
            assert_eq!(verdict(abi.arch, abi.ioctl, 0x5401), libc::SECCOMP_RET_ALLOW);
        }
    }

    #[test]
    fn terminal_input_is_denied_whatever_the_upper_half_says() {
        for abi in &ABIS {
            for request in TERMINAL_INPUT {
                assert_eq!(verdict(abi.arch, abi.ioctl, u64::from(request)), PERM);
                assert_eq!(verdict(abi.arch, abi.ioctl, u64::from(request) | 1 << 32), PERM);
            }
        }
    }

    #[test]
    fn listed_calls_are_denied_and_unknown_abis_absent() {
        for abi in &ABIS {
            assert!(abi.denied.iter().all(|call| verdict(abi.arch, *call, 0) == PERM));
            assert!(abi.absent.iter().all(|call| verdict(abi.arch, *call, 0) == NOSYS));
            if let Some(bit) = abi.second {
                assert_eq!(verdict(abi.arch, bit | 1, 0), NOSYS);
            }
        }
        assert_eq!(verdict(0x1234, 1, 0), NOSYS);
    }

    /// The numbers are those that libseccomp knows by these names.
    #[test]
    fn numbers_are_the_kernels() {
        use libseccomp::{ScmpArch, ScmpSyscall};
        let arch = |arch: u32| match arch {
            0xc000_003e => ScmpArch::X8664,
            0x4000_0003 => ScmpArch::X86,
            0xc000_00b7 => ScmpArch::Aarch64,
            _ => ScmpArch::Arm,
        };
        let denied =
            "add_key request_key keyctl kexec_load kexec_file_load bpf perf_event_open open_by_handle_at";
        let absent = "userfaultfd io_uring_setup io_uring_enter io_uring_register uselib _sysctl nfsservctl";
        for abi in &ABIS {
            let numbers = |names: &str| {
                let one = |name: &str| {
                    let call = ScmpSyscall::from_name_by_arch(name, arch(abi.arch)).unwrap();
                    u32::try_from(i32::from(call)).ok()
                };
                // libseccomp gives a negative number to a call that an ABI lacks.
                names.split(' ').filter_map(one).collect::<Vec<_>>()
            };
            assert_eq!(abi.denied, numbers(denied), "{:x}", abi.arch);
            assert_eq!(abi.absent, numbers(absent), "{:x}", abi.arch);
            assert_eq!(vec![abi.ioctl], numbers("ioctl"));
        }
    }
}
