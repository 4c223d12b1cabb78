//! The system calls of `red-init`. What differs from architecture to architecture is in `raw`: in the program
//! of its own a few lines of assembly, in this crate the C library.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null;

use super::raw::{self, call, number};

/// A result or an error number (errno(3)).
pub(super) type Result<T> = core::result::Result<T, i32>;

/// A system call was interrupted by a signal.
const EINTR: i32 = 4;

/// Told once by a socket whose other end closed before it had read everything.
const ECONNRESET: i32 = 104;

/// The largest error number that a system call returns, as a negative number.
const MAX_ERRNO: isize = 4095;

const F_SETFD: usize = 2;
const FD_CLOEXEC: usize = 1;
const CLOSE_RANGE_CLOEXEC: usize = 4;
const MSG_NOSIGNAL: usize = 0x4000;
const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;
const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;
const CLONE_VM: usize = 0x100;
const CLONE_VFORK: usize = 0x4000;
const POLLIN: i16 = 1;
const POLLERR: i16 = 8;
const POLLHUP: i16 = 16;

/// Numbers of signals (signal(7)); `host.rs` does not compile where they are others.
pub(super) mod signal {
    /// Ends a process whatever it does about it.
    pub(in super::super) const KILL: usize = 9;
    /// A child has ended.
    pub(in super::super) const CHLD: usize = 17;
    /// HUP, INT, QUIT, TERM, TSTP, TTIN and TTOU: what a terminal or a launcher sends.
    pub(in super::super) const OF_THE_COMMAND: [u32; 7] = [1, 2, 3, 15, 20, 21, 22];
    /// The largest number.
    pub(super) const LAST: usize = 64;
    /// Bytes of the kernel's set of signals.
    pub(super) const SET: usize = size_of::<u64>();
}

/// What a system call returned.
fn checked(result: isize) -> Result<usize> {
    if (-MAX_ERRNO..0).contains(&result) { Err(-result as i32) } else { Ok(result as usize) }
}

/// Calls again for as long as signals interrupt.
fn uninterrupted(mut again: impl FnMut() -> isize) -> Result<usize> {
    loop {
        match checked(again()) {
            Err(EINTR) => {}
            other => return other,
        }
    }
}

/// A descriptor as the kernel takes it.
fn fd(number: i32) -> usize {
    number as usize
}

/// Writes one byte to a file. Where that fails nobody is told: it is done last.
pub(super) fn write(file: i32, byte: u8) {
    // SAFETY: one byte is live, and only read.
    unsafe { call(number::WRITE, [fd(file), (&raw const byte) as usize, 1, 0, 0, 0]) };
}

/// Lets every descriptor from `first` on close on exec (close_range(2)).
pub(super) fn close_from_on_exec(first: u32) -> Result<()> {
    let args = [first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0, 0];
    // SAFETY: plain numbers; nothing is closed now.
    checked(unsafe { call(number::CLOSE_RANGE, args) }).map(drop)
}

/// Lets one descriptor close on exec.
pub(super) fn close_on_exec(number: i32) -> Result<()> {
    // SAFETY: plain numbers; nothing is closed now.
    checked(unsafe { call(number::FCNTL, [fd(number), F_SETFD, FD_CLOEXEC, 0, 0, 0]) }).map(drop)
}

/// Closes every descriptor up to `last`.
pub(super) fn close_up_to(last: u32) {
    // SAFETY: as of `close`.
    unsafe { call(number::CLOSE_RANGE, [0, last as usize, 0, 0, 0, 0]) };
}

/// Closes a descriptor, if it is open.
pub(super) fn close(number: i32) {
    // SAFETY: what is closed is a number that nothing of this process uses any more: it only waits by now.
    unsafe { call(number::CLOSE, [fd(number), 0, 0, 0, 0, 0]) };
}

/// A buffer of sendmsg(2), as the kernel takes it.
#[repr(C)]
struct Part {
    base: *const u8,
    length: usize,
}

/// A message of sendmsg(2), as the kernel takes it.
#[repr(C)]
struct Envelope {
    name: *const c_void,
    name_length: u32,
    parts: *const Part,
    count: usize,
    control: *const c_void,
    control_length: usize,
    flags: c_int,
}

