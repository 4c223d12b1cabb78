//! The standard system call filters: of our own launches, and of scriptlets in the install view. They
//! deny what nothing there needs and what has led out of containers, and allow all else. An engine
//! brings a filter of its own.
//!
//! A program of the classic BPF (seccomp(2)), written out per architecture, because a launch has no
//! time for compiling one. The kernel remembers which calls it allows whatever their arguments, so
//! a running command pays for ioctl(2) only.

use libc::sock_filter;

use super::seccomp::Test::{AnyOf, AtLeast, Equal};
use super::seccomp::{self, ARCHITECTURE, Filter, NUMBER, argument, fail, finish, when};

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
    /// Calls that scriptlets are denied besides, see [`Who::Scriptlets`].
    inner: &'static [u32],
    /// Number of ioctl(2).
    ioctl: u32,
    /// Number of clone(2).
    clone: u32,
    /// Number of socket(2).
    socket: u32,
    /// Number of socketcall(2), whose arguments a filter cannot see.
    socketcall: Option<u32>,
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

/// mount(2) by descriptors and what came with it, from the generic table: open_tree, move_mount,
/// fsopen, fsconfig, fsmount, fspick, mount_setattr; and pidfd_getfd.
const GENERIC: [u32; 8] = [428, 429, 430, 431, 432, 433, 442, 438];

/// clone3(2), from the generic table.
const CLONE3: u32 = 435;

/// Every namespace flag of clone(2). That of time namespaces lies in the bits of the exit signal there.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Kinds of sockets that scriptlets may have: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, all of which end
/// at the view's network namespace. AF_VSOCK (vsock(7)) reaches the hypervisor from every namespace,
/// and AF_ALG and the rarer ones are kernel code that no scriptlet needs.
const FAMILIES: [u32; 4] = [1, 2, 10, 16];

// In each table, denied: add_key request_key keyctl, which reach keys of others; kexec_load
// (kexec_file_load); bpf perf_event_open, which look into the kernel; open_by_handle_at, which opens
// files past every mount. Absent: userfaultfd io_uring_…, the tools of many kernel exploits, and relics.
// Inner, besides those of `GENERIC`: ptrace process_vm_readv process_vm_writev kcmp, which reach into
// other processes; mount umount2 pivot_root chroot unshare setns, for whoever is root of a namespace of
// its own is root again; fanotify_init syslog name_to_handle_at, which look beyond the view.
#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_003e,
        denied: &[248, 249, 250, 246, 320, 321, 298, 304],
        absent: &[323, IO_URING[0], IO_URING[1], IO_URING[2], 134, 156, 180],
        inner: &[101, 310, 311, 312, 165, 166, 155, 161, 272, 308, 300, 103, 303],
        ioctl: 16,
        clone: 56,
        socket: 41,
        socketcall: None,
        second: Some(0x4000_0000),
    },
    Abi {
        arch: 0x4000_0003,
        denied: &[286, 287, 288, 283, 357, 336, 342],
        absent: &[374, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
        inner: &[26, 347, 348, 349, 21, 52, 22, 217, 61, 310, 346, 338, 103, 341],
        ioctl: 54,
        clone: 120,
        socket: 359,
        socketcall: Some(102),
        second: None,
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_00b7,
        denied: &[217, 218, 219, 104, 294, 280, 241, 265],
        absent: &[282, IO_URING[0], IO_URING[1], IO_URING[2], 42],
        inner: &[117, 270, 271, 272, 40, 39, 41, 51, 97, 268, 262, 116, 264],
        ioctl: 29,
        clone: 220,
        socket: 198,
        socketcall: None,
        second: None,
    },
    Abi {
        arch: 0x4000_0028,
        denied: &[309, 310, 311, 347, 401, 386, 364, 371],
        absent: &[388, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
        inner: &[26, 376, 377, 378, 21, 52, 218, 61, 337, 375, 367, 103, 370],
        ioctl: 54,
        clone: 120,
        socket: 281,
        socketcall: None,
        second: None,
    },
];

#[cfg(target_arch = "arm")]
const ABIS: [Abi; 1] = [Abi {
    arch: 0x4000_0028,
    denied: &[309, 310, 311, 347, 401, 386, 364, 371],
    absent: &[388, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
    inner: &[26, 376, 377, 378, 21, 52, 218, 61, 337, 375, 367, 103, 370],
    ioctl: 54,
    clone: 120,
    socket: 281,
    socketcall: None,
    second: None,
}];

// The generic table, as on aarch64.
#[cfg(target_arch = "riscv64")]
const ABIS: [Abi; 1] = [Abi {
    arch: 0xc000_00f3,
    denied: &[217, 218, 219, 104, 294, 280, 241, 265],
    absent: &[282, IO_URING[0], IO_URING[1], IO_URING[2], 42],
    inner: &[117, 270, 271, 272, 40, 39, 41, 51, 97, 268, 262, 116, 264],
    ioctl: 29,
    clone: 220,
    socket: 198,
    socketcall: None,
    second: None,
}];

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64"
)))]
const ABIS: [Abi; 0] = [];

