use super::*;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Runs a program as the kernel does, on a call's ABI, number and first arguments.
fn decide<const N: usize>(who: Who, arch: u32, number: u32, arguments: [u64; N]) -> u32 {
    let low = |at: usize| u32::try_from(arguments[at] & 0xffff_ffff).unwrap();
    let word = |offset: u32| match offset {
        NUMBER => number,
        ARCHITECTURE => arch,
        offset if offset == argument(0) => low(0),
        offset if offset == argument(1) => low(1),
        offset if offset == argument(2) => low(2),
        offset if offset == argument(3) => low(3),
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
fn no_mode_sets_an_id_but_in_scriptlets() {
    for abi in &ABIS {
        let modes = || abi.modes.iter().copied().chain([mode_of(FCHMODAT2, 2)]);
        for Moding { call, mode: index, flags } in modes() {
            let decided = |who, mode, flag| {
                // What is neither mode nor flags does not matter.
                let mut arguments = [0o6777 | u64::from(MAKES); 4];
                arguments[index as usize] = mode;
                if let Some(flags) = flags {
                    arguments[flags as usize] = flag;
                }
                decide(who, abi.arch, call, arguments)
            };
            // O_CREAT, O_TMPFILE, both, and what the kernel reads 32 bits of.
            let makes = [0o100, 0o20_200_000, 0o20_200_101, 0o100 | 1 << 40];
            for who in [Who::Command, Who::Node] {
                for mode in [0o4755, 0o2755, 0o6711, 0o4000, 0o2000, 0o104_755, 0o4755 | 1 << 40] {
                    for flag in makes {
                        assert_eq!(decided(who, mode, flag), PERM, "{:x} {call} {mode:o} {flag:o}", abi.arch);
                    }
                    // An open that makes nothing may leave anything there.
                    assert_eq!(decided(who, mode, 0o2_000_001) == ALLOW, flags.is_some());
                }
                for mode in [0, 0o755, 0o1777, 0o644 | 1 << 43] {
                    assert_eq!(decided(who, mode, 0o101), ALLOW, "{:x} {call} {mode:o}", abi.arch);
                }
            }
            assert_eq!(decided(Who::Scriptlets, 0o4755, 0o101), ALLOW);
        }
        for who in [Who::Command, Who::Node] {
            for call in IO_URING.iter().chain(&[OPENAT2]) {
                assert_eq!(decide(who, abi.arch, *call, [0]), NOSYS);
            }
        }
        assert_eq!(decide(Who::Scriptlets, abi.arch, OPENAT2, [0]), ALLOW);
        // All else of an engine's node is the engine's.
        let others = |number: &u32| {
            IO_URING.contains(number) || *number == OPENAT2 || modes().any(|one| one.call == *number)
        };
        for number in (0..600).filter(|number| !others(number)) {
            assert_eq!(decide(Who::Node, abi.arch, number, [u64::MAX; 4]), ALLOW, "{:x} {number}", abi.arch);
        }
        // A jump goes no farther.
        assert!([Who::Command, Who::Node, Who::Scriptlets].iter().all(|who| block(abi, *who).len() < 256));
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
        let mut modes: Vec<u32> = abi.modes.iter().map(|one| one.call).collect();
        let mut known = numbers("chmod fchmod fchmodat creat mknod mknodat open openat");
        // libseccomp knows calls of the generic ABI by the names of those that it lacks.
        modes.sort_unstable();
        known.sort_unstable();
        assert_eq!(modes, known, "{:x}", abi.arch);
        assert_eq!(vec![OPENAT2], numbers("openat2"));
        assert_eq!(vec![abi.ioctl, abi.clone, CLONE3], numbers("ioctl clone clone3"));
        // Of the i386 ABI libseccomp 2.5 gives a number to socketcall(2) only (socket(2) is 359 there,
        // arch/x86/entry/syscalls/syscall_32.tbl).
        assert!(numbers("socket") == [abi.socket] || abi.socket == 359 && abi.socketcall == Some(102));
    }
}