/// Sends one message, made of two parts.
pub(super) fn send(socket: i32, head: &[u8], tail: &[u8]) -> Result<()> {
    let part = |bytes: &[u8]| Part { base: bytes.as_ptr(), length: bytes.len() };
    let parts = [part(head), part(tail)];
    let envelope = Envelope {
        name: null(),
        name_length: 0,
        parts: parts.as_ptr(),
        count: parts.len(),
        control: null(),
        control_length: 0,
        flags: 0,
    };
    let args = [fd(socket), (&raw const envelope) as usize, MSG_NOSIGNAL, 0, 0, 0];
    // SAFETY: the message, its parts and their bytes are live, and only read.
    uninterrupted(|| unsafe { call(number::SENDMSG, args) }).map(drop)
}

/// Waits for a message and returns how many of its bytes came, none when the other end is gone; what does not
/// fit is lost.
pub(super) fn receive(socket: i32, bytes: &mut [u8]) -> Result<usize> {
    let args = [fd(socket), bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the kernel writes at most as many bytes as there are; whose message it is is not asked for.
    let once = || uninterrupted(|| unsafe { call(number::RECVFROM, args) });
    // It comes ahead of what the other end had said before (unix_release_sock in net/unix/af_unix.c).
    match once() {
        Err(ECONNRESET) => match once() {
            Err(ECONNRESET) => Ok(0),
            other => other,
        },
        other => other,
    }
}

/// A descriptor of ppoll(2), as the kernel takes it.
#[repr(C)]
struct Polled {
    number: i32,
    events: i16,
    happened: i16,
}

/// Whether the other end of a conversation is gone.
pub(super) fn is_left(socket: i32) -> Result<bool> {
    let mut polled = Polled { number: socket, events: POLLIN, happened: 0 };
    // Seconds and nanoseconds, as wide as any architecture has them.
    let now = [0_u64; 2];
    let args = [(&raw mut polled) as usize, 1, now.as_ptr() as usize, 0, 0, 0];
    // SAFETY: one descriptor and a time are live; no mask of signals is given.
    uninterrupted(|| unsafe { call(number::PPOLL, args) })?;
    // SAFETY: it is live and initialised; the kernel may have changed it behind the compiler's back.
    let happened = unsafe { (&raw const polled.happened).read_volatile() };
    Ok(happened & (POLLHUP | POLLERR) != 0)
}

/// Asks for a signal when the parent ends; zero for none.
pub(super) fn set_parent_death_signal(signal: usize) -> Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { call(number::PRCTL, [PR_SET_PDEATHSIG, signal, 0, 0, 0, 0]) }).map(drop)
}

/// Keeps whoever may not trace everything from looking into this process, its descriptors and its memory
/// (PR_SET_DUMPABLE(2const), ptrace(2)). What it starts is not concerned once it is a program of its own.
pub(super) fn hide() -> Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { call(number::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]) }).map(drop)
}