/// Whom a filter is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// The command of a launch.
    #[cfg(feature = "launch")]
    Command,
    /// Scriptlets, and rpm that runs them, once the install view stands: nobody there makes namespaces
    /// or mounts, or looks into other processes.
    Scriptlets,
}

/// Whether this architecture has a filter.
pub(crate) const AVAILABLE: bool = !ABIS.is_empty();

/// Loads the filter. The caller has no_new_privs, or CAP_SYS_ADMIN.
///
/// # Errors
/// The architecture has no filter yet (EOPNOTSUPP), or seccomp(2) fails.
pub(crate) fn load(who: Who) -> rustix::io::Result<()> {
    if !AVAILABLE {
        return Err(rustix::io::Errno::OPNOTSUPP);
    }
    Filter::new(&program(who)).load()
}

/// The program: a block for each ABI; a call of any other ABI is absent.
fn program(who: Who) -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(ARCHITECTURE)];
    for abi in &ABIS {
        let block = block(abi, who);
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
    /// The request decides.
    Ioctl,
    /// It makes no namespaces.
    Clone,
    /// The family decides.
    Socket,
}

impl Verdict {
    /// What is done once the call is known.
    fn instructions(self) -> Vec<sock_filter> {
        let one_of = |allowed: bool, argument_index: u32, numbers: &[u32], otherwise: u32| {
            let mut all = vec![seccomp::load(argument(argument_index))];
            let (hit, miss) = if allowed {
                (libc::SECCOMP_RET_ALLOW, otherwise)
            } else {
                (otherwise, libc::SECCOMP_RET_ALLOW)
            };
            all.extend(numbers.iter().flat_map(|number| [when(Equal, *number, 1), finish(hit)]));
            all.push(finish(miss));
            all
        };
        match self {
            Self::Fail(action) => vec![finish(action)],
            Self::Ioctl => one_of(false, 1, &TERMINAL_INPUT, PERM),
            Self::Socket => one_of(true, 0, &FAMILIES, fail(libc::EAFNOSUPPORT)),
            Self::Clone => {
                let none = [when(AnyOf, NAMESPACES, 1), finish(PERM), finish(libc::SECCOMP_RET_ALLOW)];
                std::iter::once(seccomp::load(argument(0))).chain(none).collect()
            }
        }
    }
}

