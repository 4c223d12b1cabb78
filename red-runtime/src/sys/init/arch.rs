//! What differs from architecture to architecture: numbers of system calls, how one is made, how a program
//! begins, and a clone on a stack of its own. In the program of its own only.

use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

/// Numbers of system calls (asm/unistd.h).
#[cfg(target_arch = "x86_64")]
pub(super) mod number {
    pub(crate) const CLONE: usize = 56;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const FCNTL: usize = 72;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const WRITE: usize = 1;
}

/// Numbers of system calls (asm-generic/unistd.h).
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
pub(super) mod number {
    pub(crate) const CLONE: usize = 220;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const FCNTL: usize = 25;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const RECVFROM: usize = 207;
    pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const SENDMSG: usize = 211;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const WRITE: usize = 64;
}

/// Numbers of system calls (asm/unistd-eabi.h).
#[cfg(target_arch = "arm")]
pub(super) mod number {
    pub(crate) const CLONE: usize = 120;
    pub(crate) const CLOSE: usize = 6;
    pub(crate) const CLOSE_RANGE: usize = 436;
    pub(crate) const EXECVE: usize = 11;
    pub(crate) const EXIT_GROUP: usize = 248;
    pub(crate) const FCNTL: usize = 55;
    pub(crate) const PPOLL: usize = 336;
    pub(crate) const PRCTL: usize = 172;
    pub(crate) const RECVFROM: usize = 292;
    pub(crate) const RT_SIGACTION: usize = 174;
    pub(crate) const RT_SIGPROCMASK: usize = 175;
    pub(crate) const SENDMSG: usize = 296;
    pub(crate) const WAIT4: usize = 114;
    pub(crate) const WRITE: usize = 4;
}

// The outermost frame has none above it, and the stack is aligned for a call.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    begin = sym super::begin,
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "b {begin}",
    begin = sym super::begin,
);
#[cfg(target_arch = "riscv64")]
global_asm!(
    ".globl _start",
    "_start:",
    "li ra, 0",
    "mv a0, sp",
    "andi sp, sp, -16",
    "tail {begin}",
    begin = sym super::begin,
);
#[cfg(target_arch = "arm")]
global_asm!(
    ".globl _start",
    ".arm",
    "_start:",
    "mov fp, #0",
    "mov lr, #0",
    "mov r0, sp",
    "bic r1, r0, #7",
    "mov sp, r1",
    "bl {begin}",
    begin = sym super::begin,
);

/// Makes a system call.
///
/// # Safety
/// The arguments are what the call takes.
pub(super) unsafe fn call(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel changes no registers but those named and what the arguments point to (syscall(2)).
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
        #[cfg(target_arch = "riscv64")]
        asm!(
            "ecall",
            in("a7") number,
            inlateout("a0") a => result,
            in("a1") b, in("a2") c, in("a3") d, in("a4") e, in("a5") f,
            options(nostack),
        );
        // In Thumb code r7 may be the frame pointer, which is no operand.
        #[cfg(target_arch = "arm")]
        asm!(
            "mov {kept}, r7",
            "mov r7, {number}",
            "svc 0",
            "mov r7, {kept}",
            kept = out(reg) _,
            number = in(reg) number,
            inlateout("r0") a => result,
            in("r1") b, in("r2") c, in("r3") d, in("r4") e, in("r5") f,
            options(nostack),
        );
    }
    result
}

/// The stack of a child that becomes another program.
#[repr(C, align(16))]
struct Stack([u8; 1024]);

/// Clones this process onto a stack of this frame, where the child calls `entry`. Returns in the parent only.
///
/// # Safety
/// The flags have the parent wait (CLONE_VFORK). `entry` may be called with this argument, makes system calls
/// only and never returns.
pub(super) unsafe fn clone(
    flags: usize,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> isize {
    let mut stack = MaybeUninit::<Stack>::uninit();
    let top = stack.as_mut_ptr().wrapping_add(1);
    let result: isize;
    // SAFETY: the child has every register but the result and the stack pointer as the parent has it. It goes
    // the way of a zero, with a stack of its own in this frame, which the parent, asleep, does not leave; and it
    // does not come back. The other arguments are not looked at without their flags.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "call {entry}",
            "ud2",
            "2:",
            argument = in(reg) argument,
            entry = in(reg) entry,
            inlateout("rax") number::CLONE as isize => result,
            in("rdi") flags, in("rsi") top, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {argument}",
            "blr {entry}",
            "brk 1",
            "2:",
            argument = in(reg) argument,
            entry = in(reg) entry,
            in("x8") number::CLONE,
            inlateout("x0") flags => result,
            in("x1") top, in("x2") 0, in("x3") 0, in("x4") 0,
        );
        #[cfg(target_arch = "riscv64")]
        asm!(
            "ecall",
            "bnez a0, 2f",
            "mv a0, {argument}",
            "jalr {entry}",
            "unimp",
            "2:",
            argument = in(reg) argument,
            entry = in(reg) entry,
            in("a7") number::CLONE,
            inlateout("a0") flags => result,
            in("a1") top, in("a2") 0, in("a3") 0, in("a4") 0,
        );
        #[cfg(target_arch = "arm")]
        asm!(
            "mov {kept}, r7",
            "mov r7, {number}",
            "svc 0",
            "mov r7, {kept}",
            "cmp r0, #0",
            "bne 2f",
            "mov r0, {argument}",
            "blx {entry}",
            "udf #0",
            "2:",
            kept = out(reg) _,
            number = in(reg) number::CLONE,
            argument = in(reg) argument,
            entry = in(reg) entry,
            inlateout("r0") flags => result,
            in("r1") top, in("r2") 0, in("r3") 0, in("r4") 0,
        );
    }
    result
}
