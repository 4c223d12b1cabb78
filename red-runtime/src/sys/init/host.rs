//! What `arch.rs` is to the program of its own, by the C library: for every architecture that has one.

use std::ffi::{c_int, c_void};

// What `kernel.rs` takes for granted. Elsewhere (MIPS, SPARC, PA-RISC, Alpha, or a 32-bit set of signals the other
// way round) a launch would fail in riddles; a build that fails says where.
const _: () = assert!(
    libc::SIGCHLD == 17
        && libc::SIGTSTP == 20
        && libc::SIG_BLOCK == 0
        && libc::SIG_SETMASK == 2
        && libc::ECONNRESET == 104
        && (cfg!(target_pointer_width = "64") || cfg!(target_endian = "little")),
    "red-init has no numbers of signals and errors for this architecture: src/sys/init/kernel.rs"
);

/// Numbers of system calls.
pub(super) mod number {
    pub(crate) const CLOSE: usize = libc::SYS_close as usize;
    pub(crate) const CLOSE_RANGE: usize = libc::SYS_close_range as usize;
    pub(crate) const EXECVE: usize = libc::SYS_execve as usize;
    pub(crate) const EXIT_GROUP: usize = libc::SYS_exit_group as usize;
    pub(crate) const FCNTL: usize = libc::SYS_fcntl as usize;
    pub(crate) const PPOLL: usize = libc::SYS_ppoll as usize;
    pub(crate) const PRCTL: usize = libc::SYS_prctl as usize;
    pub(crate) const RECVFROM: usize = libc::SYS_recvfrom as usize;
    pub(crate) const RT_SIGACTION: usize = libc::SYS_rt_sigaction as usize;
    pub(crate) const RT_SIGPROCMASK: usize = libc::SYS_rt_sigprocmask as usize;
    pub(crate) const SENDMSG: usize = libc::SYS_sendmsg as usize;
    pub(crate) const WAIT4: usize = libc::SYS_wait4 as usize;
    pub(crate) const WRITE: usize = libc::SYS_write as usize;
}

/// Makes a system call.
///
/// # Safety
/// The arguments are what the call takes.
pub(super) unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    // SAFETY: the caller says so.
    let result = unsafe { libc::syscall(number as libc::c_long, a, b, c, d, e, f) };
    returned(result as isize)
}

/// The result of a wrapper as the kernel gave it.
fn returned(result: isize) -> isize {
    // SAFETY: the place of this thread's error number is always there.
    if result == -1 { -(unsafe { *libc::__errno_location() } as isize) } else { result }
}

/// Clones this process onto a stack of its own, where the child calls `entry`. Returns in the parent only.
///
/// # Safety
/// The flags have the parent wait (CLONE_VFORK). `entry` may be called with this argument, makes system calls
/// only and never returns.
pub(super) unsafe fn clone(
    flags: usize,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let mut stack = vec![0_u128; 2048];
    // SAFETY: the stack belongs to the child until the call returns, for the caller has this process wait until
    // the child has left its memory; it grows down from its end, which is aligned as an array of 16 bytes is.
    let pid = unsafe { libc::clone(entry, stack.as_mut_ptr_range().end.cast(), flags as c_int, argument) };
    returned(pid as isize)
}