fn block(abi: &Abi, who: Who) -> Vec<sock_filter> {
    let mut all = vec![seccomp::load(NUMBER)];
    if let Some(bit) = abi.second {
        all.extend([when(AtLeast, bit, 1), finish(NOSYS)]);
    }
    let denied = abi.denied.iter().map(|call| (*call, Verdict::Fail(PERM)));
    let absent = abi.absent.iter().map(|call| (*call, Verdict::Fail(NOSYS)));
    let mut calls: Vec<(u32, Verdict)> = denied.chain(absent).chain([(abi.ioctl, Verdict::Ioctl)]).collect();
    if who == Who::Scriptlets {
        calls.extend(abi.inner.iter().chain(&GENERIC).map(|call| (*call, Verdict::Fail(PERM))));
        calls.extend([(abi.clone, Verdict::Clone), (abi.socket, Verdict::Socket)]);
        // Its flags are in memory, where a filter cannot look; the C library goes on with clone(2), and
        // instead of socketcall(2) with socket(2).
        calls.extend(abi.socketcall.iter().chain([&CLONE3]).map(|call| (*call, Verdict::Fail(NOSYS))));
    }
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
        let then = verdict.instructions();
        all.push(when(Equal, *call, u8::try_from(then.len()).unwrap_or(u8::MAX)));
        all.extend(then);
    }
    all.push(finish(libc::SECCOMP_RET_ALLOW));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    /// Runs a program as the kernel does, on a call's ABI, number and first two arguments.
    fn decide(who: Who, arch: u32, number: u32, arguments: [u64; 2]) -> u32 {
        let low = |at: usize| u32::try_from(arguments[at] & 0xffff_ffff).unwrap();
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => arch,
            offset if offset == argument(0) => low(0),
            offset if offset == argument(1) => low(1),
            other => panic!("load of {other}"),
        };
        seccomp::evaluate(&program(who), word)
    }

    /// The same for a call of a launch, which only its second argument decides.
    fn verdict(arch: u32, number: u32, second: u64) -> u32 {
        decide(Who::Command, arch, number, [0, second])
    }

    #[test]
    fn scriptlets_make_no_namespaces_and_no_strange_sockets() {
        for abi in &ABIS {
            let scriptlet = |number, first| decide(Who::Scriptlets, abi.arch, number, [first, 0]);
            for number in abi.inner.iter().chain(&GENERIC).chain(abi.denied) {
                assert_eq!(scriptlet(*number, 0), PERM, "{:x} {number}", abi.arch);
            }
            for number in abi.socketcall.iter().chain([&CLONE3]).chain(abi.absent) {
                assert_eq!(scriptlet(*number, 0), NOSYS, "{:x} {number}", abi.arch);
            }
            for flag in 0..32 {
                let wanted = if NAMESPACES & (1 << flag) != 0 { PERM } else { ALLOW };
                assert_eq!(scriptlet(abi.clone, 1 << flag), wanted, "{flag}");
                assert_eq!(verdict(abi.arch, abi.clone, 1 << flag), ALLOW);
            }
            for family in 0..50 {
                let allowed = FAMILIES.contains(&u32::try_from(family).unwrap());
                assert_eq!(scriptlet(abi.socket, family) == ALLOW, allowed, "{family}");
                // The kernel reads 32 bits of it.
                assert_eq!(scriptlet(abi.socket, family | 1 << 40) == ALLOW, allowed, "{family}");
            }
            assert_eq!(scriptlet(abi.ioctl, 0), ALLOW);
            assert_eq!(decide(Who::Scriptlets, abi.arch, abi.ioctl, [0, 0x5412]), PERM);
            for number in [0, 1, 3, 20, 60, 200] {
                assert_eq!(scriptlet(number, 0), ALLOW, "{:x} {number}", abi.arch);
            }
        }
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
        let inner = "ptrace process_vm_readv process_vm_writev kcmp mount umount2 umount pivot_root chroot unshare \
                     setns fanotify_init syslog name_to_handle_at";
        let generic = "open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr pidfd_getfd";
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
            assert_eq!(abi.inner, numbers(inner), "{:x}", abi.arch);
            assert_eq!(GENERIC.to_vec(), numbers(generic), "{:x}", abi.arch);
            assert_eq!(vec![abi.ioctl, abi.clone, CLONE3], numbers("ioctl clone clone3"));
            // Of the i386 ABI libseccomp 2.5 gives a number to socketcall(2) only (socket(2) is 359 there,
            // arch/x86/entry/syscalls/syscall_32.tbl).
            assert!(numbers("socket") == [abi.socket] || abi.socket == 359 && abi.socketcall == Some(102));
        }
    }
}