/// Sets the name that ps(1) shows.
pub(super) fn set_name(name: &CStr) {
    // SAFETY: the kernel reads a string; it always succeeds.
    unsafe { call(number::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// Gives a signal its default effect.
pub(super) fn reset_signal(signal: usize) {
    /// An all-zero kernel sigaction is SIG_DFL without flags and with an empty mask.
    static DEFAULT: [u64; 8] = [0; 8];
    let args = [signal, DEFAULT.as_ptr() as usize, 0, signal::SET, 0, 0];
    // SAFETY: what is read is larger than any architecture's structure, and the old one is not asked for. That
    // SIGKILL and SIGSTOP are refused changes nothing: nobody can ignore them.
    unsafe { call(number::RT_SIGACTION, args) };
}

/// Gives every signal its default effect and blocks none: what is ignored or blocked stays so over exec
/// (signal(7)).
pub(super) fn reset_signals() {
    (1..=signal::LAST).for_each(reset_signal);
    let none = 0_u64;
    let args = [SIG_SETMASK, (&raw const none) as usize, 0, signal::SET, 0, 0];
    // SAFETY: the set is live and of the size that is told; it cannot fail.
    unsafe { call(number::RT_SIGPROCMASK, args) };
}

/// Holds back these signals too.
pub(super) fn block(signals: &[u32]) -> Result<()> {
    let set = signals.iter().fold(0_u64, |set, signal| set | 1 << (signal - 1));
    let args = [SIG_BLOCK, (&raw const set) as usize, 0, signal::SET, 0, 0];
    // SAFETY: the set is live and of the size that is told; the old one is not asked for.
    checked(unsafe { call(number::RT_SIGPROCMASK, args) }).map(drop)
}

/// Waits for a child to end and returns its PID and its status.
pub(super) fn wait() -> Result<(i32, i32)> {
    let mut status: c_int = 0;
    let args = [usize::MAX, (&raw mut status) as usize, 0, 0, 0, 0];
    // SAFETY: the status is live; what the child has used is not asked for.
    let pid = uninterrupted(|| unsafe { call(number::WAIT4, args) })?;
    // SAFETY: it is live and initialised; the kernel may have changed it behind the compiler's back.
    Ok((pid as i32, unsafe { (&raw const status).read_volatile() }))
}

/// Ends this process.
pub(super) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: always sound.
        unsafe { call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Becomes a program. Returns only when that fails, with the error number.
///
/// # Safety
/// `program` points to a string, `argv` and `envp` to lists of pointers to strings that null pointers end.
pub(super) unsafe fn execve(
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> i32 {
    let args = [program as usize, argv as usize, envp as usize, 0, 0, 0];
    // SAFETY: the caller says so.
    checked(unsafe { call(number::EXECVE, args) }).err().unwrap_or(0)
}

/// What a child that shares this process's memory is given.
struct Shared {
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    errno: i32,
}

/// Starts a program as a child, with every signal at its default and without a copy of this process: the
/// child borrows its memory until it has become the program, and this process sleeps meanwhile (clone(2),
/// CLONE_VM, CLONE_VFORK). The inner error is why it could not become the program.
///
/// # Safety
/// As of [`execve`].
pub(super) unsafe fn spawn(
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> Result<Result<i32>> {
    let mut shared = Shared { program, argv, envp, errno: 0 };
    let flags = CLONE_VM | CLONE_VFORK | signal::CHLD;
    let shared = &raw mut shared;
    // SAFETY: CLONE_VFORK holds this process, and with it everything that is lent, until the child has left its
    // memory; `become_program` never returns and makes system calls only.
    let pid = checked(unsafe { raw::clone(flags, become_program, shared.cast()) })?;
    // SAFETY: the child may have written it before it ended, through the pointer made above.
    let errno = unsafe { (&raw const (*shared).errno).read_volatile() };
    Ok(if errno == 0 { Ok(pid as i32) } else { Err(errno) })
}

extern "C" fn become_program(shared: *mut c_void) -> c_int {
    let shared = shared.cast::<Shared>();
    reset_signals();
    // SAFETY: it is the structure of `spawn`, whose frame sleeps until this has ended; nothing else looks at
    // it. What is in it is what execve(2) takes, as the caller of `spawn` says.
    unsafe {
        let Shared { program, argv, envp, .. } = *shared;
        (&raw mut (*shared).errno).write_volatile(execve(program, argv, envp));
    }
    exit(127)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn an_end_that_is_gone_is_known_whatever_it_has_said() {
        let seqpacket = || {
            use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
        };
        let (ours, theirs) = seqpacket();
        let (own, other) = (ours.as_raw_fd(), theirs.as_raw_fd());
        assert_eq!(is_left(own), Ok(false));
        send(other, b"g", b"o").unwrap();
        assert_eq!(is_left(own), Ok(false));
        drop(theirs);
        assert_eq!(is_left(own), Ok(true));
        let mut bytes = [0; 8];
        assert_eq!((receive(own, &mut bytes), &bytes[..2]), (Ok(2), &b"go"[..]));
        assert_eq!((receive(own, &mut bytes), is_left(own)), (Ok(0), Ok(true)));
        // One that has not read everything resets the other, and is gone as well.
        let (ours, theirs) = seqpacket();
        send(ours.as_raw_fd(), b"unread", b"").unwrap();
        drop(theirs);
        assert_eq!(receive(ours.as_raw_fd(), &mut bytes), Ok(0));
        // EPIPE, and no signal.
        assert_eq!(send(ours.as_raw_fd(), b"x", b""), Err(32));
    }

    #[test]
    fn what_fails_is_an_error_number() {
        let (one, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(close_on_exec(one.as_raw_fd()), Ok(()));
        assert_eq!((close_on_exec(-1), receive(-1, &mut [0])), (Err(9), Err(9)));
    }
}
