//! A device filter for a cgroup of version 2 (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE).

use std::ffi::{c_int, c_long};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::last;

/// One instruction (linux/bpf.h, `struct bpf_insn`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct Insn {
    /// What it does.
    pub(crate) code: u8,
    /// Destination in the lower, source in the upper four bits.
    pub(crate) regs: u8,
    /// Where to, or where from.
    pub(crate) off: i16,
    /// A number.
    pub(crate) imm: i32,
}

const PROG_LOAD: c_int = 5;
const PROG_ATTACH: c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The start of `union bpf_attr` as BPF_PROG_LOAD reads it.
#[derive(Default)]
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The start of `union bpf_attr` as BPF_PROG_ATTACH reads it.
#[derive(Default)]
#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

fn bpf<T>(command: c_int, attr: &T) -> c_long {
    // SAFETY: the structure starts as the kernel's union does for this command, is passed with its
    // size (bpf(2): what is beyond counts as zero), and whatever it points to outlives the call.
    unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) }
}

/// Loads a program and attaches it to the cgroup, in addition to those above it.
///
/// # Errors
/// What bpf(2) says.
pub(crate) fn attach_device_filter(cgroup: impl AsFd, program: &[Insn]) -> rustix::io::Result<()> {
    let load = Load {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    let fd = c_int::try_from(bpf(PROG_LOAD, &load)).unwrap_or(-1);
    if fd < 0 {
        return Err(last());
    }
    // SAFETY: it is fresh, and nobody else owns it.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let number = |fd: c_int| u32::try_from(fd).unwrap_or(u32::MAX);
    let attach = Attach {
        target_fd: number(cgroup.as_fd().as_raw_fd()),
        attach_bpf_fd: number(program.as_raw_fd()),
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
    };
    if bpf(PROG_ATTACH, &attach) == 0 { Ok(()) } else { Err(last()) }
}
