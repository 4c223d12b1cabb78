//! The seccomp filter of a command in the box (seccomp(2), classic BPF).
//!
//! It denies what a process without capabilities could still reach the host, its kernel's wider
//! corners, or memory outside its limits with. System calls newer than the list get ENOSYS: a kernel
//! that learns more does not make the box larger.

use libc::{c_long, sock_filter};

use crate::sys::seccomp::Test::{Above, AnyOf, AtLeast, Equal};
use crate::sys::seccomp::{ARCHITECTURE, NUMBER, argument, fail, finish, load, when};

/// `AUDIT_ARCH_…` (linux/audit.h) of the targets that are supported, all little endian.
const ARCH: Option<u32> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xC000_00F3)
} else if cfg!(all(target_arch = "arm", target_endian = "little")) {
    Some(0x4000_0028)
} else {
    None
};

/// The newest system call that is known here, mseal(2). From 424 on all targets count alike.
const NEWEST: c_long = 462;

/// The first number of the x32 ABI, whose calls this list does not have.
const X32: u32 = 0x4000_0000;

/// Denied whatever the arguments are.
const DENIED: &[c_long] = &[
    // Network, and sockets of the host: a read-only mount does not stop connect(2).
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Keys of the launching user (keyrings(7)).
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large parts of the kernel that no command needs.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_syslog,
    libc::SYS_quotactl,
    libc::SYS_personality,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Memory that no resource limit counts.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// Every namespace flag of clone(2).
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32
    // CLONE_NEWTIME is in the bits of the exit signal, and clone3(2) only.
    ;

/// Denied ioctl(2) requests: typing into a terminal (TIOCSTI), the console's selection (TIOCLINUX),
/// taking a controlling terminal (TIOCSCTTY), line disciplines (TIOCSETD).
const REQUESTS: [u32; 4] = [0x5412, 0x541C, 0x540E, 0x5423];

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const EPERM: u32 = fail(libc::EPERM);
const ENOSYS: u32 = fail(libc::ENOSYS);

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// The filter for this architecture, if there is one for it.
pub(crate) fn program() -> Option<Vec<sock_filter>> {
    let mut program = vec![
        load(ARCHITECTURE),
        // The next instruction is for every other architecture.
        sock_filter { jt: 1, jf: 0, ..when(Equal, ARCH?, 0) },
        finish(KILL),
        load(NUMBER),
    ];
    if cfg!(target_arch = "x86_64") {
        program.extend([when(AtLeast, X32, 1), finish(KILL)]);
    }
    program.extend([when(Above, number(NEWEST), 1), finish(ENOSYS)]);
    // Its flags are in memory, where a filter cannot look; the C library goes on with clone(2).
    program.extend([when(Equal, number(libc::SYS_clone3), 1), finish(ENOSYS)]);
    for call in DENIED {
        program.extend([when(Equal, number(*call), 1), finish(EPERM)]);
    }
    program.extend([
        when(Equal, number(libc::SYS_clone), 4),
        load(argument(0)),
        when(AnyOf, NAMESPACES, 1),
        finish(EPERM),
        finish(ALLOW),
    ]);
    program.extend([when(Equal, number(libc::SYS_ioctl), 2 * REQUESTS.len() as u8 + 1), load(argument(1))]);
    for request in REQUESTS {
        program.extend([when(Equal, request, 1), finish(EPERM)]);
    }
    program.push(finish(ALLOW));
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn decide(arch: u32, call: c_long, args: [u64; 2]) -> u32 {
        let program = program().expect("this architecture has one");
        let mut data = vec![number(call), arch, 0, 0];
        data.extend(args.iter().flat_map(|arg| [*arg as u32, (*arg >> 32) as u32]));
        crate::sys::seccomp::evaluate(&program, |offset| data[offset as usize / 4])
    }

    fn call(call: c_long, args: [u64; 2]) -> u32 {
        decide(ARCH.expect("this architecture has one"), call, args)
    }

    #[test]
    fn what_a_shell_needs_is_allowed() {
        for needed in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_close_range,
            libc::SYS_wait4,
            libc::SYS_exit_group,
            libc::SYS_kill,
            libc::SYS_dup3,
            libc::SYS_pipe2,
        ] {
            assert_eq!(call(needed, [0, 0]), ALLOW, "{needed}");
        }
        let fork = (libc::CLONE_CHILD_CLEARTID | libc::CLONE_CHILD_SETTID | libc::SIGCHLD) as u64;
        assert_eq!(call(libc::SYS_clone, [fork, 0]), ALLOW);
        assert_eq!(call(libc::SYS_ioctl, [0, 0x5401]), ALLOW, "TCGETS");
    }

    #[test]
    fn the_list_is_denied() {
        for denied in DENIED {
            assert_eq!(call(*denied, [0, 0]), EPERM, "{denied}");
        }
        assert_eq!(call(libc::SYS_clone3, [0, 0]), ENOSYS);
        assert_eq!(call(NEWEST + 1, [0, 0]), ENOSYS);
        assert_eq!(call(NEWEST, [0, 0]), ALLOW);
    }

    #[test]
    fn arguments_decide_in_their_lower_half() {
        for flag in 0..32 {
            let flags = 1_u64 << flag;
            let wanted = if NAMESPACES & (1 << flag) != 0 { EPERM } else { ALLOW };
            assert_eq!(call(libc::SYS_clone, [flags, 0]), wanted, "{flags:#x}");
        }
        for request in REQUESTS {
            // The kernel reads 32 bits of it (CVE-2019-10063 in flatpak).
            assert_eq!(call(libc::SYS_ioctl, [0, u64::from(request) | 1 << 32]), EPERM, "{request:#x}");
        }
    }

    #[test]
    fn other_architectures_are_killed() {
        assert_eq!(decide(0x4000_0003, libc::SYS_read, [0, 0]), KILL, "i386");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(call(libc::SYS_read + i64::from(X32), [0, 0]), KILL, "x32");
        }
    }
}
