//! Numbers of system calls that filters name, per ABI.

use super::IO_URING;

/// A system call ABI that the running kernel may serve.
pub(super) struct Abi {
    /// `AUDIT_ARCH_…` (linux/audit.h).
    pub(super) arch: u32,
    /// Calls denied with `EPERM`.
    pub(super) denied: &'static [u32],
    /// Calls denied with `ENOSYS`.
    pub(super) absent: &'static [u32],
    /// Calls that scriptlets are denied besides, see [`Who::Scriptlets`].
    pub(super) inner: &'static [u32],
    /// Calls that give a file its mode: chmod fchmod fchmodat creat mknod mknodat open openat (fchmodat2 is
    /// [`super::FCHMODAT2`]).
    pub(super) modes: &'static [Moding],
    /// Number of ioctl(2).
    pub(super) ioctl: u32,
    /// Number of clone(2).
    pub(super) clone: u32,
    /// Number of socket(2).
    pub(super) socket: u32,
    /// Number of socketcall(2), whose arguments a filter cannot see.
    pub(super) socketcall: Option<u32>,
    /// Bit that marks the calls of a second ABI with the same `arch` (x32), which are absent.
    pub(super) second: Option<u32>,
}

/// A call that gives a file its mode.
#[derive(Clone, Copy)]
pub(super) struct Moding {
    /// Its number.
    pub(super) call: u32,
    /// Position of the mode among its arguments.
    pub(super) mode: u32,
    /// Position of the flags, without which the mode means nothing.
    pub(super) flags: Option<u32>,
}

pub(super) const fn mode_of(call: u32, mode: u32) -> Moding {
    Moding { call, mode, flags: None }
}

const fn mode_where_made(call: u32, mode: u32, flags: u32) -> Moding {
    Moding { call, mode, flags: Some(flags) }
}

// In each table, denied: add_key request_key keyctl, which reach keys of others; kexec_load
// (kexec_file_load); bpf perf_event_open, which look into the kernel; open_by_handle_at, which opens
// files past every mount. Absent: userfaultfd io_uring_…, the tools of many kernel exploits, and relics.
// Inner, besides those of `GENERIC`: ptrace process_vm_readv process_vm_writev kcmp, which reach into
// other processes; mount umount2 pivot_root chroot unshare setns, for whoever is root of a namespace of
// its own is root again; fanotify_init syslog name_to_handle_at, which look beyond the view.
#[cfg(target_arch = "x86_64")]
pub(super) const ABIS: [Abi; 2] = [
    Abi {
        arch: 0xc000_003e,
        denied: &[248, 249, 250, 246, 320, 321, 298, 304],
        absent: &[323, IO_URING[0], IO_URING[1], IO_URING[2], 134, 156, 180],
        inner: &[101, 310, 311, 312, 165, 166, 155, 161, 272, 308, 300, 103, 303],
        modes: &[
            mode_of(90, 1),
            mode_of(91, 1),
            mode_of(268, 2),
            mode_of(85, 1),
            mode_of(133, 1),
            mode_of(259, 2),
            mode_where_made(2, 2, 1),
            mode_where_made(257, 3, 2),
        ],
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
        modes: &[
            mode_of(15, 1),
            mode_of(94, 1),
            mode_of(306, 2),
            mode_of(8, 1),
            mode_of(14, 1),
            mode_of(297, 2),
            mode_where_made(5, 2, 1),
            mode_where_made(295, 3, 2),
        ],
        ioctl: 54,
        clone: 120,
        socket: 359,
        socketcall: Some(102),
        second: None,
    },
];

/// 64-bit ARM. Other machines with the generic table (include/uapi/asm-generic/unistd.h) have the same numbers.
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const ARM64: Abi = Abi {
    arch: 0xc000_00b7,
    denied: &[217, 218, 219, 104, 294, 280, 241, 265],
    absent: &[282, IO_URING[0], IO_URING[1], IO_URING[2], 42],
    inner: &[117, 270, 271, 272, 40, 39, 41, 51, 97, 268, 262, 116, 264],
    modes: &[mode_of(52, 1), mode_of(53, 2), mode_of(33, 2), mode_where_made(56, 3, 2)],
    ioctl: 29,
    clone: 220,
    socket: 198,
    socketcall: None,
    second: None,
};

/// 32-bit ARM, on its own and on 64-bit machines that serve it.
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
const ARM: Abi = Abi {
    arch: 0x4000_0028,
    denied: &[309, 310, 311, 347, 401, 386, 364, 371],
    absent: &[388, IO_URING[0], IO_URING[1], IO_URING[2], 86, 149, 169],
    inner: &[26, 376, 377, 378, 21, 52, 218, 61, 337, 375, 367, 103, 370],
    modes: &[
        mode_of(15, 1),
        mode_of(94, 1),
        mode_of(333, 2),
        mode_of(8, 1),
        mode_of(14, 1),
        mode_of(324, 2),
        mode_where_made(5, 2, 1),
        mode_where_made(322, 3, 2),
    ],
    ioctl: 54,
    clone: 120,
    socket: 281,
    socketcall: None,
    second: None,
};

#[cfg(target_arch = "aarch64")]
pub(super) const ABIS: [Abi; 2] = [ARM64, ARM];

#[cfg(target_arch = "arm")]
pub(super) const ABIS: [Abi; 1] = [ARM];

#[cfg(target_arch = "riscv64")]
pub(super) const ABIS: [Abi; 1] = [Abi { arch: 0xc000_00f3, ..ARM64 }];

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64"
)))]
pub(super) const ABIS: [Abi; 0] = [];
