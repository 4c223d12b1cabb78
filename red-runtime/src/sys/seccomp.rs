//! System call filters in classic BPF (seccomp(2)): instructions to put them together from, and the
//! call that loads one.

use std::os::fd::{FromRawFd, OwnedFd};

use libc::sock_filter;

/// One instruction of a filter.
pub(crate) type Instruction = sock_filter;

/// Flags of seccomp(2) (linux/seccomp.h); the C library's bindings lack some.
#[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "of filters of configurations"))]
pub(crate) mod flag {
    /// Everything but what is allowed is logged.
    pub(crate) const LOG: u64 = 1 << 1;
    /// Speculation is not limited because of the filter.
    pub(crate) const SPEC_ALLOW: u64 = 1 << 2;
    /// The call returns a descriptor that an agent answers at.
    pub(crate) const NEW_LISTENER: u64 = 1 << 3;
    /// While an agent answers, only a signal that ends the process interrupts it.
    pub(crate) const WAIT_KILLABLE_RECV: u64 = 1 << 5;
}

/// Offset of the call's number in `struct seccomp_data` (linux/seccomp.h), in bytes.
pub(crate) const NUMBER: u32 = 0;
/// Offset of the architecture, `AUDIT_ARCH_…` (linux/audit.h).
pub(crate) const ARCHITECTURE: u32 = 4;

/// Offset of the lower half of an argument, on little-endian machines.
pub(crate) const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// How the loaded word is compared with a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum Test {
    /// It is the number.
    Equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
    /// It is larger.
    Above = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16,
    /// It is as large or larger.
    AtLeast = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
    /// It has any of the number's bits.
    AnyOf = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16,
}

/// Loads the word at an offset of `struct seccomp_data`.
pub(crate) const fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: offset }
}

/// Goes on with the next instruction when the test holds, else leaves `skip` of them out.
pub(crate) const fn when(test: Test, number: u32, skip: u8) -> sock_filter {
    sock_filter { code: test as u16, jt: 0, jf: skip, k: number }
}

/// Ends with an action (`SECCOMP_RET_…`).
pub(crate) const fn finish(action: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: action }
}

/// The action that has a call fail with an error number.
pub(crate) const fn fail(errno: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// Goes over `yes` instructions when the test holds, over `no` otherwise.
#[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "of filters of configurations"))]
pub(crate) const fn test(test: Test, number: u32, yes: u8, no: u8) -> Instruction {
    sock_filter { code: test as u16, jt: yes, jf: no, k: number }
}

/// Goes over instructions, however many.
#[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "of filters of configurations"))]
pub(crate) fn jump(over: usize) -> Instruction {
    let code = u16::try_from(libc::BPF_JMP | libc::BPF_JA).unwrap_or(0);
    // A program is shorter than that by far, and one that is longer is refused.
    sock_filter { code, jt: 0, jf: 0, k: u32::try_from(over).unwrap_or(u32::MAX) }
}

/// Leaves of the loaded word the bits of a mask.
#[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "of filters of configurations"))]
pub(crate) const fn and(mask: u32) -> Instruction {
    sock_filter { code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, jt: 0, jf: 0, k: mask }
}

/// A filter as the kernel takes it. It borrows the instructions, so that it can be made before a clone
/// and loaded after it without allocating.
pub(crate) struct Filter<'a> {
    program: libc::sock_fprog,
    _instructions: std::marker::PhantomData<&'a [sock_filter]>,
}

impl<'a> Filter<'a> {
    #[cfg_attr(not(feature = "launch"), allow(dead_code, reason = "of filters of configurations"))]
    /// Instructions that the kernel takes (linux/bpf_common.h, BPF_MAXINSNS).
    pub(crate) const MOST: usize = 4096;

    /// A filter of these instructions; one of more than 65,535 is refused when it is loaded.
    pub(crate) fn new(instructions: &'a [sock_filter]) -> Self {
        let len = u16::try_from(instructions.len()).unwrap_or(0);
        // The kernel only reads them.
        let program = libc::sock_fprog { len, filter: instructions.as_ptr().cast_mut() };
        Self { program, _instructions: std::marker::PhantomData }
    }

    /// Loads it for this thread and all that it starts.
    ///
    /// # Errors
    /// seccomp(2): EACCES without no_new_privs and CAP_SYS_ADMIN, EINVAL for a program that is none.
    pub(crate) fn load(&self) -> rustix::io::Result<()> {
        self.load_with(0).map(drop)
    }

    /// Loads it with flags of [`flag`]. Returns the descriptor that an agent answers at, when that is asked
    /// for; it closes on exec.
    ///
    /// # Errors
    /// As of [`Filter::load`], and EBUSY where a filter of this process has a listener already.
    pub(crate) fn load_with(&self, flags: u64) -> rustix::io::Result<Option<OwnedFd>> {
        let program = std::ptr::from_ref(&self.program);
        // SAFETY: the instructions outlive the call, for they are borrowed; the kernel checks and copies
        // them.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, program) };
        match i32::try_from(result) {
            Ok(fd) if fd >= 0 && flags & flag::NEW_LISTENER != 0 => {
                // SAFETY: with this flag what is returned is a fresh descriptor, which nobody else owns.
                Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
            }
            Ok(0) => Ok(None),
            _ => Err(super::last()),
        }
    }
}

/// Runs a filter as the kernel does, on words of `struct seccomp_data` by offset.
#[cfg(test)]
pub(crate) fn evaluate(program: &[sock_filter], word: impl Fn(u32) -> u32) -> u32 {
    let (mut at, mut held) = (0, 0);
    loop {
        let insn = program[at];
        at += 1;
        let holds = match insn.code {
            LOAD => {
                held = word(insn.k);
                continue;
            }
            RETURN => return insn.k,
            code if code == Test::Equal as u16 => held == insn.k,
            code if code == Test::Above as u16 => held > insn.k,
            code if code == Test::AtLeast as u16 => held >= insn.k,
            code if code == Test::AnyOf as u16 => held & insn.k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { insn.jt } else { insn.jf });
    }
}
