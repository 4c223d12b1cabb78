//! System call filters of the classic BPF (seccomp(2)).

use super::last;

/// One instruction (linux/filter.h, `struct sock_filter`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub(crate) struct Insn {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const AT_LEAST: u16 = 0x35;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

impl Insn {
    /// Loads the word at an offset in bytes of `struct seccomp_data`.
    pub(crate) fn load(offset: u32) -> Self {
        Self { code: LOAD, if_true: 0, if_false: 0, value: offset }
    }

    /// Skips so many instructions unless the loaded word is this.
    pub(crate) fn unless_equal(value: u32, skip: u8) -> Self {
        Self { code: EQUAL, if_true: 0, if_false: skip, value }
    }

    /// Skips so many instructions unless the loaded word is at least this.
    pub(crate) fn unless_at_least(value: u32, skip: u8) -> Self {
        Self { code: AT_LEAST, if_true: 0, if_false: skip, value }
    }

    /// Ends with an action (`SECCOMP_RET_…`).
    pub(crate) fn ret(action: u32) -> Self {
        Self { code: RETURN, if_true: 0, if_false: 0, value: action }
    }
}

/// Loads a filter for this thread and all that it starts.
///
/// # Errors
/// seccomp(2): EACCES without no_new_privs and CAP_SYS_ADMIN, EINVAL for a program that is none.
pub(crate) fn load(program: &[Insn]) -> rustix::io::Result<()> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Insn,
    }
    let len = u16::try_from(program.len()).map_err(|_long| rustix::io::Errno::INVAL)?;
    let program = Program { len, filter: program.as_ptr() };
    // SAFETY: the structure is `struct sock_fprog`; it and the instructions outlive the call, and the
    // kernel copies them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, std::ptr::from_ref(&program))
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Runs a filter as the kernel does, on words of `struct seccomp_data` by offset.
#[cfg(test)]
pub(crate) fn evaluate(program: &[Insn], word: impl Fn(u32) -> u32) -> u32 {
    let (mut at, mut loaded) = (0, 0);
    loop {
        let insn = program[at];
        let jump = |holds: bool| usize::from(if holds { insn.if_true } else { insn.if_false });
        at += 1;
        match insn.code {
            LOAD => loaded = word(insn.value),
            EQUAL => at += jump(loaded == insn.value),
            AT_LEAST => at += jump(loaded >= insn.value),
            RETURN => return insn.value,
            other => panic!("instruction {other:x}"),
        }
    }
}
